//! Records that a function could not process: reading the messages about them ([`DeadLetter`]), and putting the records back
//! into a stream ([`Replay`]).

mod message;
mod records;
mod replay;
mod source;

pub use message::{Content, DeadLetter, Range, read};
pub use records::{Fetched, PageSink, fetch};
pub use replay::{Event, Events, MessageResult, Options, Replay, Totals};
pub use source::{MessageSource, ReceivedMessage, resolve};
