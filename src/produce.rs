//! Placeholder of the produce module.
