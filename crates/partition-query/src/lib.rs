//! The queries of Firehose's dynamic partitioning (`MetadataExtractionQuery`): jq 1.6, as far as partition keys need it.
//!
//! [`Query::parse`] reads a query once; [`Query::extract`] takes the partition keys out of a record. A query is bounded in
//! steps, memory and depth, so that none can hold a thread or exhaust the memory: `jaq`, which filters records for users,
//! has no such bounds. This crate knows neither streams nor Firehose's API.
//!
//! Sources: "jq 1.6 Manual"; "Understand partitioning keys", Amazon Data Firehose developer guide.
//!
//! Not offered, and refused when a query is read: `def`, `foreach`, `label`, assignments, destructuring, `input`, `env`,
//! modules, and functions that no partition key needs. A [`Fault`] tells them from what is not jq.

mod arithmetic;
mod builtin;
mod eval;
mod format;
mod items;
mod lex;
mod names;
mod parse;
mod regex;
mod term;
#[cfg(test)]
mod tests;
mod time;
mod value;

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use eval::{Machine, Stop};
use term::Term;
use value::Val;

/// The longest query, in characters. Source: `ProcessorParameterValue`, Amazon Data Firehose API reference.
pub const MAX_QUERY: usize = 5120;
/// Keys of a query. Source: "Create a Firehose stream: configure destination settings", Amazon Data Firehose developer guide.
pub const MAX_KEYS: usize = 50;
/// Values in a record, at most: each takes memory, however short it is.
const MAX_VALUES: usize = 1 << 20;

/// What Firehose says of a record that is not one JSON value.
pub const NOT_JSON: &str = "Non JSON record provided";
/// What Firehose says of a record without a key.
pub const NO_KEY: &str = "partitionKeys values must not be null or empty";

/// Why a query cannot be read: what is wrong, and where, as a sentence without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is not a query that Firehose takes.
    Invalid(String),
    /// It may be a query that Firehose takes, and has what is not offered here.
    NotOffered(String),
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) | Self::NotOffered(text) => f.write_str(text),
        }
    }
}

/// A query that has been checked.
#[derive(Debug, Clone)]
pub struct Query {
    body: Term,
    keys: Vec<String>,
}

/// What a query made of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// The partition keys by name, or why there are none.
    pub keys: Result<BTreeMap<String, String>, String>,
    /// The work: about a tenth of a microsecond each.
    pub steps: u64,
}

impl Query {
    /// # Errors
    /// If it is not valid, or has what is not offered.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.chars().count() > MAX_QUERY {
            return Err(Fault::Invalid(format!("it has more than {MAX_QUERY} characters")));
        }
        let body = parse::parse(text)?;
        let keys = parse::keys(&body)?;
        if keys.len() > MAX_KEYS {
            return Err(Fault::Invalid(format!("it has more than {MAX_KEYS} keys")));
        }
        Ok(Self { body, keys })
    }

    /// The names of the partition keys, in the order of the query.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Takes the keys out of a record. `now_ms` is the time of `now`, in milliseconds since the Unix epoch.
    pub fn extract(&self, record: &[u8], now_ms: i64) -> Extracted {
        let fail = |reason: &str, steps| Extracted {
            keys: Err(reason.to_owned()),
            steps,
        };
        let separators = record.iter().filter(|byte| b",[{".contains(byte)).count();
        if separators >= MAX_VALUES {
            return fail("the record has too many values", 0);
        }
        let Ok(input) = serde_json::from_slice::<Val>(record) else {
            return fail(NOT_JSON, 0);
        };
        let machine = Machine::new(record.len(), now_ms);
        let mut first = None;
        let end = machine.run(&self.body, None, &input, &mut |value| {
            first = Some(value);
            Err(Stop::Done)
        });
        let keys = match (first, end) {
            (Some(value), _) => texts(&value),
            (None, Ok(()) | Err(Stop::Done)) => Err(NO_KEY.to_owned()),
            (None, Err(stop)) => Err(stop.message()),
        };
        Extracted {
            keys,
            steps: machine.steps(),
        }
    }
}

/// The values of the keys as text.
fn texts(value: &Val) -> Result<BTreeMap<String, String>, String> {
    let Val::Obj(object) = value else {
        return Err(NO_KEY.to_owned());
    };
    let text = |value: &Val| match value {
        Val::Str(text) if !text.is_empty() => Ok(text.to_string()),
        Val::Bool(_) | Val::Num(_) => Ok(value.to_string()),
        Val::Null | Val::Str(_) => Err(NO_KEY.to_owned()),
        Val::Arr(_) | Val::Obj(_) => Err(format!(
            "partitionKeys values must not be of the type {}",
            value.kind()
        )),
    };
    let entries = object.entries.iter();
    entries
        .map(|(key, value)| Ok((key.to_string(), text(value)?)))
        .collect()
}
