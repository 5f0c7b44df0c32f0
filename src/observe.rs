//! Placeholder of the observe module.
