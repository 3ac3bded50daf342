//! Arguments to a command.
