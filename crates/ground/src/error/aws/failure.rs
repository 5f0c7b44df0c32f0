//! Where a call failed. The SDK's errors name neither the endpoint nor what earlier attempts were answered.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::duration;

/// A failed call without an answer of AWS. It wraps the SDK's error, and is found in the chain of causes.
#[derive(Debug)]
pub struct CallFailure {
    /// Scheme, host and port; `None` if the call failed before it had one.
    pub endpoint: Option<String>,
    /// What chose the endpoint, such as "AWS_ENDPOINT_URL"; `None` for AWS's own.
    pub named_by: Option<String>,
    /// The time since the call began, with all attempts.
    pub elapsed: Duration,
    pub attempts: u32,
    /// The error code of the last attempt that was answered.
    pub last_code: Option<String>,
    /// Whether the answer was a web page (`text/html`).
    pub is_web_page: bool,
    pub source: BoxError,
}

impl CallFailure {
    /// That of a client that nothing watches.
    pub(super) fn unknown() -> Self {
        Self {
            endpoint: None,
            named_by: None,
            elapsed: Duration::ZERO,
            attempts: 1,
            last_code: None,
            is_web_page: false,
            source: "no answer".into(),
        }
    }

    /// How long the call took, in a sentence: "within 5s".
    pub(super) fn waited(&self) -> String {
        // Timers are late by some milliseconds.
        let tenths = self.elapsed.as_millis() / 100;
        let length = match tenths {
            0 => return "in time".to_owned(),
            1..10 => Duration::from_millis(100) * u32::try_from(tenths).unwrap_or(1),
            _ => Duration::from_secs(self.elapsed.as_secs_f64().round() as u64),
        };
        format!("within {}", duration::format(length))
    }

    /// The endpoint in a sentence.
    pub fn endpoint(&self) -> String {
        match &self.endpoint {
            Some(url) => format!("the endpoint {url}"),
            // The time was up before the request was signed.
            None if self.elapsed > Duration::ZERO => "the source of the credentials".to_owned(),
            None => "the endpoint".to_owned(),
        }
    }

    /// The next step: what named the endpoint may be wrong.
    pub fn hint(&self) -> String {
        match self.named_by.as_deref() {
            None => "check the network and --region; `--target local` needs no network".to_owned(),
            Some(LOCAL) => "`streamctl local status` shows whether the local cloud runs".to_owned(),
            Some(name) => {
                format!(
                    "{name} names this endpoint: check it and the network; `--target local` needs neither"
                )
            }
        }
    }

    /// The next step after an answer that is not AWS's.
    pub fn not_aws_hint(&self) -> String {
        match self.named_by.as_deref() {
            None | Some(LOCAL) => {
                "a proxy may have answered in place of AWS: check HTTPS_PROXY and NO_PROXY".to_owned()
            }
            Some(name) => format!("{name} names this endpoint: check that it is AWS-compatible"),
        }
    }
}

/// Whether the answer is a web page, which AWS does not send.
pub fn is_web_page(response: &HttpResponse) -> bool {
    let kind = response.headers().get("content-type").unwrap_or_default();
    let body = response.body().bytes().unwrap_or_default().trim_ascii_start();
    let opens = |with: &[u8]| {
        body.get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    kind.to_ascii_lowercase().starts_with("text/html") || opens(b"<html") || opens(b"<!doctype html")
}

/// What names the endpoint of the local cloud.
pub const LOCAL: &str = "the local cloud";

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for CallFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
