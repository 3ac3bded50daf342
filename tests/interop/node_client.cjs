// node `soap` submits to a running central by its own description: node_client.cjs BATCH-FILE
const assert = require("node:assert");
const crypto = require("node:crypto");
const fs = require("node:fs");
const soap = require("soap");

const given = JSON.parse(fs.readFileSync(process.argv[2], "ascii"));

function checkReceipt(receipt, disposition) {
  const [header, payload, mac] = receipt.split(".");
  const key = Buffer.from(given.receiptKey, "hex");
  const expected = crypto.createHmac("sha256", key).update(`${header}.${payload}`).digest("base64url");
  assert.strictEqual(mac, expected, "the receipt does not verify");
  const claims = JSON.parse(Buffer.from(payload, "base64url"));
  assert.strictEqual(claims.disposition, disposition);
  assert.strictEqual(claims.batch_id, given.batch.batchId);
  assert.strictEqual(claims.sha256, crypto.createHash("sha256").update(given.batch.envelope).digest("hex"));
}

async function main() {
  const client = await soap.createClientAsync(`${given.central}/soap/v1?wsdl`);
  client.setSecurity(new soap.BearerSecurity(given.bearer));
  for (const disposition of ["accepted", "duplicate"]) {
    const [answer] = await client.SubmitBatchAsync(given.batch);
    assert.strictEqual(answer.disposition, disposition);
    assert.strictEqual(Number(answer.acknowledgedThrough), 2);
    checkReceipt(answer.receipt, disposition);
  }
  await assert.rejects(client.SubmitBatchAsync({ ...given.batch, sequence: 3 }), (error) => {
    assert.strictEqual(error.root.Envelope.Body.Fault.detail.CentralFault.code, "envelope-mismatch");
    return true;
  });
  console.log(`node soap ${require("soap/package.json").version}: accepted, duplicate, mismatch: as the contract says`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
