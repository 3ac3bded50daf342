use super::*;
use crate::keys::Epoch;

const SITE: &str = "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10";
const PLAIN: &str = r#"<Batch xmlns="urn:meterpost:batch:1"/>"#;
const IV: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// The tokens of standards.md 2.4, with their SHA-256 of 2.3.
const FIXTURE: [(Enc, &str, &str); 2] = [
    (
        Enc::A128CbcHs256,
        "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4Q0JDLUhTMjU2Iiwia2lkIjoiNmYxYzJhNTItOGEwYi00ZDBlLTlhNTctMGM4ZTVkMmI3ZjEwLjEiLCJ0eXAiOiJtZXRlcnBvc3QtYmF0Y2grandlIiwiY3R5IjoibWV0ZXJwb3N0LWJhdGNoK3htbCJ9..AAECAwQFBgcICQoLDA0ODw.JreN2AUxtYAKdQopK31zGbYz9k06ailqbYUwB5M0QS31Le9n6NdscaLLUfZc23Tp.4ViNiT8sre0zWIl5HRTaGw",
        "2485b7d8aa7461aaefc50bc1ec05597b3346376c36c8bb800c4889efbcd698c4",
    ),
    (
        Enc::A256CbcHs512,
        "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2Q0JDLUhTNTEyIiwia2lkIjoiNmYxYzJhNTItOGEwYi00ZDBlLTlhNTctMGM4ZTVkMmI3ZjEwLjEiLCJ0eXAiOiJtZXRlcnBvc3QtYmF0Y2grandlIiwiY3R5IjoibWV0ZXJwb3N0LWJhdGNoK3htbCJ9..AAECAwQFBgcICQoLDA0ODw.UTjLgvdFga-qInadbznVdMupW1MhPVYhwfhlaZT0AvMriuhm-awA2c2YaQ0LOo8s.fRyfABVYTgRnIN1gR9GcujPWD7HgoW6bNTdKbLwlJsw",
        "416ff7fe5af9c1c10a707519de0852ec0521ae4d7d986296649da7729b6109fa",
    ),
];

fn epoch(enc: Enc) -> Epoch {
    Epoch::new(Kid::parse(&format!("{SITE}.1")).unwrap(), enc, std::array::from_fn(|i| i as u8))
}

fn open_with(token: &str, epoch: &Epoch) -> Result<Opened, OpenError> {
    open(token, Some(epoch.kid().site()), |kid| (kid == epoch.kid()).then(|| epoch.batch_key()))
}

/// A token around any header and any padded or unpadded octets, under the right key.
fn forge(header: &str, plain: &[u8], epoch: &Epoch) -> String {
    let mut token = URL_SAFE_NO_PAD.encode(header);
    let sealed = Sealed::new(plain, token.as_bytes(), &epoch.batch_key(), IV);
    for part in [&[], sealed.iv.as_slice(), &sealed.ciphertext, &sealed.tag] {
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(part, &mut token);
    }
    token
}

/// Deflated zeros, made fast.
fn zeros(count: usize) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::copy(&mut std::io::repeat(0).take(count as u64), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn check_refused(token: &str, why: &'static str) {
    let error = open_with(token, &epoch(Enc::A256CbcHs512)).unwrap_err();
    assert_eq!(error, OpenError::Invalid(Why(why)));
    assert_eq!(error.to_string(), "the token does not open", "one text for all");
}

#[test]
fn the_fixture_is_made_and_opened_byte_for_byte() {
    for (enc, token, sha256) in FIXTURE {
        let epoch = epoch(enc);
        let header = Header::batch(enc, epoch.kid(), false);
        assert_eq!(compact(&header, PLAIN.as_bytes(), &epoch.batch_key(), IV), token);
        assert_eq!(token_sha256(token), sha256);
        let opened = Opened { kid: epoch.kid().clone(), xml: PLAIN.into() };
        assert_eq!(open_with(token, &epoch), Ok(opened));
        assert_eq!(peek_kid(token).as_ref(), Some(epoch.kid()));
    }
}

#[test]
fn what_is_sealed_opens_with_either_cipher() {
    for enc in [Enc::A256CbcHs512, Enc::A128CbcHs256] {
        for xml in [Vec::new(), PLAIN.into(), PLAIN.repeat(6_000).into_bytes()] {
            let epoch = epoch(enc);
            let token = seal(&xml, epoch.kid(), &epoch.batch_key(), IV).unwrap();
            assert_eq!(open_with(&token, &epoch).map(|opened| opened.xml), Ok(xml));
        }
    }
}

#[test]
fn a_sender_stays_within_its_limits() {
    let epoch = epoch(Enc::default());
    let seal = |xml: &[u8]| seal(xml, epoch.kid(), &epoch.batch_key(), IV).map_err(|error| error.to_string());
    assert!(seal(&[b' '; PLAINTEXT_MAX]).is_ok());
    assert_eq!(seal(&[b' '; PLAINTEXT_MAX + 1]).unwrap_err(), "240001 bytes of XML in one batch: 240000 is the limit");
    let noise = std::iter::successors(Some(1_u32), |x| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)));
    let noise: Vec<u8> = noise.map(|x| (x >> 24) as u8).take(PLAINTEXT_MAX).collect();
    let error = seal(&noise).map(|token| token.len()).unwrap_err();
    assert!(error.ends_with("characters of token in one batch: 60000 is the limit"), "{error}");
}

#[test]
fn a_flipped_bit_in_any_part_is_refused() {
    let epoch = epoch(Enc::A256CbcHs512);
    let token = seal(PLAIN.repeat(3).as_bytes(), epoch.kid(), &epoch.batch_key(), IV).unwrap();
    for at in 0..token.len() {
        let mut octets = token.clone().into_bytes();
        octets[at] ^= 1;
        let Ok(flipped) = String::from_utf8(octets) else { continue };
        let error = open_with(&flipped, &epoch).unwrap_err();
        // a digit of `kid` may turn into another epoch of the site
        let named = matches!(&error, OpenError::UnknownKey(kid) if kid.site() == epoch.kid().site());
        assert!(named || matches!(error, OpenError::Invalid(_)), "{at}: {error:?}");
    }
}

#[test]
fn tokens_of_another_shape_are_refused() {
    let (_, good, _) = FIXTURE[1];
    let parts: Vec<&str> = good.split('.').collect();
    check_refused("", "not five parts");
    check_refused(&parts[..4].join("."), "not five parts");
    check_refused(&format!("{good}."), "not five parts");
    check_refused(&good.replace("..", ".AAAA."), "a wrapped key, which `dir` has not");
    check_refused(&good.replace("..", "..="), "a part is not base64url");
    check_refused(&format!("{good}\n"), "a part is not base64url");
    check_refused(&format!(" {good}"), "the header is not base64url");
    check_refused(&good.replace('-', "+"), "a part is not base64url");
    check_refused(&good.replace(parts[2], "AAEC"), "the IV has not 16 octets");
    check_refused(&good.replace(parts[3], ""), "the tag is wrong");
    check_refused(&good.replace(parts[4], ""), "the tag is wrong");
    check_refused(&good.replace(parts[4], &parts[4][..22]), "a part is not base64url");
    check_refused(r#"{"protected":"e30","ciphertext":"","tag":""}"#, "not five parts");
    check_refused(&"A".repeat(ACCEPTED_TOKEN_MAX + 1), "longer than 1 MiB");
}

#[test]
fn headers_that_would_choose_for_us_are_refused() {
    let epoch = epoch(Enc::A256CbcHs512);
    let good = Header::batch(Enc::A256CbcHs512, epoch.kid(), false).to_json();
    let check = |from: &str, to: &str, why| {
        assert!(good.contains(from));
        check_refused(&forge(&good.replace(from, to), PLAIN.as_bytes(), &epoch), why);
    };
    check(r#""dir""#, r#""A256KW""#, "`alg` is not `dir`");
    check(r#""dir""#, r#""none""#, "`alg` is not `dir`");
    check("A256CBC-HS512", "A128CBC-HS256", "`enc` is not the one of this key");
    check("A256CBC-HS512", "A256GCM", "`enc` is none of ours");
    check("meterpost-batch+jwe", "meterpost-settings+jwe", "`typ` is not that of a batch");
    check("meterpost-batch+xml", "text/xml", "`cty` is not that of a batch");
    check(r#""alg":"dir""#, r#""alg":"dir","zip":"GZ""#, "`zip` is neither absent nor `DEF`");
    check(r#""alg":"dir""#, r#""alg":"dir","zip":null"#, "`zip` is neither absent nor `DEF`");
    check(r#""alg":"dir""#, r#""alg":"dir","alg":"dir""#, "the header is not a JSON object with each name once");
    check(".1\"", ".01\"", "`kid` is not `<site>.<epoch>`");
    check("6f1c2a52", "6F1C2A52", "`kid` is not `<site>.<epoch>`");
    check("6f1c2a52", "00000000", "`kid` names another site than the one that authenticated");
    for name in header::REFUSED {
        check(r#""alg":"dir""#, &format!(r#""alg":"dir","{name}":[]"#), "a header name that is refused");
    }
    let long = format!(r#""alg":"dir","pad":"{}""#, "x".repeat(1_024));
    check(r#""alg":"dir""#, &long, "a header of more than 1,024 bytes");

    let unknown = good.replace(r#""alg":"dir""#, r#""alg":"dir","b64":{"a":1}"#);
    assert_eq!(open_with(&forge(&unknown, PLAIN.as_bytes(), &epoch), &epoch).unwrap().xml, PLAIN.as_bytes());
}

#[test]
fn another_epoch_of_the_site_is_an_unknown_key_and_another_site_is_not_looked_up() {
    let epoch = epoch(Enc::default());
    let next = epoch.next();
    let token = seal(PLAIN.as_bytes(), next.kid(), &next.batch_key(), IV).unwrap();
    assert_eq!(open_with(&token, &epoch), Err(OpenError::UnknownKey(next.kid().clone())));
    let stranger = SiteId::parse("00000000-0000-4000-8000-000000000000").unwrap();
    let opened = open(&token, Some(&stranger), |_| panic!("looked up"));
    assert!(matches!(opened, Err(OpenError::Invalid(_))));
    assert!(open(&token, None, |_| Some(next.batch_key())).is_ok(), "mail and files name no site");
}

#[test]
fn content_under_a_good_tag_that_cannot_be_read_is_told_apart() {
    let epoch = epoch(Enc::A256CbcHs512);
    let header = Header::batch(Enc::A256CbcHs512, epoch.kid(), true).to_json();
    let deflated = deflate(PLAIN.as_bytes());
    for (content, why) in [
        (PLAIN.as_bytes(), "the content is not raw DEFLATE"),
        (&deflated[..deflated.len() - 3], "the content is not raw DEFLATE"),
        (&zeros(OPENED_MAX + 1), "more than 8 MiB of content"),
    ] {
        assert_eq!(open_with(&forge(&header, content, &epoch), &epoch), Err(OpenError::Unreadable(Why(why))));
    }
    let whole = zeros(OPENED_MAX);
    assert_eq!(open_with(&forge(&header, &whole, &epoch), &epoch).map(|opened| opened.xml.len()), Ok(OPENED_MAX));
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let epoch = epoch(Enc::A256CbcHs512);
    let header = Header::batch(Enc::A256CbcHs512, epoch.kid(), true).to_json();
    let token = forge(&header, &zeros(64 << 20), &epoch);
    assert!(token.len() < 500_000);
    assert_eq!(open_with(&token, &epoch), Err(OpenError::Unreadable(Why("more than 8 MiB of content"))));
}

#[test]
fn rows_on_the_disk_open_in_their_own_place_only() {
    let key = crate::keys::MachineKey::new([9; 32]).memory_key();
    let row = seal_at_rest(b"VNB3K12345", "memory/7", &key, IV);
    assert!(!row.windows(4).any(|window| window == b"VNB3"));
    assert_eq!(open_at_rest(&row, "memory/7", &key).as_deref(), Ok(b"VNB3K12345".as_slice()));
    assert_eq!(open_at_rest(&row, "memory/8", &key), Err(RowDoesNotOpen));
    let other = crate::keys::MachineKey::new([8; 32]).memory_key();
    assert_eq!(open_at_rest(&row, "memory/7", &other), Err(RowDoesNotOpen));
    for at in 0..row.len() {
        let mut damaged = row.clone();
        damaged[at] ^= 0x10;
        assert_eq!(open_at_rest(&damaged, "memory/7", &key), Err(RowDoesNotOpen), "{at}");
        assert_eq!(open_at_rest(&row[..at], "memory/7", &key), Err(RowDoesNotOpen), "{at}");
    }
}

/// RFC 7518 B.1 and B.3: the same plaintext, IV and AAD under keys 00…1f and 00…3f.
#[test]
fn aes_cbc_with_hmac_gives_what_rfc_7518_says() {
    let plain = b"A cipher system must not be required to be secret, and it must be able to fall into the hands of \
                  the enemy without inconvenience";
    let aad = b"The second principle of Auguste Kerckhoffs";
    let iv = hex::decode("1af38c2dc2b96ffdd86694092341bc04").unwrap().try_into().unwrap();
    for (enc, first_block, tag) in [
        (Enc::A128CbcHs256, "c80edfa32ddf39d5ef00c0b468834279", "652c3fa36b0a7c5b3219fab3a30bc1c4"),
        (
            Enc::A256CbcHs512,
            "4affaaadb78c31c5da4b1b590d10ffbd",
            "4dd3b4c088a7f45c216839645b2012bf2e6269a8c56a816dbc1b267761955bc5",
        ),
    ] {
        let octets: Vec<u8> = (0..enc.key_len() as u8).collect();
        let key = ContentKey::from_octets(enc, &octets).unwrap();
        let sealed = Sealed::new(plain, aad, &key, iv);
        assert_eq!(hex::encode(&sealed.ciphertext[..16]), first_block);
        assert_eq!(hex::encode(&sealed.tag), tag);
        assert_eq!(sealed.verify(&key, aad).unwrap().decrypt(&key).as_deref(), Some(plain.as_slice()));
    }
}

/// RFC 7516 A.3: A128KW around A128CBC-HS256. We wrap no keys, so the test unwraps this one itself (RFC 3394).
#[test]
fn the_content_of_rfc_7516_a_3_opens() {
    let token = "eyJhbGciOiJBMTI4S1ciLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0.6KB707dM9YTIgHtLvtgWQ8mKwboJW3of9locizkDTHzBC2IlrT1oOQ.AxY8DCtDaGlsbGljb3RoZQ.KDlTtXchhZTGufMYmOYGS4HffxPSUrfmqCHXaI9wOGY.U0m_YmjN04DJvceFICbCVQ";
    let parts: Vec<&str> = token.split('.').collect();
    let part = |at: usize| URL_SAFE_NO_PAD.decode(parts[at]).unwrap();
    let kek: [u8; 16] = URL_SAFE_NO_PAD.decode("GawgguFyGrWKav7AX4VKUg").unwrap().try_into().unwrap();
    let key = ContentKey::from_octets(Enc::A128CbcHs256, &unwrap_key(&kek, &part(1))).unwrap();
    let sealed = Sealed { iv: part(2).try_into().unwrap(), ciphertext: part(3), tag: part(4) };
    let plain = sealed.verify(&key, parts[0].as_bytes()).unwrap().decrypt(&key);
    assert_eq!(plain.as_deref(), Some(b"Live long and prosper.".as_slice()));
    assert!(matches!(open(token, None, |_| None), Err(OpenError::Invalid(_))), "it is no token of ours");
}

/// RFC 7520 sections 5.1, 5.3, 5.5, 5.7 and 5.13: their content keys are given, so the ways to come by them do not matter.
#[test]
fn the_contents_of_rfc_7520_open() {
    let mut opened = Vec::new();
    for line in include_str!("rfc7520.txt").lines().skip(1) {
        let parts: Vec<&str> = line.split(' ').collect();
        let part = |at: usize| URL_SAFE_NO_PAD.decode(parts[at]).unwrap();
        let (key, aad) = (ContentKey::from_octets(Enc::A128CbcHs256, &part(1)).unwrap(), parts[3].as_bytes());
        let sealed = Sealed { iv: part(2).try_into().unwrap(), ciphertext: part(4), tag: part(5) };
        let plain = sealed.verify(&key, aad).unwrap().decrypt(&key).unwrap();
        let again = Sealed::new(&plain, aad, &key, part(2).try_into().unwrap());
        assert_eq!((again.ciphertext, again.tag), (part(4), part(5)), "{}", parts[0]);
        opened.push((parts[0], token_sha256(str::from_utf8(&plain).unwrap())));
    }
    // the beginnings of the SHA-256 of a letter, and of a set of keys
    let expected =
        [("5.1", "f5c3e318"), ("5.3", "a159cbad"), ("5.5", "f5c3e318"), ("5.7", "f5c3e318"), ("5.13", "f5c3e318")];
    assert_eq!(opened.len(), expected.len());
    for ((section, sha256), (expected, begins)) in opened.iter().zip(expected) {
        assert!(*section == expected && sha256.starts_with(begins), "{section} {sha256}");
    }
}

/// RFC 3394 section 2.2.2.
fn unwrap_key(kek: &[u8; 16], wrapped: &[u8]) -> Vec<u8> {
    use aes::cipher::{BlockCipherDecrypt, KeyInit};
    let cipher = aes::Aes128::new(&(*kek).into());
    let (a, rest) = wrapped.split_first_chunk::<8>().unwrap();
    let (mut a, mut rest) = (u64::from_be_bytes(*a), rest.to_vec());
    let blocks = rest.len() / 8;
    for step in (1..=6 * blocks).rev() {
        let at = (step - 1) % blocks * 8;
        let mut block = [0; 16];
        block[..8].copy_from_slice(&(a ^ step as u64).to_be_bytes());
        block[8..].copy_from_slice(&rest[at..at + 8]);
        let mut block = block.into();
        cipher.decrypt_block(&mut block);
        a = u64::from_be_bytes(block[..8].try_into().unwrap());
        rest[at..at + 8].copy_from_slice(&block[8..]);
    }
    assert_eq!(a, 0xa6a6_a6a6_a6a6_a6a6, "the integrity check of the wrapped key");
    rest
}
