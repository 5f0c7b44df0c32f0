//! Follows log groups. Each event is returned once, including those that arrive late.

use std::collections::HashMap;

use super::{LogLine, LogSource, Query, read};
use ground::error::Result;

/// How late an event may arrive and still be returned, in milliseconds. CloudWatch Logs needs a few seconds, agents
/// more.
const LATE_MS: i64 = 60_000;

/// Follows log groups and remembers which events it has returned.
#[derive(Debug)]
pub struct Follower {
    query: Query,
    /// For each recent event, how often it was returned, and its time.
    pub(super) seen: HashMap<String, (usize, i64)>,
    newest_ms: i64,
}

impl Follower {
    /// Starts at the time of `query`.
    pub fn new(query: Query) -> Self {
        Self {
            newest_ms: query.from_ms,
            query,
            seen: HashMap::new(),
        }
    }

    /// Events that have arrived since the last call, in order of time.
    ///
    /// # Errors
    /// If a group cannot be read. No event is lost: the next call starts at the same point.
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
            // Without ids, equal lines of the same millisecond are counted.
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
