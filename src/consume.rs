//! Placeholder of the consume module.
