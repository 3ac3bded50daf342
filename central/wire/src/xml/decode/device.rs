//! One device.

use crate::hex;
use crate::reading::{
    Alert, AlertScope, Alerts, Capabilities, Cover, DetectedErrors, Firmware, Gap, GapReason, Identity, LevelState,
    Mapping, Network, Outcome, Reading, Scope, Status, Supply, Tray,
};
use crate::xml::chars::{LONG, NAME, SHORT};
use crate::xml::cursor::{Element, Malformed};
use crate::xml::words::snake;
use crate::xml::{GAPS_MAX, NAMESPACE};

use super::counters::{count, counters};
use super::fields::{Fields, evidence};
use super::instant;

/// Rows of tables are bounded by the size of a batch alone.
const ROWS: usize = usize::MAX;

/// Reads `Device`; the inner error says why this one is set aside, the outer that the whole text is not XML.
pub(super) fn device(element: &Element, fields: &mut Fields<'_>) -> Result<Result<Reading, String>, Malformed> {
    fields.take_fault();
    let mut read = Read::default();
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("ReadAt") => fields.value(&mut read.read_at, instant)?,
            Some("Outcome") => fields.value(&mut read.outcome, outcome)?,
            Some("Identity") => fields.part(&mut read.identity, identity)?,
            Some("Network") => fields.part(&mut read.network, network)?,
            Some("Capabilities") => fields.part(&mut read.capabilities, capabilities)?,
            Some("Counters") => fields.part(&mut read.counters, counters)?,
            Some("MarkerSupplies") => fields.list(&mut read.supplies, ROWS, "MarkerSupply", supply)?,
            Some("Inputs") => fields.list(&mut read.inputs, ROWS, "Input", tray)?,
            Some("Outputs") => fields.list(&mut read.outputs, ROWS, "Output", tray)?,
            Some("Covers") => fields.list(&mut read.covers, ROWS, "Cover", cover)?,
            Some("Alerts") => fields.part(&mut read.alerts, |fields| alerts(&child, fields))?,
            Some("Status") => fields.part(&mut read.status, status)?,
            Some("Gaps") => fields.list(&mut read.gaps, GAPS_MAX, "Gap", gap)?,
            _ => fields.unknown()?,
        }
    }
    let scope = match element.attribute("scope") {
        None | Some("full") => Ok(Scope::Full),
        Some("alerts") => Ok(Scope::Alerts),
        Some(_) => Err("`@scope` is not known here"),
    };
    let complete = || {
        Ok::<_, &str>(Reading {
            key: element.attribute("id").filter(|id| !id.is_empty()).ok_or("`@id` is missing")?.to_owned(),
            mapping: element.attribute("mapping").and_then(mapping),
            scope: scope?,
            read_at: read.read_at.ok_or("`ReadAt` is missing, or no time in UTC")?,
            outcome: read.outcome.ok_or("`Outcome` is missing, or not known here")?,
            identity: read.identity,
            network: read.network,
            capabilities: read.capabilities,
            counters: read.counters,
            supplies: read.supplies,
            inputs: read.inputs,
            outputs: read.outputs,
            covers: read.covers,
            alerts: read.alerts,
            status: read.status,
            gaps: read.gaps.unwrap_or_default(),
        })
    };
    Ok(complete().map_err(str::to_owned).and_then(|reading| fields.take_fault().map_or(Ok(reading), Err)))
}

/// What of a device has been read so far.
#[derive(Default)]
struct Read {
    read_at: Option<jiff::Timestamp>,
    outcome: Option<Outcome>,
    identity: Option<Identity>,
    network: Option<Network>,
    capabilities: Option<Capabilities>,
    counters: Option<super::counters::Counters>,
    supplies: Option<Vec<Supply>>,
    inputs: Option<Vec<Tray>>,
    outputs: Option<Vec<Tray>>,
    covers: Option<Vec<Cover>>,
    alerts: Option<Alerts>,
    status: Option<Status>,
    gaps: Option<Vec<Gap>>,
}

/// `<pmd>@<pack>`.
fn mapping(text: &str) -> Option<Mapping> {
    let (pmd, pack) = text.rsplit_once('@')?;
    Some(Mapping { pmd: pmd.to_owned(), pack: pack.parse().ok()? })
}

fn outcome(word: &str) -> Option<Outcome> {
    let all = [Outcome::Complete, Outcome::Partial, Outcome::Unreachable, Outcome::Denied, Outcome::Unmapped];
    all.into_iter().find(|outcome| outcome.as_str() == word)
}

fn identity(fields: &mut Fields<'_>) -> Result<Identity, Malformed> {
    let mut read = Identity::default();
    let mut firmwares = None;
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("MakeAndModel") => fields.text(&mut read.make_and_model, NAME)?,
            Some("VendorName") => fields.evident(&child, &mut read.vendor)?,
            Some("MachineTypeModel") => fields.evident(&child, &mut read.model)?,
            Some("SerialNumber") => fields.evident(&child, &mut read.serial_number)?,
            Some("AssetTag") => fields.evident(&child, &mut read.asset_tag)?,
            Some("SystemUuid") => {
                fields.value(&mut read.uuid, |urn| urn.strip_prefix("urn:uuid:").map(str::to_ascii_lowercase))?;
            }
            Some("DeviceId") => fields.text(&mut read.device_id, LONG)?,
            Some("SystemName") => fields.text(&mut read.system_name, NAME)?,
            Some("SystemLocation") => fields.text(&mut read.location, SHORT)?,
            Some("SystemContact") => fields.text(&mut read.contact, SHORT)?,
            Some("SystemInfo") => fields.text(&mut read.system_info, LONG)?,
            Some("SysObjectId") => fields.text(&mut read.sys_object_id, SHORT)?,
            Some("Firmwares") => fields.list(&mut firmwares, ROWS, "Firmware", |_, fields| firmware(fields))?,
            _ => fields.unknown()?,
        }
    }
    Ok(Identity { firmwares: firmwares.unwrap_or_default(), ..read })
}

fn firmware(fields: &mut Fields<'_>) -> Result<Option<Firmware>, Malformed> {
    let (mut name, mut version) = (None, None);
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("FirmwareName") => fields.text(&mut name, SHORT)?,
            Some("FirmwareStringVersion") => fields.evident(&child, &mut version)?,
            _ => fields.unknown()?,
        }
    }
    Ok(version.map(|version| Firmware { name, version }))
}

fn network(fields: &mut Fields<'_>) -> Result<Network, Malformed> {
    let mut read = Network::default();
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("Address") => fields.texts(&mut read.addresses)?,
            Some("PhysicalAddress") => fields.texts(&mut read.physical_addresses)?,
            Some("HostName") => fields.text(&mut read.host_name, SHORT)?,
            _ => fields.unknown()?,
        }
    }
    Ok(read)
}

fn capabilities(fields: &mut Fields<'_>) -> Result<Capabilities, Malformed> {
    let mut read = Capabilities::default();
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("ColorSupported") => fields.value(&mut read.color, boolean)?,
            Some("TwoSidedSupported") => fields.value(&mut read.two_sided, boolean)?,
            Some("ServiceType") => read.services.push(snake(&fields.cursor.text(SHORT)?)),
            Some("PagesPerMinute") => fields.number(&mut read.pages_per_minute)?,
            Some("PagesPerMinuteColor") => fields.number(&mut read.pages_per_minute_color)?,
            Some("MarkerTechnology") => fields.coded(&child, &mut read.marker_technology)?,
            Some("MaxMediaSizeName") => fields.text(&mut read.max_media_size, SHORT)?,
            Some("Trays") => fields.number(&mut read.trays)?,
            Some("Finisher") => fields.texts(&mut read.finishers)?,
            Some("Language") => fields.texts(&mut read.languages)?,
            Some("MemoryBytes") => fields.number(&mut read.memory_bytes)?,
            Some("DiskBytes") => fields.number(&mut read.disk_bytes)?,
            _ => fields.unknown()?,
        }
    }
    Ok(read)
}

/// The four forms of `xs:boolean`.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn supply(element: &Element, fields: &mut Fields<'_>) -> Result<Option<Supply>, Malformed> {
    let mut read = Supply { evidence: evidence(element), ..Supply::default() };
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("MarkerSupplyClass") => fields.coded(&child, &mut read.class)?,
            Some("MarkerSupplyType") => fields.coded(&child, &mut read.kind)?,
            Some("MarkerSupplyInfo") => fields.text(&mut read.description, SHORT)?,
            Some("MarkerColorantName") => fields.text(&mut read.colorant, SHORT)?,
            Some("MarkerColorantRole") => fields.coded(&child, &mut read.colorant_role)?,
            Some("MarkerSupplyCapacityUnit") => fields.coded(&child, &mut read.unit)?,
            Some("MarkerSupplyMaxCapacity") => fields.number(&mut read.max_capacity)?,
            Some("MarkerSupplyMaxCapacityBasis") => fields.level_state(&mut read.max_capacity_state)?,
            Some("MarkerSupplyCurrentLevel") => fields.number(&mut read.level)?,
            Some("MarkerSupplyCurrentLevelBasis") => fields.level_state(&mut read.level_state)?,
            Some("RemainingPercent") => {
                let mut percent: Option<u8> = None;
                fields.number(&mut percent)?;
                if let Some(over @ 101..) = percent {
                    fields.fault(format!("`{over}` where a percentage is due"));
                }
                fields.keep(&mut read.percent, percent);
            }
            Some("SupplySerialNumber") => fields.text(&mut read.serial_number, SHORT)?,
            Some("SupplyPartNumber") => fields.text(&mut read.part_number, SHORT)?,
            Some("SupplyInstalled") => fields.value(&mut read.installed, instant)?,
            Some("ImpressionsSinceInstalled") => {
                let value = count(&child, fields)?;
                fields.keep(&mut read.impressions_since_installed, value);
            }
            Some("ImpressionsRemaining") => {
                let value = count(&child, fields)?;
                fields.keep(&mut read.impressions_remaining, value);
            }
            _ => fields.unknown()?,
        }
    }
    read.max_capacity_state = level_state(read.max_capacity, read.max_capacity_state);
    read.level_state = level_state(read.level, read.level_state);
    read.marker_index = fields.number_attribute(element, "markerIndex");
    Ok(index(element, fields).map(|index| Supply { index, ..read }))
}

/// A row's `@index`; a row without one is a fault.
fn index(element: &Element, fields: &mut Fields<'_>) -> Option<u32> {
    if element.attribute("index").is_none() {
        fields.fault(format!("a `{}` without `@index`", element.local_name()));
    }
    fields.number_attribute(element, "index")
}

fn tray(element: &Element, fields: &mut Fields<'_>) -> Result<Option<Tray>, Malformed> {
    let mut read = Tray::default();
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("Name") => fields.text(&mut read.name, SHORT)?,
            Some("MaxCapacity") => fields.number(&mut read.max_capacity)?,
            Some("MaxCapacityBasis") => fields.level_state(&mut read.max_capacity_state)?,
            Some("Level") => fields.number(&mut read.level)?,
            Some("LevelBasis") => fields.level_state(&mut read.level_state)?,
            _ => fields.unknown()?,
        }
    }
    read.max_capacity_state = level_state(read.max_capacity, read.max_capacity_state);
    read.level_state = level_state(read.level, read.level_state);
    Ok(index(element, fields).map(|index| Tray { index, ..read }))
}

/// A number that is there is known, unless it is said otherwise.
fn level_state(value: Option<u64>, said: Option<LevelState>) -> Option<LevelState> {
    said.or_else(|| value.map(|_| LevelState::Known))
}

fn cover(element: &Element, fields: &mut Fields<'_>) -> Result<Option<Cover>, Malformed> {
    let (mut description, mut status) = (None, None);
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("Description") => fields.text(&mut description, SHORT)?,
            Some("CoverStatus") => fields.coded(&child, &mut status)?,
            _ => fields.unknown()?,
        }
    }
    Ok(index(element, fields).map(|index| Cover { index, description, status }))
}

fn alerts(element: &Element, fields: &mut Fields<'_>) -> Result<Alerts, Malformed> {
    let scope = match element.attribute("scope") {
        None | Some("all") => AlertScope::All,
        Some("changes") => AlertScope::Changes,
        Some(_) => {
            // not knowing what the list is, nobody may close alerts by it
            fields.notes.unreadable += 1;
            AlertScope::Changes
        }
    };
    let mut rows = Vec::new();
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("Alert") => rows.push(alert(&child, fields)?),
            _ => fields.unknown()?,
        }
    }
    Ok(Alerts { scope, rows })
}

fn alert(element: &Element, fields: &mut Fields<'_>) -> Result<Alert, Malformed> {
    let mut read = Alert { index: fields.number_attribute(element, "index"), ..Alert::default() };
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("Severity") => fields.coded(&child, &mut read.severity)?,
            Some("TrainingLevel") => fields.coded(&child, &mut read.training)?,
            Some("Group") => fields.coded(&child, &mut read.group)?,
            Some("GroupIndex") => fields.number(&mut read.group_index)?,
            Some("Location") => fields.number(&mut read.location)?,
            Some("Code") => fields.coded(&child, &mut read.code)?,
            Some("Description") if read.description.is_none() => {
                read.language = child.attribute("lang").map(str::to_owned);
                fields.text(&mut read.description, SHORT)?;
            }
            Some("Description") => fields.repeated()?,
            Some("UpTimeTicks") => fields.number(&mut read.up_time_ticks)?,
            Some("Time") => fields.value(&mut read.time, instant)?,
            Some("ClearTime") => fields.value(&mut read.clear_time, instant)?,
            _ => fields.unknown()?,
        }
    }
    Ok(read)
}

fn status(fields: &mut Fields<'_>) -> Result<Status, Malformed> {
    let mut read = Status::default();
    while let Some(child) = fields.child()? {
        match child.name_in(NAMESPACE) {
            Some("State") => fields.value(&mut read.state, |word| Some(word.to_ascii_lowercase()))?,
            Some("DeviceStatus") => fields.coded(&child, &mut read.device_status)?,
            Some("PrinterStatus") => fields.coded(&child, &mut read.printer_status)?,
            Some("DetectedErrors") => {
                let mut errors = None;
                fields.list(&mut errors, ROWS, "DetectedError", |error, fields| {
                    let mut coded = None;
                    fields.coded(error, &mut coded)?;
                    Ok(coded)
                })?;
                let mut raw = None;
                fields.attribute(&child, "raw", &mut raw, hex::decode);
                let detected = DetectedErrors { raw: raw.unwrap_or_default(), errors: errors.unwrap_or_default() };
                fields.keep(&mut read.detected_errors, Some(detected));
            }
            Some("StateReason") => fields.texts(&mut read.state_reasons)?,
            Some("ConsoleText") => fields.texts(&mut read.console)?,
            Some("UpTime") => fields.number(&mut read.up_time_seconds)?,
            _ => fields.unknown()?,
        }
    }
    Ok(read)
}

fn gap(element: &Element, fields: &mut Fields<'_>) -> Result<Option<Gap>, Malformed> {
    fields.cursor.skip()?;
    let text = |name| element.attribute(name).map(|text| crate::xml::chars::clean(text, SHORT).into_owned());
    let reasons = [GapReason::NotSupported, GapReason::NoAnswer, GapReason::Rejected, GapReason::Policy];
    let reason =
        element.attribute("reason").and_then(|word| reasons.into_iter().find(|reason| reason.as_str() == word));
    Ok(text("field").zip(reason).map(|(field, reason)| Gap { field, reason, detail: text("detail") }))
}
