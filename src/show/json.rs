//! CONTRACT 2. These types mirror the page key by key, in its order; what is not known is left out, never null.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;

use jiff::Timestamp;
use meterpost_wire::reading as wire;
use serde::Serialize;

use super::{Device, Finding, Scan, Summary};
use crate::snmp;

/// Writes the scan as one JSON object, indented, with a line end behind it. `devices` and, after a sweep, `verdicts` are
/// always there, if need be empty. A thousand devices are 12 MB of text, so it is never held as a whole.
///
/// # Errors
/// Those of the writer: every key is a string and every number is finite.
pub fn json(scan: &Scan, out: &mut dyn Write) -> io::Result<()> {
    let object = Object {
        sweep: scan.sweep.as_ref().map(Sweep::of),
        verdicts: scan.sweep.as_ref().map(|_| scan.verdicts.iter().map(Verdict::of).collect()),
        devices: scan.devices.iter().map(Entry::of).collect(),
    };
    let mut out = BufWriter::new(out);
    serde_json::to_writer_pretty(&mut out, &object)?;
    out.write_all(b"\n")?;
    out.flush()
}

#[derive(Serialize)]
struct Object<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<Sweep<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdicts: Option<Vec<Verdict<'a>>>,
    devices: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Sweep<'a> {
    targets: &'a [String],
    started_at: Timestamp,
    ended_at: Timestamp,
    addresses: u64,
    answered: u64,
    printers: u64,
    packets_sent: u64,
    packets_received: u64,
    bytes_sent: u64,
    bytes_received: u64,
}

impl<'a> Sweep<'a> {
    fn of(summary: &'a Summary) -> Self {
        Self {
            targets: &summary.targets,
            started_at: summary.started_at,
            ended_at: summary.ended_at,
            addresses: summary.addresses,
            answered: summary.answered,
            printers: summary.printers,
            packets_sent: summary.traffic.requests,
            packets_received: summary.traffic.responses,
            bytes_sent: summary.traffic.bytes_sent,
            bytes_received: summary.traffic.bytes_received,
        }
    }
}

#[derive(Serialize)]
struct Verdict<'a> {
    /// A name stands here when it is the target that has no address.
    address: String,
    verdict: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl<'a> Verdict<'a> {
    fn of(finding: &'a Finding) -> Self {
        let verdict = finding.verdict.as_str();
        Self { address: finding.place.to_string(), verdict, detail: finding.detail.as_deref() }
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    address: IpAddr,
    outcome: &'a str,
    read_at: Timestamp,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mapping: Option<Mapping<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Identity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Capabilities<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counters: Option<BTreeMap<&'a str, Count<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplies: Option<Vec<Supply<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<Vec<Tray<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Vec<Tray<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    covers: Option<Vec<Cover<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts: Option<Vec<Alert<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    gaps: Vec<Gap<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic: Option<Traffic>,
}

impl<'a> Entry<'a> {
    fn of(device: &'a Device) -> Self {
        let reading = &device.reading;
        Self {
            address: device.address,
            outcome: reading.outcome.as_str(),
            read_at: reading.read_at,
            key: &reading.key,
            mapping: reading.mapping.as_ref().map(|mapping| Mapping {
                pmd: &mapping.pmd,
                pack: mapping.pack,
                reason: device.mapping_reason.as_deref(),
            }),
            identity: reading.identity.as_ref().map(Identity::of),
            network: reading.network.as_ref().map(Network::of),
            capabilities: reading.capabilities.as_ref().map(Capabilities::of),
            counters: reading
                .counters
                .as_ref()
                .map(|counters| counters.iter().map(|(key, count)| (key.as_str(), Count::of(count))).collect()),
            supplies: reading.supplies.as_ref().map(|rows| rows.iter().map(Supply::of).collect()),
            inputs: reading.inputs.as_ref().map(|rows| rows.iter().map(Tray::of).collect()),
            outputs: reading.outputs.as_ref().map(|rows| rows.iter().map(Tray::of).collect()),
            covers: reading.covers.as_ref().map(|rows| rows.iter().map(Cover::of).collect()),
            alerts: reading.alerts.as_ref().map(|alerts| alerts.rows.iter().map(Alert::of).collect()),
            status: reading.status.as_ref().map(Status::of),
            gaps: reading.gaps.iter().map(Gap::of).collect(),
            traffic: device.traffic.map(Traffic::of),
        }
    }
}

#[derive(Serialize)]
struct Mapping<'a> {
    pmd: &'a str,
    pack: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Identity<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    make_and_model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asset_tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    firmware: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sys_object_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<&'a str>,
}

impl<'a> Identity<'a> {
    fn of(identity: &'a wire::Identity) -> Self {
        let text = |text: &'a Option<wire::Text>| text.as_ref().map(|text| text.value.as_str());
        Self {
            vendor: text(&identity.vendor),
            model: text(&identity.model),
            make_and_model: identity.make_and_model.as_deref(),
            serial_number: text(&identity.serial_number),
            asset_tag: text(&identity.asset_tag),
            system_name: identity.system_name.as_deref(),
            location: identity.location.as_deref(),
            firmware: identity.firmwares.first().map(|firmware| firmware.version.value.as_str()),
            sys_object_id: identity.sys_object_id.as_deref(),
            device_id: identity.device_id.as_deref(),
            uuid: identity.uuid.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct Network<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    physical_addresses: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    host_name: Option<&'a str>,
}

impl<'a> Network<'a> {
    fn of(network: &'a wire::Network) -> Self {
        Self { physical_addresses: &network.physical_addresses, host_name: network.host_name.as_deref() }
    }
}

#[derive(Serialize)]
struct Capabilities<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    color: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    two_sided: Option<bool>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    services: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    trays: Option<u32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    finishers: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pages_per_minute: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pages_per_minute_color: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker_technology: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_bytes: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    languages: &'a [String],
}

impl<'a> Capabilities<'a> {
    fn of(capabilities: &'a wire::Capabilities) -> Self {
        Self {
            color: capabilities.color,
            two_sided: capabilities.two_sided,
            services: &capabilities.services,
            trays: capabilities.trays,
            finishers: &capabilities.finishers,
            pages_per_minute: capabilities.pages_per_minute,
            pages_per_minute_color: capabilities.pages_per_minute_color,
            marker_technology: label(&capabilities.marker_technology),
            memory_bytes: capabilities.memory_bytes,
            disk_bytes: capabilities.disk_bytes,
            languages: &capabilities.languages,
        }
    }
}

#[derive(Serialize)]
struct Count<'a> {
    value: u64,
    basis: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    oid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl<'a> Count<'a> {
    fn of(count: &'a wire::Count) -> Self {
        Self {
            value: count.value,
            basis: count.basis.as_str(),
            oid: count.evidence.oid.as_deref(),
            rule: count.evidence.rule.as_deref(),
            confidence: count.evidence.unverified.then_some("unverified"),
            detail: count.detail.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct Supply<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    colorant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_capacity: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level_state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<u8>,
}

impl<'a> Supply<'a> {
    fn of(supply: &'a wire::Supply) -> Self {
        Self {
            index: supply.index,
            class: label(&supply.class),
            kind: label(&supply.kind),
            colorant: supply.colorant.as_deref(),
            description: supply.description.as_deref(),
            part_number: supply.part_number.as_deref(),
            serial_number: supply.serial_number.as_deref(),
            unit: label(&supply.unit),
            max_capacity: supply.max_capacity,
            level: supply.level,
            level_state: supply.level_state.map(wire::LevelState::as_str),
            percent: supply.percent,
        }
    }
}

#[derive(Serialize)]
struct Tray<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_capacity: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level_state: Option<&'a str>,
}

impl<'a> Tray<'a> {
    fn of(tray: &'a wire::Tray) -> Self {
        Self {
            index: tray.index,
            name: tray.name.as_deref(),
            max_capacity: tray.max_capacity,
            level: tray.level,
            level_state: tray.level_state.map(wire::LevelState::as_str),
        }
    }
}

#[derive(Serialize)]
struct Cover<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
}

impl<'a> Cover<'a> {
    fn of(cover: &'a wire::Cover) -> Self {
        Self { index: cover.index, description: cover.description.as_deref(), status: label(&cover.status) }
    }
}

#[derive(Serialize)]
struct Alert<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    training: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_number: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
}

impl<'a> Alert<'a> {
    fn of(alert: &'a wire::Alert) -> Self {
        Self {
            index: alert.index,
            severity: label(&alert.severity),
            training: label(&alert.training),
            group: label(&alert.group),
            group_index: alert.group_index,
            code: label(&alert.code),
            code_number: alert.code.as_ref().and_then(|code| code.code),
            description: alert.description.as_deref(),
            time: alert.time,
        }
    }
}

#[derive(Serialize)]
struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    printer_status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detected_errors: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    console: &'a [String],
}

impl<'a> Status<'a> {
    fn of(status: &'a wire::Status) -> Self {
        Self {
            state: status.state.as_deref(),
            device_status: label(&status.device_status),
            printer_status: label(&status.printer_status),
            detected_errors: status
                .detected_errors
                .as_ref()
                .map(|detected| detected.errors.iter().map(|error| error.label.as_str()).collect()),
            console: &status.console,
        }
    }
}

#[derive(Serialize)]
struct Gap<'a> {
    field: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl<'a> Gap<'a> {
    fn of(gap: &'a wire::Gap) -> Self {
        Self { field: &gap.field, reason: gap.reason.as_str(), detail: gap.detail.as_deref() }
    }
}

#[derive(Serialize)]
struct Traffic {
    requests: u64,
    responses: u64,
    bytes_sent: u64,
    bytes_received: u64,
}

impl Traffic {
    fn of(traffic: snmp::Traffic) -> Self {
        Self {
            requests: traffic.requests,
            responses: traffic.responses,
            bytes_sent: traffic.bytes_sent,
            bytes_received: traffic.bytes_received,
        }
    }
}

fn label(coded: &Option<wire::Coded>) -> Option<&str> {
    coded.as_ref().map(|coded| coded.label.as_str())
}

#[cfg(test)]
mod tests;
