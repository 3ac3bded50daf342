//! Readings as table, JSON, CSV and XML.
