//! Tokens of other libraries, kept as files; `tests/interop/run` tries the libraries themselves.

use std::path::PathBuf;

use meterpost_wire::keys::{Enc, Epoch, Kid};
use meterpost_wire::seal::open;

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/interop", name].iter().collect()
}

#[test]
fn tokens_of_jwcrypto_and_node_jose_open_as_ours_do() {
    let batch = std::fs::read(file("batch.xml")).unwrap();
    let kid = Kid::parse("6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10.1").unwrap();
    for enc in [Enc::A128CbcHs256, Enc::A256CbcHs512] {
        let epoch = Epoch::new(kid.clone(), enc, std::array::from_fn(|i| i as u8));
        for (library, zip) in
            [("ours", ""), ("jwcrypto", "-DEF"), ("jwcrypto", "-none"), ("jose", "-DEF"), ("jose", "-none")]
        {
            let name = format!("{library}-{enc}{zip}.jwe");
            let token = std::fs::read_to_string(file(&name)).unwrap();
            let opened = open(&token, Some(kid.site()), |_| Some(epoch.batch_key()));
            assert!(opened.unwrap_or_else(|error| panic!("{name}: {error:?}")).xml == batch, "{name}");
        }
    }
}
