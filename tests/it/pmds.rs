//! pmds
