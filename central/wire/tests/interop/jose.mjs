// Seals and opens tokens with node jose: `seal KEY DEF|none` and `open KEY`, from standard input to standard output.
import { readFileSync, writeSync } from "node:fs";
import { CompactEncrypt, compactDecrypt, importJWK } from "jose";

const [command, keyFile, zip] = process.argv.slice(2);
const jwk = JSON.parse(readFileSync(keyFile, "ascii"));
const enc = jwk.k.length > 43 ? "A256CBC-HS512" : "A128CBC-HS256";
const key = await importJWK(jwk, "dir");
const input = readFileSync(0);
let output;
if (command === "seal") {
  const header = { alg: "dir", enc, kid: jwk.kid, typ: "meterpost-batch+jwe", cty: "meterpost-batch+xml" };
  if (zip === "DEF") header.zip = "DEF";
  output = Buffer.from(await new CompactEncrypt(input).setProtectedHeader(header).encrypt(key));
} else {
  output = Buffer.from((await compactDecrypt(input.toString("ascii"), key)).plaintext);
}
for (let written = 0; written < output.length; ) written += writeSync(1, output, written);
