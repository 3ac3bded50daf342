//! Registered numbers and their labels: RFC 3805 and the living IANA-PRINTER-MIB, RFC 2790, RFC 3806.
//!
//! The spelling is the registered one, misspellings included (`hundrethsOfFluidOunces`). Every enumeration is open: a
//! device may send a number that is not here, and then number and text are kept and treated as `other`.

mod finisher_alerts;
mod languages;

use crate::reading::Coded;
use finisher_alerts::{FINISHER_CODES, finisher_alert, finisher_alert_code};
use languages::LANGUAGE;

/// An enumeration whose numbers have labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// prtMarkerSuppliesClass.
    SupplyClass,
    /// prtMarkerSuppliesType.
    SupplyType,
    /// prtMarkerSuppliesSupplyUnit.
    SupplyUnit,
    /// prtMarkerCounterUnit.
    CounterUnit,
    /// prtMarkerMarkTech.
    MarkerTechnology,
    /// prtMarkerColorantRole.
    ColorantRole,
    /// prtCoverStatus.
    CoverStatus,
    /// prtAlertSeverityLevel.
    AlertSeverity,
    /// prtAlertTrainingLevel.
    AlertTraining,
    /// prtAlertGroup.
    AlertGroup,
    /// prtAlertCode.
    AlertCode,
    /// hrDeviceStatus.
    DeviceStatus,
    /// hrPrinterStatus.
    PrinterStatus,
    /// Bits of hrPrinterDetectedErrorState; 0 is the most significant bit of the first octet.
    DetectedError,
    /// finDeviceType of RFC 3806.
    Finisher,
    /// prtInterpreterLangFamily, without the `lang` that every registered label starts with, and `PS` spelt out.
    Language,
}

/// The label of a number; `None` when none is registered.
///
/// ```
/// use meterpost_wire::labels::{Table, label};
/// assert_eq!(label(Table::SupplyType, 21), Some("tonerCartridge"));
/// assert_eq!(label(Table::AlertCode, 30413), Some("folderEmpty"));
/// assert_eq!(label(Table::AlertCode, 99), None);
/// ```
pub fn label(table: Table, code: i64) -> Option<&'static str> {
    if table == Table::AlertCode && code >= FINISHER_CODES {
        return finisher_alert(code);
    }
    rows(table).iter().find(|(number, _)| *number == code).map(|(_, label)| *label)
}

/// The number behind a label, the spelling exact; `None` when no such label is registered.
pub fn code(table: Table, label: &str) -> Option<i64> {
    let plain = rows(table).iter().find(|(_, known)| *known == label).map(|(number, _)| *number);
    plain.or_else(|| if table == Table::AlertCode { finisher_alert_code(label) } else { None })
}

impl Coded {
    /// A number as a device sent it, with its label; one that is not registered keeps its number under `other`.
    pub fn from_code(table: Table, code: i64) -> Self {
        Self { label: label(table, code).unwrap_or("other").to_owned(), code: Some(code) }
    }

    /// A label as a mapping names it, with its number where it is registered.
    pub fn from_label(table: Table, label: &str) -> Self {
        Self { label: label.to_owned(), code: code(table, label) }
    }
}

/// hrPrinterDetectedErrorState as words: bits that have none are left out, missing octets count as zero.
pub fn detected_errors(raw: &[u8]) -> Vec<Coded> {
    let is_set = |bit: i64| raw.get(bit as usize / 8).is_some_and(|octet| octet & (0x80 >> (bit % 8)) != 0);
    let set = DETECTED_ERROR.iter().filter(|(bit, _)| is_set(*bit));
    set.map(|(bit, label)| Coded { label: (*label).to_owned(), code: Some(*bit) }).collect()
}

/// One row: number, label.
type Row = (i64, &'static str);

fn rows(table: Table) -> &'static [Row] {
    match table {
        Table::SupplyClass => SUPPLY_CLASS,
        Table::SupplyType => SUPPLY_TYPE,
        Table::SupplyUnit => SUPPLY_UNIT,
        Table::CounterUnit => COUNTER_UNIT,
        Table::MarkerTechnology => MARKER_TECHNOLOGY,
        Table::ColorantRole => COLORANT_ROLE,
        Table::CoverStatus => COVER_STATUS,
        Table::AlertSeverity => ALERT_SEVERITY,
        Table::AlertTraining => ALERT_TRAINING,
        Table::AlertGroup => ALERT_GROUP,
        Table::AlertCode => ALERT_CODE,
        Table::DeviceStatus => DEVICE_STATUS,
        Table::PrinterStatus => PRINTER_STATUS,
        Table::DetectedError => DETECTED_ERROR,
        Table::Finisher => FINISHER,
        Table::Language => LANGUAGE,
    }
}

const SUPPLY_CLASS: &[Row] = &[(1, "other"), (3, "supplyThatIsConsumed"), (4, "receptacleThatIsFilled")];

const SUPPLY_TYPE: &[Row] = &[
    (1, "other"),
    (2, "unknown"),
    (3, "toner"),
    (4, "wasteToner"),
    (5, "ink"),
    (6, "inkCartridge"),
    (7, "inkRibbon"),
    (8, "wasteInk"),
    (9, "opc"),
    (10, "developer"),
    (11, "fuserOil"),
    (12, "solidWax"),
    (13, "ribbonWax"),
    (14, "wasteWax"),
    (15, "fuser"),
    (16, "coronaWire"),
    (17, "fuserOilWick"),
    (18, "cleanerUnit"),
    (19, "fuserCleaningPad"),
    (20, "transferUnit"),
    (21, "tonerCartridge"),
    (22, "fuserOiler"),
    (23, "water"),
    (24, "wasteWater"),
    (25, "glueWaterAdditive"),
    (26, "wastePaper"),
    (27, "bindingSupply"),
    (28, "bandingSupply"),
    (29, "stitchingWire"),
    (30, "shrinkWrap"),
    (31, "paperWrap"),
    (32, "staples"),
    (33, "inserts"),
    (34, "covers"),
    (35, "matteToner"),
    (36, "matteInk"),
];

const SUPPLY_UNIT: &[Row] = &[
    (1, "other"),
    (2, "unknown"),
    (3, "tenThousandthsOfInches"),
    (4, "micrometers"),
    (7, "impressions"),
    (8, "sheets"),
    (11, "hours"),
    (12, "thousandthsOfOunces"),
    (13, "tenthsOfGrams"),
    (14, "hundrethsOfFluidOunces"),
    (15, "tenthsOfMilliliters"),
    (16, "feet"),
    (17, "meters"),
    (18, "items"),
    (19, "percent"),
];

const COUNTER_UNIT: &[Row] = &[
    (3, "tenThousandthsOfInches"),
    (4, "micrometers"),
    (5, "characters"),
    (6, "lines"),
    (7, "impressions"),
    (8, "sheets"),
    (9, "dotRow"),
    (11, "hours"),
    (16, "feet"),
    (17, "meters"),
];

const MARKER_TECHNOLOGY: &[Row] = &[
    (1, "other"),
    (2, "unknown"),
    (3, "electrophotographicLED"),
    (4, "electrophotographicLaser"),
    (5, "electrophotographicOther"),
    (6, "impactMovingHeadDotMatrix9pin"),
    (7, "impactMovingHeadDotMatrix24pin"),
    (8, "impactMovingHeadDotMatrixOther"),
    (9, "impactMovingHeadFullyFormed"),
    (10, "impactBand"),
    (11, "impactOther"),
    (12, "inkjetAqueous"),
    (13, "inkjetSolid"),
    (14, "inkjetOther"),
    (15, "pen"),
    (16, "thermalTransfer"),
    (17, "thermalSensitive"),
    (18, "thermalDiffusion"),
    (19, "thermalOther"),
    (20, "electroerosion"),
    (21, "electrostatic"),
    (22, "photographicMicrofiche"),
    (23, "photographicImagesetter"),
    (24, "photographicOther"),
    (25, "ionDeposition"),
    (26, "eBeam"),
    (27, "typesetter"),
];

const COLORANT_ROLE: &[Row] = &[(1, "other"), (3, "process"), (4, "spot")];

const COVER_STATUS: &[Row] =
    &[(1, "other"), (2, "unknown"), (3, "coverOpen"), (4, "coverClosed"), (5, "interlockOpen"), (6, "interlockClosed")];

const ALERT_SEVERITY: &[Row] = &[(1, "other"), (3, "critical"), (4, "warning"), (5, "warningBinaryChangeEvent")];

const ALERT_TRAINING: &[Row] = &[
    (1, "other"),
    (2, "unknown"),
    (3, "untrained"),
    (4, "trained"),
    (5, "fieldService"),
    (6, "management"),
    (7, "noInterventionRequired"),
];

const ALERT_GROUP: &[Row] = &[
    (1, "other"),
    (2, "unknown"),
    (3, "hostResourcesMIBStorageTable"),
    (4, "hostResourcesMIBDeviceTable"),
    (5, "generalPrinter"),
    (6, "cover"),
    (7, "localization"),
    (8, "input"),
    (9, "output"),
    (10, "marker"),
    (11, "markerSupplies"),
    (12, "markerColorant"),
    (13, "mediaPath"),
    (14, "channel"),
    (15, "interpreter"),
    (16, "consoleDisplayBuffer"),
    (17, "consoleLights"),
    (18, "alert"),
    (30, "finDevice"),
    (31, "finSupply"),
    (32, "finSupplyMediaInput"),
    (33, "finAttribute"),
];

/// Codes below those of the finishers; 3 to 38 are common to all groups.
const ALERT_CODE: &[Row] = &[
    (1, "other"),
    (2, "unknown"),
    (3, "coverOpen"),
    (4, "coverClosed"),
    (5, "interlockOpen"),
    (6, "interlockClosed"),
    (7, "configurationChange"),
    (8, "jam"),
    (9, "subunitMissing"),
    (10, "subunitLifeAlmostOver"),
    (11, "subunitLifeOver"),
    (12, "subunitAlmostEmpty"),
    (13, "subunitEmpty"),
    (14, "subunitAlmostFull"),
    (15, "subunitFull"),
    (16, "subunitNearLimit"),
    (17, "subunitAtLimit"),
    (18, "subunitOpened"),
    (19, "subunitClosed"),
    (20, "subunitTurnedOn"),
    (21, "subunitTurnedOff"),
    (22, "subunitOffline"),
    (23, "subunitPowerSaver"),
    (24, "subunitWarmingUp"),
    (25, "subunitAdded"),
    (26, "subunitRemoved"),
    (27, "subunitResourceAdded"),
    (28, "subunitResourceRemoved"),
    (29, "subunitRecoverableFailure"),
    (30, "subunitUnrecoverableFailure"),
    (31, "subunitRecoverableStorageError"),
    (32, "subunitUnrecoverableStorageError"),
    (33, "subunitMotorFailure"),
    (34, "subunitMemoryExhausted"),
    (35, "subunitUnderTemperature"),
    (36, "subunitOverTemperature"),
    (37, "subunitTimingFailure"),
    (38, "subunitThermistorFailure"),
    (501, "doorOpen"),
    (502, "doorClosed"),
    (503, "powerUp"),
    (504, "powerDown"),
    (505, "printerNMSReset"),
    (506, "printerManualReset"),
    (507, "printerReadyToPrint"),
    (801, "inputMediaTrayMissing"),
    (802, "inputMediaSizeChange"),
    (803, "inputMediaWeightChange"),
    (804, "inputMediaTypeChange"),
    (805, "inputMediaColorChange"),
    (806, "inputMediaFormPartsChange"),
    (807, "inputMediaSupplyLow"),
    (808, "inputMediaSupplyEmpty"),
    (809, "inputMediaChangeRequest"),
    (810, "inputManualInputRequest"),
    (811, "inputTrayPositionFailure"),
    (812, "inputTrayElevationFailure"),
    (813, "inputCannotFeedSizeSelected"),
    (901, "outputMediaTrayMissing"),
    (902, "outputMediaTrayAlmostFull"),
    (903, "outputMediaTrayFull"),
    (904, "outputMailboxSelectFailure"),
    (1001, "markerFuserUnderTemperature"),
    (1002, "markerFuserOverTemperature"),
    (1003, "markerFuserTimingFailure"),
    (1004, "markerFuserThermistorFailure"),
    (1005, "markerAdjustingPrintQuality"),
    (1101, "markerTonerEmpty"),
    (1102, "markerInkEmpty"),
    (1103, "markerPrintRibbonEmpty"),
    (1104, "markerTonerAlmostEmpty"),
    (1105, "markerInkAlmostEmpty"),
    (1106, "markerPrintRibbonAlmostEmpty"),
    (1107, "markerWasteTonerReceptacleAlmostFull"),
    (1108, "markerWasteInkReceptacleAlmostFull"),
    (1109, "markerWasteTonerReceptacleFull"),
    (1110, "markerWasteInkReceptacleFull"),
    (1111, "markerOpcLifeAlmostOver"),
    (1112, "markerOpcLifeOver"),
    (1113, "markerDeveloperAlmostEmpty"),
    (1114, "markerDeveloperEmpty"),
    (1115, "markerTonerCartridgeMissing"),
    (1301, "mediaPathMediaTrayMissing"),
    (1302, "mediaPathMediaTrayAlmostFull"),
    (1303, "mediaPathMediaTrayFull"),
    (1304, "mediaPathCannotDuplexMediaSelected"),
    (1501, "interpreterMemoryIncrease"),
    (1502, "interpreterMemoryDecrease"),
    (1503, "interpreterCartridgeAdded"),
    (1504, "interpreterCartridgeDeleted"),
    (1505, "interpreterResourceAdded"),
    (1506, "interpreterResourceDeleted"),
    (1507, "interpreterResourceUnavailable"),
    (1509, "interpreterComplexPageEncountered"),
    (1801, "alertRemovalOfBinaryChangeEntry"),
];

const DEVICE_STATUS: &[Row] = &[(1, "unknown"), (2, "running"), (3, "warning"), (4, "testing"), (5, "down")];

const PRINTER_STATUS: &[Row] = &[(1, "other"), (2, "unknown"), (3, "idle"), (4, "printing"), (5, "warmup")];

const DETECTED_ERROR: &[Row] = &[
    (0, "lowPaper"),
    (1, "noPaper"),
    (2, "lowToner"),
    (3, "noToner"),
    (4, "doorOpen"),
    (5, "jammed"),
    (6, "offline"),
    (7, "serviceRequested"),
    (8, "inputTrayMissing"),
    (9, "outputTrayMissing"),
    (10, "markerSupplyMissing"),
    (11, "outputNearFull"),
    (12, "outputFull"),
    (13, "inputTrayEmpty"),
    (14, "overduePreventMaint"),
];

const FINISHER: &[Row] = &[
    (1, "other"),
    (2, "unknown"),
    (3, "stitcher"),
    (4, "folder"),
    (5, "binder"),
    (6, "trimmer"),
    (7, "dieCutter"),
    (8, "puncher"),
    (9, "perforater"),
    (10, "slitter"),
    (11, "separationCutter"),
    (12, "imprinter"),
    (13, "wrapper"),
    (14, "bander"),
    (15, "makeEnvelope"),
    (16, "stacker"),
    (17, "sheetRotator"),
    (18, "inserter"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: [Table; 16] = [
        Table::SupplyClass,
        Table::SupplyType,
        Table::SupplyUnit,
        Table::CounterUnit,
        Table::MarkerTechnology,
        Table::ColorantRole,
        Table::CoverStatus,
        Table::AlertSeverity,
        Table::AlertTraining,
        Table::AlertGroup,
        Table::AlertCode,
        Table::DeviceStatus,
        Table::PrinterStatus,
        Table::DetectedError,
        Table::Finisher,
        Table::Language,
    ];

    #[test]
    fn every_label_leads_back_to_its_number() {
        for table in TABLES {
            for (number, word) in rows(table) {
                assert_eq!(label(table, *number), Some(*word), "{table:?} {number}");
                assert_eq!(code(table, word), Some(*number), "{table:?} {word}");
            }
        }
    }

    #[test]
    fn alerts_of_finishers_follow_the_pattern_of_the_registry() {
        for (number, word) in [
            (30203, Some("staplerCoverOpen")),
            (30238, Some("staplerThermistorFailure")),
            (30308, Some("stitcherJam")),
            (30513, Some("binderEmpty")),
            (31103, Some("separationCutterCoverOpen")),
            (31838, Some("inserterThermistorFailure")),
            (30202, None),
            (30239, None),
            (31903, None),
            (i64::MAX, None),
        ] {
            assert_eq!(label(Table::AlertCode, number), word, "{number}");
            if let Some(word) = word {
                assert_eq!(code(Table::AlertCode, word), Some(number), "{word}");
            }
        }
    }

    #[test]
    fn an_unregistered_number_is_other_and_keeps_its_number() {
        assert_eq!(Coded::from_code(Table::AlertCode, 40001), Coded { label: "other".to_owned(), code: Some(40001) });
        assert_eq!(Coded::from_label(Table::SupplyType, "belt"), Coded { label: "belt".to_owned(), code: None });
    }

    #[test]
    fn error_bits_count_from_the_most_significant_bit_of_the_first_octet() {
        let words = |raw: &[u8]| detected_errors(raw).into_iter().map(|error| error.label).collect::<Vec<_>>();
        assert_eq!(words(&[0x80]), ["lowPaper"]);
        assert_eq!(words(&[0x01, 0x02]), ["serviceRequested", "overduePreventMaint"]);
        assert_eq!(words(&[0x00, 0x01, 0xff]), [""; 0]);
        assert_eq!(words(&[]), [""; 0]);
    }
}
