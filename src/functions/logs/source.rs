//! Where log events come from.

use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::LogLine;
use crate::context::Context;
use ground::error::{self, Result};

/// A part of a group's events.
#[derive(Debug, Default)]
pub struct Page {
    /// The events.
    pub lines: Vec<LogLine>,
    /// Where to read on, if there is more.
    pub next: Option<String>,
}

/// A service that keeps logs.
pub trait LogSource: Sync {
    /// Events of `group` from `from_ms` on that match `pattern`, read on at `token`.
    fn page(
        &self,
        group: &str,
        from_ms: i64,
        pattern: Option<&str>,
        token: Option<String>,
    ) -> impl Future<Output = Result<Page>> + Send;
}

/// CloudWatch Logs, through FilterLogEvents.
pub struct CloudWatchLogs<'a> {
    context: &'a Context,
    patient: bool,
}

impl<'a> CloudWatchLogs<'a> {
    /// The logs of `context`'s target. To the `patient` a group that does not exist is one without events: that of a
    /// function that has not run yet.
    pub fn new(context: &'a Context, patient: bool) -> Self {
        Self { context, patient }
    }
}

impl LogSource for CloudWatchLogs<'_> {
    async fn page(
        &self,
        group: &str,
        from_ms: i64,
        pattern: Option<&str>,
        token: Option<String>,
    ) -> Result<Page> {
        let call = self
            .context
            .logs()
            .filter_log_events()
            .log_group_name(group)
            .start_time(from_ms.max(0))
            .set_filter_pattern(pattern.map(str::to_owned))
            .set_next_token(token);
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let missing = error.code() == Some("ResourceNotFoundException");
                if missing && self.patient {
                    return Ok(Page::default());
                }
                let error = error::aws::failed(format!("could not read the log group {group}"), error);
                return Err(match missing {
                    true => error.hint("a function has one once it has run; --follow waits for it"),
                    false => error,
                });
            }
        };
        let lines = answer
            .events
            .unwrap_or_default()
            .into_iter()
            .map(|event| LogLine {
                group: group.to_owned(),
                stream: event.log_stream_name.unwrap_or_default(),
                at_ms: event.timestamp.unwrap_or_default(),
                id: event.event_id.unwrap_or_default(),
                message: event.message.unwrap_or_default().trim_end().to_owned(),
            });
        Ok(Page {
            lines: lines.collect(),
            next: answer.next_token,
        })
    }
}
