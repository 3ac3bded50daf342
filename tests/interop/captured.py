"""Hears a collector of ours by HTTP and by SMTP, and compares what both carried with what the customer is shown."""

import base64
import email
import email.policy
import http.server
import json
import os
import pathlib
import socketserver
import subprocess
import sys
import threading
import uuid
import xml.etree.ElementTree

from jwcrypto import jwe, jwk

meterpost, work, net, port = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4]
bodies, messages = [], []


class Central(http.server.BaseHTTPRequestHandler):
    """Takes the request and is busy."""

    def do_POST(self):
        bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Relay(socketserver.StreamRequestHandler):
    """A mail server of few words."""

    def handle(self):
        self.say("220 relay.example")
        while line := self.rfile.readline().decode().strip():
            word = line.split()[0].upper()
            self.say({"EHLO": "250 relay.example", "DATA": "354 go on", "QUIT": "221 bye"}.get(word, "250 fine"))
            if word == "DATA":
                message = b""
                while (text := self.rfile.readline()) != b".\r\n":
                    message += text.removeprefix(b".") if text.startswith(b"..") else text
                messages.append(message)
                self.say("250 taken")

    def say(self, text):
        self.wfile.write(f"{text}\r\n".encode())


def served(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


central = served(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Central))
relay = served(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay))
(work / "etc").mkdir()
(work / "etc/meterpost.toml").write_text(f"""
[[sweep]]
targets = ["{net}"]
credentials = ["office"]
port = {port}
[[credentials]]
name = "office"
community = "public"
[delivery]
channels = ["https", "mail"]
[delivery.mail]
from = "printers@customer.example"
to = "batches@central.example"
server = "127.0.0.1"
port = {relay}
security = "none"
""")
environment = {"METERPOST_CONFIG": str(work / "etc/meterpost.toml"), "METERPOST_DATA_DIR": str(work / "data")}


def said(*words):
    run = subprocess.run([meterpost, *words], env=environment, capture_output=True)
    assert run.returncode in (0, 3), (words, run)
    return run.stdout


token = {"central": f"http://127.0.0.1:{central}", "site": str(uuid.uuid4()), "name": "Lindenweg", "epoch": 1,
         "enc": "A256CBC-HS512", "secret": base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()}
said("enroll", "mp1." + base64.urlsafe_b64encode(json.dumps(token).encode()).rstrip(b"=").decode())
print(said("run", "--once").decode().strip())

shown = said("outbox", "show", "1")
assert b"<Device " in shown and len(bodies) == 1 and len(messages) == 1, (len(bodies), len(messages))
by_https = xml.etree.ElementTree.fromstring(bodies[0]).find(".//{*}envelope").text
parts = email.message_from_bytes(messages[0], policy=email.policy.default).walk()
by_mail = "".join(next(p for p in parts if p.get_content_type() == "application/jose").get_content().decode().split())
assert by_https == by_mail, "one token goes by every way"
(work / "captured.jwe").write_text(by_mail)
assert said("open", str(work / "captured.jwe")) == shown, "`meterpost open` and `outbox show`"
opened = jwe.JWE()
opened.deserialize(by_https, key=jwk.JWK(**json.loads(said("key", "export", "--epoch", "1"))))
assert opened.payload == shown, "python jwcrypto and `outbox show`"
print(f"captured: {len(by_https)} characters by HTTPS and by mail, {len(shown)} bytes inside; ours, jwcrypto's and what was "
      "shown are the same bytes")
