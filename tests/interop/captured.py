"""Hears a collector of ours by HTTP and by SMTP, and compares what both carried with what the customer is shown."""

import base64
import email
import email.policy
import json
import os
import pathlib
import subprocess
import sys
import uuid
import xml.etree.ElementTree

import listeners
from jwcrypto import jwe, jwk

meterpost, work, net, port = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4]
central, bodies = listeners.central()
relay, messages = listeners.relay()
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
