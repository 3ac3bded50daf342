//! Lists the mapping files of `pmd/`, so that adding one never needs Rust.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let pmd = Path::new(&root).join("pmd");
    println!("cargo::rerun-if-changed={}", pmd.display());
    let mut files = Vec::new();
    for vendor in fs::read_dir(&pmd).expect("the folder `pmd`").flatten() {
        if !vendor.path().is_dir() {
            continue;
        }
        println!("cargo::rerun-if-changed={}", vendor.path().display());
        for file in fs::read_dir(vendor.path()).expect("a vendor's folder").flatten() {
            if file.path().extension().is_some_and(|extension| extension == "toml") {
                files.push(file.path());
            }
        }
    }
    files.sort();
    let mut code = format!("const WORDS: &str = include_str!({:?});\n", pmd.join("words.toml"));
    code.push_str("const BUILTIN: &[(&str, &str)] = &[\n");
    for file in files {
        let vendor = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let family = file.file_stem().unwrap_or_default().to_string_lossy();
        writeln!(code, "    (\"{vendor}/{family}\", include_str!({file:?})),").expect("a string takes all");
    }
    code.push_str("];\n");
    let out = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("library.rs"), code).expect("OUT_DIR can be written");
}
