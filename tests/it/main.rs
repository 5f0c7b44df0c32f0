//! The real binary, end to end.

mod local;
