//! One run, and the daemon.
