//! The status line of a tail on a terminal: how many records came, how fast, and which shards are behind.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::line::short_shard;
use crate::ui::{Printer, StatusLine, units};
use ground::duration;

/// Time between two changes of the line.
pub(super) const EVERY: Duration = Duration::from_millis(250);
/// The rate is that of this long.
const WINDOW: Duration = Duration::from_secs(5);
/// A shard that is behind by less is up to date.
const UP_TO_DATE_MS: i64 = 1000;
/// Shards that are named.
const NAMED: usize = 3;

/// Counts, and what they say.
#[derive(Debug, Default)]
struct Counts {
    total: u64,
    /// Records by the time of their batch, within the window.
    recent: VecDeque<(Instant, u64)>,
    /// How far shards are behind, in milliseconds.
    behind: HashMap<Arc<str>, i64>,
}

/// The line.
pub(super) struct Status {
    line: StatusLine,
    counts: Counts,
    /// What is said before the first record.
    waiting: &'static str,
    shown: Option<Instant>,
    started: Instant,
}

impl Status {
    /// `None` where no progress is shown.
    pub(super) fn new(printer: &Printer, waiting: &'static str) -> Option<Self> {
        Some(Self {
            line: printer.progress().status_line(waiting)?,
            counts: Counts::default(),
            waiting,
            shown: None,
            started: Instant::now(),
        })
    }

    /// Records of a shard were shown.
    pub(super) fn read(&mut self, shard_id: &Arc<str>, records: u64, behind_ms: Option<i64>) {
        self.counts.read(shard_id, records, behind_ms, Instant::now());
        self.show();
    }

    /// The shard is not read any more.
    pub(super) fn ended(&mut self, shard_id: &Arc<str>) {
        self.counts.behind.remove(shard_id);
    }

    /// Shows the line as it is now, unless it has just changed.
    pub(super) fn show(&mut self) {
        let now = Instant::now();
        if self.shown.is_some_and(|shown| now.duration_since(shown) < EVERY) {
            return;
        }
        self.shown = Some(now);
        match self.counts.total {
            0 => self.line.message(self.waiting),
            _ => self
                .line
                .message(self.counts.text(now, now.duration_since(self.started))),
        }
    }
}

impl Counts {
    fn read(&mut self, shard_id: &Arc<str>, records: u64, behind_ms: Option<i64>, now: Instant) {
        self.total += records;
        self.recent.push_back((now, records));
        while self
            .recent
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            self.recent.pop_front();
        }
        match behind_ms {
            Some(ms) if ms >= UP_TO_DATE_MS => {
                self.behind.insert(Arc::clone(shard_id), ms);
            }
            _ => {
                self.behind.remove(shard_id);
            }
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate to show"
    )]
    fn text(&self, now: Instant, running: Duration) -> String {
        let recent = self
            .recent
            .iter()
            .filter(|(at, _)| now.duration_since(*at) <= WINDOW);
        let recent: u64 = recent.map(|(_, count)| count).sum();
        let seconds = running.min(WINDOW).as_secs_f64().max(1.0);
        let rate = (recent as f64 / seconds).round() as u64;
        let mut behind: Vec<(&Arc<str>, i64)> = self.behind.iter().map(|(id, ms)| (id, *ms)).collect();
        behind.sort_by_key(|(id, ms)| (std::cmp::Reverse(*ms), Arc::clone(id)));
        let lag = |(id, ms): &(&Arc<str>, i64)| {
            let length = Duration::from_secs(u64::try_from(ms / 1000).unwrap_or_default());
            format!("{} {}", short_shard(id), duration::format(length))
        };
        let mut named: Vec<String> = behind.iter().take(NAMED).map(lag).collect();
        if behind.len() > NAMED {
            named.push(format!("{} more", behind.len() - NAMED));
        }
        let place = match named.is_empty() {
            true => "up to date".to_owned(),
            false => format!("behind: {}", named.join(", ")),
        };
        format!(
            "{}, {}/s, {place}",
            units::counted(self.total, "record"),
            units::count(rate)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rate_and_lag() {
        let mut counts = Counts::default();
        let started = Instant::now();
        let shard = |n: u32| Arc::<str>::from(format!("shardId-{n:012}"));
        let text = |counts: &Counts| counts.text(Instant::now(), started.elapsed());
        counts.read(&shard(0), 1, Some(0), Instant::now());
        assert_eq!(text(&counts), "1 record, 1/s, up to date");
        tokio::time::advance(Duration::from_secs(2)).await;
        counts.read(&shard(1), 1999, Some(125_000), Instant::now());
        assert_eq!(text(&counts), "2,000 records, 1,000/s, behind: shard-1 2m5s");
        for n in 2..6 {
            counts.read(&shard(n), 0, Some(i64::from(n) * 1000), Instant::now());
        }
        assert_eq!(
            text(&counts),
            "2,000 records, 1,000/s, behind: shard-1 2m5s, shard-5 5s, shard-4 4s, 2 more"
        );
        counts.read(&shard(1), 0, Some(999), Instant::now());
        (2..6).for_each(|n| counts.read(&shard(n), 0, None, Instant::now()));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(text(&counts), "2,000 records, 0/s, up to date");
    }
}
