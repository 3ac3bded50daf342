//! The durable queue of sealed batches.
