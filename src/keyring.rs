//! The machine key file, and what is sealed under it.
