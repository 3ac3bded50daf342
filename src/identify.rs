//! Who a device is.
