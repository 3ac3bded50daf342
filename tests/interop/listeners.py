"""A central that is busy and a mail server of few words, on loopback: they keep what a collector sends them."""

import http.server
import socketserver
import threading


class Busy(http.server.BaseHTTPRequestHandler):
    """A central that takes nothing now."""

    def do_POST(self):
        self.server.taken.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Relay(socketserver.StreamRequestHandler):
    """Takes every message; with TLS from the first byte where it was given a certificate."""

    def setup(self):
        if self.server.tls:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self):
        self.say("220 relay.example")
        while line := self.rfile.readline().decode().strip():
            word = line.split()[0].upper()
            self.say({"EHLO": "250 relay.example", "DATA": "354 go on", "QUIT": "221 bye"}.get(word, "250 fine"))
            if word == "DATA":
                message = b""
                while (text := self.rfile.readline()) != b".\r\n":
                    message += text.removeprefix(b".") if text.startswith(b"..") else text
                self.server.taken.append(message)
                self.say("250 taken")

    def say(self, text):
        self.wfile.write(f"{text}\r\n".encode())


def central():
    """Its port, and the list of the bodies that it gets."""
    return served(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy))


def relay(tls=None):
    """Its port, and the list of the messages that it gets."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)
    server.tls = tls
    return served(server)


def served(server):
    server.taken = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1], server.taken
