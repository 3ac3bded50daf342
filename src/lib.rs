//! meterpost reads printer fleets over SNMP and pushes sealed readings outbound only.
//!
//! ```text
//! targets ─► sweep ─► identify ─► plan ─► read ─► normalise ─► privacy ─► batch ─► seal ─►┃ outbox ┃─► deliver ─► central
//! └───────────────── gathering: knows SNMP, cannot see the internet ──────────────────┘   └─ delivering ─┘
//! ```
//!
//! Each arrow is a function from the type on its left to the type on its right; the modules follow in that order.

// what the person at the keyboard and the configuration say
pub mod cli;
pub mod config;
pub mod enroll;
pub mod install;
pub mod keyring;
pub mod schedule;
// gathering
pub mod author;
pub mod device_id;
pub mod gather;
pub mod identify;
pub mod normalise;
pub mod plan;
pub mod pmd;
pub mod privacy;
pub mod read;
pub mod record;
pub mod show;
pub mod snmp;
pub mod sweep;
pub mod targets;
// keeping
pub mod batch;
pub mod memory;
pub mod open;
pub mod outbox;
pub mod store;
// delivering
pub mod deliver;
// putting it together
pub mod packs;
pub mod run;
pub mod site;

pub mod clock;
