"""What stands at the other end of a collector in the measurements: a central and a mail server behind a counter of bytes."""

import pathlib
import re
import socket
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/interop"))
import listeners


class Counter:
    """Passes bytes on to a port of loopback, and counts them both ways."""

    def __init__(self, port):
        self.bytes, self.onward = 0, port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            here, _ = self.listener.accept()
            there = socket.create_connection(("127.0.0.1", self.onward))
            for source, sink in [(here, there), (there, here)]:
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                self.bytes += len(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other side has ended it


def certificate(folder):
    """The file of a CA, a chain of a certificate for 127.0.0.1 and the CA between, as public CAs have it, and its key."""
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    (folder / "ca.ext").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n")
    (folder / "own.ext").write_text("basicConstraints=critical,CA:FALSE\nsubjectAltName=IP:127.0.0.1\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=root", "-keyout", "root.key", "-out", "root.pem")
    for name, above, kind in [("between", "root", "ca"), ("own", "between", "own")]:
        openssl("req", "-new", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{above}.pem", "-CAkey", f"{above}.key", "-CAcreateserial",
                "-days", "2", "-extfile", f"{kind}.ext", "-out", f"{name}.pem")
    chain = folder / "chain.pem"
    chain.write_text((folder / "own.pem").read_text() + (folder / "between.pem").read_text())
    return folder / "root.pem", chain, folder / "own.key"


def relay(folder):
    """A mail server behind a counter."""
    ca, chain, key = certificate(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(chain, key)
    port, _ = listeners.relay(tls)
    return Counter(port), ca


class Central:
    """The real one, with TLS, behind a counter."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.ca, chain, key = certificate(folder)
        (folder / "central.toml").write_text("")
        self.process = subprocess.Popen([program, *self.places(), "serve", "--listen", "127.0.0.1:0", "--tls-cert", chain,
                                         "--tls-key", key], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"listening on https://127\.0\.0\.1:(\d+)", line):
                self.counter = Counter(int(found[1]))
                break
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def places(self):
        return ["--config", self.folder / "central.toml", "--data-dir", self.folder / "data", "--key-file", self.folder / "key"]

    def token(self):
        url = f"https://127.0.0.1:{self.counter.port}"
        added = subprocess.run([self.program, *self.places(), "site", "add", "bench", "--central", url, "--ca", self.ca],
                               check=True, capture_output=True, text=True)
        return added.stdout.strip()

    def stop(self):
        self.process.kill()
        self.process.wait()
