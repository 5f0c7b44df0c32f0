//! Follows log groups: each event once, also those that arrive late.

use std::collections::HashMap;

use super::{LogLine, LogSource, Query, read};
use ground::error::Result;

/// How late an event may arrive and still be seen, in milliseconds. CloudWatch Logs takes a few seconds, agents more.
const LATE_MS: i64 = 60_000;

/// Remembers what it has handed out.
#[derive(Debug)]
pub struct Follower {
    query: Query,
    /// How often each recent event was handed out, and its time.
    pub(super) seen: HashMap<String, (usize, i64)>,
    newest_ms: i64,
}

impl Follower {
    /// Follows the groups of `query` from its time on.
    pub fn new(query: Query) -> Self {
        Self {
            newest_ms: query.from_ms,
            query,
            seen: HashMap::new(),
        }
    }

    /// What has come since the last time, in the order of time.
    ///
    /// # Errors
    /// When a group cannot be read. Nothing is lost by it: the next call begins at the same place.
    pub async fn poll<S: LogSource>(&mut self, source: &S) -> Result<Vec<LogLine>> {
        let horizon = (self.newest_ms - LATE_MS).max(self.query.from_ms);
        let query = Query {
            from_ms: horizon,
            ..self.query.clone()
        };
        let mut found: HashMap<String, (usize, i64)> = HashMap::new();
        let mut lines = Vec::new();
        let seen = &self.seen;
        read(source, &query, |line| {
            let count = found.entry(key(&line)).or_insert((0, line.at_ms));
            count.0 += 1;
            // Without ids, equal lines of one millisecond are told apart by their number.
            if seen.get(&key(&line)).is_none_or(|(before, _)| count.0 > *before) {
                lines.push(line);
            }
            Ok(true)
        })
        .await?;
        for (key, (count, at)) in found {
            let entry = self.seen.entry(key).or_insert((0, at));
            entry.0 = entry.0.max(count);
        }
        if let Some(last) = lines.iter().map(|line| line.at_ms).max() {
            self.newest_ms = self.newest_ms.max(last);
        }
        let forget = self.newest_ms - LATE_MS;
        self.seen.retain(|_, (_, at)| *at >= forget);
        Ok(lines)
    }
}

fn key(line: &LogLine) -> String {
    match line.id.as_str() {
        "" => format!(
            "{}\n{}\n{}\n{}",
            line.group, line.stream, line.at_ms, line.message
        ),
        id => format!("{}\n{id}", line.group),
    }
}
