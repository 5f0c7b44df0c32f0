//! The control plane: all operations except writing and reading records.

pub mod account;
pub mod capacity;
pub mod channels;
pub mod consumers;
pub mod describe;
pub mod encryption;
pub mod lifecycle;
pub mod listing;
pub mod monitoring;
pub mod policy;
pub mod reshard;
pub mod resource;
pub mod retention;
pub mod tags;
