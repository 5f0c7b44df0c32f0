//! `--from`: the start position of a tail.

use crate::stream::shards::full_shard_id;
use jiff::{Timestamp, civil, tz::TimeZone};

use super::IteratorStart;
use ground::duration;
use ground::error::{Error, Result};

/// A resolved start position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The oldest record of every shard.
    TrimHorizon,
    /// Records that arrive from now on.
    Latest,
    /// Records that arrived from this time on, in milliseconds since the Unix epoch.
    Timestamp(i64),
    /// One record of one shard, and the records after it.
    Sequence {
        /// The shard's full id.
        shard_id: String,
        /// The record's sequence number.
        number: String,
    },
}

/// A start position as the user writes it; times are relative to a "now" given later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartRule {
    /// `trim`.
    TrimHorizon,
    /// `latest`.
    Latest,
    /// `10m`: milliseconds before now.
    Ago(i64),
    /// A date, a time or `@` and an epoch, in milliseconds since the Unix epoch.
    At(i64),
    /// `seq:[SHARD:]NUMBER`.
    Sequence {
        /// The shard, if named here.
        shard_id: Option<String>,
        number: String,
    },
}

impl Start {
    /// The iterator position for a shard that exists at the start.
    pub(super) fn iterator(&self) -> IteratorStart {
        match self {
            Self::TrimHorizon => IteratorStart::TrimHorizon,
            Self::Latest => IteratorStart::Latest,
            Self::Timestamp(ms) => IteratorStart::AtTimestamp(*ms),
            Self::Sequence { number, .. } => IteratorStart::At(number.clone()),
        }
    }
}

impl std::str::FromStr for StartRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        match text {
            "trim" | "trim-horizon" | "start" => return Ok(Self::TrimHorizon),
            "latest" | "end" => return Ok(Self::Latest),
            _ => {}
        }
        if let Some(rest) = text.strip_prefix("seq:") {
            return sequence(rest).ok_or_else(|| unknown(text));
        }
        if let Some(rest) = text.strip_prefix('@') {
            return epoch_ms(rest).map(Self::At).ok_or_else(|| unknown(text));
        }
        duration::parse(text)
            .and_then(|ago| i64::try_from(ago.as_millis()).ok())
            .map(Self::Ago)
            .or_else(|| instant_ms(text).map(Self::At))
            .ok_or_else(|| unknown(text))
    }
}

impl StartRule {
    /// Resolves the position at the time `now_ms`; `shards` are those the user names.
    ///
    /// # Errors
    /// Exit 2 for a time in the future, or a sequence number without exactly one shard.
    pub fn resolve(self, now_ms: i64, shards: &[String]) -> Result<Start> {
        Ok(match self {
            Self::TrimHorizon => Start::TrimHorizon,
            Self::Latest => Start::Latest,
            Self::Ago(ms) => Start::Timestamp(now_ms.saturating_sub(ms).max(0)),
            Self::At(ms) if ms > now_ms => {
                return Err(Error::usage("the time to start from is still to come")
                    .hint("`--from latest` reads what arrives from now on"));
            }
            Self::At(ms) => Start::Timestamp(ms.max(0)),
            Self::Sequence { shard_id, number } => match (shard_id, shards) {
                (Some(shard_id), []) => Start::Sequence { shard_id, number },
                (Some(shard_id), [only]) if *only == shard_id => Start::Sequence { shard_id, number },
                (None, [only]) => Start::Sequence {
                    shard_id: only.clone(),
                    number,
                },
                (None, _) => {
                    return Err(Error::usage("a sequence number belongs to one shard")
                        .hint("use `--from seq:SHARD:NUMBER`, or name the shard with --shard"));
                }
                (Some(_), _) => {
                    return Err(Error::usage("--from seq: and --shard name different shards"));
                }
            },
        })
    }
}

fn unknown(text: &str) -> Error {
    Error::usage(format!("{text:?} is not a valid start position"))
        .hint("use trim, latest, 10m, 2026-11-21T10:00:00Z, @1795255200 (epoch seconds) or seq:SHARD:NUMBER")
}

fn sequence(text: &str) -> Option<StartRule> {
    let (shard_id, number) = match text.rsplit_once(':') {
        Some((shard, number)) => (Some(full_shard_id(shard)?), number),
        None => (None, text),
    };
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| StartRule::Sequence {
        shard_id,
        number: number.to_owned(),
    })
}

/// Seconds since the epoch, optionally with a fraction; from 12 digits on, milliseconds.
fn epoch_ms(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    if whole.len() >= 12 {
        return fraction.is_empty().then_some(number);
    }
    let millis: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    Some(number * 1000 + millis)
}

/// A date and time. The default zone is UTC, the default time midnight.
fn instant_ms(text: &str) -> Option<i64> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_millisecond());
    }
    let date_time: civil::DateTime = text.parse().ok()?;
    let zoned = date_time.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond())
}
