//! How fast batches are accepted one by one, and imported from files: `cargo run --release --example import_speed -- 10000`;
//! a second number is the devices of a batch. Prints batches and devices a second for both, by the clock on the wall and, on
//! Linux, by the processor time of this program, which a busy machine changes less; and the ratio of the two ways. Each has a
//! store of its own on the disk of the temporary directory; the receipts of the first way are signed as for a site that submits.

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
use meterpost_wire::reading::{
    Alert, Alerts, Basis, Coded, Count, Evidence, Identity, Outcome, Reading, Scope, Status, Supply, Text, Tray,
};
use meterpost_wire::{CounterKey, seal, xml};

/// Devices of one batch, unless another number is given: a batch that is full has 40.
const DEVICES: u64 = 20;

/// Sites that the batches are of.
const SITES: u64 = 10;

type Failed = Box<dyn std::error::Error>;

/// What one way took, in seconds.
struct Took {
    wall: f64,
    cpu: Option<f64>,
}

fn main() -> Result<(), Failed> {
    let argument = |at: usize, otherwise: u64| std::env::args().nth(at).map_or(Ok(otherwise), |text| text.parse());
    let (batches, devices) = (argument(1, 1_000)?, argument(2, DEVICES)?);
    let dir = std::env::temp_dir().join(format!("meterpost-import-speed-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(&dir, batches, devices));
    std::fs::remove_dir_all(&dir)?;
    let (accepted, imported) = measured?;
    for (name, took) in [("accept", &accepted), ("import", &imported)] {
        let each = |count: u64| count as f64 / took.wall;
        let by_cpu = took.cpu.map_or_else(String::new, |cpu| {
            format!("; {:.0} devices a second of processor time", (batches * devices) as f64 / cpu)
        });
        println!("{name}: {:.0} batches/s, {:.0} devices/s{by_cpu}", each(batches), each(batches * devices));
    }
    println!("import goes at {:.0} % of accept's speed", 100.0 * accepted.wall / imported.wall);
    if let (Some(accepted), Some(imported)) = (accepted.cpu, imported.cpu) {
        println!("by processor time at {:.0} %", 100.0 * accepted / imported);
    }
    Ok(())
}

/// User and system time of this process so far, in seconds; Linux counts it in hundredths.
fn cpu() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

async fn took<T>(work: impl Future<Output = Result<T, Failed>>) -> Result<(T, Took), Failed> {
    let (begun, before) = (Instant::now(), cpu());
    let done = work.await?;
    let wall = begun.elapsed().as_secs_f64();
    Ok((done, Took { wall, cpu: cpu().zip(before).map(|(after, before)| after - before) }))
}

async fn measure(dir: &std::path::Path, batches: u64, devices: u64) -> Result<(Took, Took), Failed> {
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
                let batch = batch(&epoch, sequence, devices);
                let mut iv = [7; 16];
                iv[..8].copy_from_slice(&sequence.to_be_bytes());
                let token = seal::seal(xml::encode(&batch).as_bytes(), epoch.kid(), &epoch.batch_key(), iv)?;
                if keep {
                    let named = Named { site: batch.site, batch_id: batch.id, sequence };
                    tokens.push((named, token));
                } else {
                    std::fs::write(files.join(format!("{}-{sequence}.jwe", batch.site)), token)?;
                }
            }
        }
    }
    let ((), accepted) = took(async {
        for (named, token) in tokens {
            let keys = first.site(named.site.clone(), clock::now()).await?.ok_or("no site")?;
            accept(&first, &keys, named, token, clock::now()).await.map_err(|error| format!("{error:?}"))?;
        }
        Ok(())
    })
    .await?;
    let import = async { Ok(paths::import(&second, vec![files], clock::now, &mut |_, _| {}).await?) };
    let (summary, imported) = took(import).await?;
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

fn batch(epoch: &Epoch, sequence: u64, devices: u64) -> Batch {
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
        devices: (0..devices).map(|device| reading(device, sequence, created)).collect(),
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
    let coded = |label: &str, code| Some(Coded { label: label.to_owned(), code: Some(code) });
    let supply = |(index, colorant): (usize, &str)| Supply {
        index: index as u32 + 1,
        class: coded("supplyThatIsConsumed", 3),
        kind: coded("tonerCartridge", 21),
        description: Some(format!("{colorant} cartridge 55X")),
        colorant: Some(colorant.to_owned()),
        percent: Some(35),
        level: Some(4_375),
        max_capacity: Some(12_500),
        ..Supply::default()
    };
    let supplies = ["black", "cyan", "magenta", "yellow"].into_iter().enumerate().map(supply).collect();
    let input = |index: u32| Tray {
        index,
        name: Some(format!("Cassette {index}")),
        max_capacity: Some(500),
        level: Some(250),
        ..Tray::default()
    };
    let inputs = (1..=3).map(input).collect();
    let alert = Alert {
        index: Some(17),
        severity: coded("warning", 4),
        group: coded("input", 8),
        code: coded("inputMediaSupplyLow", 807),
        description: Some("Tray 2 low".to_owned()),
        ..Alert::default()
    };
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
        supplies: Some(supplies),
        inputs: Some(inputs),
        outputs: None,
        covers: None,
        alerts: Some(Alerts { rows: vec![alert], ..Alerts::default() }),
        status: Some(Status { state: Some("idle".to_owned()), console: vec!["Ready".to_owned()], ..Status::default() }),
        gaps: Vec::new(),
    }
}
