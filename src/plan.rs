//! What to ask a device.
