//! What kinds of resources have in common.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_iam::types::Tag;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::error::{Error, Result};
use crate::pipeline::resource::{Observed, Present};

/// Something that is there, with what the kind knows of it.
pub(super) fn present(facts: &impl Serialize, tags: BTreeMap<String, String>) -> Result<Observed> {
    Ok(Observed::Present(Present {
        tags,
        facts: serde_json::to_value(facts)
            .map_err(|error| Error::failed("could not note what is there").cause(error))?,
    }))
}

/// Tags in IAM's own type.
pub(super) fn iam_tags(tags: &BTreeMap<String, String>) -> Result<Vec<Tag>> {
    tags.iter()
        .map(|(key, value)| {
            Tag::builder()
                .key(key)
                .value(value)
                .build()
                .map_err(|error| Error::failed(format!("tag {key} could not be written")).cause(error))
        })
        .collect()
}

/// A policy document as IAM gives it, percent-encoded. One that cannot be read is `Null`, and so like no other.
pub(crate) fn document(text: Option<&str>) -> Value {
    serde_json::from_str(&percent_decode(text.unwrap_or_default())).unwrap_or(Value::Null)
}

/// How long one part of IAM may not know yet what another one has accepted.
/// Source: "Changes that I make are not always immediately visible", IAM user guide.
const LAG: Duration = Duration::from_secs(10);

/// Makes a call again as long as it is refused with `code`, which may only mean that IAM lags behind itself.
pub(super) async fn while_iam_lags<T, E, Sending>(
    code: &str,
    mut send: impl FnMut() -> Sending,
) -> Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata,
    Sending: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let deadline = Instant::now() + LAG;
    loop {
        match send().await {
            Err(error) if error.code() == Some(code) && Instant::now() < deadline => {
                sleep(Duration::from_millis(500)).await;
            }
            outcome => return outcome,
        }
    }
}

/// Decodes `%XX` (RFC 3986); anything else stays as it is.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let decoded = match rest {
            [b'%', high, low, ..] => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        match decoded {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_percent_decoded() {
        assert_eq!(
            percent_decode("%7B%22Version%22%3A%20%221%22%7D"),
            r#"{"Version": "1"}"#
        );
        assert_eq!(percent_decode(r#"{"a":"100%"}"#), r#"{"a":"100%"}"#);
        assert_eq!(percent_decode("%zz%4"), "%zz%4");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_decoding_panic(text in ".{0,20}|[%0-9a-f]{0,12}") {
            percent_decode(&text);
        }
    }
}
