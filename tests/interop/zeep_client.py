"""zeep submits to a running central by its own description: zeep_client.py ENROLMENT-TOKEN BATCH-FILE-FOR-NODE"""

import json
import sys

import requests
import zeep
from site_keys import Site

DEVICE = (
    '<Device id="sn:acme:VNB3K12345"><ReadAt>2026-11-20T06:01:44Z</ReadAt><Outcome>complete</Outcome><Counters>'
    '<SystemTotals><WorkTotals><Impressions oid="1.3.6.1.4.1.99999.4.1.1" rule="1">184213</Impressions></WorkTotals>'
    "</SystemTotals></Counters></Device>"
)

site = Site(sys.argv[1])
session = requests.Session()
session.trust_env = False
session.headers["Authorization"] = f"Bearer {site.bearer}"
client = zeep.Client(f"{site.central}/soap/v1?wsdl", transport=zeep.Transport(session=session))

batch = site.batch(1, DEVICE)
answer = client.service.SubmitBatch(**batch)
assert (answer.disposition, answer.receivedBatchId, answer.acknowledgedThrough) == ("accepted", batch["batchId"], 1)
site.check_receipt(answer.receipt, batch, "accepted")

answer = client.service.SubmitBatch(**batch)
assert answer.disposition == "duplicate"
site.check_receipt(answer.receipt, batch, "duplicate")

try:
    client.service.SubmitBatch(**{**batch, "envelope": batch["envelope"][:-4] + "AAAA"})
    sys.exit("a forged envelope was taken")
except zeep.exceptions.Fault as fault:
    assert fault.code == "soap:Client", fault.code
    assert fault.detail.findtext(".//{urn:meterpost:central:1}code") == "envelope-invalid"

try:
    client.service.FetchSettings(siteId=site.id, knownVersion=0)
    sys.exit("settings were given")
except zeep.exceptions.Fault as fault:
    assert fault.detail.findtext(".//{urn:meterpost:central:1}code") == "not-available"

session.headers["Authorization"] = "Bearer wrong"
try:
    client.service.SubmitBatch(**batch)
    sys.exit("a stranger was let in")
except (zeep.exceptions.TransportError, zeep.exceptions.Fault) as error:
    assert getattr(error, "status_code", None) == 401, error

with open(sys.argv[2], "w", encoding="ascii") as file:
    json.dump({"central": site.central, "bearer": site.bearer, "receiptKey": site.receipt_key.hex(),
               "batch": site.batch(2, "")}, file)
print(f"zeep {zeep.__version__}: accepted, duplicate, forged, settings, stranger: as the contract says")
