//! Records that a function could not process: reading the messages about them ([`DeadLetter`]), and processing the records
//! again ([`Replay`]).

mod message;
mod records;
mod reinvoke;
mod replay;
mod source;

pub use message::{Content, DeadLetter, KeptRecord, Range, read};
pub use records::{Fetched, PageSink, fetch};
pub use replay::{Event, Events, MessageResult, Options, Replay, Totals};
pub use source::{MessageSource, ReceivedMessage, resolve};
