//! The format of records that a Kinesis endpoint takes and answers.
//!
//! Kinesis takes CBOR (`application/x-amz-cbor-1.1`) as well as JSON: the AWS SDKs for Java speak it. Data is bytes there
//! and not base64, which is a quarter fewer bytes to make, hash and send. AWS and the local cloud get CBOR. Another endpoint
//! gets JSON, unless the user asks for CBOR. An endpoint that refuses CBOR gets JSON from then on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use data_plane::wire::Format;

/// The format that an endpoint gets, shared by all its clients.
#[derive(Debug, Clone)]
pub struct Formats(Arc<AtomicU8>);

const JSON: u8 = 0;
/// Nothing was answered in CBOR yet.
const TRIED: u8 = 1;
/// The endpoint has answered in CBOR.
const PROVEN: u8 = 2;

/// What an answer says about the format of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) format: Format,
    /// Of an error.
    pub(crate) code: Option<String>,
    /// Whether a success could be read.
    pub(crate) is_read: bool,
    /// Whether a web page was answered, as by a proxy or an endpoint that took the request for another.
    pub(crate) is_page: bool,
}

impl Formats {
    /// CBOR, until the endpoint refuses it.
    pub fn cbor() -> Self {
        Self(Arc::new(AtomicU8::new(TRIED)))
    }

    pub fn json() -> Self {
        Self(Arc::new(AtomicU8::new(JSON)))
    }

    /// The format for an endpoint; `told` is what the user says about CBOR.
    pub fn for_endpoint(is_known_good: bool, told: Option<bool>) -> Self {
        match told.unwrap_or(is_known_good) {
            true => Self::cbor(),
            false => Self::json(),
        }
    }

    pub(crate) fn current(&self) -> Format {
        match self.0.load(Ordering::Relaxed) {
            JSON => Format::Json,
            _ => Format::Cbor,
        }
    }

    /// Learns from the answer to a request in CBOR. Whether to make the request again, in JSON; one that was answered with
    /// success and has an effect is not repeated, unless nothing can have taken it.
    pub(crate) fn learn(&self, answered: &Answered, has_effect: bool) -> bool {
        let in_cbor = answered.format == Format::Cbor;
        let is_success = (200..300).contains(&answered.status);
        if is_success && in_cbor && answered.is_read {
            self.0.store(PROVEN, Ordering::Relaxed);
            return false;
        }
        // What an endpoint answers that cannot decode the body, or takes the call for another.
        let refuses = matches!(
            answered.code.as_deref(),
            Some("SerializationException" | "UnknownOperationException")
        );
        if !is_success && (self.is_proven() || (in_cbor && !refuses)) {
            return false;
        }
        self.0.store(JSON, Ordering::Relaxed);
        match is_success {
            true => !answered.is_read && (!has_effect || answered.is_page),
            // A failure of the service may have stored the records: the engine decides what it means.
            false => answered.status < 500,
        }
    }

    fn is_proven(&self) -> bool {
        self.0.load(Ordering::Relaxed) == PROVEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cbor_is_for_endpoints_that_are_known_to_take_it() {
        assert_eq!(Formats::for_endpoint(true, None).current(), Format::Cbor);
        assert_eq!(Formats::for_endpoint(false, None).current(), Format::Json);
        assert_eq!(Formats::for_endpoint(true, Some(false)).current(), Format::Json);
        assert_eq!(Formats::for_endpoint(false, Some(true)).current(), Format::Cbor);
    }
}
