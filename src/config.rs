//! The configuration file, as written and as meant.
