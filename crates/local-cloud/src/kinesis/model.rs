//! Inputs and outputs of the operations, as the API's model defines them.
//!
//! Inputs carry their constraints ([`validate`]). Inputs and outputs work with JSON and CBOR.

pub mod input;
pub mod output;
pub mod rule;
pub mod value;

pub use validate::{Check, Input};

pub mod validate;
