//! Records on their way to and from a stream: how they are read from inputs, the bodies of PutRecords and GetRecords, and the
//! engine that puts them.
//!
//! What a record costs is decided here, so this crate is small and fully optimised. It knows no client of AWS: the engine
//! reaches the service through [`produce::Transport`].

pub mod produce;
pub mod record;
pub mod sequence;
pub mod wire;
