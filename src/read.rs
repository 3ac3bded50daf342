//! Asking a device what its plan says.
