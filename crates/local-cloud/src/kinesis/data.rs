//! The data plane: writing and reading records.

pub mod get;
pub mod measure;
pub mod position;
pub mod put;
pub mod subscribe;
pub mod wait;
