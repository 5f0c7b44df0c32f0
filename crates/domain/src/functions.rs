//! Lambda functions: bundled code ([`bundle`]), deployment packages ([`package`]), creating and changing a function
//! ([`function`]), its event source mappings ([`mapping`]), running it ([`invoke`], [`runtime`], [`consumer`]), its
//! logs ([`logs`]), and the records that it could not process ([`dead_letter`]).
//!
//! Works only through [`crate::context::Context`].

pub mod answer;
pub mod bundle;
pub mod consumer;
pub mod dead_letter;
pub mod event;
pub mod function;
pub mod invoke;
pub mod logs;
pub mod mapping;
pub mod names;
pub mod package;
pub mod permissions;
pub mod runtime;

pub use bundle::{Handler, Need};
pub use package::{Architecture, Package};
