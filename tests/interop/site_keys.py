"""A site in Python, from the contract alone: reads an enrolment token, derives the keys, seals a batch with jwcrypto."""

import base64
import hashlib
import hmac
import json
import uuid

from jwcrypto import jwe, jwk


def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def hkdf(secret, fields, length):
    """RFC 5869 with SHA-256; salt and first field are the label."""
    prk = hmac.new(b"meterpost/1", secret, hashlib.sha256).digest()
    info, block, octets, number = "\n".join(["meterpost/1", *fields]).encode(), b"", b"", 1
    while len(octets) < length:
        block = hmac.new(prk, block + info + bytes([number]), hashlib.sha256).digest()
        octets, number = octets + block, number + 1
    return octets[:length]


class Site:
    def __init__(self, enrolment):
        said = json.loads(unb64(enrolment.strip().removeprefix("mp1.")))
        self.id, self.epoch, self.enc, self.central = said["site"], str(said["epoch"]), said["enc"], said["central"]
        self.secret = unb64(said["secret"])
        length = 64 if self.enc == "A256CBC-HS512" else 32
        self.batch_key = hkdf(self.secret, ["batch", self.enc, self.id, self.epoch], length)
        self.receipt_key = hkdf(self.secret, ["receipt", self.id, self.epoch], 32)
        self.bearer = b64(hkdf(self.secret, ["submit-token", self.id, self.epoch], 32))

    def batch(self, sequence, devices):
        batch_id = str(uuid.uuid4())
        xml = (
            f'<Batch xmlns="urn:meterpost:batch:1" schemaVersion="1.0" id="{batch_id}" site="{self.id}" '
            f'sequence="{sequence}" created="2026-11-20T06:03:12Z"><Collector><Name>python</Name>'
            f"<Version>1</Version></Collector><Devices>{devices}</Devices></Batch>"
        )
        header = {
            "alg": "dir", "enc": self.enc, "kid": f"{self.id}.{self.epoch}", "typ": "meterpost-batch+jwe",
            "cty": "meterpost-batch+xml", "zip": "DEF",
        }
        token = jwe.JWE(xml.encode(), json.dumps(header))
        token.add_recipient(jwk.JWK(kty="oct", k=b64(self.batch_key)))
        return {"siteId": self.id, "batchId": batch_id, "sequence": sequence, "envelope": token.serialize(compact=True)}

    def check_receipt(self, receipt, batch, disposition):
        signed, mac = receipt.rsplit(".", 1)
        expected = hmac.new(self.receipt_key, signed.encode(), hashlib.sha256).digest()
        assert hmac.compare_digest(unb64(mac), expected), "the receipt does not verify"
        header, claims = (json.loads(unb64(part)) for part in signed.split("."))
        assert header == {"alg": "HS256", "typ": "meterpost-receipt+jws"}, header
        sha256 = hashlib.sha256(batch["envelope"].encode()).hexdigest()
        wanted = {"site": self.id, "batch_id": batch["batchId"], "sequence": batch["sequence"], "sha256": sha256,
                  "disposition": disposition}
        for name, value in wanted.items():
            assert claims[name] == value, f"{name}: {claims[name]!r} where {value!r} is right"
        return claims
