//! What the nightly look at an unchanged pack costs over TLS, the handshake with a certificate of the dealer's own included.

use rcgen::{CertificateParams, KeyPair};

use super::{Central, Counter, Desk, OWN, Site, can_sign, mapping};
use crate::deliver::tls::ca;

/// Bytes of one look, both ways: what the issue allows.
const MOST: usize = 2_000;

#[test]
fn an_unchanged_pack_costs_less_than_two_kilobytes_a_night_with_its_tls_handshake() {
    if !can_sign() {
        return;
    }
    let (desk, ca, own) = (Desk::new(), ca(), KeyPair::generate().unwrap());
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let chain = params.signed_by(&own, &ca.issuer).unwrap().pem();
    for (name, text) in [("chain.pem", chain), ("key.pem", own.serialize_pem()), ("ca.pem", ca.pem)] {
        std::fs::write(desk.path(name), text).unwrap();
    }
    let at = |name: &str| desk.path(name).display().to_string();
    let tls = ["--listen", "127.0.0.1:0", "--tls-cert", &at("chain.pem"), "--tls-key", &at("key.pem")];
    let central = Central::start_with(&[desk.public("now")], &tls);
    let counter = Counter::before(central.serving.address);
    let url = format!("https://{}", counter.address);
    let token = central.said(&["site", "add", "Lindenweg", "--central", &url, "--ca", &at("ca.pem")]);
    let site = Site::new(7, &token.out, "[packs]\npolicy = \"adopt\"\n");
    assert_eq!(central.publish(&desk.pack(5, &mapping(OWN, 7, "MFP 500"), "now")).code, 0);
    assert_eq!(site.said(&["pmd", "update"]).code, 0);
    let unchanged = "pack stable 5 is in use, and there is no newer one\n";
    site.check(&["pmd", "update"], 0, unchanged);
    counter.take();
    site.check(&["pmd", "update"], 0, unchanged);
    let bytes = counter.take();
    eprintln!("{bytes} bytes over TLS");
    assert!((1_000..MOST).contains(&bytes), "{bytes} bytes");

    // a newer one is seen all the same, and what was gone back from is not mistaken for what is served
    assert_eq!(central.publish(&desk.pack(6, &mapping(OWN, 7, "MFP 501"), "now")).code, 0);
    assert!(site.said(&["pmd", "update"]).out.ends_with("pack stable 6 is in use\n"));
    site.check(&["pmd", "update"], 0, "pack stable 6 is in use, and there is no newer one\n");
    assert_eq!(site.said(&["pmd", "rollback"]).code, 0);
    site.check_refused(&["pmd", "update"], "version 6 is not used by itself");
}
