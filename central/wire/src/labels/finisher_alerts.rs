//! Alert codes of finishers: 30000 + 100 × the finisher's finDeviceType + the generic code of the event, 3 to 38.
//!
//! 302xx is the stapler, a stitcher of another kind that finDeviceType does not tell apart (IANA-PRINTER-MIB, May 2010).

/// Codes from here on are built by the pattern.
pub(super) const FINISHER_CODES: i64 = 30_200;

/// The label of one of the pattern's codes.
pub(super) fn finisher_alert(code: i64) -> Option<&'static str> {
    let offset = usize::try_from(code - FINISHER_CODES).ok()?;
    let event = (offset % 100).checked_sub(FIRST_EVENT)?;
    LABELS.get(offset / 100)?.get(event).copied()
}

/// The code of one of the pattern's labels.
pub(super) fn finisher_alert_code(label: &str) -> Option<i64> {
    LABELS.iter().enumerate().find_map(|(finisher, events)| {
        let event = events.iter().position(|known| *known == label)?;
        Some(FINISHER_CODES + (finisher * 100 + event + FIRST_EVENT) as i64)
    })
}

const FIRST_EVENT: usize = 3;

macro_rules! events {
    ($($finisher:literal)*) => {
        [$([
            concat!($finisher, "CoverOpen"),
            concat!($finisher, "CoverClosed"),
            concat!($finisher, "InterlockOpen"),
            concat!($finisher, "InterlockClosed"),
            concat!($finisher, "ConfigurationChange"),
            concat!($finisher, "Jam"),
            concat!($finisher, "Missing"),
            concat!($finisher, "LifeAlmostOver"),
            concat!($finisher, "LifeOver"),
            concat!($finisher, "AlmostEmpty"),
            concat!($finisher, "Empty"),
            concat!($finisher, "AlmostFull"),
            concat!($finisher, "Full"),
            concat!($finisher, "NearLimit"),
            concat!($finisher, "AtLimit"),
            concat!($finisher, "Opened"),
            concat!($finisher, "Closed"),
            concat!($finisher, "TurnedOn"),
            concat!($finisher, "TurnedOff"),
            concat!($finisher, "Offline"),
            concat!($finisher, "PowerSaver"),
            concat!($finisher, "WarmingUp"),
            concat!($finisher, "Added"),
            concat!($finisher, "Removed"),
            concat!($finisher, "ResourceAdded"),
            concat!($finisher, "ResourceRemoved"),
            concat!($finisher, "RecoverableFailure"),
            concat!($finisher, "UnrecoverableFailure"),
            concat!($finisher, "RecoverableStorageError"),
            concat!($finisher, "UnrecoverableStorageError"),
            concat!($finisher, "MotorFailure"),
            concat!($finisher, "MemoryExhausted"),
            concat!($finisher, "UnderTemperature"),
            concat!($finisher, "OverTemperature"),
            concat!($finisher, "TimingFailure"),
            concat!($finisher, "ThermistorFailure"),
        ]),*]
    };
}

static LABELS: [[&str; 36]; 17] = events!(
    "stapler" "stitcher" "folder" "binder" "trimmer" "dieCutter" "puncher" "perforater" "slitter" "separationCutter"
    "imprinter" "wrapper" "bander" "makeEnvelope" "stacker" "sheetRotator" "inserter"
);
