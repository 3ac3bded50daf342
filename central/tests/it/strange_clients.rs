//! SOAP as other people's stacks write it (`standards.md` 3.3).

use base64::Engine;
use meterpost_wire::Batch;

use super::bed::{Central, Site};
use super::submit::receipt_of;

/// Sends a body with `TOKEN`, `SITE` and `ID` in it as a batch with this number, and takes its receipt.
#[track_caller]
fn check(central: &Central, site: &Site, sequence: u64, head: &str, body: &str) {
    let batch = site.batch(sequence, vec![]);
    let token = site.seal(&batch);
    let body = filled(body, site, &batch, &token);
    let head = head.replace("BEARER", &site.epoch.submit_token());
    let answer = central.request(&format!("POST /soap/v1 HTTP/1.1\r\nHost: central\r\n{head}"), body.as_bytes());
    receipt_of(&answer, site, &batch, &token);
}

/// The token last: it may contain any of the other words.
fn filled(body: &str, site: &Site, batch: &Batch, token: &str) -> String {
    body.replace("SITE", site.epoch.kid().site().as_str())
        .replace("ID", &batch.id)
        .replace("SEQUENCE", &batch.sequence.to_string())
        .replace("TOKEN", token)
}

const PLAIN: &str = r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><SubmitBatch xmlns="urn:meterpost:central:1"><siteId>SITE</siteId><batchId>ID</batchId><sequence>SEQUENCE</sequence><envelope>TOKEN</envelope></SubmitBatch></s:Body></s:Envelope>"#;

#[test]
fn any_soap_action_is_taken_quoted_or_not_or_none() {
    let central = Central::start();
    let site = central.add_site("North");
    let actions = [
        "",
        "SOAPAction: \"\"\r\n",
        "SOAPAction: urn:meterpost:central:1#SubmitBatch\r\n",
        "SOAPAction: \"other\"\r\n",
    ];
    for (sequence, action) in (1..).zip(actions) {
        let head = format!("Authorization: Bearer BEARER\r\nContent-Type: text/xml\r\n{action}");
        check(&central, &site, sequence, &head, PLAIN);
    }
}

#[test]
fn prefixes_a_byte_order_mark_declarations_and_headers_do_not_matter() {
    let central = Central::start();
    let site = central.add_site("North");
    let prefixed = r#"<?xml version="1.0" encoding="utf-8"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:ns7="urn:meterpost:central:1">
  <SOAP-ENV:Header><trace xmlns="urn:other" SOAP-ENV:mustUnderstand="0">x</trace></SOAP-ENV:Header>
  <SOAP-ENV:Body>
    <ns7:SubmitBatch>
      <ns7:siteId xsi:type="xsd:string">SITE</ns7:siteId>
      <ns7:batchId>ID</ns7:batchId>
      <ns7:sequence>SEQUENCE</ns7:sequence>
      <ns7:envelope>
        TOKEN
      </ns7:envelope>
      <ns7:later>x</ns7:later>
    </ns7:SubmitBatch>
  </SOAP-ENV:Body>
</SOAP-ENV:Envelope>"#;
    let head = "Authorization: bearer BEARER\r\nContent-Type: text/xml; charset=utf-8\r\n";
    check(&central, &site, 1, head, prefixed);
    check(&central, &site, 2, head, &format!("\u{feff}{prefixed}"));
}

#[test]
fn chunked_bodies_and_basic_authentication_are_taken() {
    let central = Central::start();
    let site = central.add_site("North");
    let pair = format!("{}:{}", site.epoch.kid().site(), *site.epoch.submit_token());
    let basic = base64::engine::general_purpose::STANDARD.encode(pair);
    check(&central, &site, 1, &format!("Authorization: Basic {basic}\r\n"), PLAIN);

    let batch = site.batch(2, vec![]);
    let token = site.seal(&batch);
    let body = filled(PLAIN, &site, &batch, &token);
    let mut chunked = String::new();
    for piece in body.as_bytes().chunks(17) {
        chunked.push_str(&format!("{:x}\r\n{}\r\n", piece.len(), str::from_utf8(piece).expect("ASCII")));
    }
    chunked.push_str("0\r\n\r\n");
    let headers = format!("Authorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n", *site.epoch.submit_token());
    receipt_of(&central.post_soap(&headers, chunked.as_bytes()), &site, &batch, &token);
}

#[test]
fn soap_1_2_is_told_which_version_is_spoken() {
    let central = Central::start();
    let site = central.add_site("North");
    let bearer = format!("Authorization: Bearer {}\r\n", *site.epoch.submit_token());
    let body = PLAIN.replace("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope");
    let answer = central.post_soap(&bearer, body.as_bytes());
    assert_eq!((answer.status, answer.element("faultcode").as_deref()), (500, Some("soap:VersionMismatch")));
    let header = r#"<s:Header><x xmlns="urn:other" s:mustUnderstand="1"/></s:Header><s:Body>"#;
    let answer = central.post_soap(&bearer, PLAIN.replacen("<s:Body>", header, 1).as_bytes());
    assert_eq!(answer.element("faultcode").as_deref(), Some("soap:MustUnderstand"));
}

/// What a client gets that sends no request as it is due, and that a right one goes through afterwards.
#[track_caller]
fn check_fault(central: &Central, site: &Site, headers: &str, body: &[u8], expected: (&str, Option<&str>)) {
    let bearer = format!("Authorization: Bearer {}\r\n{headers}", *site.epoch.submit_token());
    let answer = central.post_soap(&bearer, body);
    assert_eq!(answer.status, 500, "{headers}: {}", answer.body);
    assert_eq!(
        (answer.element("faultcode").as_deref(), answer.element("code").as_deref()),
        (Some(expected.0), expected.1)
    );
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/xml")), "{answer:?}");
    assert_eq!(answer.element("refusal"), None, "nothing proves which batch that was");
}

#[test]
fn any_action_and_any_type_of_content_are_taken() {
    let central = Central::start();
    let site = central.add_site("North");
    let heads = [
        "",
        "SOAPAction: \r\n",
        "SOAPAction: \"\"\r\n",
        "SOAPAction: urn:meterpost:central:1#SubmitBatch\r\n",
        "SOAPAction: \"urn:elsewhere#Other\"\r\n",
        "Content-Type: application/soap+xml; charset=utf-8; action=\"x\"\r\n",
        "Content-Type: application/octet-stream\r\n",
        "Content-Encoding: identity\r\n",
    ];
    for (head, sequence) in heads.into_iter().zip(1..) {
        check(&central, &site, sequence, &format!("Authorization: Bearer BEARER\r\n{head}"), PLAIN);
    }
}

#[test]
fn other_encodings_than_utf_8_are_faults_that_set_nothing_aside() {
    let central = Central::start();
    let site = central.add_site("North");
    let batch = site.batch(1, vec![]);
    let body = filled(PLAIN, &site, &batch, &site.seal(&batch));
    let utf_16: Vec<u8> =
        "\u{feff}".chars().chain(body.chars()).flat_map(|letter| (letter as u16).to_le_bytes()).collect();
    let headers = "Content-Type: text/xml; charset=utf-16\r\n";
    check_fault(&central, &site, headers, &utf_16, ("soap:Client", Some("envelope-invalid")));
    check_fault(&central, &site, headers, &utf_16[2..], ("soap:Client", Some("envelope-invalid")));
    check(&central, &site, 1, "Authorization: Bearer BEARER\r\n", PLAIN);
}

#[test]
fn a_compressed_body_is_told_what_to_do_instead() {
    let central = Central::start();
    let site = central.add_site("North");
    let bearer = format!("Authorization: Bearer {}\r\n", *site.epoch.submit_token());
    for coding in ["gzip", "deflate", "br", "gzip, identity"] {
        let answer = central.post_soap(&format!("{bearer}Content-Encoding: {coding}\r\n"), b"\x1f\x8b\x08\0\0\0");
        assert_eq!(answer.status, 415, "{coding}");
        assert_eq!(answer.body, "send the body as it is, without Content-Encoding\n");
    }
    // Without the header it is no XML.
    check_fault(&central, &site, "", b"\x1f\x8b\x08\0\0\0", ("soap:Client", Some("envelope-invalid")));
    check(&central, &site, 1, "Authorization: Bearer BEARER\r\n", PLAIN);
}

#[test]
fn http_1_0_and_clients_that_wait_for_continue_are_served() {
    let central = Central::start();
    let site = central.add_site("North");
    for (sequence, version, expect) in [(1, "1.0", ""), (2, "1.1", "Expect: 100-continue\r\n")] {
        let batch = site.batch(sequence, vec![]);
        let token = site.seal(&batch);
        let body = filled(PLAIN, &site, &batch, &token);
        let head = format!(
            "POST /soap/v1 HTTP/{version}\r\nHost: central\r\nAuthorization: Bearer {}\r\n{expect}",
            *site.epoch.submit_token()
        );
        let mut answer = central.request(&head, body.as_bytes());
        if answer.status == 100 {
            // The real answer follows the interim one on the same connection.
            answer = super::bed::read_answer(&mut answer.body.as_bytes());
        }
        receipt_of(&answer, &site, &batch, &token);
    }
}

#[test]
fn the_description_names_the_configured_address_and_not_the_hosts() {
    let central = Central::start();
    let answer = central.request("GET /soap/v1?wsdl HTTP/1.1\r\nHost: evil.example\r\n", b"");
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("location=\"https://central.example/soap/v1\""), "{}", answer.body);
    assert!(!answer.body.contains("evil"));
    assert!(roxmltree::Document::parse(&answer.body).is_ok());
}
