//! Answers to a reading with its gaps, and every candidate tried.
