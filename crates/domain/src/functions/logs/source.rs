//! Services that log events are read from.

use super::LogLine;
use crate::context::Context;
use ground::error::{self, Result};

/// One page of a group's events.
#[derive(Debug, Default)]
pub struct Page {
    pub lines: Vec<LogLine>,
    /// Token of the next page, if there is one.
    pub next: Option<String>,
}

pub trait LogSource: Sync {
    /// Reads one page of the events of `group` from `from_ms` on that match `pattern`. `token` selects the page.
    fn page(
        &self,
        group: &str,
        from_ms: i64,
        pattern: Option<&str>,
        token: Option<String>,
    ) -> impl Future<Output = Result<Page>> + Send;
}

/// CloudWatch Logs, read with FilterLogEvents.
pub struct CloudWatchLogs<'a> {
    context: &'a Context,
    patient: bool,
}

impl<'a> CloudWatchLogs<'a> {
    /// If `patient`, a group that does not exist counts as empty: a function has no group before its first invocation.
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
                let missing = error::aws::is_not_found(&error);
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
