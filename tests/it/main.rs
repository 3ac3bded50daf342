//! One binary for all integration tests: what a user can see, with real parts.

mod author;
mod central;
mod cli;
mod deliver;
mod end_to_end;
#[cfg(target_os = "linux")]
mod faults;
mod fleet;
mod fuzz;
mod memory;
mod outbox;
mod packs;
mod pmds;
mod readme;
mod recognition;
mod record;
mod relay;
mod run;
mod site;
mod snmp;
mod sweep;
mod tidy;
mod traffic;
mod traps;
mod walks;

#[path = "../../examples/fleet/simulator.rs"]
mod simulator;
