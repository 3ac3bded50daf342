//! From values to XML, element by element in the order of the schema.

mod device;

use crate::batch::{Batch, Chain, Collector, Health, Sweep};

use super::chars::SHORT;
use super::out::{Attribute, Out, seconds};
use super::{ERRORS_MAX, HEALTH_NAMESPACE, LINKS_MAX, NAMESPACE, VOIDS_MAX};

pub(super) use device::device;

/// The batch around devices that are written already.
pub(super) fn batch<D: AsRef<str>>(batch: &Batch, devices: &[D], out: &mut Out) {
    let mut attributes: Vec<Attribute<'_>> =
        vec![("xmlns", NAMESPACE.into()), ("schemaVersion", batch.schema_version.as_str().into())];
    attributes.extend(batch.min_reader.as_deref().map(|version| ("minReader", version.into())));
    attributes.push(("id", batch.id.as_str().into()));
    attributes.push(("site", batch.site.as_str().into()));
    attributes.push(("sequence", batch.sequence.to_string().into()));
    attributes.extend(batch.previous.as_deref().map(|sha256| ("previous", sha256.into())));
    attributes.push(("created", seconds(batch.created).into()));
    attributes.extend(batch.due_next.map(|time| ("dueNext", seconds(time).into())));
    out.element("Batch", &attributes, |out| {
        collector(&batch.collector, out);
        batch.sweep.iter().for_each(|value| sweep(value, out));
        batch.chain.iter().for_each(|value| chain(value, out));
        batch.health.iter().for_each(|value| health(value, out));
        out.element("Devices", &[], |out| devices.iter().for_each(|device| out.written(device.as_ref())));
    });
}

fn collector(collector: &Collector, out: &mut Out) {
    out.element("Collector", &[], |out| {
        out.text("Name", Some(&collector.name), SHORT);
        out.text("Version", Some(&collector.version), SHORT);
        out.value("PackVersion", collector.pack_version);
        out.value("SettingsVersion", collector.settings_version);
    });
}

fn sweep(sweep: &Sweep, out: &mut Out) {
    let mut attributes: Vec<Attribute<'_>> = vec![("id", sweep.id.as_str().into())];
    attributes.extend(sweep.part.map(|part| ("part", part.to_string().into())));
    attributes.extend(sweep.parts.map(|parts| ("parts", parts.to_string().into())));
    out.element("Sweep", &attributes, |out| {
        out.time("StartedAt", Some(sweep.started_at));
        out.time("EndedAt", sweep.ended_at);
        out.value("AddressesProbed", sweep.addresses_probed);
        out.value("DevicesAnswered", sweep.devices_answered);
        out.value("Printers", sweep.printers);
        if let Some(verdicts) = &sweep.verdicts {
            out.element("Verdicts", &[], |out| {
                for (name, addresses) in verdicts {
                    out.leaf("Verdict", &[("name", name.as_str().into())], &addresses.to_string(), SHORT);
                }
            });
        }
    });
}

/// `Links` and `Voids` only where they have something to say.
fn chain(chain: &Chain, out: &mut Out) {
    out.element("Chain", &[], |out| {
        if !chain.links.is_empty() {
            out.element("Links", &[], |out| {
                for link in chain.links.iter().take(LINKS_MAX) {
                    let sequence = link.sequence.to_string();
                    let attributes = [("sequence", sequence.into()), ("sha256", link.sha256.as_str().into())];
                    out.element("Link", &attributes, |_| ());
                }
            });
        }
        if !chain.voids.is_empty() {
            out.element("Voids", &[], |out| {
                for void in chain.voids.iter().take(VOIDS_MAX) {
                    let (from, to) = (void.from.to_string(), void.to.to_string());
                    let attributes =
                        [("from", from.into()), ("to", to.into()), ("reason", void.reason.as_str().into())];
                    out.element("Void", &attributes, |_| ());
                }
            });
        }
    });
}

fn health(health: &Health, out: &mut Out) {
    out.element("Health", &[], |out| {
        out.value("UptimeSeconds", health.uptime_seconds);
        out.value("DiskFreeBytes", health.disk_free_bytes);
        out.value("QueueWaiting", health.queue_waiting);
        out.value("QueueHandedOver", health.queue_handed_over);
        out.value("QueueSetAside", health.queue_set_aside);
        out.time("QueueOldestAt", health.queue_oldest_at);
        out.value("SweepsNotSealed", health.sweeps_not_sealed);
        out.value("ClockSkewSeconds", health.clock_skew_seconds);
        out.text("Schedule", health.schedule.as_deref(), SHORT);
        if !health.errors.is_empty() {
            out.element("Errors", &[], |out| {
                for error in health.errors.iter().take(ERRORS_MAX) {
                    let attributes = [("at", seconds(error.at).into()), ("code", error.code.as_str().into())];
                    out.leaf("Error", &attributes, &error.text, SHORT);
                }
            });
        }
        // the schema of version 1.0 is fixed; at this place it takes elements of other namespaces
        let namespace = [("xmlns", HEALTH_NAMESPACE.into())];
        if let Some(system) = &health.operating_system {
            out.leaf("OperatingSystem", &namespace, system, SHORT);
        }
        if let Some(bytes) = health.store_bytes {
            out.leaf("StoreBytes", &namespace, &bytes.to_string(), SHORT);
        }
    });
}
