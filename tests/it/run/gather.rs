//! The gathering alone: what is stopped, and what fails.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use meterpost::gather::{Unread, gather};
use meterpost::snmp::credential::{Credential, Secret, Versions};
use meterpost::sweep::{Options, Sighting};
use meterpost::targets::{Addresses, Group, Targets, World};
use tokio::sync::Notify;

use super::{at, office};

/// A sweep of the whole net of an office.
fn sweep(net: u8, port: u16) -> (meterpost::sweep::Sweep, Arc<[Credential]>) {
    let mut nobody = |_: &str| Err("not here".to_owned());
    let mut nothing = |_: &str| Err("not here".to_owned());
    let world = &mut World { resolve: &mut nobody, read_file: &mut nothing };
    let addresses = Addresses::parse(&[format!("127.93.{net}.0/28")], world).unwrap();
    let mut targets = Targets::default();
    targets.add(Group { addresses, port, credentials: vec!["c".to_owned()] }, &Addresses::default()).unwrap();
    let credentials = [Credential::community("c", Secret::new("public"), Versions::V2c).unwrap()];
    let options = Options { retries: 0, ..Options::default() };
    (meterpost::sweep::Sweep::new(&targets, &credentials, &options).unwrap(), credentials.into())
}

#[tokio::test]
async fn what_is_being_read_when_the_run_is_stopped_is_told_and_the_rest_of_the_sweep_too() {
    let running = office(12);
    let (sweep, credentials) = sweep(12, running.port());
    let reading = Arc::new(Notify::new());
    let mut unread = Vec::new();
    let started = Arc::clone(&reading);
    let read = move |_| {
        started.notify_one();
        std::future::pending::<bool>()
    };
    let outcome = gather(
        sweep,
        credentials,
        1,
        read,
        |address, why| unread.push((address.ip().to_string(), why)),
        |_| {},
        reading.notified(),
    );
    let outcome = outcome.await.unwrap();
    assert_eq!(unread.len() as u64, outcome.answered);
    assert!(unread.iter().all(|(_, why)| *why == Unread::Stopped), "{unread:?}");
    assert_eq!(outcome.addresses, outcome.answered + outcome.silent.len() + outcome.not_asked.len());
}

#[tokio::test]
async fn a_device_at_which_the_program_fails_costs_no_other() {
    let running = office(13);
    let (sweep, credentials) = sweep(13, running.port());
    let read_well = Arc::new(Mutex::new(Vec::new()));
    let mut unread = Vec::new();
    let well = Arc::clone(&read_well);
    let read = move |sighting: Sighting| {
        let well = Arc::clone(&well);
        async move {
            assert_ne!(sighting.address.ip(), at(13, 7), "this one is the fault of the test");
            well.lock().unwrap().push(sighting.address.ip());
            true
        }
    };
    let unreadable = |address: SocketAddr, why| unread.push((address.ip(), why));
    gather(sweep, credentials, 8, read, unreadable, |_| {}, std::future::pending()).await.unwrap();
    assert_eq!(unread, [(at(13, 7).into(), Unread::Broken)]);
    let mut well = std::mem::take(&mut *read_well.lock().unwrap());
    well.sort_unstable();
    assert_eq!(well, [at(13, 9), at(13, 11)]);
}
