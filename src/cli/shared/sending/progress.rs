//! The line that shows how sending goes.

use std::time::{Duration, Instant};

use crate::ui::Step;
use crate::ui::units::{bytes, count, counted};
use domain::produce::PutSummary;
use domain::record::ReadProgress;

/// Rates are those of this time.
const RECENT: Duration = Duration::from_secs(2);
/// The line is drawn anew after this time.
const REDRAW: Duration = Duration::from_millis(100);
/// Columns of the bar.
const BAR: usize = 12;

pub(super) struct SendProgress {
    step: Step,
    read: Option<ReadProgress>,
    started: Instant,
    drawn: Option<Instant>,
    /// An earlier count, and the one before it: rates are measured from the older.
    marks: [Mark; 2],
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Instant,
    records: u64,
    bytes: u64,
}

/// What the line shows.
#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    records: u64,
    records_per_second: u64,
    bytes_per_second: u64,
    retries: u64,
    /// The part of the input that was read, 0 to 1.
    fraction: Option<f64>,
    left: Option<Duration>,
}

impl SendProgress {
    pub(super) fn new(step: Step, read: Option<ReadProgress>) -> Self {
        let started = Instant::now();
        let mark = Mark {
            at: started,
            records: 0,
            bytes: 0,
        };
        Self {
            step,
            read,
            started,
            drawn: None,
            marks: [mark, mark],
        }
    }

    pub(super) fn show(&mut self, summary: &PutSummary) {
        let now = Instant::now();
        if self.drawn.is_some_and(|drawn| now.duration_since(drawn) < REDRAW) {
            return;
        }
        self.drawn = Some(now);
        let [older, newer] = self.marks;
        if now.duration_since(newer.at) >= RECENT {
            let mark = Mark {
                at: now,
                records: summary.acknowledged,
                bytes: summary.bytes,
            };
            self.marks = [newer, mark];
        }
        let seconds = now.duration_since(older.at).as_secs_f64().max(0.001);
        let fraction = self.read.as_ref().and_then(ReadProgress::fraction);
        self.step.message(line(Shown {
            records: summary.acknowledged,
            records_per_second: rate(summary.acknowledged - older.records, seconds),
            bytes_per_second: rate(summary.bytes - older.bytes, seconds),
            retries: summary.retries,
            fraction,
            left: fraction.and_then(|fraction| left(now.duration_since(self.started), fraction)),
        }));
    }

    pub(super) fn clear(&self) {
        self.step.clear();
    }
}

#[allow(clippy::cast_precision_loss, reason = "a rate to show")]
fn rate(number: u64, seconds: f64) -> u64 {
    // From float to integer, `as` saturates.
    (number as f64 / seconds).round() as u64
}

/// The time that is left after `elapsed` for this part of the input. Unknown at the very beginning.
fn left(elapsed: Duration, fraction: f64) -> Option<Duration> {
    if fraction < 0.01 {
        return None;
    }
    let seconds = elapsed.as_secs_f64() * (1.0 - fraction) / fraction;
    Duration::try_from_secs_f64(seconds.round()).ok()
}

/// Fits into 80 columns, with the two of a spinner before it.
fn line(shown: Shown) -> String {
    let mut parts = Vec::new();
    match shown.fraction {
        Some(fraction) => {
            let filled = ((fraction * BAR as f64).round() as usize).min(BAR);
            let percent = (fraction * 100.0).floor();
            parts.push(format!(
                "{percent:>3}% [{}{}]",
                "=".repeat(filled),
                " ".repeat(BAR - filled)
            ));
        }
        None => parts.push(counted(shown.records, "record")),
    }
    parts.push(format!("{}/s", count(shown.records_per_second)));
    parts.push(format!("{}/s", bytes(shown.bytes_per_second)));
    match shown.retries {
        0 => {}
        1 => parts.push("1 retry".to_owned()),
        retries => parts.push(format!("{} retries", count(retries))),
    }
    if let Some(left) = shown.left {
        parts.push(format!("ETA {}", ground::duration::format(left)));
    }
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_into_80_columns() {
        let shown = Shown {
            records: 12_345,
            records_per_second: 4_321,
            bytes_per_second: 2_500_000,
            retries: 12,
            fraction: Some(0.456),
            left: Some(Duration::from_secs(75)),
        };
        insta::assert_snapshot!(line(shown), @" 45% [=====       ]  4,321/s  2.4 MiB/s  12 retries  ETA 1m15s");
        let pipe = Shown {
            fraction: None,
            left: None,
            retries: 1,
            ..shown
        };
        insta::assert_snapshot!(line(pipe), @"12,345 records  4,321/s  2.4 MiB/s  1 retry");
        let most = Shown {
            records: 999_999_999_999,
            records_per_second: 9_999_999,
            bytes_per_second: (1 << 30) - (1 << 20),
            retries: 99_999_999,
            fraction: Some(1.0),
            left: Some(Duration::from_secs(99 * 3600 + 59 * 60)),
        };
        let pipe = Shown {
            fraction: None,
            left: None,
            ..most
        };
        for shown in [most, pipe] {
            assert!(line(shown).chars().count() <= 78, "{}", line(shown));
        }
    }

    #[test]
    fn the_time_that_is_left_is_in_proportion() {
        let minute = Duration::from_secs(60);
        assert_eq!(left(minute, 0.5), Some(minute));
        assert_eq!(left(minute, 0.001), None);
        assert_eq!(left(minute, 1.0), Some(Duration::ZERO));
    }
}
