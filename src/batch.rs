//! Readings cut to size.
