//! The code and the message of a failure, in JSON or CBOR.
//! Source: "AWS JSON 1.1 protocol", "Operation error serialization", Smithy 2.0.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::ErrorMetadata;
use data_plane::wire::{Format, cbor};
use serde_json::Value;

/// What a failure says of itself: the header of its code, and the members of its body. One that cannot be read says nothing.
pub(crate) fn metadata(response: &HttpResponse) -> ErrorMetadata {
    let body = response.body().bytes().unwrap_or_default();
    let (code, message) = match Format::of(response.headers().get("content-type")) {
        Format::Cbor => in_cbor(body).unwrap_or_default(),
        Format::Json => in_json(body),
    };
    let header = response.headers().get("x-amzn-errortype").map(str::to_owned);
    let mut metadata = ErrorMetadata::builder();
    if let Some(code) = header.or(code) {
        metadata = metadata.code(bare(&code));
    }
    if let Some(message) = message {
        metadata = metadata.message(message);
    }
    metadata.build()
}

/// `com.amazonaws.kinesis#LimitExceededException:http://…` names the error between its namespace and its address.
fn bare(code: &str) -> &str {
    let code = code.rsplit('#').next().unwrap_or(code);
    code.split(':').next().unwrap_or(code)
}

/// Code and message.
type Members = (Option<String>, Option<String>);

fn in_json(body: &[u8]) -> Members {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |names: [&str; 2]| {
        let text = names.iter().find_map(|name| document.get(name)?.as_str());
        text.map(str::to_owned)
    };
    (text(["__type", "code"]), text(["message", "Message"]))
}

fn in_cbor(body: &[u8]) -> Option<Members> {
    let (mut code, mut message) = (None, None);
    let mut decoder = minicbor::Decoder::new(body);
    cbor::members(&mut decoder, |decoder, name| {
        match name {
            "__type" | "code" => code = Some(cbor::text(decoder)?.into_owned()),
            "message" | "Message" => message = Some(cbor::text(decoder)?.into_owned()),
            _ => decoder.skip()?,
        }
        Ok(())
    })
    .ok()?;
    Some((code, message))
}
