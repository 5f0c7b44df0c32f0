//! Puts records into a stream: the producer of [`data_plane::produce`], over the AWS SDK.

mod kinesis;

pub use data_plane::produce::*;
pub use kinesis::{KinesisTransport, StreamLimits};
