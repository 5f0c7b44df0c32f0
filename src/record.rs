//! Placeholder of the record module.
