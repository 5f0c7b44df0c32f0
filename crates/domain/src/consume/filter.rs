//! Which records are shown: those that arrived at certain times, that match regular expressions, and for which a jq
//! expression is true.

mod jq;
mod pattern;

use super::{ArrivalRange, Item};
use ground::error::Result;

pub use pattern::Pattern;

use jq::Jq;

/// A filter as it is written.
#[derive(Debug, Clone, Default)]
pub struct FilterRule<'a> {
    /// The record arrived in one of these ranges of time.
    pub arrived: &'a [ArrivalRange],
    /// The data matches one of these.
    pub include: &'a [String],
    /// The data matches none of these.
    pub exclude: &'a [String],
    /// The partition key matches one of these.
    pub key: &'a [String],
    /// The partition key is this one.
    pub exact_key: Option<&'a str>,
    /// A jq expression that is true for the record.
    pub jq: Option<&'a str>,
}

/// Which records are shown.
#[derive(Default)]
pub struct Filter {
    arrived: Vec<ArrivalRange>,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    key: Vec<Pattern>,
    exact_key: Option<String>,
    jq: Option<Jq>,
    failures: Failures,
}

/// Records for which the jq expression failed. They are not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures {
    pub count: u64,
    /// The first of them.
    pub first: String,
}

impl Filter {
    /// # Errors
    /// Exit 2 for an expression that cannot be read, with the position of its fault.
    pub fn new(rule: &FilterRule<'_>) -> Result<Self> {
        let patterns = |texts: &[String], flag| {
            let patterns = texts.iter().map(|text| Pattern::new(text, flag));
            patterns.collect::<Result<Vec<_>>>()
        };
        Ok(Self {
            arrived: rule.arrived.to_vec(),
            include: patterns(rule.include, "--include")?,
            exclude: patterns(rule.exclude, "--exclude")?,
            key: patterns(rule.key, "--key-regex")?,
            exact_key: rule.exact_key.map(str::to_owned),
            jq: rule.jq.map(Jq::new).transpose()?,
            failures: Failures::default(),
        })
    }

    /// Whether `item` is shown.
    pub fn has(&mut self, item: &Item<'_>) -> bool {
        let key = item.partition_key.as_bytes();
        let arrival = item.record.arrival_ms;
        let has_arrived = |range: &ArrivalRange| arrival.is_some_and(|ms| range.contains(ms));
        let fits = (self.arrived.is_empty() || self.arrived.iter().any(has_arrived))
            && self
                .exact_key
                .as_ref()
                .is_none_or(|exact| exact.as_bytes() == key)
            && (self.key.is_empty() || self.key.iter().any(|one| one.is_match(key)))
            && (self.include.is_empty() || self.include.iter().any(|one| one.is_match(&item.data)))
            && !self.exclude.iter().any(|one| one.is_match(&item.data));
        let Some(jq) = self.jq.as_ref().filter(|_| fits) else {
            return fits;
        };
        match jq.is_true(item) {
            Ok(is_true) => is_true,
            Err(error) => {
                if self.failures.count == 0 {
                    self.failures.first = error;
                }
                self.failures.count += 1;
                false
            }
        }
    }

    /// The records for which the jq expression failed.
    pub fn failures(&self) -> &Failures {
        &self.failures
    }
}

#[cfg(test)]
mod tests;
