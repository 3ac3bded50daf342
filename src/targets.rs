//! Ranges, names and exclusions.
