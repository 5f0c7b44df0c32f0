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
        let shown = Shown {
            records: summary.acknowledged,
            records_per_second: rate(summary.acknowledged - older.records, seconds),
            bytes_per_second: rate(summary.bytes - older.bytes, seconds),
            retries: summary.retries,
            fraction,
            left: fraction.and_then(|fraction| left(now.duration_since(self.started), fraction)),
        };
        self.step.message(line(&shown, self.step.room()));
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

/// The line in at most `room` columns. Where not all fits, the bar goes first, then the unit of the rate, then bytes and
/// retries: nothing is cut.
fn line(shown: &Shown, room: usize) -> String {
    let bar = shown.fraction.map(|fraction| {
        let filled = ((fraction * BAR as f64).round() as usize).min(BAR);
        format!(" [{}{}]", "=".repeat(filled), " ".repeat(BAR - filled))
    });
    let percent = shown
        .fraction
        .map(|fraction| format!("{:>3}%", (fraction * 100.0).floor()));
    let done = percent.unwrap_or_else(|| counted(shown.records, "record"));
    let with_bar = format!("{done}{}", bar.unwrap_or_default());
    let short_rate = format!("{}/s", count(shown.records_per_second));
    let rate = format!("{} records/s", count(shown.records_per_second));
    let bytes = format!("{}/s", bytes(shown.bytes_per_second));
    let retries = match shown.retries {
        0 => String::new(),
        1 => "1 retry".to_owned(),
        retries => format!("{} retries", count(retries)),
    };
    let left = shown.left.map_or_else(String::new, |left| {
        format!("ETA {}", ground::duration::format(left))
    });
    let variants: [&[&str]; 5] = [
        &[&with_bar, &rate, &bytes, &retries, &left],
        &[&done, &rate, &bytes, &retries, &left],
        &[&done, &short_rate, &bytes, &retries, &left],
        &[&done, &short_rate, &left],
        &[&done],
    ];
    let joined = variants.map(|parts| {
        let parts = parts.iter().filter(|part| !part.is_empty());
        parts.copied().collect::<Vec<_>>().join("  ")
    });
    let fits = |line: &&String| line.chars().count() <= room;
    joined.iter().find(fits).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_into_any_terminal() {
        let shown = Shown {
            records: 12_345,
            records_per_second: 4_321,
            bytes_per_second: 2_500_000,
            retries: 12,
            fraction: Some(0.456),
            left: Some(Duration::from_secs(75)),
        };
        insta::assert_snapshot!(line(&shown, 77), @" 45% [=====       ]  4,321 records/s  2.4 MiB/s  12 retries  ETA 1m15s");
        insta::assert_snapshot!(line(&shown, 60), @" 45%  4,321 records/s  2.4 MiB/s  12 retries  ETA 1m15s");
        insta::assert_snapshot!(line(&shown, 37), @" 45%  4,321/s  ETA 1m15s");
        let pipe = Shown {
            fraction: None,
            left: None,
            retries: 1,
            ..shown
        };
        insta::assert_snapshot!(line(&pipe, 77), @"12,345 records  4,321 records/s  2.4 MiB/s  1 retry");
        let most = Shown {
            records: 999_999_999_999,
            records_per_second: 9_999_999,
            bytes_per_second: (1 << 30) - (1 << 20),
            retries: 99_999_999,
            fraction: Some(1.0),
            left: Some(Duration::from_secs(99 * 3600 + 59 * 60)),
        };
        let endless = Shown {
            fraction: None,
            left: None,
            ..most
        };
        for shown in [shown, pipe, most, endless] {
            for room in 0..120 {
                assert!(line(&shown, room).chars().count() <= room, "{room}");
            }
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
