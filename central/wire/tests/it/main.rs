//! What is seen from outside the package: golden files, the schema, hostile input, other people's tokens.

mod batches;
mod dice;
mod fuzz;
mod golden;
mod hostile;
mod interop;
mod round_trip;
mod size;
