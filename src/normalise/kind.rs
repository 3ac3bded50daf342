//! What a field wants of the value that a rule brings.

/// What a field wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One line of text; placeholders are none.
    Text,
    /// A model: text without the brand, print servers are none.
    Model,
    /// A serial number: text, bogus ones are none.
    Serial,
    /// A firmware: text without a word in front that only says so.
    Firmware,
    /// A whole number, 0 or more.
    Count,
    /// A whole number of any sign.
    Number,
    /// A level or capacity: a number, −1, −2, −3, or the word of a state.
    Level,
    /// Whatever it is.
    Any,
}

/// What a field is, by its name.
pub fn kind_of(field: &str) -> Kind {
    match field {
        "identity.model" => Kind::Model,
        "identity.serial_number" => Kind::Serial,
        "identity.firmware" => Kind::Firmware,
        "capabilities.pages_per_minute"
        | "capabilities.pages_per_minute_color"
        | "capabilities.trays"
        | "capabilities.memory_bytes"
        | "capabilities.disk_bytes"
        | "capabilities.color"
        | "capabilities.two_sided" => Kind::Count,
        "status.detected_errors" | "status.console" => Kind::Any,
        _ if field.starts_with("counters.") => Kind::Count,
        _ if field.starts_with("let.") => Kind::Any,
        _ => Kind::Text,
    }
}
