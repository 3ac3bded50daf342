//! Mapping files (PMD): which objects of a printer family hold which field of a reading.
//!
//! `pmd/README.md` is the format. A file is read twice: as written (`raw`), then as meant.

pub mod raw;
