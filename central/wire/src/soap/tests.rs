use super::*;
use crate::keys::SiteId;
use crate::receipt::Disposition;

const SITE: &str = "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10";
const BATCH: &str = "0192f0c1-7b7e-7000-8000-000000000001";

fn site() -> SiteId {
    SiteId::parse(SITE).unwrap()
}

fn submitted() -> Request {
    Request::SubmitBatch(SubmitBatch {
        site_id: SITE.to_owned(),
        batch_id: BATCH.to_owned(),
        sequence: 41,
        envelope: "a..b.c.d".to_owned(),
    })
}

fn invalid() -> Fault {
    FaultCode::Refused(RefusalCode::EnvelopeInvalid).into()
}

#[track_caller]
fn check_request(body: &str, expected: Result<Request, Fault>) {
    assert_eq!(parse_request(body.as_bytes()), expected, "{body:.400}");
}

/// A request in someone else's words.
fn wrapped(body: &str) -> String {
    format!(r#"<e:Envelope xmlns:e="{ENVELOPE_1_1}"><e:Body>{body}</e:Body></e:Envelope>"#)
}

#[test]
fn requests_lead_back_to_what_was_asked() {
    check_request(&submit_batch(&site(), BATCH, 41, "a..b.c.d"), Ok(submitted()));
    let question = Request::FetchSettings(FetchSettings { site_id: SITE.to_owned(), known_version: 0 });
    check_request(&fetch_settings(&site(), 0), Ok(question));
}

#[test]
fn strange_clients_are_understood() {
    let fields = format!(
        "<t:batchId>{BATCH}</t:batchId><t:later><t:siteId>no</t:siteId></t:later><t:siteId xmlns:xsi=\"x\" \
         xsi:type=\"xsd:string\">\n {SITE} </t:siteId><t:sequence>41</t:sequence><t:envelope>\na..b.c.d\n</t:envelope>"
    );
    let operation = format!(r#"<t:SubmitBatch xmlns:t="{CENTRAL}">{fields}</t:SubmitBatch>"#);
    check_request(&wrapped(&operation), Ok(submitted()));
    check_request(&format!("\u{FEFF}<?xml version='1.0'?><!-- hi -->\n{}", wrapped(&operation)), Ok(submitted()));
    check_request(&wrapped(&format!("{operation}<second/>")), Ok(submitted()));
    let header = r#"<e:Header><w:Security xmlns:w="w" e:mustUnderstand="0"><a/></w:Security></e:Header><e:Body>"#;
    check_request(&wrapped(&operation).replace("<e:Body>", header), Ok(submitted()));
    let twice = operation.replace("<t:sequence>41", "<t:sequence>41</t:sequence><t:sequence>42");
    check_request(&wrapped(&twice), Ok(submitted()));
    let default_namespace = operation.replace("<t:", "<").replace("</t:", "</").replace("xmlns:t=", "xmlns=");
    check_request(&wrapped(&default_namespace), Ok(submitted()));
}

#[test]
fn what_is_not_spoken_here_is_answered_by_its_fault() {
    let good = submit_batch(&site(), BATCH, 41, "a..b.c.d");
    check_request(&good.replace(ENVELOPE_1_1, ENVELOPE_1_2), Err(Fault::VersionMismatch));
    check_request(&good.replace(ENVELOPE_1_1, "urn:x"), Err(Fault::VersionMismatch));
    let header = r#"<soap:Header><x soap:mustUnderstand="1"/></soap:Header><soap:Body>"#;
    check_request(&good.replace("<soap:Body>", header), Err(Fault::MustUnderstand));
    let unknown = || Err(FaultCode::UnknownOperation.into());
    check_request(&wrapped(""), unknown());
    check_request(&format!(r#"<e:Envelope xmlns:e="{ENVELOPE_1_1}"/>"#), unknown());
    check_request(&wrapped(r#"<SubmitBatch xmlns="urn:other"/>"#), unknown());
    check_request(&wrapped(&format!(r#"<Reset xmlns="{CENTRAL}"/>"#)), unknown());
}

#[test]
fn what_is_no_request_is_invalid() {
    let good = submit_batch(&site(), BATCH, 41, "a..b.c.d");
    for bad in [
        "",
        "{}",
        "<html></html>",
        &good[..good.len() - 9],
        &format!("{good}<more/>"),
        &format!("<!DOCTYPE x [<!ENTITY a 'b'>]>{good}"),
        &good.replace("<soap:Body>", "<?php ?><soap:Body>"),
        &good.replace("a..b", "&a;..b"),
        &good.replace("<sequence>41", "<sequence>0"),
        &good.replace("<sequence>41", "<sequence>-1"),
        &good.replace("<sequence>41", "<sequence>9007199254740992"),
        &good.replace("siteId", "site"),
        &good.replace("envelope>", "envelop>"),
        &good.replace("<sequence>", &"<a>".repeat(40)),
    ] {
        check_request(bad, Err(invalid()));
    }
    assert_eq!(parse_request(b"\xff\xfe<\0"), Err(invalid()));
    assert_eq!(parse_request(&vec![b' '; REQUEST_MAX + 1]), Err(FaultCode::Refused(RefusalCode::TooLarge).into()));
}

#[test]
fn answers_lead_back_to_what_was_said() {
    let time = "2026-11-20T06:03:14Z".parse().unwrap();
    let response = submit_batch_response(Disposition::Accepted, BATCH, 37, time, "h.p.m");
    assert_eq!(parse_answer(response.as_bytes()), Ok(Answer::Submitted { receipt: "h.p.m".to_owned() }));
    let settings = fetch_settings_response(7, Some("a..b.c.d"));
    let expected = Answer::Settings { version: 7, envelope: Some("a..b.c.d".to_owned()) };
    assert_eq!(parse_answer(settings.as_bytes()), Ok(expected));
    let unchanged = Answer::Settings { version: 7, envelope: None };
    assert_eq!(parse_answer(fetch_settings_response(7, None).as_bytes()), Ok(unchanged));
}

#[test]
fn faults_lead_back_to_their_code() {
    let refused = [
        RefusalCode::EnvelopeInvalid,
        RefusalCode::EnvelopeMismatch,
        RefusalCode::BatchConflict,
        RefusalCode::TooLarge,
    ];
    for code in FaultCode::PLAIN.into_iter().chain(refused.map(FaultCode::Refused)) {
        let fault = CentralFault { code, retry_after_seconds: Some(30), refusal: Some("h.p.m".to_owned()) };
        let expected = AnswerFault {
            code: Some(code),
            retryable: matches!(code, FaultCode::Busy | FaultCode::Storage),
            retry_after_seconds: Some(30),
            refusal: Some("h.p.m".to_owned()),
        };
        let xml = Fault::Central(fault).to_xml();
        assert_eq!(xml.contains("soap:Server"), expected.retryable);
        assert_eq!(parse_answer(xml.as_bytes()), Ok(Answer::Fault(expected)));
    }
    for fault in [Fault::VersionMismatch, Fault::MustUnderstand] {
        assert_eq!(parse_answer(fault.to_xml().as_bytes()), Ok(Answer::Fault(AnswerFault::default())));
    }
    let bare = wrapped("<e:Fault><faultcode>e:Server</faultcode><faultstring>x</faultstring></e:Fault>");
    let expected = AnswerFault { retryable: true, ..AnswerFault::default() };
    assert_eq!(parse_answer(bare.as_bytes()), Ok(Answer::Fault(expected)));
}

#[test]
fn a_page_of_somebody_else_is_no_answer() {
    for page in [
        String::new(),
        "<html><body>Log in</body></html>".to_owned(),
        "<!DOCTYPE html><html></html>".to_owned(),
        wrapped(""),
        wrapped("<ok/>"),
        wrapped(&format!(r#"<SubmitBatchResponse xmlns="{CENTRAL}"/>"#)),
        " ".repeat(ANSWER_MAX + 1),
    ] {
        assert!(parse_answer(page.as_bytes()).is_err(), "{page:.80}");
    }
}

#[test]
fn the_description_names_the_public_address() {
    let wsdl = wsdl("https://central.example/soap/v1?a&b");
    assert!(wsdl.contains(r#"<soap:address location="https://central.example/soap/v1?a&amp;b"/>"#));
    assert!(!wsdl.contains("127.0.0.1"));
}

#[test]
fn a_token_longer_than_what_is_opened_is_handed_on_whole() {
    let token = "x".repeat(crate::seal::ACCEPTED_TOKEN_MAX + 7);
    let body = submit_batch(&site(), BATCH, 1, &token);
    let Ok(Request::SubmitBatch(batch)) = parse_request(body.as_bytes()) else { panic!("a request") };
    assert_eq!(batch.envelope.len(), token.len(), "its hash must be that of what was sent");
}
