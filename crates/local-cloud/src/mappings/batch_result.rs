//! Result of an invocation for its batch: pure rules, without time or effects.
//!
//! Source: "Configuring partial batch response with Kinesis Data Streams and Lambda", "Retain discarded batch records"
//! and "Implementing stateful Kinesis Data Streams processing", AWS Lambda developer guide.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::invoke::InvokeResult;

/// Result of an invocation for its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BatchResult {
    /// All records succeeded. Contains the state for the next invocation of the window.
    Done(Option<Bytes>),
    /// The records before this index succeeded. This one and all later ones failed.
    FailedFrom(usize, Option<Bytes>),
    /// The function ran and the whole batch failed.
    Failed,
    /// The function did not run.
    NotRun,
}

/// Response contract of the mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResponseMode {
    /// Whether the response reports failed records.
    pub reports_failures: bool,
    /// Whether the response must contain a window's state.
    pub needs_state: bool,
}

/// Evaluates `result`. `index_of` finds a sequence number in the batch.
pub(super) fn evaluate(
    result: &InvokeResult,
    mode: ResponseMode,
    index_of: impl Fn(&str) -> Option<usize>,
) -> BatchResult {
    let body = match result {
        InvokeResult::Returned(body) => body,
        InvokeResult::FunctionError { .. } => return BatchResult::Failed,
        InvokeResult::Throttled | InvokeResult::Refused { .. } => return BatchResult::NotRun,
    };
    let state = if mode.needs_state {
        // "If the response does not contain a state property, Lambda considers this a failed invocation."
        match state(body) {
            Some(state) => Some(state),
            None => return BatchResult::Failed,
        }
    } else {
        None
    };
    if !mode.reports_failures {
        return BatchResult::Done(state);
    }
    match lowest_failure(body, index_of) {
        Ok(None) => BatchResult::Done(state),
        Ok(Some(from)) => BatchResult::FailedFrom(from, state),
        Err(InvalidReport) => BatchResult::Failed,
    }
}

/// A report with an unknown record. AWS treats it as a failure of the whole batch.
#[derive(Debug, PartialEq, Eq)]
struct InvalidReport;

/// The first failed record of a report. A response that is not a report reports no failure.
fn lowest_failure(
    body: &[u8],
    index_of: impl Fn(&str) -> Option<usize>,
) -> Result<Option<usize>, InvalidReport> {
    let Ok(Value::Object(report)) = serde_json::from_slice::<Value>(body) else {
        return Ok(None);
    };
    let failures = match report.get("batchItemFailures") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(failures)) => failures,
        Some(_) => return Err(InvalidReport),
    };
    let mut lowest = None;
    for failure in failures {
        let id = failure.get("itemIdentifier").and_then(Value::as_str);
        let at = id.and_then(&index_of).ok_or(InvalidReport)?;
        lowest = Some(lowest.map_or(at, |lowest: usize| lowest.min(at)));
    }
    Ok(lowest)
}

fn state(body: &[u8]) -> Option<Bytes> {
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        state: Option<&'a RawValue>,
    }
    let response: Response<'_> = serde_json::from_slice(body).ok()?;
    let state = response.state?;
    Some(Bytes::copy_from_slice(state.get().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORTS: ResponseMode = ResponseMode {
        reports_failures: true,
        needs_state: false,
    };

    fn evaluated(body: &str) -> BatchResult {
        let result = InvokeResult::Returned(Bytes::copy_from_slice(body.as_bytes()));
        evaluate(&result, REPORTS, |id| {
            ["10", "11", "12"].iter().position(|known| *known == id)
        })
    }

    #[test]
    fn these_responses_are_complete_successes() {
        for body in [
            "",
            "null",
            "{}",
            "[]",
            "\"\"",
            "\"done\"",
            "42",
            "not json",
            r#"{"batchItemFailures":[]}"#,
            r#"{"batchItemFailures":null}"#,
            r#"{"failedItems":["10"]}"#,
        ] {
            assert_eq!(evaluated(body), BatchResult::Done(None), "{body}");
        }
    }

    #[test]
    fn these_responses_are_complete_failures() {
        for body in [
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":11}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"99"}]}"#,
            r#"{"batchItemFailures":[{"foo":"11"}]}"#,
            r#"{"batchItemFailures":[{}]}"#,
            r#"{"batchItemFailures":["11"]}"#,
            r#"{"batchItemFailures":"11"}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"12"},{"itemIdentifier":"99"}]}"#,
        ] {
            assert_eq!(evaluated(body), BatchResult::Failed, "{body}");
        }
    }

    #[test]
    fn a_batch_fails_from_the_lowest_reported_record() {
        let body = r#"{"batchItemFailures":[{"itemIdentifier":"12"},{"itemIdentifier":"11"}]}"#;
        assert_eq!(evaluated(body), BatchResult::FailedFrom(1, None));
        let silent = ResponseMode {
            reports_failures: false,
            needs_state: false,
        };
        let result = InvokeResult::Returned(Bytes::from_static(body.as_bytes()));
        assert_eq!(evaluate(&result, silent, |_| Some(0)), BatchResult::Done(None));
    }

    #[test]
    fn a_window_requires_a_state() {
        let mode = ResponseMode {
            reports_failures: true,
            needs_state: true,
        };
        let evaluated = |body: &'static str| {
            let result = InvokeResult::Returned(Bytes::from_static(body.as_bytes()));
            evaluate(&result, mode, |_| Some(1))
        };
        assert_eq!(evaluated("{}"), BatchResult::Failed);
        assert_eq!(evaluated("null"), BatchResult::Failed);
        let state = Some(Bytes::from_static(br#"{"n":1}"#));
        assert_eq!(
            evaluated(r#"{"state":{"n":1}}"#),
            BatchResult::Done(state.clone())
        );
        let partial = r#"{"state":{"n":1},"batchItemFailures":[{"itemIdentifier":"x"}]}"#;
        assert_eq!(evaluated(partial), BatchResult::FailedFrom(1, state));
    }

    #[test]
    fn a_function_that_did_not_run_is_not_a_failure() {
        assert_eq!(
            evaluate(&InvokeResult::Throttled, REPORTS, |_| None),
            BatchResult::NotRun
        );
        let refused = InvokeResult::Refused {
            code: "ResourceNotFoundException".to_owned(),
            message: String::new(),
        };
        assert_eq!(evaluate(&refused, REPORTS, |_| None), BatchResult::NotRun);
        let error = InvokeResult::FunctionError {
            kind: "Unhandled",
            payload: Bytes::new(),
        };
        assert_eq!(evaluate(&error, REPORTS, |_| None), BatchResult::Failed);
    }
}
