//! A clock that tests can set, and time formats.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

pub trait Clock {
    /// Milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> i64;
}

#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// RFC 3339 in UTC with milliseconds, such as `2026-01-31T09:05:00.250Z`. Times out of range become the epoch.
pub fn rfc3339_ms(ms: i64) -> String {
    format!("{:.3}", timestamp(ms))
}

/// RFC 3339 in UTC with whole seconds, such as `2026-01-31T09:05:00Z`.
pub fn rfc3339(ms: i64) -> String {
    format!("{:.0}", timestamp(ms))
}

/// Key prefix of a day in UTC, such as `2026/01/31`.
pub fn day_path(ms: i64) -> String {
    timestamp(ms).strftime("%Y/%m/%d").to_string()
}

/// Key prefix of an hour in UTC, such as `2026/01/31/09`.
pub fn hour_path(ms: i64) -> String {
    timestamp(ms).strftime("%Y/%m/%d/%H").to_string()
}

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        let ms = 1_769_850_300_250;
        assert_eq!(rfc3339_ms(ms), "2026-01-31T09:05:00.250Z");
        assert_eq!(rfc3339(ms), "2026-01-31T09:05:00Z");
        assert_eq!(day_path(ms), "2026/01/31");
        assert_eq!(hour_path(ms), "2026/01/31/09");
        assert_eq!(rfc3339(i64::MAX), "1970-01-01T00:00:00Z");
    }
}
