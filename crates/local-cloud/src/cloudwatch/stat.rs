//! Statistics, periods and time ranges, as both read operations accept them.

use super::error::ApiError;
use super::input::Fields;
use super::statistics::Statistics;
use super::store::MINUTE_MS;

/// A statistic of a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stat {
    SampleCount,
    Average,
    Sum,
    Minimum,
    Maximum,
    /// 0 to 100.
    Percentile(f64),
}

impl Stat {
    /// Parses `Sum`, `p99.9` and so on. Trimmed statistics are not supported.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "SampleCount" => Self::SampleCount,
            "Average" => Self::Average,
            "Sum" => Self::Sum,
            "Minimum" => Self::Minimum,
            "Maximum" => Self::Maximum,
            other => {
                let digits = other.strip_prefix('p')?;
                let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
                let percent: f64 = digits.parse().ok()?;
                (plain && (0.0..=100.0).contains(&percent)).then_some(Self::Percentile(percent))?
            }
        })
    }

    /// `None` if the values are not known (percentiles only).
    pub(super) fn of(self, statistics: &Statistics) -> Option<f64> {
        Some(match self {
            Self::SampleCount => statistics.count,
            Self::Average => statistics.average(),
            Self::Sum => statistics.sum,
            Self::Minimum => statistics.min,
            Self::Maximum => statistics.max,
            Self::Percentile(percent) => return statistics.percentile(percent),
        })
    }
}

/// `Period` in seconds: 1, 5, 10, 20, 30 or a multiple of 60, at most a day.
///
/// Below 60 the answer still has one point per minute, the stored resolution.
pub(super) fn period(fields: &Fields<'_>) -> Result<Option<i64>, ApiError> {
    let Some(seconds) = fields.integer("Period")? else {
        return Ok(None);
    };
    let known = matches!(seconds, 1 | 5 | 10 | 20 | 30) || (seconds > 0 && seconds % 60 == 0);
    if !known || seconds > 366 * 86_400 {
        return Err(ApiError::invalid(format!(
            "The parameter {} must be 1, 5, 10, 20, 30, or a multiple of 60.",
            fields.path("Period")
        )));
    }
    Ok(Some(seconds))
}

/// `StartTime` (rounded down to the minute) and `EndTime`, in milliseconds.
pub(super) fn time_range(fields: &Fields<'_>) -> Result<(i64, i64), ApiError> {
    let (start, end) = (fields.need_time("StartTime")?, fields.need_time("EndTime")?);
    if start == end {
        return Err(ApiError::invalid(
            "The parameter StartTime must not equal parameter EndTime.",
        ));
    }
    if start > end {
        return Err(ApiError::invalid(
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    Ok((start.div_euclid(MINUTE_MS) * MINUTE_MS, end))
}

/// A period in milliseconds, at least the stored resolution.
pub(super) fn period_ms(seconds: i64) -> i64 {
    (seconds * 1000).max(MINUTE_MS)
}

/// Minutes from UTC of a time zone: `UTC`, `+05:30` or `UTC+05:30`. `None` for names of places, and for offsets that are
/// not a multiple of 5 minutes. Source: WallClockWindow, CloudWatch API reference.
pub(super) fn offset_minutes(timezone: &str) -> Option<i64> {
    let offset = timezone.strip_prefix("UTC").unwrap_or(timezone);
    if offset.is_empty() {
        return timezone.starts_with("UTC").then_some(0);
    }
    let (sign, digits) = match offset.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':')?;
    let number = |text: &str| -> Option<i64> {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok())?
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let valid = hours <= 14 && minutes < 60 && minutes % 5 == 0;
    valid.then_some(sign * (hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::offset_minutes;

    #[test]
    fn offsets_of_time_zones() {
        let read = ["UTC", "+05:30", "UTC-08:00", "+00:00"].map(offset_minutes);
        assert_eq!(read, [Some(0), Some(330), Some(-480), Some(0)]);
        for bad in [
            "",
            "Europe/London",
            "+5:30",
            "+05:31",
            "+15:00",
            "05:30",
            "UTC+",
            "+0é:00",
        ] {
            assert_eq!(offset_minutes(bad), None, "{bad}");
        }
    }
}
