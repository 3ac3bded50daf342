//! Receives the sealed batches of meterpost collectors, stores them, shows and exports them. Never connects to a site.
//!
//! ```text
//! receive (SOAP) ─► open ─► check ─► store ─► derive ─► pages, exports
//! ```
