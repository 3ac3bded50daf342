//! Who a device is: what the identification request tells, whether it is a printer, and the key by which it is known.

use std::fmt;

use crate::device_id::pair;
use crate::normalise::text;
use crate::plan::Answers;
use crate::pmd::words::Words;
use crate::snmp::{Oid, Value};

const SYS_DESCR: [u32; 9] = [1, 3, 6, 1, 2, 1, 1, 1, 0];
const SYS_OBJECT_ID: [u32; 9] = [1, 3, 6, 1, 2, 1, 1, 2, 0];
const SYS_UP_TIME: [u32; 9] = [1, 3, 6, 1, 2, 1, 1, 3, 0];
const SYS_NAME: [u32; 9] = [1, 3, 6, 1, 2, 1, 1, 5, 0];
const SYS_LOCATION: [u32; 9] = [1, 3, 6, 1, 2, 1, 1, 6, 0];
const HR_DEVICE_TYPE: [u32; 11] = [1, 3, 6, 1, 2, 1, 25, 3, 2, 1, 2];
const HR_DEVICE_DESCR: [u32; 11] = [1, 3, 6, 1, 2, 1, 25, 3, 2, 1, 3];
/// hrDeviceType of a printer.
const PRINTER: [u32; 10] = [1, 3, 6, 1, 2, 1, 25, 3, 1, 5];
const PRINTER_MIB: [u32; 7] = [1, 3, 6, 1, 2, 1, 43];
/// Where an IEEE 1284 id is found before a mapping is chosen: ppmPrinterIEEE1284DeviceId, gdStatusId, which many makers
/// answer, and its copy in Brother's tree, whose ink and laser devices share one sysObjectID.
const DEVICE_IDS: [&[u32]; 3] = [
    &[1, 3, 6, 1, 4, 1, 2699, 1, 2, 1, 2, 1, 1, 3, 1],
    &[1, 3, 6, 1, 4, 1, 11, 2, 3, 9, 1, 1, 7, 0],
    &[1, 3, 6, 1, 4, 1, 2435, 2, 3, 9, 1, 1, 7, 0],
];
/// What `generic/printer-mib` asks of every device and has room in the first request: ppmPrinterName, HP's serial number,
/// hrMemorySize.
const ASKED_ANYWAY: [&[u32]; 3] = [
    &[1, 3, 6, 1, 4, 1, 2699, 1, 2, 1, 2, 1, 1, 2, 1],
    &[1, 3, 6, 1, 4, 1, 11, 2, 3, 9, 4, 2, 1, 1, 3, 3, 0],
    &[1, 3, 6, 1, 2, 1, 25, 2, 2, 0],
];
/// Columns whose first row tells the Printer-MIB's device index: general, markers, supplies, inputs, charsets, alerts.
const INDEXED: [[u32; 11]; 6] = [
    [1, 3, 6, 1, 2, 1, 43, 5, 1, 1, 1],
    [1, 3, 6, 1, 2, 1, 43, 10, 2, 1, 4],
    [1, 3, 6, 1, 2, 1, 43, 11, 1, 1, 6],
    [1, 3, 6, 1, 2, 1, 43, 8, 2, 1, 10],
    [1, 3, 6, 1, 2, 1, 43, 7, 1, 1, 4],
    [1, 3, 6, 1, 2, 1, 43, 11, 1, 1, 2],
];
/// Rows of hrDeviceType that are looked at.
const DEVICES_MAX: usize = 64;

/// The first request to an unknown device: enough to know who it is when its printer has hrDeviceIndex 1.
pub fn first_request() -> Vec<Oid> {
    let mut oids: Vec<Oid> =
        [SYS_DESCR, SYS_OBJECT_ID, SYS_UP_TIME, SYS_NAME, SYS_LOCATION].iter().map(|arcs| Oid::new(arcs)).collect();
    oids.extend(DEVICE_IDS.map(Oid::new));
    oids.extend(ASKED_ANYWAY.map(Oid::new));
    oids.push(Oid::new(&HR_DEVICE_TYPE).join(&[1]));
    oids.extend(of_device(1));
    oids
}

/// What lies under the printer's device index and is wanted at once.
pub fn of_device(device: u32) -> Vec<Oid> {
    let mut oids = vec![Oid::new(&HR_DEVICE_DESCR).join(&[device])];
    // hrDeviceStatus, hrPrinterStatus, hrPrinterDetectedErrorState
    let status = [[3, 2, 1, 5], [3, 5, 1, 1], [3, 5, 1, 2]];
    oids.extend(status.map(|column| Oid::new(&[1, 3, 6, 1, 2, 1, 25]).join(&column).join(&[device])));
    // prtGeneralConfigChanges, prtGeneralPrinterName, prtGeneralSerialNumber
    oids.extend([1, 16, 17].map(|column| Oid::new(&PRINTER_MIB).join(&[5, 1, 1, column, device])));
    oids
}

/// sysUpTime.0.
pub fn up_time() -> Oid {
    Oid::new(&SYS_UP_TIME)
}

/// Where to look on for the printer when the first request did not show it at index 1: columns to ask by GETNEXT.
pub fn search(answers: &Answers) -> Vec<Oid> {
    if is_printer_row(answers, &Oid::new(&HR_DEVICE_TYPE).join(&[1])) {
        return Vec::new();
    }
    let mut starts = vec![Oid::new(&HR_DEVICE_TYPE), Oid::new(&PRINTER_MIB)];
    starts.extend(INDEXED.iter().map(|arcs| Oid::new(arcs)));
    starts
}

/// Goes on along hrDeviceType until the printer's row or its end.
pub fn search_on(answers: &Answers, asked: &[Oid]) -> Vec<Oid> {
    let column = Oid::new(&HR_DEVICE_TYPE);
    let rows: Vec<Oid> = answers.column("", &column).map(|(index, _)| column.join(index)).collect();
    let found = rows.iter().any(|row| is_printer_row(answers, row));
    match rows.last() {
        Some(last) if !found && rows.len() < DEVICES_MAX && !asked.contains(last) => vec![last.clone()],
        _ => Vec::new(),
    }
}

/// The printer's hrDeviceIndex: its hrDeviceType row; else what the Printer-MIB's rows begin with; else 1.
pub fn device_index(answers: &Answers) -> u32 {
    let column = Oid::new(&HR_DEVICE_TYPE);
    let row = answers.column("", &column).find(|(index, _)| is_printer_row(answers, &column.join(index)));
    if let Some((index, _)) = row {
        return index.last().copied().unwrap_or(1);
    }
    let of_mib = INDEXED.iter().find_map(|arcs| {
        let column = Oid::new(arcs);
        answers.column("", &column).next().and_then(|(index, _)| index.first().copied())
    });
    of_mib.unwrap_or(1)
}

/// What the answers say about who it is.
pub fn identity(answers: &Answers, device: u32) -> Identity {
    let text = |oid: &Oid| match answers.value("", oid)? {
        Value::Octets(bytes) => Some(text::clean(&text::decode(bytes, None, None))).filter(|text| !text.is_empty()),
        _ => None,
    };
    let system = |arcs: &[u32]| text(&Oid::new(arcs));
    Identity {
        sys_object_id: match answers.value("", &Oid::new(&SYS_OBJECT_ID)) {
            Some(Value::Oid(oid)) => Some(oid.clone()),
            _ => None,
        },
        description: system(&SYS_DESCR),
        name: system(&SYS_NAME),
        location: system(&SYS_LOCATION),
        up_time_ticks: match answers.value("", &up_time()) {
            Some(Value::TimeTicks(ticks)) => Some(*ticks),
            _ => None,
        },
        device_id: DEVICE_IDS.iter().find_map(|arcs| system(arcs)),
        device_description: text(&Oid::new(&HR_DEVICE_DESCR).join(&[device])),
        device,
    }
}

/// Why a device that answers is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPrinter {
    /// It lists its devices, and none is a printer.
    #[error("none of its devices is a printer")]
    OtherDevices,
    /// Nothing in it says printer.
    #[error("nothing in it says printer")]
    NoSign,
}

/// Whether it is a printer (`walks/INDEX.md` section 2): its device list says so, the Printer-MIB answers, its IEEE 1284
/// id says so, or sysObjectID or the first word of sysDescr belongs to a printer family.
pub fn is_printer(identity: &Identity, answers: &Answers, words: &Words) -> Result<(), NotPrinter> {
    let column = Oid::new(&HR_DEVICE_TYPE);
    let mut rows = answers.column("", &column).peekable();
    let has_rows = rows.peek().is_some();
    if rows.any(|(index, _)| is_printer_row(answers, &column.join(index))) {
        return Ok(());
    }
    if answers.column("", &Oid::new(&PRINTER_MIB)).next().is_some() {
        return Ok(());
    }
    let class = identity.device_id.as_deref().and_then(|id| pair(id, "CLS"));
    if class.is_some_and(|class| class.eq_ignore_ascii_case("PRINTER")) {
        return Ok(());
    }
    if has_rows {
        return Err(NotPrinter::OtherDevices);
    }
    let family = identity.sys_object_id.as_ref().and_then(|oid| words.find("enterprises", &oid.to_string()));
    let brands = if identity.sys_object_id.is_some() { "printer_brands" } else { "vendors" };
    let brand = identity.description.as_deref().and_then(|text| words.find(brands, text));
    if family.or(brand).is_some() { Ok(()) } else { Err(NotPrinter::NoSign) }
}

fn is_printer_row(answers: &Answers, row: &Oid) -> bool {
    matches!(answers.value("", row), Some(Value::Oid(kind)) if kind.arcs() == PRINTER)
}

/// What the first request tells about a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// sysObjectID.
    pub sys_object_id: Option<Oid>,
    /// sysDescr.
    pub description: Option<String>,
    /// sysName.
    pub name: Option<String>,
    /// sysLocation.
    pub location: Option<String>,
    /// sysUpTime, 1/100 s.
    pub up_time_ticks: Option<u32>,
    /// The first IEEE 1284 id that an object gave.
    pub device_id: Option<String>,
    /// hrDeviceDescr of the printer's row.
    pub device_description: Option<String>,
    /// The printer's hrDeviceIndex: usually 1, 0 on some.
    pub device: u32,
}

impl Identity {
    /// The model as far as it is known before a mapping is chosen: hrDeviceDescr, else MDL of the IEEE 1284 id.
    pub fn model_hint(&self) -> Option<String> {
        self.device_description.clone().or_else(|| pair(self.device_id.as_deref()?, "MDL"))
    }
}

/// The key by which a device is known for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceKey(String);

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The one place where a key is made (standards.md 1.3): `sn:<vendor>:<serial>`, vendor in lower case, serial in upper
/// case without blanks; without a serial number `uuid:<uuid>`, else `mac:<first MAC>`, else `ip:<address>`. Bogus serial
/// numbers never come here: the field `identity.serial_number` refuses them by `bogus_serials` of `pmd/words.toml`.
pub fn device_key(
    vendor: Option<&str>,
    serial: Option<&str>,
    uuid: Option<&str>,
    macs: &[String],
    address: &str,
) -> DeviceKey {
    let serial: String =
        serial.unwrap_or_default().chars().filter(|c| !c.is_whitespace()).flat_map(char::to_uppercase).collect();
    DeviceKey(match (vendor, serial.as_str(), uuid, macs.first()) {
        (Some(vendor), serial, _, _) if !serial.is_empty() => format!("sn:{}:{serial}", vendor.to_lowercase()),
        (_, _, Some(uuid), _) => format!("uuid:{uuid}"),
        (_, _, None, Some(mac)) => format!("mac:{mac}"),
        _ => format!("ip:{address}"),
    })
}

/// A bare UUID in lower case out of `urn:uuid:…`, braces, or plain text.
pub fn uuid(text: &str) -> Option<String> {
    let bare = text.trim().trim_start_matches("urn:uuid:").trim_matches(['{', '}']).to_lowercase();
    let groups: Vec<&str> = bare.split('-').collect();
    let right = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
        && bare.bytes().any(|b| b != b'0' && b != b'-');
    right.then_some(bare)
}
