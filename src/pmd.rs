//! Mapping files: from TOML to plans.
