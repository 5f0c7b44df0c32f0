//! What several commands need. Commands import from here, never from one another.

pub(crate) mod alarms;
pub(crate) mod candidates;
pub(crate) mod change;
pub(crate) mod damage;
pub(crate) mod duration;
pub(crate) mod failed_file;
pub(crate) mod function;
pub(crate) mod given_up;
pub(crate) mod global;
pub(crate) mod pipeline;
pub(crate) mod rate;
pub(crate) mod scope;
pub(crate) mod sending;
pub(crate) mod session;
pub(crate) mod size;
pub(crate) mod stream;
pub(crate) mod template;
pub(crate) mod verdict;
pub(crate) mod waiting;

pub(crate) use session::Session;
pub(crate) use stream::{StreamArg, StreamFlag};
