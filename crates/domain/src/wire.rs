//! PutRecords and GetRecords with the bodies of [`data_plane::wire`], in JSON or CBOR ([`crate::context::Formats`]).
//!
//! Endpoints, credentials, signatures and time limits are the SDK's ([`operation`], [`signing`], [`direct`]). Knows nothing of the engines
//! that put and read.

mod direct;
mod failure;
mod operation;
mod signing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use aws_smithy_types::timeout::TimeoutConfig;
use data_plane::record::Record;
use data_plane::wire::{PutAnswer, get, put};

use crate::stream::reference::name_or_arn;
use operation::{Description, PreparedOperation};

pub(crate) use data_plane::wire::{ReadChild, ReadRecord, ReadRecords};
pub(crate) use failure::metadata;
pub(crate) use operation::{CallError, DataPlane};
pub(crate) use signing::signer;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// PutRecords of a stream. The caller limits the time of a call, by the size of its request.
#[derive(Debug, Clone)]
pub(crate) struct PutRecords {
    operation: PreparedOperation<PutAnswer>,
    stream: String,
}

/// GetRecords.
#[derive(Debug, Clone)]
pub(crate) struct GetRecords(PreparedOperation<ReadRecords>);

impl PutRecords {
    /// Puts into `stream`, a name or an ARN.
    pub(crate) fn new(data_plane: &DataPlane, stream: &str) -> Self {
        let limits = TimeoutConfig::builder()
            .connect_timeout(CONNECT_LIMIT)
            .disable_read_timeout()
            .disable_operation_attempt_timeout()
            .disable_operation_timeout()
            .build();
        let (_, arn) = name_or_arn(stream);
        let description = Description {
            name: "PutRecords",
            read: |format, body| put::read(format, &body),
            has_effect: true,
        };
        Self {
            operation: data_plane.operation(description, arn, limits),
            stream: stream.to_owned(),
        }
    }

    /// # Errors
    /// Those of the SDK.
    pub(crate) async fn send(&self, records: &[Record]) -> Result<PutAnswer, CallError> {
        let body = |format| put::body(format, &self.stream, records);
        self.operation.send(body).await
    }
}

impl GetRecords {
    pub(crate) fn new(data_plane: &DataPlane) -> Self {
        let description = Description {
            name: "GetRecords",
            read: get::read,
            has_effect: false,
        };
        Self(data_plane.operation(description, None, data_plane.time_limits()))
    }

    /// Reads a page of at most `limit` records.
    ///
    /// # Errors
    /// Those of the SDK. `SdkError::ResponseError` has a body that could not be read.
    pub(crate) async fn send(&self, iterator: &str, limit: i32) -> Result<ReadRecords, CallError> {
        self.0.send(|format| get::body(format, iterator, limit)).await
    }
}
