//! From when to when, in which steps: AWS keeps minutes for 15 days, five minutes for 63, hours for 455.

use ground::error::{Error, Result};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// The longest window. Source: "Metrics retention", CloudWatch user guide.
pub const MAX_RANGE_SECONDS: i64 = 455 * DAY;
/// Steps that one reading may have.
const MAX_PERIODS: i64 = 20_160;

/// A stretch of time cut into periods; both ends are multiples of the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// Seconds since the epoch, within the window.
    pub start: i64,
    /// Seconds since the epoch, after the window. The running period is within.
    pub end: i64,
    /// Seconds.
    pub period: i64,
}

impl TimeRange {
    /// The last `since` seconds before `now` (seconds since the epoch), in periods of `period` seconds or fitting
    /// ones: a minute up to three hours, then longer.
    ///
    /// # Errors
    /// As [`TimeRange::before`].
    pub fn last(since: i64, period: Option<i64>, now: i64) -> Result<Self> {
        Self::before(now, since, period, now)
    }

    /// As [`TimeRange::last`], and ends at `until`.
    ///
    /// # Errors
    /// Exit 2 when a value is out of range or AWS keeps nothing so fine for so long.
    pub fn before(until: i64, since: i64, period: Option<i64>, now: i64) -> Result<Self> {
        if !(60..=MAX_RANGE_SECONDS).contains(&since) {
            return Err(Error::usage("--since must be between 1m and 455d")
                .hint("CloudWatch keeps metrics for 455 days; `--since 1h` is the default"));
        }
        if until > now {
            return Err(Error::usage("--until must not be in the future")
                .hint("leave --until out for the newest figures"));
        }
        let age = since.saturating_add(now.saturating_sub(until));
        if age > MAX_RANGE_SECONDS {
            return Err(Error::usage("the time range begins more than 455 days ago")
                .hint("CloudWatch keeps metrics for 455 days; use a later --until or a shorter --since"));
        }
        let finest = match age {
            _ if age > 63 * DAY => HOUR,
            _ if age > 15 * DAY => 300,
            _ => 60,
        };
        let period = match period {
            None => fitting(since).max(finest),
            Some(period) if period < 60 || period % 60 != 0 || period > DAY => {
                return Err(Error::usage("--period must be whole minutes, from 1m to 1d"));
            }
            Some(period) if period % finest != 0 => {
                let finest = if finest == HOUR {
                    "whole hours"
                } else {
                    "a multiple of 5 minutes"
                };
                return Err(
                    Error::usage(format!("for so long ago, --period must be {finest}"))
                        .hint("CloudWatch keeps minutes for 15 days and five minutes for 63 days"),
                );
            }
            Some(period) => period,
        };
        if since / period > MAX_PERIODS {
            return Err(
                Error::usage("--since and --period ask for more than 20,160 points")
                    .hint("use a longer --period"),
            );
        }
        // The running period is within; a range that ends on the boundary of a period does not have the next one.
        let end = match until == now {
            true => (until.div_euclid(period) + 1) * period,
            false => (until + period - 1).div_euclid(period) * period,
        };
        let periods = (since + period - 1) / period;
        Ok(Self {
            start: end - periods * period,
            end,
            period,
        })
    }

    /// Number of periods.
    pub fn periods(&self) -> usize {
        usize::try_from((self.end - self.start) / self.period.max(1)).unwrap_or(0)
    }

    /// Seconds of a period.
    #[allow(clippy::cast_precision_loss, reason = "at most a day")]
    pub fn period_seconds(&self) -> f64 {
        self.period.max(1) as f64
    }
}

/// The period of a window whose reader names none: never more than 456 points.
fn fitting(since: i64) -> i64 {
    match since {
        _ if since <= 3 * HOUR => 60,
        _ if since <= DAY => 300,
        _ if since <= 15 * DAY => HOUR,
        _ if since <= 63 * DAY => 6 * HOUR,
        _ => DAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_251_630;

    #[test]
    fn an_hour_has_sixty_minutes_with_the_running_one() {
        let window = TimeRange::last(HOUR, None, NOW).unwrap();
        assert_eq!((window.period, window.periods()), (60, 60));
        assert!(window.start <= NOW - HOUR + 60 && NOW < window.end);
    }

    #[test]
    fn periods_grow_with_the_window() {
        let period = |since| TimeRange::last(since, None, NOW).unwrap().period;
        let found = [60, 3 * HOUR, 3 * HOUR + 1, DAY, 14 * DAY, 20 * DAY, 100 * DAY].map(period);
        assert_eq!(found, [60, 60, 300, 300, HOUR, 6 * HOUR, DAY]);
    }

    #[test]
    fn what_aws_does_not_keep_is_refused() {
        for (since, period) in [
            (59, None),
            (456 * DAY, None),
            (HOUR, Some(30)),
            (HOUR, Some(90)),
            (HOUR, Some(2 * DAY)),
            (16 * DAY, Some(60)),
            (64 * DAY, Some(300)),
            (15 * DAY, Some(60)),
        ] {
            assert!(TimeRange::last(since, period, NOW).is_err(), "{since} {period:?}");
        }
    }

    #[test]
    fn an_earlier_range_ends_where_it_is_told_to() {
        let range = TimeRange::before(NOW - HOUR, HOUR, None, NOW).unwrap();
        assert_eq!((range.period, range.periods()), (60, 60));
        assert!((NOW - HOUR..NOW - HOUR + 60).contains(&range.end));
        // What is old is kept in longer periods only.
        let old = TimeRange::before(NOW - 30 * DAY, HOUR, None, NOW).unwrap();
        assert_eq!((old.period, old.periods()), (300, 12));
        assert!(TimeRange::before(NOW - 30 * DAY, HOUR, Some(60), NOW).is_err());
        assert!(TimeRange::before(NOW + 60, HOUR, None, NOW).is_err());
        assert!(TimeRange::before(NOW - 455 * DAY, HOUR, None, NOW).is_err());
    }

    proptest::proptest! {
        #[test]
        fn windows_are_aligned_and_cover_what_was_asked(since in 60i64..455 * DAY, now in 0i64..4_000_000_000) {
            let window = TimeRange::last(since, None, now).unwrap();
            proptest::prop_assert_eq!((window.start % window.period, window.end % window.period), (0, 0));
            proptest::prop_assert!(window.start - window.period <= now - since && now < window.end);
            proptest::prop_assert!(window.periods() <= 456);
        }
    }
}
