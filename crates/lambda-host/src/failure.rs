//! How an invocation or an init phase can fail, and Lambda's error type and message for each failure.
//! Source: "Troubleshoot invocation issues in Lambda", Lambda developer guide.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

/// Maximum size of a response in bytes: 6 MB and some room for its envelope. Source: the error message of
/// `Function.ResponseSizeTooLarge`.
pub const MAX_RESPONSE: usize = 6 * 1024 * 1024 + 100;

/// A failed invocation or init phase.
#[derive(Debug)]
pub enum Failure {
    /// The runtime reported the error, during init or for the invocation.
    Reported { error_type: String, payload: Bytes },
    /// The process ended.
    Exited(ExitStatus),
    /// The process used more memory than its limit.
    OutOfMemory,
    /// Init or the invocation took longer than this timeout.
    TimedOut(Duration),
    /// The response is larger than [`MAX_RESPONSE`].
    ResponseTooLarge,
    /// The code has no `bootstrap`.
    NoBootstrap,
    /// `bootstrap` cannot be executed.
    NotStarted(io::Error),
    /// The host failed, not the function. The text is the reason.
    Host(String),
}

impl Failure {
    /// An error as the runtime reports it: `error_type` from its header, and the error object.
    pub(crate) fn reported(error_type: Option<String>, payload: Bytes) -> Self {
        let of_payload = || {
            let value: serde_json::Value = serde_json::from_slice(&payload).ok()?;
            value["errorType"].as_str().map(str::to_owned)
        };
        let error_type = error_type
            .or_else(of_payload)
            .unwrap_or_else(|| "Runtime.Unknown".to_owned());
        Self::Reported { error_type, payload }
    }

    /// Whether a new process would fail the same way.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::NoBootstrap | Self::NotStarted(_) | Self::Host(_))
    }

    /// Whether the process can run the next invocation.
    pub fn keeps_process(&self) -> bool {
        matches!(self, Self::Reported { .. } | Self::ResponseTooLarge)
    }

    /// The type of the error, such as `Runtime.ExitError`.
    pub fn error_type(&self) -> &str {
        match self {
            Self::Reported { error_type, .. } => error_type,
            Self::Exited(_) => "Runtime.ExitError",
            Self::OutOfMemory => "Runtime.OutOfMemory",
            Self::TimedOut(_) => "Sandbox.Timedout",
            Self::ResponseTooLarge => "Function.ResponseSizeTooLarge",
            Self::NoBootstrap | Self::NotStarted(_) => "Runtime.InvalidEntrypoint",
            Self::Host(_) => "ServiceException",
        }
    }

    /// The message without the request id. Empty for an error that the runtime reported: its payload has the message.
    pub fn reason(&self) -> String {
        match self {
            Self::Reported { .. } => String::new(),
            Self::Exited(status) => match how(*status) {
                Some(how) => format!("Runtime exited with error: {how}"),
                None => "Runtime exited without providing a reason".to_owned(),
            },
            Self::OutOfMemory => "Runtime exited with error: signal: killed".to_owned(),
            Self::TimedOut(timeout) => {
                format!("Task timed out after {:.2} seconds", timeout.as_secs_f64())
            }
            Self::ResponseTooLarge => {
                format!("Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE} bytes).")
            }
            Self::NoBootstrap => {
                "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]".to_owned()
            }
            Self::NotStarted(error) => {
                // Rust appends the number: `Permission denied (os error 13)`.
                let text = error.to_string();
                let reason = text.split(" (os error").next().unwrap_or_default();
                format!("fork/exec /var/task/bootstrap: {}", reason.to_lowercase())
            }
            Self::Host(reason) => reason.clone(),
        }
    }

    /// The message for the caller of the invocation `request_id`.
    pub fn message(&self, request_id: &str) -> String {
        match self {
            Self::Reported { .. } | Self::ResponseTooLarge => self.reason(),
            _ => format!("RequestId: {request_id} Error: {}", self.reason()),
        }
    }

    /// The error object for the caller of the invocation `request_id`.
    pub fn payload(&self, request_id: &str) -> Bytes {
        match self {
            Self::Reported { payload, .. } => payload.clone(),
            _ => error_object(self.error_type(), &self.message(request_id)),
        }
    }
}

/// An error in the form of Lambda's error objects.
pub fn error_object(error_type: &str, message: &str) -> Bytes {
    json!({"errorType": error_type, "errorMessage": message})
        .to_string()
        .into()
}

/// How a process ended, in the words of Go, the language of Lambda's own part. `None` if it succeeded.
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

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn messages_are_those_of_lambda() {
        let denied = io::Error::from_raw_os_error(13);
        for (failure, message) in [
            (
                Failure::Exited(ExitStatus::from_raw(3 << 8)),
                "RequestId: ID Error: Runtime exited with error: exit status 3",
            ),
            (
                Failure::Exited(ExitStatus::from_raw(6)),
                "RequestId: ID Error: Runtime exited with error: signal: aborted",
            ),
            (
                Failure::Exited(ExitStatus::from_raw(0)),
                "RequestId: ID Error: Runtime exited without providing a reason",
            ),
            (
                Failure::TimedOut(Duration::from_secs(3)),
                "RequestId: ID Error: Task timed out after 3.00 seconds",
            ),
            (
                Failure::NotStarted(denied),
                "RequestId: ID Error: fork/exec /var/task/bootstrap: permission denied",
            ),
            (
                Failure::ResponseTooLarge,
                "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
            ),
        ] {
            assert_eq!(failure.message("ID"), message);
            let object: serde_json::Value = serde_json::from_slice(&failure.payload("ID")).unwrap();
            assert_eq!(
                object,
                json!({"errorType": failure.error_type(), "errorMessage": message})
            );
        }
    }

    #[test]
    fn the_type_of_a_reported_error_is_the_headers_or_else_the_objects() {
        let object = Bytes::from_static(br#"{"errorType":"Inner","errorMessage":"no"}"#);
        let of = |header: Option<&str>, payload: &Bytes| {
            let failure = Failure::reported(header.map(str::to_owned), payload.clone());
            assert_eq!(failure.payload("ID"), payload);
            failure.error_type().to_owned()
        };
        assert_eq!(of(Some("Outer"), &object), "Outer");
        assert_eq!(of(None, &object), "Inner");
        assert_eq!(of(None, &Bytes::from_static(b"1")), "Runtime.Unknown");
    }
}
