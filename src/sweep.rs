//! Who is asked next, and how many each second.
