"""Seals and opens tokens with jwcrypto: `seal KEY DEF|none` and `open KEY`, from standard input to standard output."""

import json
import sys

from jwcrypto import jwe, jwk

command, key_file = sys.argv[1:3]
with open(key_file, encoding="ascii") as file:
    members = json.load(file)
key = jwk.JWK(**members)
if command == "seal":
    header = {
        "alg": "dir",
        "enc": "A256CBC-HS512" if len(members["k"]) > 43 else "A128CBC-HS256",
        "kid": members["kid"],
        "typ": "meterpost-batch+jwe",
        "cty": "meterpost-batch+xml",
    }
    if sys.argv[3] == "DEF":
        header["zip"] = "DEF"
    token = jwe.JWE(sys.stdin.buffer.read(), json.dumps(header), recipient=key)
    sys.stdout.write(token.serialize(compact=True))
else:
    token = jwe.JWE()
    token.deserialize(sys.stdin.read(), key)
    sys.stdout.buffer.write(token.payload)
