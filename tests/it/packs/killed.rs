//! `kill -9` while a pack is taken.

use std::fs;
use std::path::Path;
use std::time::Instant;

use meterpost::packs::shelf::Shelf;

use super::{Central, Desk, OWN, can_sign, mapping};
use crate::cli::meterpost;

#[test]
fn a_kill_at_any_moment_of_taking_a_pack_leaves_the_old_one_or_the_new_one() {
    if !can_sign() {
        return;
    }
    let desk = Desk::new();
    let central = Central::start(&[desk.public("now")]);
    let site = central.adopting_site(4);
    let home = site.home.path();
    let old = desk.pack(1, &mapping(OWN, 7, "MFP 500"), "now").display().to_string();
    let began = Instant::now();
    assert_eq!(site.said(&["pmd", "update", &old]).code, 0);
    let whole = began.elapsed();
    let mut present = 1;
    let (mut kept, mut taken) = (0, 0);
    for version in 2..60 {
        let new = desk.pack(version, &mapping(OWN, 7, "MFP 500"), "now").display().to_string();
        let mut process = meterpost(home).args(["pmd", "update", &new]).spawn().unwrap();
        // a kill has no other moment than some time after the start; the loop walks over all of them
        std::thread::sleep(whole.mul_f64(version as f64 / 20.0));
        process.kill().unwrap();
        process.wait().unwrap();
        let now = in_use(home);
        assert!(now == present || now == version, "{now} after {present} and {version}");
        if now == version {
            taken += 1
        } else {
            kept += 1
        }
        present = now;
        if taken > 8 && kept > 8 {
            break;
        }
    }
    assert!(kept > 0 && taken > 0, "{kept} kept, {taken} taken");
    let last = desk.pack(100, &mapping(OWN, 7, "MFP 500"), "now").display().to_string();
    assert_eq!(site.said(&["pmd", "update", &last]).code, 0);
    assert_eq!(in_use(home), 100);
    let left = fs::read_dir(home.join("data/packs")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut left: Vec<_> = left.map(|name| name.to_string_lossy().into_owned()).collect();
    left.sort();
    assert_eq!(left, ["current", "stable"], "what was not finished is cleared away");
}

/// The version in use, whole.
fn in_use(home: &Path) -> u64 {
    let (library, trouble) = Shelf::of(&home.join("data")).library();
    assert!(trouble.is_none(), "{trouble:?}");
    assert!(library.get("acme/mfp").is_some());
    library.pack
}
