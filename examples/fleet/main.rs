//! A simulated printer fleet of its own: `cargo run --release --example fleet -- --help`.

mod measure;
#[path = "simulator.rs"]
mod simulator;

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use ipnet::Ipv4Net;

use simulator::manner::{Manner, User};
use simulator::recording::Recording;
use simulator::tally::Tally;
use simulator::vary::vary;
use simulator::{Fleet, Printer, made};

/// Serves simulated printers on loopback until ctrl-c, then says what it saw.
#[derive(Debug, Parser)]
#[command(
    after_help = "example: fleet --net 127.20.0.0/16 --printers 500 --recording tests/walks/a.snmprec --delay 20 --jitter 10"
)]
struct Arguments {
    /// Addresses to put printers on, spread evenly; inside 127.0.0.0/8
    #[arg(long, default_value = "127.20.0.0/24")]
    net: Ipv4Net,
    /// UDP port of every printer
    #[arg(long, default_value_t = 1161)]
    port: u16,
    /// How many printers
    #[arg(long, default_value_t = 40)]
    printers: u32,
    /// A recorded walk, or `typical-mfp`, `a4-printer`; give several, and the printers take them in turn
    #[arg(long, default_value = "typical-mfp")]
    recording: Vec<PathBuf>,
    /// Give every printer the recording's own serial, addresses, counters and levels
    #[arg(long)]
    same: bool,
    /// Give every printer the recording's own host name
    #[arg(long)]
    same_names: bool,
    /// Community that is answered; repeatable
    #[arg(long, default_value = "public")]
    community: Vec<String>,
    /// v3 user that is answered, `name[:sha256:secret[:aes128:secret]]`; repeatable
    #[arg(long)]
    user: Vec<User>,
    /// Answer v3 only
    #[arg(long)]
    v3_only: bool,
    /// Milliseconds until an answer leaves
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// Milliseconds by which the delay swings to both sides
    #[arg(long, default_value_t = 0)]
    jitter: u64,
    /// Percent of requests that get lost
    #[arg(long, default_value_t = 0.0)]
    loss_in: f64,
    /// Percent of answers that get lost
    #[arg(long, default_value_t = 0.0)]
    loss_out: f64,
    /// One answer in so many is late
    #[arg(long, requires = "late_by")]
    late_every: Option<u64>,
    /// Milliseconds by which a late answer is late
    #[arg(long, requires = "late_every")]
    late_by: Option<u64>,
    /// Milliseconds from the first request to the first that is answered: a printer that wakes
    #[arg(long, default_value_t = 0)]
    asleep: u64,
    /// For loss and jitter: the same seed loses the same
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Say how many requests a second are answered, and end
    #[arg(long)]
    measure: bool,
    /// Print the addresses on stdout, a line each, and `ready` behind them
    #[arg(long)]
    list: bool,
    /// Write what was seen to this file as JSON
    #[arg(long)]
    counters: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let fleet = fleet(&arguments)?;
    let addresses: Vec<Ipv4Addr> = fleet.printers.iter().map(|printer| printer.address).collect();
    let running = simulator::start(fleet).context("starting the fleet")?;
    if arguments.measure {
        let community = arguments.community.first().map_or("public", String::as_str);
        eprint!("{}", measure::measure(&running, &addresses, community)?);
        return Ok(());
    }
    eprintln!("{} printers on {}, port {}; ctrl-c ends", arguments.printers, arguments.net, running.port());
    if arguments.list {
        let mut out = std::io::stdout().lock();
        addresses.iter().try_for_each(|address| writeln!(out, "{address}"))?;
        writeln!(out, "ready")?;
    }
    match arguments.seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => tokio::signal::ctrl_c().await?,
    }
    let tally = running.stop();
    eprint!("{}", summary(&tally));
    if let Some(path) = &arguments.counters {
        std::fs::write(path, serde_json::to_string(&tally)?)
            .with_context(|| format!("writing `{}`", path.display()))?;
    }
    Ok(())
}

/// What a person reads at the end.
fn summary(tally: &Tally) -> String {
    let total = tally.total();
    format!(
        "requests {}   answers {}   objects {}   bytes in {}   bytes out {}\n\
         lost on purpose {}   refused {}   malformed {}   packets to nobody {}\n\
         busiest second {}   most pending at one printer {}   SETs {}\n",
        total.requests,
        total.answers,
        total.varbinds,
        total.bytes_in,
        total.bytes_out,
        total.lost,
        total.refused,
        total.malformed,
        tally.packets_to_nobody,
        tally.busiest_second,
        total.most_pending,
        total.sets
    )
}

fn fleet(arguments: &Arguments) -> Result<Fleet> {
    let loopback: Ipv4Net = "127.0.0.0/8".parse()?;
    if !loopback.contains(&arguments.net) {
        bail!("net `{}` is not on loopback: one inside 127.0.0.0/8 would be", arguments.net);
    }
    let recordings = arguments.recording.iter().map(|path| recording(path)).collect::<Result<Vec<_>>>()?;
    let manner = Manner {
        v1: !arguments.v3_only,
        v2c: !arguments.v3_only,
        users: arguments.user.clone(),
        communities: arguments.community.clone(),
        delay: Duration::from_millis(arguments.delay),
        jitter: Duration::from_millis(arguments.jitter),
        loss_in: arguments.loss_in / 100.0,
        loss_out: arguments.loss_out / 100.0,
        wakes_after: Duration::from_millis(arguments.asleep),
        late: arguments.late_every.zip(arguments.late_by.map(Duration::from_millis)),
        ..Manner::default()
    };
    let printers = addresses(arguments.net, arguments.printers)?
        .zip(recordings.iter().cycle())
        .zip(0..)
        .map(|((address, recording), number)| Printer {
            address,
            views: vec![(
                String::new(),
                vary(recording, if arguments.same { 0 } else { number }, !arguments.same_names),
            )],
            manner: manner.clone(),
        })
        .collect();
    Ok(Fleet { port: arguments.port, printers, seed: arguments.seed })
}

fn recording(path: &Path) -> Result<Arc<Recording>> {
    match path.to_str() {
        Some("typical-mfp") => Ok(Arc::new(made::typical_mfp())),
        Some("a4-printer") => Ok(Arc::new(made::a4_printer())),
        _ => Recording::load(path).map_err(anyhow::Error::msg),
    }
}

/// `count` addresses, spread evenly over the net's hosts.
fn addresses(net: Ipv4Net, count: u32) -> Result<impl Iterator<Item = Ipv4Addr>> {
    let hosts = u32::MAX.checked_shr(u32::from(net.prefix_len())).unwrap_or(0).saturating_sub(1);
    if count == 0 || count > hosts {
        bail!("net `{net}` has room for 1 to {hosts} printers, not {count}");
    }
    let first = u32::from(net.network()) + 1;
    Ok((0..count).map(move |n| Ipv4Addr::from(first + (u64::from(n) * u64::from(hosts) / u64::from(count)) as u32)))
}
