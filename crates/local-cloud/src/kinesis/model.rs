//! What goes in and out of each operation, as the API's model has it.
//!
//! Inputs carry their own constraints ([`validate`]); both directions serialise to JSON and to CBOR alike.

pub mod input;
pub mod output;
pub mod rule;
pub mod value;

pub use validate::{Check, Input};

pub mod validate;
