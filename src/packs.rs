//! Packs at one site: kept on disk, tried before they are used, taken back when they do harm.
//!
//! # What is promised
//! - The library inside the program always works: without any pack, and when what lies on the disk is damaged.
//! - A pack is used whole or not at all, and a crash at any moment leaves the one before or the new one, never neither.
//! - A lower version than the highest ever used of its channel is refused, unless a person insists.
//! - No pack changes what a device is billed by before a person has said yes, unless the configuration says otherwise.
//! - What fails at any step leaves everything as it was.
//!
//! [`shelf`] holds what lies on the disk, [`fetch`] brings a newer one, [`shadow`] tries it on what is known of the devices,
//! and [`course`] says what is to become of it. `run` puts these together.

pub mod course;
pub mod fetch;
pub mod shadow;
pub mod shelf;
