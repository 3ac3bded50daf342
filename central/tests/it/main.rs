//! The central as its sites, its people and its operator see it: real HTTP over loopback, real files.

mod bed;
mod submit;
