//! The central as its sites, its people and its operator see it: real HTTP over loopback, real files.

mod bed;
mod chain;
mod commands;
mod damaged;
mod hostile;
mod packs;
mod people;
mod strange_clients;
mod submit;
mod tls;
