//! How an invocation can fail, in Lambda's words.
//! Source: "Troubleshoot invocation issues in Lambda", Lambda developer guide.

use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::clock::utc;
use crate::invoke::InvokeResult;

/// Bytes of a function's answer.
pub(super) const MAX_RESPONSE: usize = 6 * 1024 * 1024 + 100;

/// A failed invocation or start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// AWS's error type, such as `Runtime.ExitError`.
    pub kind: String,
    /// What the log says; nothing where the function itself told.
    pub line: Option<String>,
    /// What the caller gets.
    pub payload: Bytes,
    /// Whether time ran out.
    pub is_timeout: bool,
    /// Whether another try would fail the same way.
    pub is_final: bool,
    /// Whether it is the local cloud's.
    pub is_ours: bool,
    /// Whether the process goes on.
    pub goes_on: bool,
}

impl Failure {
    fn new(request_id: &str, kind: &str, message: &str) -> Self {
        let text = format!("RequestId: {request_id} Error: {message}");
        Self {
            kind: kind.to_owned(),
            payload: payload(kind, &text),
            line: Some(format!("{text}\n{kind}")),
            is_timeout: false,
            is_final: false,
            is_ours: false,
            goes_on: false,
        }
    }

    /// The function took longer than it may.
    pub fn timed_out(request_id: &str, timeout: Duration, now_ms: i64) -> Self {
        let message = format!("Task timed out after {:.2} seconds", timeout.as_secs_f64());
        let at = utc(now_ms, "%Y-%m-%dT%H:%M:%S%.3fZ");
        Self {
            line: Some(format!("{at} {request_id} {message}")),
            is_timeout: true,
            ..Self::new(request_id, "Sandbox.Timedout", &message)
        }
    }

    /// The process ended.
    pub fn exited(request_id: &str, status: ExitStatus) -> Self {
        let message = match how(status) {
            Some(how) => format!("Runtime exited with error: {how}"),
            None => "Runtime exited without providing a reason".to_owned(),
        };
        Self::new(request_id, "Runtime.ExitError", &message)
    }

    /// The process took more memory than it may.
    pub fn out_of_memory(request_id: &str) -> Self {
        Self::new(
            request_id,
            "Runtime.OutOfMemory",
            "Runtime exited with error: signal: killed",
        )
    }

    /// The answer is larger than an answer may be.
    pub fn response_too_large() -> Self {
        let kind = "Function.ResponseSizeTooLarge";
        let message =
            format!("Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE} bytes).");
        Self {
            payload: payload(kind, &message),
            line: Some(format!("{kind}: {message}")),
            goes_on: true,
            ..Self::new("", kind, "")
        }
    }

    /// The runtime said so itself: during init, or of an invocation.
    pub fn reported(kind: Option<&str>, body: Bytes) -> Self {
        let of_body = || {
            let value: serde_json::Value = serde_json::from_slice(&body).ok()?;
            value["errorType"].as_str().map(str::to_owned)
        };
        let kind = kind
            .map(str::to_owned)
            .or_else(of_body)
            .unwrap_or_else(|| "Runtime.Unknown".to_owned());
        Self {
            kind,
            line: None,
            payload: body,
            is_timeout: false,
            is_final: false,
            is_ours: false,
            goes_on: true,
        }
    }

    /// There is no `bootstrap`.
    pub fn no_bootstrap(request_id: &str) -> Self {
        Self {
            is_final: true,
            ..Self::new(
                request_id,
                "Runtime.InvalidEntrypoint",
                "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
            )
        }
    }

    /// `bootstrap` cannot be run.
    pub fn not_started(request_id: &str, error: &std::io::Error) -> Self {
        // Rust adds the number: `Permission denied (os error 13)`.
        let text = error.to_string();
        let reason = text.split(" (os error").next().unwrap_or_default().to_lowercase();
        Self {
            is_final: true,
            ..Self::new(
                request_id,
                "Runtime.InvalidEntrypoint",
                &format!("fork/exec /var/task/bootstrap: {reason}"),
            )
        }
    }

    /// The local cloud could not do its part.
    pub fn service(request_id: &str, message: &str) -> Self {
        Self {
            is_final: true,
            is_ours: true,
            ..Self::new(request_id, "ServiceException", message)
        }
    }

    /// What the caller is told.
    pub fn outcome(&self) -> InvokeResult {
        if self.is_ours {
            return InvokeResult::Refused {
                code: "ServiceException".to_owned(),
                message: self.line.clone().unwrap_or_default().replace('\n', " "),
            };
        }
        InvokeResult::FunctionError {
            kind: "Unhandled",
            payload: self.payload.clone(),
        }
    }
}

fn payload(kind: &str, message: &str) -> Bytes {
    json!({"errorType": kind, "errorMessage": message})
        .to_string()
        .into()
}

/// How a process ended, as Go says it, in which Lambda's own part is written; `None` when all was well.
fn how(status: ExitStatus) -> Option<String> {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = match signal {
            4 => "illegal instruction",
            6 => "aborted",
            7 => "bus error",
            8 => "floating point exception",
            9 => "killed",
            11 => "segmentation fault",
            15 => "terminated",
            _ => return Some(format!("signal {signal}")),
        };
        return Some(format!("signal: {name}"));
    }
    match status.code() {
        Some(0) => None,
        Some(code) => Some(format!("exit status {code}")),
        None => Some("unknown".to_owned()),
    }
}
