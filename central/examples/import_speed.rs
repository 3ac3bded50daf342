//! How fast batches are accepted one by one, and imported from files: `cargo run --release --example import_speed -- 10000`.
//! Prints batches and devices a second for both, and their ratio. Each has a store of its own on the disk of the temporary
//! directory; the receipts of the first way are signed as for a site that submits.

#![expect(clippy::print_stdout, reason = "a measurement is read by people")]

use std::path::PathBuf;
use std::time::Instant;

use jiff::Timestamp;
use meterpost_central::accept::{Named, accept};
use meterpost_central::config::Overrides;
use meterpost_central::import::paths;
use meterpost_central::sites::{self, Enrol};
use meterpost_central::{Config, Store, clock, open_store};
use meterpost_wire::batch::{Batch, Collector};
use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::keys::Epoch;
use meterpost_wire::reading::{Basis, Count, Evidence, Identity, Outcome, Reading, Scope, Text};
use meterpost_wire::{CounterKey, seal, xml};

/// Devices of one batch: with 5, 10,000 batches are a week of 1,800 devices.
const DEVICES: u64 = 5;

/// Sites that the batches are of.
const SITES: u64 = 10;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let batches: u64 = std::env::args().nth(1).map_or(Ok(1_000), |text| text.parse())?;
    let dir = std::env::temp_dir().join(format!("meterpost-import-speed-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(&dir, batches));
    std::fs::remove_dir_all(&dir)?;
    let (accepted, imported) = measured?;
    for (name, seconds) in [("accept", accepted), ("import", imported)] {
        let each = |count: u64| count as f64 / seconds;
        println!("{name}: {:.0} batches/s, {:.0} devices/s", each(batches), each(batches * DEVICES));
    }
    println!("import goes at {:.0} % of accept's speed", 100.0 * accepted / imported);
    Ok(())
}

async fn measure(dir: &std::path::Path, batches: u64) -> Result<(f64, f64), Failed> {
    let (first, second, files) = (store(dir, "first").await?, store(dir, "second").await?, dir.join("files"));
    std::fs::create_dir(&files)?;
    let mut tokens = Vec::new();
    for (store, keep) in [(&first, true), (&second, false)] {
        for site in 0..SITES {
            let enrol =
                Enrol { central: "http://127.0.0.1:1".to_owned(), mail_to: None, ca_pem: None, pack_keys: Vec::new() };
            let token = sites::add(store, &format!("Site {site}"), Default::default(), &enrol).await?;
            let epoch = Enrolment::parse(&token)?.epoch;
            for sequence in 1..=batches / SITES {
                let batch = batch(&epoch, sequence);
                let mut iv = [7; 16];
                iv[..8].copy_from_slice(&sequence.to_be_bytes());
                let token = seal::seal(xml::encode(&batch).as_bytes(), epoch.kid(), &epoch.batch_key(), iv)?;
                if keep {
                    tokens.push((batch, token));
                } else {
                    std::fs::write(files.join(format!("{}-{sequence}.jwe", batch.site)), token)?;
                }
            }
        }
    }
    let begun = Instant::now();
    for (batch, token) in tokens {
        let keys = first.site(batch.site.clone(), clock::now()).await?.ok_or("no site")?;
        let named = Named { site: batch.site, batch_id: batch.id, sequence: batch.sequence };
        accept(&first, &keys, named, token, clock::now()).await.map_err(|error| format!("{error:?}"))?;
    }
    let accepted = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let summary = paths::import(&second, vec![files], clock::now, &mut |_, _| {}).await?;
    let imported = begun.elapsed().as_secs_f64();
    if summary.new != batches / SITES * SITES {
        return Err(format!("{summary:?}").into());
    }
    Ok((accepted, imported))
}

async fn store(dir: &std::path::Path, name: &str) -> Result<Store, Failed> {
    let place: PathBuf = dir.join(name);
    std::fs::create_dir(&place)?;
    std::fs::write(place.join("central.toml"), "")?;
    let config = Config::load(Overrides {
        config: Some(place.join("central.toml")),
        data_dir: Some(place.join("data")),
        ..Overrides::default()
    })?;
    Ok(open_store(&config).await?)
}

fn batch(epoch: &Epoch, sequence: u64) -> Batch {
    let created = Timestamp::from_second(1_790_000_000 + sequence as i64 * 3_600).unwrap_or_default();
    Batch {
        schema_version: "1.0".to_owned(),
        min_reader: None,
        id: format!("{}-7000-8000-{sequence:012x}", &epoch.kid().site().as_str()[..13]),
        site: epoch.kid().site().to_string(),
        sequence,
        previous: None,
        created,
        due_next: None,
        collector: Collector { name: "meterpost".to_owned(), version: "1.0.0".to_owned(), ..Collector::default() },
        sweep: None,
        chain: None,
        health: None,
        devices: (0..DEVICES).map(|device| reading(device, sequence, created)).collect(),
    }
}

fn reading(device: u64, sequence: u64, read_at: Timestamp) -> Reading {
    let text = |value: &str| Some(Text { value: value.to_owned(), evidence: Evidence::default() });
    let counters = [
        "system.impressions",
        "system.monochrome_impressions",
        "system.full_color_impressions",
        "print.impressions",
        "copy.impressions",
        "scan.images",
        "fax_in.impressions",
        "system.impressions_two_sided",
    ];
    let count = |oid: String| Count {
        value: sequence * 100 + device,
        basis: Basis::Actual,
        evidence: Evidence { oid: Some(oid), rule: Some("1".to_owned()), unverified: false },
        unit: None,
        detail: None,
    };
    let counters = counters.iter().enumerate().filter_map(|(number, key)| {
        Some((CounterKey::parse(key).ok()?, count(format!("1.3.6.1.4.1.1347.43.10.1.1.12.1.{number}"))))
    });
    Reading {
        key: format!("sn:acme:{device}"),
        mapping: None,
        scope: Scope::Full,
        read_at,
        outcome: Outcome::Complete,
        identity: Some(Identity {
            vendor: text("ACME"),
            model: text("LaserBeam 500"),
            serial_number: text(&device.to_string()),
            ..Identity::default()
        }),
        network: None,
        capabilities: None,
        counters: Some(counters.collect()),
        supplies: None,
        inputs: None,
        outputs: None,
        covers: None,
        alerts: None,
        status: None,
        gaps: Vec::new(),
    }
}
