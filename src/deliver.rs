//! Channels out.
