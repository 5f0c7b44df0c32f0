//! The embedded local cloud. Knows nothing of the rest of the program, and is reached only over HTTP.

pub mod clock;
pub mod cloudwatch;
pub mod daemon;
pub mod kinesis;
pub mod metrics;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

/// The body of every answer: whole or streamed.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The account of everything in the local cloud: what AWS's own documentation and emulators use.
pub const ACCOUNT: &str = "000000000000";

/// Who asks, as far as the local cloud tells callers apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// 12-digit account id.
    pub account: String,
    /// Region of the request's signature.
    pub region: String,
}
