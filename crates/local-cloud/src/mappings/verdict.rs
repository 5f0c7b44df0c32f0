//! What the outcome of an invocation means for its batch: pure rules, without time or effects.
//!
//! Source: "Configuring partial batch response with Kinesis Data Streams and Lambda", "Retain discarded batch records"
//! and "Implementing stateful Kinesis Data Streams processing", AWS Lambda developer guide.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::invoke::InvokeResult;

/// What a batch's invocation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every record is done. With the state that a window's next invocation gets.
    Done(Option<Bytes>),
    /// The records before this one are done, this one and all after it are not.
    FailedFrom(usize, Option<Bytes>),
    /// The function ran, and nothing is done.
    Failed,
    /// The function did not run.
    NotRun,
}

/// How the function is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    /// Whether it reports which records failed.
    pub reports: bool,
    /// Whether it owes a window's state.
    pub windowed: bool,
}

/// Judges `outcome`; `place` finds a sequence number in the batch.
pub(super) fn judge(
    outcome: &InvokeResult,
    manner: Manner,
    place: impl Fn(&str) -> Option<usize>,
) -> Verdict {
    let body = match outcome {
        InvokeResult::Returned(body) => body,
        InvokeResult::FunctionError { .. } => return Verdict::Failed,
        InvokeResult::Throttled | InvokeResult::Refused { .. } => return Verdict::NotRun,
    };
    let state = if manner.windowed {
        // "If the response does not contain a state property, Lambda considers this a failed invocation."
        match state(body) {
            Some(state) => Some(state),
            None => return Verdict::Failed,
        }
    } else {
        None
    };
    if !manner.reports {
        return Verdict::Done(state);
    }
    match lowest_failure(body, place) {
        Ok(None) => Verdict::Done(state),
        Ok(Some(from)) => Verdict::FailedFrom(from, state),
        Err(BadReport) => Verdict::Failed,
    }
}

/// A report that names no record of the batch: AWS takes it as a failure of the whole batch.
#[derive(Debug, PartialEq, Eq)]
struct BadReport;

/// The first failed record of a report. What is not a report, whatever it is, reports no failure.
fn lowest_failure(body: &[u8], place: impl Fn(&str) -> Option<usize>) -> Result<Option<usize>, BadReport> {
    let Ok(Value::Object(report)) = serde_json::from_slice::<Value>(body) else {
        return Ok(None);
    };
    let failures = match report.get("batchItemFailures") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(failures)) => failures,
        Some(_) => return Err(BadReport),
    };
    let mut lowest = None;
    for failure in failures {
        let id = failure.get("itemIdentifier").and_then(Value::as_str);
        let at = id.and_then(&place).ok_or(BadReport)?;
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

    const REPORTS: Manner = Manner {
        reports: true,
        windowed: false,
    };

    fn judged(body: &str) -> Verdict {
        let outcome = InvokeResult::Returned(Bytes::copy_from_slice(body.as_bytes()));
        judge(&outcome, REPORTS, |id| {
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
            "rubbish",
            r#"{"batchItemFailures":[]}"#,
            r#"{"batchItemFailures":null}"#,
            r#"{"failedItems":["10"]}"#,
        ] {
            assert_eq!(judged(body), Verdict::Done(None), "{body}");
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
            assert_eq!(judged(body), Verdict::Failed, "{body}");
        }
    }

    #[test]
    fn the_lowest_reported_record_counts() {
        let body = r#"{"batchItemFailures":[{"itemIdentifier":"12"},{"itemIdentifier":"11"}]}"#;
        assert_eq!(judged(body), Verdict::FailedFrom(1, None));
        let silent = Manner {
            reports: false,
            windowed: false,
        };
        let outcome = InvokeResult::Returned(Bytes::from_static(body.as_bytes()));
        assert_eq!(judge(&outcome, silent, |_| Some(0)), Verdict::Done(None));
    }

    #[test]
    fn a_window_needs_its_state() {
        let manner = Manner {
            reports: true,
            windowed: true,
        };
        let judged = |body: &'static str| {
            let outcome = InvokeResult::Returned(Bytes::from_static(body.as_bytes()));
            judge(&outcome, manner, |_| Some(1))
        };
        assert_eq!(judged("{}"), Verdict::Failed);
        assert_eq!(judged("null"), Verdict::Failed);
        let state = Some(Bytes::from_static(br#"{"n":1}"#));
        assert_eq!(judged(r#"{"state":{"n":1}}"#), Verdict::Done(state.clone()));
        let partial = r#"{"state":{"n":1},"batchItemFailures":[{"itemIdentifier":"x"}]}"#;
        assert_eq!(judged(partial), Verdict::FailedFrom(1, state));
    }

    #[test]
    fn who_did_not_run_did_not_fail() {
        assert_eq!(
            judge(&InvokeResult::Throttled, REPORTS, |_| None),
            Verdict::NotRun
        );
        let refused = InvokeResult::Refused {
            code: "ResourceNotFoundException".to_owned(),
            message: String::new(),
        };
        assert_eq!(judge(&refused, REPORTS, |_| None), Verdict::NotRun);
        let error = InvokeResult::FunctionError {
            kind: "Unhandled",
            payload: Bytes::new(),
        };
        assert_eq!(judge(&error, REPORTS, |_| None), Verdict::Failed);
    }
}
