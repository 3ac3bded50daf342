//! One device.

use std::collections::BTreeMap;

use crate::counters::{CLASSES, COUNTERS, CounterKey, SERVICES};
use crate::hex;
use crate::reading::{
    Alert, AlertScope, Alerts, Capabilities, Coded, Count, Cover, Evidence, Gap, Identity, LevelState, Network,
    Reading, Scope, Status, Supply, Text, Tray,
};
use crate::xml::GAPS_MAX;
use crate::xml::chars::{LONG, NAME, SHORT};
use crate::xml::out::{Attribute, Out};
use crate::xml::words::{basis, capital, level_basis, pascal};

/// Writes `Device`.
pub(in crate::xml) fn device(reading: &Reading, out: &mut Out) {
    let mut attributes: Vec<Attribute<'_>> = vec![("id", reading.key.as_str().into())];
    let mapping = reading.mapping.as_ref();
    attributes.extend(mapping.map(|mapping| ("mapping", format!("{}@{}", mapping.pmd, mapping.pack).into())));
    if reading.scope == Scope::Alerts {
        attributes.push(("scope", "alerts".into()));
    }
    let own = OwnPmd(mapping.map(|mapping| mapping.pmd.as_str()));
    out.element("Device", &attributes, |out| {
        out.time("ReadAt", Some(reading.read_at));
        out.value("Outcome", Some(reading.outcome.as_str()));
        reading.identity.iter().for_each(|value| identity(value, own, out));
        reading.network.iter().for_each(|value| network(value, out));
        reading.capabilities.iter().for_each(|value| capabilities(value, out));
        reading.counters.iter().for_each(|value| counters(value, own, out));
        list("MarkerSupplies", reading.supplies.as_deref(), out, |value, out| supply(value, own, out));
        list("Inputs", reading.inputs.as_deref(), out, |value, out| tray("Input", value, out));
        list("Outputs", reading.outputs.as_deref(), out, |value, out| tray("Output", value, out));
        list("Covers", reading.covers.as_deref(), out, cover);
        reading.alerts.iter().for_each(|value| alerts(value, out));
        reading.status.iter().for_each(|value| status(value, out));
        if !reading.gaps.is_empty() {
            list("Gaps", Some(&reading.gaps[..reading.gaps.len().min(GAPS_MAX)]), out, gap);
        }
    });
}

/// The mapping that `Device/@mapping` names: its name is left out of rules.
#[derive(Clone, Copy)]
struct OwnPmd<'r>(Option<&'r str>);

impl<'r> OwnPmd<'r> {
    fn evidence<'e: 'r>(self, evidence: &'e Evidence) -> Vec<Attribute<'r>> {
        let mut attributes: Vec<Attribute<'_>> = Vec::with_capacity(3);
        attributes.extend(evidence.oid.as_deref().map(|oid| ("oid", oid.into())));
        attributes.extend(evidence.rule.as_deref().map(|rule| {
            let own = self.0.and_then(|pmd| rule.strip_prefix(pmd)?.strip_prefix(':'));
            ("rule", own.unwrap_or(rule).into())
        }));
        if evidence.unverified {
            attributes.push(("confidence", "unverified".into()));
        }
        attributes
    }
}

/// A container: absent when not read, there and empty when it has no rows.
fn list<T>(name: &str, rows: Option<&[T]>, out: &mut Out, row: impl Fn(&T, &mut Out)) {
    if let Some(rows) = rows {
        out.element(name, &[], |out| rows.iter().for_each(|value| row(value, out)));
    }
}

fn coded(name: &str, value: Option<&Coded>, out: &mut Out) {
    if let Some(Coded { label, code }) = value {
        let code = code.map(|code| ("code", code.to_string().into()));
        out.leaf(name, code.as_slice(), label, SHORT);
    }
}

fn text(name: &str, value: Option<&Text>, own: OwnPmd<'_>, out: &mut Out) {
    if let Some(value) = value {
        out.leaf(name, &own.evidence(&value.evidence), &value.value, LONG);
    }
}

fn identity(identity: &Identity, own: OwnPmd<'_>, out: &mut Out) {
    out.element("Identity", &[], |out| {
        out.text("MakeAndModel", identity.make_and_model.as_deref(), NAME);
        text("VendorName", identity.vendor.as_ref(), own, out);
        text("MachineTypeModel", identity.model.as_ref(), own, out);
        text("SerialNumber", identity.serial_number.as_ref(), own, out);
        text("AssetTag", identity.asset_tag.as_ref(), own, out);
        out.text("SystemUuid", identity.uuid.as_ref().map(|uuid| format!("urn:uuid:{uuid}")).as_deref(), SHORT);
        out.text("DeviceId", identity.device_id.as_deref(), LONG);
        out.text("SystemName", identity.system_name.as_deref(), NAME);
        out.text("SystemLocation", identity.location.as_deref(), SHORT);
        out.text("SystemContact", identity.contact.as_deref(), SHORT);
        out.text("SystemInfo", identity.system_info.as_deref(), LONG);
        out.text("SysObjectId", identity.sys_object_id.as_deref(), SHORT);
        if identity.firmwares.is_empty() {
            return;
        }
        list("Firmwares", Some(&identity.firmwares), out, |firmware, out| {
            out.element("Firmware", &[], |out| {
                out.text("FirmwareName", firmware.name.as_deref(), SHORT);
                text("FirmwareStringVersion", Some(&firmware.version), own, out);
            });
        });
    });
}

fn network(network: &Network, out: &mut Out) {
    out.element("Network", &[], |out| {
        network.addresses.iter().for_each(|address| out.text("Address", Some(address), SHORT));
        network.physical_addresses.iter().for_each(|address| out.text("PhysicalAddress", Some(address), SHORT));
        out.text("HostName", network.host_name.as_deref(), SHORT);
    });
}

fn capabilities(can: &Capabilities, out: &mut Out) {
    out.element("Capabilities", &[], |out| {
        out.value("ColorSupported", can.color);
        out.value("TwoSidedSupported", can.two_sided);
        can.services.iter().for_each(|service| out.text("ServiceType", Some(&pascal(service)), SHORT));
        out.value("PagesPerMinute", can.pages_per_minute);
        out.value("PagesPerMinuteColor", can.pages_per_minute_color);
        coded("MarkerTechnology", can.marker_technology.as_ref(), out);
        out.text("MaxMediaSizeName", can.max_media_size.as_deref(), SHORT);
        out.value("Trays", can.trays);
        can.finishers.iter().for_each(|finisher| out.text("Finisher", Some(finisher), SHORT));
        can.languages.iter().for_each(|language| out.text("Language", Some(language), SHORT));
        out.value("MemoryBytes", can.memory_bytes);
        out.value("DiskBytes", can.disk_bytes);
    });
}

/// Places of services, classes and counters in their tables, which is the order of the schema.
type Place = (usize, usize, usize);

fn place(key: &CounterKey) -> Option<Place> {
    let (service, rest) = key.as_str().split_once('.')?;
    let (class, counter) = rest.split_once('.').unwrap_or(("", rest));
    let at = |table: &[(&str, &str)], word: &str| table.iter().position(|(known, _)| *known == word);
    Some((at(&SERVICES, service)?, at(&CLASSES, class)?, at(&COUNTERS, counter)?))
}

fn counters(counters: &BTreeMap<CounterKey, Count>, own: OwnPmd<'_>, out: &mut Out) {
    let mut placed: Vec<(Place, &Count)> =
        counters.iter().filter_map(|(key, value)| Some((place(key)?, value))).collect();
    placed.sort_unstable_by_key(|(place, _)| *place);
    let vendors: Vec<_> = counters.iter().filter_map(|(key, value)| Some((key.vendor_name()?, value))).collect();
    out.element("Counters", &[], |out| {
        for of_service in placed.chunk_by(|(a, _), (b, _)| a.0 == b.0) {
            out.element(SERVICES[of_service[0].0.0].1, &[], |out| {
                for of_class in of_service.chunk_by(|(a, _), (b, _)| a.1 == b.1) {
                    out.element(CLASSES[of_class[0].0.1].1, &[], |out| {
                        for ((.., counter), value) in of_class {
                            count(COUNTERS[*counter].1, None, value, own, out);
                        }
                    });
                }
            });
        }
        if !vendors.is_empty() {
            list("VendorCounters", Some(&vendors), out, |(name, value), out| {
                count("VendorCounter", Some(name), value, own, out);
            });
        }
    });
}

fn count(element: &str, name: Option<&str>, count: &Count, own: OwnPmd<'_>, out: &mut Out) {
    let mut attributes: Vec<Attribute<'_>> = Vec::with_capacity(7);
    attributes.extend(name.map(|name| ("name", name.into())));
    attributes.extend(name.and(count.unit.as_deref()).map(|unit| ("unit", unit.into())));
    attributes.extend(basis(count.basis).map(|basis| ("basis", basis.into())));
    attributes.extend(own.evidence(&count.evidence));
    let detail = count.detail.as_deref().map(|detail| crate::xml::chars::clean(detail, SHORT));
    attributes.extend(detail.map(|detail| ("detail", detail)));
    out.leaf(element, &attributes, &count.value.to_string(), SHORT);
}

/// A number that is there is a known one: saying so each time would cost a large MFP 1.8 kB, and a batch two devices of 19.
fn level(name: &str, value: Option<u64>, state: Option<LevelState>, out: &mut Out) {
    out.value(name, value);
    if let Some(state) = state.filter(|state| value.is_none() || *state != LevelState::Known) {
        out.value(&format!("{name}Basis"), Some(level_basis(state)));
    }
}

fn supply(supply: &Supply, own: OwnPmd<'_>, out: &mut Out) {
    let mut attributes: Vec<Attribute<'_>> = vec![("index", supply.index.to_string().into())];
    attributes.extend(supply.marker_index.map(|index| ("markerIndex", index.to_string().into())));
    attributes.extend(own.evidence(&supply.evidence));
    out.element("MarkerSupply", &attributes, |out| {
        coded("MarkerSupplyClass", supply.class.as_ref(), out);
        coded("MarkerSupplyType", supply.kind.as_ref(), out);
        out.text("MarkerSupplyInfo", supply.description.as_deref(), SHORT);
        out.text("MarkerColorantName", supply.colorant.as_deref(), SHORT);
        coded("MarkerColorantRole", supply.colorant_role.as_ref(), out);
        coded("MarkerSupplyCapacityUnit", supply.unit.as_ref(), out);
        level("MarkerSupplyMaxCapacity", supply.max_capacity, supply.max_capacity_state, out);
        level("MarkerSupplyCurrentLevel", supply.level, supply.level_state, out);
        out.value("RemainingPercent", supply.percent);
        out.text("SupplySerialNumber", supply.serial_number.as_deref(), SHORT);
        out.text("SupplyPartNumber", supply.part_number.as_deref(), SHORT);
        out.time("SupplyInstalled", supply.installed);
        for (element, value) in [
            ("ImpressionsSinceInstalled", &supply.impressions_since_installed),
            ("ImpressionsRemaining", &supply.impressions_remaining),
        ] {
            value.iter().for_each(|value| count(element, None, value, own, out));
        }
    });
}

fn tray(element: &str, tray: &Tray, out: &mut Out) {
    out.element(element, &[("index", tray.index.to_string().into())], |out| {
        out.text("Name", tray.name.as_deref(), SHORT);
        level("MaxCapacity", tray.max_capacity, tray.max_capacity_state, out);
        level("Level", tray.level, tray.level_state, out);
    });
}

fn cover(cover: &Cover, out: &mut Out) {
    out.element("Cover", &[("index", cover.index.to_string().into())], |out| {
        out.text("Description", cover.description.as_deref(), SHORT);
        coded("CoverStatus", cover.status.as_ref(), out);
    });
}

fn alerts(alerts: &Alerts, out: &mut Out) {
    let scope = (alerts.scope == AlertScope::Changes).then(|| ("scope", "changes".into()));
    out.element("Alerts", scope.as_slice(), |out| alerts.rows.iter().for_each(|row| alert(row, out)));
}

fn alert(alert: &Alert, out: &mut Out) {
    let index = alert.index.map(|index| ("index", index.to_string().into()));
    out.element("Alert", index.as_slice(), |out| {
        coded("Severity", alert.severity.as_ref(), out);
        coded("TrainingLevel", alert.training.as_ref(), out);
        coded("Group", alert.group.as_ref(), out);
        out.value("GroupIndex", alert.group_index);
        out.value("Location", alert.location);
        coded("Code", alert.code.as_ref(), out);
        if let Some(description) = &alert.description {
            let language = alert.language.as_deref().map(|language| ("lang", language.into()));
            out.leaf("Description", language.as_slice(), description, SHORT);
        }
        out.value("UpTimeTicks", alert.up_time_ticks);
        out.time("Time", alert.time);
        out.time("ClearTime", alert.clear_time);
    });
}

fn status(status: &Status, out: &mut Out) {
    out.element("Status", &[], |out| {
        out.text("State", status.state.as_deref().map(capital).as_deref(), SHORT);
        coded("DeviceStatus", status.device_status.as_ref(), out);
        coded("PrinterStatus", status.printer_status.as_ref(), out);
        if let Some(detected) = &status.detected_errors {
            let raw = (!detected.raw.is_empty()).then(|| ("raw", hex::encode(&detected.raw).into()));
            out.element("DetectedErrors", raw.as_slice(), |out| {
                detected.errors.iter().for_each(|error| coded("DetectedError", Some(error), out));
            });
        }
        status.state_reasons.iter().for_each(|reason| out.text("StateReason", Some(reason), SHORT));
        status.console.iter().for_each(|line| out.text("ConsoleText", Some(line), SHORT));
        out.value("UpTime", status.up_time_seconds);
    });
}

fn gap(gap: &Gap, out: &mut Out) {
    let mut attributes: Vec<Attribute<'_>> =
        vec![("field", gap.field.as_str().into()), ("reason", gap.reason.as_str().into())];
    attributes.extend(gap.detail.as_deref().map(|detail| ("detail", detail.into())));
    out.element("Gap", &attributes, |_| ());
}
