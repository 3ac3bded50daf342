//! When the next run is due.
