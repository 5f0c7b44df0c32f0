//! Reads log events of one or more log groups in order of time, and follows new ones.
//!
//! Works with any [`LogSource`]; [`CloudWatchLogs`] is the one for AWS.

mod follow;
mod group;
mod source;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use follow::Follower;
pub use group::retention;
pub use source::{CloudWatchLogs, LogSource, Page};

use ground::error::Result;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub group: String,
    /// The log stream within the group.
    pub stream: String,
    /// When it happened, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// CloudWatch's event id; empty if the endpoint returns none.
    pub id: String,
    pub message: String,
}

/// Which events to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub groups: Vec<String>,
    /// Start time, in milliseconds since the Unix epoch.
    pub from_ms: i64,
    /// CloudWatch Logs filter pattern.
    pub pattern: Option<String>,
}

/// Passes every event of the query to `each`, in order of time across groups. `each` returns false to stop.
///
/// # Errors
/// If a group cannot be read, or `each` fails.
pub async fn read<S: LogSource>(
    source: &S,
    query: &Query,
    mut each: impl FnMut(LogLine) -> Result<bool> + Send,
) -> Result<()> {
    let mut groups: Vec<Pager<'_>> = query.groups.iter().map(|group| Pager::new(group)).collect();
    loop {
        for pager in &mut groups {
            pager.fill(source, query).await?;
        }
        let next = groups
            .iter_mut()
            .filter_map(|pager| Some((pager.lines.front()?.at_ms, pager)))
            .min_by_key(|(at, _)| *at);
        let Some(line) = next.and_then(|(_, pager)| pager.lines.pop_front()) else {
            return Ok(());
        };
        if !each(line)? {
            return Ok(());
        }
    }
}

/// The pages of one group.
struct Pager<'a> {
    group: &'a str,
    lines: VecDeque<LogLine>,
    token: Option<String>,
    ended: bool,
}

impl<'a> Pager<'a> {
    fn new(group: &'a str) -> Self {
        Self {
            group,
            lines: VecDeque::new(),
            token: None,
            ended: false,
        }
    }

    /// Reads pages until there is an event or the end. Pages can be empty.
    async fn fill<S: LogSource>(&mut self, source: &S, query: &Query) -> Result<()> {
        while self.lines.is_empty() && !self.ended {
            let page = source
                .page(
                    self.group,
                    query.from_ms,
                    query.pattern.as_deref(),
                    self.token.take(),
                )
                .await?;
            let mut lines = page.lines;
            lines.sort_by_key(|line| line.at_ms);
            self.lines.extend(lines);
            self.ended = page.next.is_none();
            self.token = page.next;
        }
        Ok(())
    }
}
