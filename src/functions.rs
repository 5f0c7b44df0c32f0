//! Lambda functions: the code that streamctl carries ([`bundle`]), what can be deployed ([`package`]), and how a function
//! at the service is made and changed ([`function`]); how it is fed ([`mapping`]), run ([`invoke`], [`runtime`], [`consumer`])
//! and watched ([`logs`]), and what becomes of records that it could not process ([`dead_letter`]).
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
pub mod package;
pub mod permissions;
pub mod runtime;

pub use bundle::{Handler, Need};
pub use package::{Architecture, Package};
