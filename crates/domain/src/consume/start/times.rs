//! `--where`: ranges of arrival times, in the grammar of `--from`.

use super::{Span, StartRule, UntilRule, span};
use ground::error::{Error, Result};

const HINT: &str = "use @-48h:-24h, @2026-11-21T10:00:00Z:1h, @:-1h (up to an hour ago), or one time such as 10m or \
                    2026-11-21T10:00:00Z (from then on)";

/// A range of arrival times, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrivalRange {
    /// Included. The lowest number for no limit.
    pub from_ms: i64,
    /// Not included. The highest number for no limit.
    pub until_ms: i64,
}

impl ArrivalRange {
    /// The range that `text` describes at the time `now_ms`.
    ///
    /// # Errors
    /// Exit 2 for what is no range of times, with the position of its fault, and for an end before the start.
    pub fn parse(text: &str, now_ms: i64) -> Result<Self> {
        const NOUN: &str = "range of arrival times";
        let Span { from, until } = span(text).map_err(|fault| fault.error(text, NOUN).hint(HINT))?;
        let no_time = || Error::usage(format!("{text:?} is not a {NOUN}")).hint(HINT);
        let from_ms = match from {
            StartRule::TrimHorizon => i64::MIN,
            StartRule::Latest => now_ms,
            StartRule::Ago(ms) => now_ms.saturating_sub(ms),
            StartRule::At(ms) => ms,
            StartRule::Sequence { .. } | StartRule::Last(_) => return Err(no_time()),
        };
        let until_ms = match until {
            None => i64::MAX,
            Some(UntilRule::Now) => now_ms,
            Some(UntilRule::Ago(ms)) => now_ms.saturating_sub(ms),
            Some(UntilRule::In(ms)) => now_ms.saturating_add(ms),
            Some(UntilRule::At(ms)) => ms,
            Some(UntilRule::AfterStart(ms)) => from_ms.saturating_add(ms),
            Some(UntilRule::Sequence { .. }) => return Err(no_time()),
        };
        match until_ms < from_ms {
            true => Err(Error::usage(format!("{text:?} ends before it starts")).hint(HINT)),
            false => Ok(Self { from_ms, until_ms }),
        }
    }

    /// The shortest range that contains all of `ranges`; `None` without any.
    pub fn around(ranges: &[Self]) -> Option<Self> {
        let from_ms = ranges.iter().map(|range| range.from_ms).min()?;
        let until_ms = ranges.iter().map(|range| range.until_ms).max()?;
        Some(Self { from_ms, until_ms })
    }

    /// Where a tail that shows this range starts, at the time `now_ms`.
    pub fn start(self, now_ms: i64) -> StartRule {
        match self.from_ms {
            i64::MIN..=0 => StartRule::TrimHorizon,
            ms if ms < now_ms => StartRule::At(ms),
            _ => StartRule::Latest,
        }
    }

    /// Whether a record that arrived at `ms` is in the range.
    pub fn contains(self, ms: i64) -> bool {
        (self.from_ms..self.until_ms).contains(&ms)
    }
}
