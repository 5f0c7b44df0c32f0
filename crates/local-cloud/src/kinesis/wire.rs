//! Wire formats of the Kinesis API: selection, decoding and encoding.

pub mod event;
pub mod fast;
pub mod token;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kinesis::error::{ApiError, Code, Result};

/// Format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/x-amz-json-1.1`.
    Json,
    /// `application/x-amz-cbor-1.1`, used by the AWS SDKs for Java.
    Cbor,
}

impl Format {
    /// The format for a `Content-Type`. JSON unless it names CBOR.
    pub fn of(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/x-amz-cbor-1.1")
            || essence.eq_ignore_ascii_case("application/cbor")
        {
            Self::Cbor
        } else {
            Self::Json
        }
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    /// Decodes an input. An empty body is an input without members.
    ///
    /// # Errors
    /// `SerializationException`.
    pub fn read<T: DeserializeOwned + Default>(self, body: &[u8]) -> Result<T> {
        let failed = |e: String| ApiError::new(Code::SerializationException, e);
        match self {
            _ if body.is_empty() => Ok(T::default()),
            // serde would also accept a list as a structure.
            Self::Json if body.trim_ascii_start().first() != Some(&b'{') => {
                Err(failed("Start of structure expected.".to_owned()))
            }
            Self::Json => serde_json::from_slice(body).map_err(|e| failed(e.to_string())),
            Self::Cbor => ciborium::from_reader(body).map_err(|e| failed(e.to_string())),
        }
    }

    /// # Errors
    /// `InternalFailureException`. No output of this engine causes it.
    pub fn write(self, output: &impl Serialize) -> Result<Bytes> {
        let failed = |e: String| ApiError::new(Code::InternalFailureException, e);
        match self {
            Self::Json => serde_json::to_vec(output)
                .map(Bytes::from)
                .map_err(|e| failed(e.to_string())),
            Self::Cbor => {
                let mut body = Vec::new();
                ciborium::into_writer(output, &mut body).map_err(|e| failed(e.to_string()))?;
                Ok(body.into())
            }
        }
    }
}
