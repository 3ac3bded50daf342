//! How many requests a second the simulator answers: asked from one thread beside it, in the same process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::simulator::recording::arcs;
use super::simulator::{Running, ber};

/// Requests under way at one time; fewer than the default receive buffer of a Linux socket holds answers.
const IN_FLIGHT: usize = 64;
/// How long one kind of request is measured.
const TIME: Duration = Duration::from_secs(3);

/// Asks all printers in turn and says how many answers a second came, for three kinds of requests.
pub fn measure(running: &Running, printers: &[Ipv4Addr], community: &str) -> io::Result<String> {
    let columns: Vec<u32> = (2..=9).collect();
    let rows = |first: u32| columns.iter().map(move |column| format!("1.3.6.1.2.1.43.11.1.1.{column}.1.{first}"));
    let many: Vec<String> = rows(1).chain(rows(2)).chain(rows(3)).chain(["1.3.6.1.2.1.1.2.0".to_owned()]).collect();
    let mut told = String::new();
    for (name, kind, repetitions, oids) in [
        ("GET of 1 object", 0xa0, 0, vec!["1.3.6.1.2.1.1.2.0".to_owned()]),
        ("GET of 25 objects", 0xa0, 0, many),
        ("GETBULK of 25 objects", 0xa5, 25, vec!["1.3.6.1.2.1.43.8".to_owned()]),
    ] {
        let request = request(kind, repetitions, &oids, community);
        running.reset();
        let (answers, lost, time) = ask(&request, printers, running.port())?;
        let a_second = answers as f64 / time.as_secs_f64();
        let objects = running.tally().total().varbinds as f64 / time.as_secs_f64();
        told += &format!("{name}: {a_second:.0} requests a second, {objects:.0} objects, {lost} requests lost\n");
    }
    Ok(told)
}

fn request(kind: u8, repetitions: i64, oids: &[String], community: &str) -> Vec<u8> {
    let varbinds: Vec<u8> = oids
        .iter()
        .filter_map(|oid| arcs(oid))
        .flat_map(|arcs| ber::group(ber::SEQUENCE, &[&ber::oid(&arcs), &[5, 0]]))
        .collect();
    let number = |number| ber::integer(ber::INTEGER, number);
    let pdu =
        ber::group(kind, &[&number(7), &number(0), &number(repetitions), &ber::element(ber::SEQUENCE, &varbinds)]);
    ber::group(ber::SEQUENCE, &[&number(1), &ber::element(ber::OCTETS, community.as_bytes()), &pdu])
}

/// Answers, requests without one, and the time taken.
fn ask(request: &[u8], printers: &[Ipv4Addr], port: u16) -> io::Result<(u64, u64, Duration)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let targets: Vec<SocketAddr> = printers.iter().map(|&address| SocketAddr::from((address, port))).collect();
    let mut targets = targets.iter().cycle();
    let mut send = || targets.next().map_or(Ok(0), |target| socket.send_to(request, target));
    let mut buffer = [0; 2048];
    let start = Instant::now();
    let (mut answers, mut lost) = (0, 0);
    for _ in 0..IN_FLIGHT {
        send()?;
    }
    while start.elapsed() < TIME {
        if socket.recv(&mut buffer).is_ok() {
            answers += 1;
            send()?;
        } else {
            // Nothing for half a second: whatever was under way is gone.
            lost += IN_FLIGHT as u64;
            for _ in 0..IN_FLIGHT {
                send()?;
            }
        }
    }
    Ok((answers, lost, start.elapsed()))
}
