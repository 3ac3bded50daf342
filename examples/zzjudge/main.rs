use meterpost::{
    pmd::Library,
    read, show,
    snmp::{Agent, recording::Recording},
};
use std::{fs, path::Path};
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (dir, out, pmds) = (&args[1], &args[2], args.get(3));
    let t = std::time::Instant::now();
    let library = match pmds {
        Some(p) => Library::load(Path::new(p)).unwrap(),
        None => Library::builtin(),
    };
    eprintln!("library {:?} {} pmds", t.elapsed(), library.pmds().count());
    for f in &library.faults {
        eprintln!("FAULT {f}");
    }
    let only = args.get(4);
    let mut scan = show::Scan::default();
    let mut map = String::new();
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "snmprec"))
        .collect();
    names.sort();
    for (n, p) in names.iter().enumerate() {
        let name = p.file_stem().unwrap().to_string_lossy().to_string();
        if only.is_some_and(|o| !name.contains(o.as_str())) {
            continue;
        }
        let addr = format!("127.30.{}.{}", n / 250, n % 250 + 1);
        map += &format!("{addr}\t{name}\n");
        let mut agent = match Recording::parse(&fs::read_to_string(p).unwrap()) {
            Ok(a) => a,
            Err(e) => {
                eprintln!("{name}: {e:?}");
                continue;
            }
        };
        match read::device(&mut agent, &library, None, &addr, meterpost::clock::now()).await {
            Ok(r) => {
                let cost = agent.traffic().requests;
                let before = agent.traffic();
                let again =
                    read::device(&mut agent, &library, Some(&r.learned), &addr, meterpost::clock::now()).await.unwrap();
                let mut a = again.reading.clone();
                let mut b = r.reading.clone();
                a.read_at = b.read_at;
                for x in [&mut a, &mut b] {
                    if let Some(al) = &mut x.alerts {
                        for r in &mut al.rows {
                            r.time = None
                        }
                    }
                }
                eprintln!(
                    "{name}\t{}\t{}\treq {} poll {} full={} same={}",
                    r.choice.pmd.name,
                    r.choice.reason,
                    cost,
                    agent.traffic().requests - before.requests,
                    again.full,
                    a == b
                );
                if only.is_some() {
                    for (f, t) in &r.trace.fields {
                        println!("{f}: {t:?}");
                    }
                }
                scan.devices.push(show::Device {
                    address: addr.parse().unwrap(),
                    reading: r.reading,
                    mapping_reason: Some(r.choice.reason),
                    traffic: None,
                });
            }
            Err(e) => eprintln!("{name}\t{e}"),
        }
    }
    fs::write(out, show::json(&scan)).unwrap();
    fs::write(format!("{out}.map"), map).unwrap();
}
