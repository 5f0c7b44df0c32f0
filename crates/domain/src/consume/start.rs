//! `--from` and `--until`: where a tail starts and ends, as users write it and as the engine takes it.
//!
//! The grammar also takes the spellings of AWS (`TRIM_HORIZON`, `LATEST`), of rpk (`start`, `end`, `-5`, `@T1:T2`) and of
//! kcat (`beginning`, `s@MS`, `e@MS`). An expression that cannot be read is refused with the position of its fault.

mod moment;
mod times;

use std::fmt;

use crate::stream::shards::full_shard_id;
use data_plane::sequence;
use ground::error::{Error, Result};

use super::IteratorStart;
use super::lineage::ShardStart;
use moment::Moment;

pub use times::ArrivalRange;

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
    /// This many of the newest records of each open shard.
    Last(usize),
}

/// A resolved end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// After the records that are there now.
    Now,
    /// Before the first record that arrives at this time or later, in milliseconds since the Unix epoch.
    Timestamp(i64),
    /// After this record of this shard. No other shard is read.
    Sequence {
        /// The shard's full id.
        shard_id: String,
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
    /// `-N`: this many of the newest records of each shard.
    Last(usize),
}

/// An end as the user writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UntilRule {
    /// `end`: the records that are there now.
    Now,
    /// `10m`: milliseconds before now.
    Ago(i64),
    /// `+10m`: milliseconds from now.
    In(i64),
    /// A time, in milliseconds since the Unix epoch.
    At(i64),
    /// `@T:1h`: milliseconds after the start.
    AfterStart(i64),
    /// `seq:[SHARD:]NUMBER`.
    Sequence {
        shard_id: Option<String>,
        number: String,
    },
}

/// The value of `--from`: a start, or a range such as `@-48h:-24h`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub from: StartRule,
    pub until: Option<UntilRule>,
}

/// Why an expression cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    /// The byte at which it goes wrong.
    at: usize,
    what: &'static str,
}

impl Fault {
    fn new<T>(at: usize, what: &'static str) -> Result<T, Self> {
        Err(Self { at, what })
    }

    /// The same fault in a text that has `offset` more bytes in front.
    fn after(self, offset: usize) -> Self {
        Self {
            at: self.at + offset,
            ..self
        }
    }

    /// The error for `text`, which is what `noun` says.
    fn error(&self, text: &str, noun: impl fmt::Display) -> Error {
        let characters = text
            .char_indices()
            .take_while(|(start, _)| *start < self.at)
            .count();
        Error::usage(format!(
            "{text:?} is not a valid {noun}: at character {}, {}",
            characters + 1,
            self.what
        ))
    }
}

impl Start {
    /// Where to start in a shard that exists at the start.
    pub(super) fn shard_start(&self) -> ShardStart {
        ShardStart::Iterator(match self {
            Self::TrimHorizon => IteratorStart::TrimHorizon,
            Self::Latest => IteratorStart::Latest,
            Self::Timestamp(ms) => IteratorStart::AtTimestamp(*ms),
            Self::Sequence { number, .. } => IteratorStart::At(number.clone()),
            Self::Last(count) => return ShardStart::Last(*count),
        })
    }
}

impl std::str::FromStr for StartRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        start(text).map_err(|fault| fault.error(text, "start position").hint(START_HINT))
    }
}

impl std::str::FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        span(text).map_err(|fault| fault.error(text, "start position").hint(START_HINT))
    }
}

impl std::str::FromStr for UntilRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        until(text).map_err(|fault| fault.error(text, "end").hint(UNTIL_HINT))
    }
}

const START_HINT: &str = "use trim, latest, 10m, 2026-11-21T10:00:00Z, @1795255200 (epoch seconds), \
                          seq:SHARD:NUMBER, -5 (the last five of each shard) or @-2h:-1h (a range)";
const UNTIL_HINT: &str = "use end, 10m, +10m (from now), 2026-11-21T10:00:00Z, @1795255200 (epoch seconds) or \
                          seq:SHARD:NUMBER";
const WHAT_STARTS: &str =
    "there is no position; expected a word, a length of time, a time, `@`, `seq:` or `-N`";

fn span(text: &str) -> Result<Span, Fault> {
    if text == ":end" {
        return Ok(Span {
            from: StartRule::TrimHorizon,
            until: Some(UntilRule::Now),
        });
    }
    if let Some(rest) = text.strip_prefix("e@") {
        let until = moment::epoch(rest).map_err(|fault| fault.after(2))?;
        return Ok(Span {
            from: StartRule::TrimHorizon,
            until: Some(UntilRule::At(until)),
        });
    }
    match text.strip_prefix('@') {
        Some(range) if range.contains(':') => time_range(range).map_err(|fault| fault.after(1)),
        _ => start(text).map(|from| Span { from, until: None }),
    }
}

/// `T`, `T:`, `:T` or `T1:T2`. Times contain colons too: a whole time is tried first, then each colon as the separator.
fn time_range(text: &str) -> Result<Span, Fault> {
    let whole = match moment::time(text) {
        Ok(from) => {
            return Ok(Span {
                from: from.start(),
                until: None,
            });
        }
        Err(fault) => fault,
    };
    let mut nearest = whole;
    for (colon, _) in text.match_indices(':') {
        let from = match &text[..colon] {
            "" => Ok(StartRule::TrimHorizon),
            from => moment::time(from).map(Moment::start),
        };
        let until = match &text[colon + 1..] {
            "" => Ok(None),
            until => moment::range_end(until).map(Some),
        };
        match (from, until) {
            (Ok(from), Ok(until)) => return Ok(Span { from, until }),
            (Ok(_), Err(fault)) => nearest = fault.after(colon + 1),
            (Err(_), _) => {}
        }
    }
    Err(nearest)
}

fn start(text: &str) -> Result<StartRule, Fault> {
    match text {
        "trim" | "trim-horizon" | "start" | "beginning" | "TRIM_HORIZON" => {
            return Ok(StartRule::TrimHorizon);
        }
        "latest" | "end" | "LATEST" => return Ok(StartRule::Latest),
        "" => return Fault::new(0, WHAT_STARTS),
        _ => {}
    }
    if let Some(rest) = text.strip_prefix("seq:") {
        let (shard_id, number) = sequence_number(rest).map_err(|fault| fault.after(4))?;
        return Ok(StartRule::Sequence { shard_id, number });
    }
    if let Some(rest) = text.strip_prefix("s@") {
        return moment::epoch(rest)
            .map(StartRule::At)
            .map_err(|fault| fault.after(2));
    }
    if let Some(rest) = text.strip_prefix('@') {
        return moment::time(rest)
            .map(Moment::start)
            .map_err(|fault| fault.after(1));
    }
    if let Some(rest) = text.strip_prefix('-') {
        return before_end(rest).map_err(|fault| fault.after(1));
    }
    moment::ago_or_instant(text).map(Moment::start)
}

/// What follows a minus: a number of records, or a length of time.
fn before_end(text: &str) -> Result<StartRule, Fault> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return moment::length(text).map(StartRule::Ago);
    }
    match text.parse::<usize>() {
        Ok(0) => Fault::new(0, "at least one record is needed"),
        Ok(count) if count <= MOST_LAST => Ok(StartRule::Last(count)),
        _ => Fault::new(
            0,
            "at most 1000000 records can be counted from the end; use a length of time",
        ),
    }
}

/// The sequence numbers of the last records are kept while they are looked for.
const MOST_LAST: usize = 1_000_000;

fn until(text: &str) -> Result<UntilRule, Fault> {
    match text {
        "end" | "latest" | "now" | "LATEST" => return Ok(UntilRule::Now),
        "" => return Fault::new(0, WHAT_STARTS),
        _ => {}
    }
    if let Some(rest) = text.strip_prefix("seq:") {
        let (shard_id, number) = sequence_number(rest).map_err(|fault| fault.after(4))?;
        return Ok(UntilRule::Sequence { shard_id, number });
    }
    if let Some(rest) = text.strip_prefix("e@") {
        return moment::epoch(rest)
            .map(UntilRule::At)
            .map_err(|fault| fault.after(2));
    }
    if let Some(rest) = text.strip_prefix('+') {
        return moment::length(rest)
            .map(UntilRule::In)
            .map_err(|fault| fault.after(1));
    }
    let (rest, offset) = match text.strip_prefix('@') {
        Some(rest) => (rest, 1),
        None => (text, 0),
    };
    let moment = match (offset, rest.strip_prefix('-')) {
        (0, Some(ago)) => moment::length(ago)
            .map(Moment::Ago)
            .map_err(|fault| fault.after(1)),
        (0, None) => moment::ago_or_instant(rest),
        _ => moment::time(rest),
    };
    moment.map(Moment::until).map_err(|fault| fault.after(offset))
}

/// `[SHARD:]NUMBER`.
fn sequence_number(text: &str) -> Result<(Option<String>, String), Fault> {
    let (shard_id, number, at) = match text.rsplit_once(':') {
        Some((shard, number)) => {
            let id = full_shard_id(shard).ok_or(Fault {
                at: 0,
                what: "expected a shard, as 3 or shardId-000000000003",
            })?;
            (Some(id), number, shard.len() + 1)
        }
        None => (None, text, 0),
    };
    let bad = number.bytes().position(|b| !b.is_ascii_digit());
    match bad.or((number.is_empty()).then_some(0)) {
        Some(bad) => Fault::new(at + bad, "expected a digit of a sequence number"),
        None => Ok((shard_id, number.to_owned())),
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
            Self::Last(count) => Start::Last(count),
            Self::Ago(ms) => Start::Timestamp(now_ms.saturating_sub(ms).max(0)),
            Self::At(ms) if ms > now_ms => {
                return Err(Error::usage("the start time is in the future")
                    .hint("`--from latest` reads what arrives from now on"));
            }
            Self::At(ms) => Start::Timestamp(ms.max(0)),
            Self::Sequence { shard_id, number } => {
                let shard_id = one_shard("--from", shard_id, shards)?;
                Start::Sequence { shard_id, number }
            }
        })
    }
}

impl Span {
    /// Resolves start and end at the time `now_ms`; `shards` are those the user names, and `until` is the value of
    /// `--until`.
    ///
    /// # Errors
    /// Exit 2 as [`StartRule::resolve`], for two ends, and for an end before the start.
    pub fn resolve(
        self,
        until: Option<UntilRule>,
        now_ms: i64,
        shards: &[String],
    ) -> Result<(Start, Option<Until>)> {
        let until = match (self.until, until) {
            (Some(_), Some(_)) => {
                return Err(Error::usage(
                    "--from is a range with its own end, and --until gives another end",
                )
                .hint("leave one of them out"));
            }
            (inner, outer) => inner.or(outer),
        };
        let start = self.from.resolve(now_ms, shards)?;
        let Some(until) = until else {
            return Ok((start, None));
        };
        let from_ms = match &start {
            Start::Timestamp(ms) => Some(*ms),
            Start::Latest => Some(now_ms),
            _ => None,
        };
        let until = match until {
            UntilRule::Now => Until::Now,
            UntilRule::Ago(ms) => Until::Timestamp(now_ms.saturating_sub(ms).max(0)),
            UntilRule::In(ms) => Until::Timestamp(now_ms.saturating_add(ms)),
            UntilRule::At(ms) => Until::Timestamp(ms.max(0)),
            UntilRule::AfterStart(ms) => Until::Timestamp(from_ms.unwrap_or(0).saturating_add(ms)),
            UntilRule::Sequence { shard_id, number } => {
                let named: Vec<String> = match &start {
                    Start::Sequence { shard_id, .. } => vec![shard_id.clone()],
                    _ => shards.to_vec(),
                };
                let shard_id = one_shard("--until", shard_id, &named)?;
                Until::Sequence { shard_id, number }
            }
        };
        check_order(&start, from_ms, &until)?;
        Ok((start, Some(until)))
    }
}

fn check_order(start: &Start, from_ms: Option<i64>, until: &Until) -> Result<()> {
    let is_backwards = match (start, until) {
        (Start::Sequence { number: from, .. }, Until::Sequence { number: until, .. }) => {
            sequence::is_after(from, until)
        }
        (_, Until::Timestamp(until)) => from_ms.is_some_and(|from| *until < from),
        _ => false,
    };
    match is_backwards {
        true => Err(Error::usage("the end is before the start").hint("check --from and --until")),
        false => Ok(()),
    }
}

/// The shard of a sequence number that `flag` names.
fn one_shard(flag: &str, shard_id: Option<String>, shards: &[String]) -> Result<String> {
    match (shard_id, shards) {
        (Some(shard_id), []) => Ok(shard_id),
        (Some(shard_id), [only]) if *only == shard_id => Ok(shard_id),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(
            Error::usage("a sequence number belongs to one shard").hint(format!(
                "use `{flag} seq:SHARD:NUMBER`, or name the shard with --shard"
            )),
        ),
        (Some(_), _) => Err(Error::usage(format!(
            "{flag} seq: and another option name different shards"
        ))),
    }
}

#[cfg(test)]
mod tests;
