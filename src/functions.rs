//! Lambda functions: the code that streamctl carries ([`bundle`]), what can be deployed ([`package`]), and how a function
//! at the service is made and changed ([`function`]).
//!
//! Works only through [`crate::context::Context`].

pub mod bundle;
pub mod function;
pub mod package;
pub mod permissions;

pub use bundle::{Handler, Need};
pub use package::{Architecture, Package};
