//! What a function's response to a batch means, and the text of a function's error.
//!
//! Source: "Configuring partial batch response with Kinesis Data Streams and Lambda", Lambda developer guide.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

/// Result of an invocation for its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchResult {
    /// All records are processed.
    Success,
    /// The records before this index are processed. It and the following ones are retried.
    From(usize),
    /// No record is processed.
    Failure,
}

/// The result for the records with these sequence numbers, if the mapping reads failure reports. A response that is not a
/// report is a success. If a report names a record that is not in the batch, the whole batch fails.
pub fn batch_result(answer: &[u8], sequence_numbers: &[&str]) -> BatchResult {
    let Ok(Value::Object(answer)) = serde_json::from_slice(answer) else {
        return BatchResult::Success;
    };
    let failures = match answer.get("batchItemFailures") {
        None | Some(Value::Null) => return BatchResult::Success,
        Some(Value::Array(failures)) => failures,
        Some(_) => return BatchResult::Failure,
    };
    let mut lowest = sequence_numbers.len();
    for failure in failures {
        let place = failure
            .get("itemIdentifier")
            .and_then(Value::as_str)
            .and_then(|id| sequence_numbers.iter().position(|number| *number == id));
        match place {
            Some(place) => lowest = lowest.min(place),
            None => return BatchResult::Failure,
        }
    }
    match lowest {
        _ if failures.is_empty() => BatchResult::Success,
        0 => BatchResult::Failure,
        lowest => BatchResult::From(lowest),
    }
}

/// The identifiers of the records that a response reports as failed.
pub fn reported(answer: &[u8]) -> Vec<String> {
    let Ok(Value::Object(answer)) = serde_json::from_slice(answer) else {
        return Vec::new();
    };
    let failures = answer.get("batchItemFailures").and_then(Value::as_array);
    let identifier = |failure: &Value| Some(failure.get("itemIdentifier")?.as_str()?.to_owned());
    failures.into_iter().flatten().filter_map(identifier).collect()
}

/// A function's error, reported by the function or by Lambda.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionError {
    /// Such as `Runtime.ExitError`.
    #[serde(deserialize_with = "text")]
    pub error_type: String,
    #[serde(deserialize_with = "text")]
    pub error_message: String,
}

fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    })
}

impl FunctionError {
    /// Reads an error object. Any other payload becomes the message.
    pub fn parse(payload: &[u8]) -> Self {
        serde_json::from_slice(payload).unwrap_or_else(|_| Self {
            error_type: String::new(),
            error_message: String::from_utf8_lossy(payload).trim().to_owned(),
        })
    }

    /// The error object that [`FunctionError::parse`] reads.
    pub fn to_payload(&self) -> Bytes {
        lambda_host::error_object(&self.error_type, &self.error_message)
    }
}

impl std::fmt::Display for FunctionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.error_type.as_str(), self.error_message.as_str()) {
            ("", "") => f.write_str("an error without a message"),
            ("", message) => f.write_str(message),
            (kind, "") => f.write_str(kind),
            (kind, message) => write!(f, "{kind}: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_the_developer_guide_says() {
        let judged = |answer: &str| batch_result(answer.as_bytes(), &["10", "11", "12"]);
        for success in [
            "",
            "null",
            "{}",
            "\"ok\"",
            "[1]",
            r#"{"statusCode":500}"#,
            r#"{"batchItemFailures":[]}"#,
            r#"{"batchItemFailures":null}"#,
        ] {
            assert_eq!(judged(success), BatchResult::Success, "{success}");
        }
        for failure in [
            r#"{"batchItemFailures":"all"}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"itemId":"11"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"12"},{"itemIdentifier":"99"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"10"}]}"#,
        ] {
            assert_eq!(judged(failure), BatchResult::Failure, "{failure}");
        }
        let partial = r#"{"batchItemFailures":[{"itemIdentifier":"12"},{"itemIdentifier":"11"}]}"#;
        assert_eq!(judged(partial), BatchResult::From(1));
        assert_eq!(reported(partial.as_bytes()), ["12", "11"]);
        assert_eq!(reported(b"\"ok\""), Vec::<String>::new());
    }

    #[test]
    fn errors_are_told_in_words() {
        let told = |payload: &str| FunctionError::parse(payload.as_bytes()).to_string();
        let crash =
            r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: 1 Error: Runtime exited"}"#;
        assert_eq!(
            told(crash),
            "Runtime.ExitError: RequestId: 1 Error: Runtime exited"
        );
        assert_eq!(told(r#"{"errorMessage":{"a":1}}"#), r#"{"a":1}"#);
        assert_eq!(told("rubbish"), "rubbish");
        assert_eq!(told("{}"), "an error without a message");
    }
}
