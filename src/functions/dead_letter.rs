//! Records that a function could not process: reading the messages about them ([`Letter`]), and putting the records back
//! into a stream ([`Replay`]).

mod message;
mod records;
mod replay;
mod source;

pub use message::{Content, Letter, Range, read};
pub use records::{Fetched, Puller, fetch};
pub use replay::{Event, Events, MessageResult, Options, Replay, Totals};
pub use source::{MessageSource, ReceivedMessage, resolve};
