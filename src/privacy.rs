//! The field policy: send, drop or hash.
