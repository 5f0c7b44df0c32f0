//! Frames of an event stream, `application/vnd.amazon.eventstream`.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;

use super::Format;
use crate::kinesis::error::{ApiError, Code, Result};

pub const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// An event of type `name` with its payload in `format`.
///
/// # Errors
/// `InternalFailureException` if the payload is too large for a frame.
pub fn event(name: &'static str, format: Format, payload: Bytes) -> Result<Bytes> {
    let headers = [
        (":message-type", "event"),
        (":event-type", name),
        (":content-type", format.content_type()),
    ];
    frame(&headers, payload)
}

/// An error event. It ends the stream.
///
/// # Errors
/// As [`event`].
pub fn exception(format: Format, error: &ApiError) -> Result<Bytes> {
    let headers = [
        (":message-type", "exception"),
        (":exception-type", error.code.as_str()),
        (":content-type", format.content_type()),
    ];
    let payload = format.write(&serde_json::json!({ "message": error.message }))?;
    frame(&headers, payload)
}

fn frame(headers: &[(&'static str, &'static str)], payload: Bytes) -> Result<Bytes> {
    let header =
        |&(name, value): &(&'static str, &'static str)| Header::new(name, HeaderValue::String(value.into()));
    let message = Message::new_from_parts(headers.iter().map(header).collect(), payload);
    let mut out = Vec::new();
    write_message_to(&message, &mut out).map_err(|e| {
        ApiError::new(
            Code::InternalFailureException,
            format!("an event cannot be written: {e}"),
        )
    })?;
    Ok(out.into())
}
