//! What is seen from outside the package: golden files, the schema, hostile input, other people's tokens.

mod batches;
mod golden;
mod size;
