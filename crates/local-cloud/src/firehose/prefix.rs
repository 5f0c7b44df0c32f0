//! Keys of objects: the expressions of prefixes, their checks and their values.
//!
//! Source: "Understand custom prefixes for Amazon S3 objects" and "Configure Amazon S3 object name format", Amazon Data
//! Firehose developer guide. Formats of timestamps are those of Java's `DateTimeFormatter`, as far as its letters are
//! parts of a date or a time of day.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use rand::Rng;
use serde::{Deserialize, Serialize};

const OPEN: &str = "!{";
/// The longest evaluated prefix, in characters.
const LONGEST: usize = 512;
/// Characters of a random string.
const RANDOM: usize = 11;
/// What is appended to a prefix without expressions.
const HOURLY: &str = "yyyy/MM/dd/HH/";

/// A type of failed records, as `error-output-type` shows it.
pub(super) const PROCESSING_FAILED: &str = "processing-failed";
/// The longest key of S3, in bytes.
const LONGEST_KEY: usize = 1024;

/// The values of partition keys by name, of those that a prefix has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Keys {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub function: BTreeMap<String, String>,
}

/// The names of the partition keys in a prefix.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KeyNames {
    pub query: BTreeSet<String>,
    pub function: BTreeSet<String>,
}

impl KeyNames {
    /// Of a prefix that is valid.
    pub fn of(prefix: &str) -> Self {
        let mut names = Self::default();
        for part in parse(prefix).unwrap_or_default() {
            match part {
                Part::FromQuery(name) => names.query.insert(name.to_owned()),
                Part::FromFunction(name) => names.function.insert(name.to_owned()),
                _ => false,
            };
        }
        names
    }

    pub fn is_empty(&self) -> bool {
        self.query.is_empty() && self.function.is_empty()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Time(Vec<Field>),
    RandomString,
    ErrorOutputType,
    /// `partitionKeyFromQuery`, with the name of the key.
    FromQuery(&'a str),
    /// `partitionKeyFromLambda`
    FromFunction(&'a str),
}

/// A part of a format of timestamps.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Text(String),
    /// A letter, and how often it is repeated.
    Letter(char, usize),
}

/// Which of the two prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Prefix,
    ErrorOutputPrefix,
}

/// Why Firehose would refuse the two prefixes; `None` if they are valid.
pub(super) fn fault(
    prefix: Option<&str>,
    error_prefix: Option<&str>,
    is_partitioned: bool,
) -> Option<String> {
    let prefix = prefix.unwrap_or_default();
    let error_prefix = error_prefix.unwrap_or_default();
    let checked = |text: &str, of: Use| match parse(text) {
        Err(fault) => Some(fault),
        Ok(parts) => use_fault(text, &parts, of),
    };
    let has_keys = |text: &str| !KeyNames::of(text).is_empty();
    // Source of the words: AWS CloudFormation's events, as in the sources of the AWS CDK.
    if has_keys(error_prefix) {
        return Some(
            "Dynamic Partitioning Namespaces can't be part of an error prefix expression".to_owned(),
        );
    }
    match (has_keys(prefix), is_partitioned) {
        (true, false) => {
            return Some(
                "Dynamic Partitioning Namespaces can only be part of a prefix expression when Dynamic Partitioning is \
                 enabled."
                    .to_owned(),
            );
        }
        (false, true) if parse(prefix).is_ok() => {
            return Some(
                "S3 Prefix should contain Dynamic Partitioning namespaces when Dynamic Partitioning is enabled"
                    .to_owned(),
            );
        }
        _ => {}
    }
    if let Some(fault) = checked(prefix, Use::Prefix) {
        return Some(format!("Invalid Prefix: {fault}."));
    }
    if let Some(fault) = checked(error_prefix, Use::ErrorOutputPrefix) {
        return Some(format!("Invalid ErrorOutputPrefix: {fault}."));
    }
    (prefix.contains(OPEN) && error_prefix.is_empty())
        .then(|| "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions.".to_owned())
}

fn use_fault(text: &str, parts: &[Part<'_>], of: Use) -> Option<String> {
    let has_type = parts.contains(&Part::ErrorOutputType);
    match of {
        Use::Prefix if has_type => {
            return Some("!{firehose:error-output-type} can only be in ErrorOutputPrefix".to_owned());
        }
        Use::ErrorOutputPrefix if text.contains(OPEN) && !has_type => {
            return Some("its expressions must include !{firehose:error-output-type}".to_owned());
        }
        _ => {}
    }
    (longest(parts) > LONGEST).then(|| format!("it can be longer than {LONGEST} characters"))
}

/// The longest value, in characters.
fn longest(parts: &[Part<'_>]) -> usize {
    let of_field = |field: &Field| match field {
        Field::Text(text) => text.chars().count(),
        // The longest name of a month or a day of the week has nine letters.
        Field::Letter(_, count) => (*count).max(9),
    };
    let of_part = |part: &Part<'_>| match part {
        Part::Text(text) => text.chars().count(),
        Part::Time(fields) => fields.iter().map(of_field).sum(),
        Part::RandomString => RANDOM,
        Part::ErrorOutputType => PROCESSING_FAILED.len(),
        // Values are not empty. How long they are is checked when there are any.
        Part::FromQuery(_) | Part::FromFunction(_) => 1,
    };
    parts.iter().map(of_part).sum()
}

fn parse(text: &str) -> Result<Vec<Part<'_>>, String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (expression, after) = after
            .split_once('}')
            .ok_or_else(|| "an expression has no closing brace".to_owned())?;
        parts.extend((!before.is_empty()).then_some(Part::Text(before)));
        parts.push(match expression.split_once(':') {
            Some(("timestamp", format)) => Part::Time(fields(format)?),
            Some(("firehose", "random-string")) => Part::RandomString,
            Some(("firehose", "error-output-type")) => Part::ErrorOutputType,
            Some(("partitionKeyFromQuery", name)) if !name.is_empty() => Part::FromQuery(name),
            Some(("partitionKeyFromLambda", name)) if !name.is_empty() => Part::FromFunction(name),
            _ => return Err(format!("!{{{expression}}} is not an expression")),
        });
        rest = after;
    }
    parts.extend((!rest.is_empty()).then_some(Part::Text(rest)));
    Ok(parts)
}

/// The parts of a format. Text stands in single quotes; two of them are one quote.
fn fields(format: &str) -> Result<Vec<Field>, String> {
    let mut fields: Vec<Field> = Vec::new();
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' if characters.next_if_eq(&'\'').is_some() => fields.push(Field::Text("'".to_owned())),
            '\'' => fields.push(Field::Text(quoted(&mut characters)?)),
            letter if letter.is_ascii_alphabetic() => {
                let mut count = 1;
                while characters.next_if_eq(&letter).is_some() {
                    count += 1;
                }
                check_letter(letter, count)?;
                fields.push(Field::Letter(letter, count));
            }
            '[' | ']' | '{' | '}' | '#' => {
                return Err(format!("a timestamp cannot have the character {character}"));
            }
            text => fields.push(Field::Text(text.to_string())),
        }
    }
    if fields.is_empty() {
        return Err("a timestamp has no format".to_owned());
    }
    Ok(fields)
}

/// Text up to its closing quote.
fn quoted(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match characters.next() {
            Some('\'') if characters.next_if_eq(&'\'').is_some() => text.push('\''),
            Some('\'') => return Ok(text),
            Some(character) => text.push(character),
            None => return Err("a quote of a timestamp is not closed".to_owned()),
        }
    }
}

/// Source: class `DateTimeFormatter`, Java SE API: the letters and how often each may be repeated.
fn check_letter(letter: char, count: usize) -> Result<(), String> {
    let most = match letter {
        'y' | 'u' => 19,
        'M' | 'L' | 'E' => 4,
        'D' => 3,
        'd' | 'H' | 'h' | 'k' | 'K' | 'm' | 's' => 2,
        'S' => 9,
        'a' | 'e' => 1,
        _ => return Err(format!("the letter {letter} of a timestamp is not offered")),
    };
    match count <= most {
        true => Ok(()),
        false => Err(format!("a timestamp has too many letters {letter}")),
    }
}

/// What the key of an object is made of.
#[derive(Debug, Clone)]
pub(super) struct Name<'a> {
    pub stream: &'a str,
    /// Version of the settings.
    pub version: u64,
    /// Arrival of the oldest record.
    pub at_ms: i64,
    pub zone: &'a TimeZone,
    /// Such as `.gz`.
    pub extension: &'a str,
    pub uuid: &'a str,
    /// The values of partition keys; `None` without dynamic partitioning.
    pub keys: Option<&'a Keys>,
}

impl Name<'_> {
    fn at(&self) -> Zoned {
        // A time outside the calendar is the epoch.
        let at = Timestamp::from_millisecond(self.at_ms).unwrap_or_default();
        at.to_zoned(self.zone.clone())
    }

    /// The key of an object of records.
    pub fn key(&self, prefix: Option<&str>) -> String {
        let prefix = prefix.unwrap_or_default();
        let mut key = self.rendered(prefix, "");
        if !prefix.contains(OPEN) {
            self.push_time(&mut key, HOURLY);
        }
        self.finish(key)
    }

    /// Whether the prefix with its values, or the key, is too long.
    pub fn is_too_long(&self, prefix: &str) -> bool {
        let evaluated = self.rendered(prefix, "").chars().count();
        evaluated > LONGEST || self.key(Some(prefix)).len() > LONGEST_KEY
    }

    /// The key of an object of failed records.
    pub fn error_key(&self, prefix: Option<&str>, error_prefix: Option<&str>, error_type: &str) -> String {
        let given = error_prefix.filter(|prefix| !prefix.is_empty());
        let base = given.or(prefix).unwrap_or_default();
        let mut key = self.rendered(base, error_type);
        if !base.contains(OPEN) {
            key.push_str(error_type);
            key.push('/');
            self.push_time(&mut key, HOURLY);
        }
        self.finish(key)
    }

    fn finish(&self, mut key: String) -> String {
        let Self { stream, version, .. } = self;
        let _ = write!(key, "{stream}-{version}-");
        self.push_time(&mut key, "yyyy-MM-dd-HH-mm-ss-");
        key.push_str(self.uuid);
        key.push_str(self.extension);
        key
    }

    fn push_time(&self, key: &mut String, format: &str) {
        if let Ok(fields) = fields(format) {
            push_fields(key, &self.at(), &fields);
        }
    }

    /// A prefix with the values of its expressions. One that is not valid is text.
    fn rendered(&self, prefix: &str, error_type: &str) -> String {
        let parts = parse(prefix).unwrap_or_else(|_| vec![Part::Text(prefix)]);
        let value = |name: &str, of: fn(&Keys) -> &BTreeMap<String, String>| {
            let keys = self.keys.map(of);
            keys.and_then(|keys| keys.get(name)).map_or("", String::as_str)
        };
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Time(fields) => push_fields(&mut text, &self.at(), &fields),
                Part::RandomString => text.push_str(&random_string()),
                Part::ErrorOutputType => text.push_str(error_type),
                Part::FromQuery(name) => text.push_str(value(name, |keys| &keys.query)),
                Part::FromFunction(name) => text.push_str(value(name, |keys| &keys.function)),
            }
        }
        text
    }
}

fn push_fields(text: &mut String, at: &Zoned, fields: &[Field]) {
    for field in fields {
        match field {
            Field::Text(part) => text.push_str(part),
            Field::Letter(letter, count) => push_letter(text, at, *letter, *count),
        }
    }
}

fn push_letter(text: &mut String, at: &Zoned, letter: char, count: usize) {
    let number = |text: &mut String, value: i64| {
        let _ = write!(text, "{value:0count$}");
    };
    match (letter, count) {
        ('y' | 'u', 2) => number(text, i64::from(at.year()) % 100),
        ('y' | 'u', _) => number(text, i64::from(at.year())),
        ('M' | 'L', 3) => text.push_str(&at.strftime("%b").to_string()),
        ('M' | 'L', 4) => text.push_str(&at.strftime("%B").to_string()),
        ('M' | 'L', _) => number(text, i64::from(at.month())),
        ('E', 4) => text.push_str(&at.strftime("%A").to_string()),
        ('E', _) => text.push_str(&at.strftime("%a").to_string()),
        ('e', _) => number(text, i64::from(at.weekday().to_sunday_one_offset())),
        ('D', _) => number(text, i64::from(at.day_of_year())),
        ('d', _) => number(text, i64::from(at.day())),
        ('H', _) => number(text, i64::from(at.hour())),
        ('k', _) => number(text, (i64::from(at.hour()) + 23) % 24 + 1),
        ('K', _) => number(text, i64::from(at.hour()) % 12),
        ('h', _) => number(text, (i64::from(at.hour()) + 11) % 12 + 1),
        ('a', _) => text.push_str(if at.hour() < 12 { "AM" } else { "PM" }),
        ('m', _) => number(text, i64::from(at.minute())),
        ('s', _) => number(text, i64::from(at.second())),
        // A fraction of a second, cut to this many digits.
        ('S', _) => {
            let digits = format!("{:09}", at.subsec_nanosecond());
            text.push_str(digits.get(..count).unwrap_or(&digits));
        }
        _ => {}
    }
}

fn random_string() -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    (0..RANDOM)
        .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2018-07-06T23:04:05.678Z.
    const AT_MS: i64 = 1_530_918_245_678;

    fn name(zone: &TimeZone) -> Name<'_> {
        Name {
            stream: "carts",
            version: 3,
            at_ms: AT_MS,
            zone,
            extension: ".gz",
            uuid: "0a1b2c3d",
            keys: None,
        }
    }

    const SUFFIX: &str = "carts-3-2018-07-06-23-04-05-0a1b2c3d.gz";

    #[test]
    fn keys_follow_the_examples_of_the_guide() {
        let utc = TimeZone::UTC;
        let name = name(&utc);
        for (prefix, expected) in [
            (None, "2018/07/06/23/"),
            (Some("myFirehosePrefix/"), "myFirehosePrefix/2018/07/06/23/"),
            // No slash is added.
            (Some("myFirehosePrefix"), "myFirehosePrefix2018/07/06/23/"),
            (
                Some(
                    "myPrefix/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/",
                ),
                "myPrefix/year=2018/month=07/day=06/hour=23/",
            ),
            (Some("a!{timestamp:yyyy'-'MM'-'dd}b"), "a2018-07-06b"),
            (
                Some("!{timestamp:yy.D.E.MMM.h a.SSS.''}-"),
                "18.187.Fri.Jul.11 PM.678.'-",
            ),
        ] {
            assert_eq!(name.key(prefix), format!("{expected}{SUFFIX}"), "{prefix:?}");
        }
        let random = name.key(Some("rand=!{firehose:random-string}/"));
        assert_eq!(random.len(), "rand=/".len() + RANDOM + SUFFIX.len());
    }

    #[test]
    fn keys_of_failed_records_have_their_type() {
        let utc = TimeZone::UTC;
        let name = name(&utc);
        for (prefix, error_prefix, expected) in [
            (None, None, "processing-failed/2018/07/06/23/"),
            (Some("a/"), None, "a/processing-failed/2018/07/06/23/"),
            (Some("a/"), Some(""), "a/processing-failed/2018/07/06/23/"),
            (
                Some("a/"),
                Some("errors/"),
                "errors/processing-failed/2018/07/06/23/",
            ),
            (
                Some("!{timestamp:yyyy}/"),
                Some("f/!{firehose:error-output-type}/!{timestamp:yyyy}/anyMonth/!{timestamp:dd}/"),
                "f/processing-failed/2018/anyMonth/06/",
            ),
        ] {
            let key = name.error_key(prefix, error_prefix, PROCESSING_FAILED);
            assert_eq!(key, format!("{expected}{SUFFIX}"), "{prefix:?} {error_prefix:?}");
        }
    }

    #[test]
    fn values_of_partition_keys_stand_in_keys_as_they_are() {
        let utc = TimeZone::UTC;
        let map = |entries: &[(&str, &str)]| {
            let entries = entries
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            entries.collect()
        };
        let keys = Keys {
            query: map(&[("a", "x/!{timestamp:yyyy}"), ("b", "é")]),
            function: map(&[("a", "f")]),
        };
        let name = Name {
            keys: Some(&keys),
            ..name(&utc)
        };
        let prefix = "!{partitionKeyFromQuery:a}/!{partitionKeyFromLambda:a}/!{partitionKeyFromQuery:b}/!{timestamp:yyyy}/";
        assert_eq!(
            name.key(Some(prefix)),
            format!("x/!{{timestamp:yyyy}}/f/é/2018/{SUFFIX}")
        );
        let names = KeyNames::of(prefix);
        assert_eq!((names.query.len(), names.function.len()), (2, 1));
        assert!(!name.is_too_long(prefix));
        for long in ["x".repeat(500), "é".repeat(490)] {
            let keys = Keys {
                query: map(&[("a", &long)]),
                ..Keys::default()
            };
            let name = Name {
                keys: Some(&keys),
                ..name.clone()
            };
            let prefix = "!{partitionKeyFromQuery:a}/0123456789/";
            assert_eq!(
                name.is_too_long(prefix),
                long.len() > 600 || long.len() + 12 > LONGEST
            );
        }
    }

    #[test]
    fn times_are_those_of_the_zone() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        assert_eq!(
            name(&tokyo).key(None),
            "2018/07/07/08/carts-3-2018-07-07-08-04-05-0a1b2c3d.gz"
        );
    }

    #[test]
    fn prefixes_that_firehose_refuses_are_refused() {
        let error = Some("e/!{firehose:error-output-type}/");
        for (prefix, error_prefix) in [
            (Some("!{timestamp:yyyy}/"), None),
            (Some("!{timestamp:yyyy}/"), Some("")),
            (Some("!{timestamp:yyyy"), error),
            (Some("!{timestamp:}"), error),
            (Some("!{timestamp:yyyy'}"), error),
            (Some("!{timestamp:xx}"), error),
            (Some("!{timestamp:HHH}"), error),
            (Some("!{galaxy:far}"), error),
            (Some("!{timestamp}"), error),
            (Some("!{firehose:error-output-type}"), error),
            (Some("!{partitionKeyFromQuery:customer}/"), error),
            (Some("!{partitionKeyFromQuery:}/"), error),
            (
                None,
                Some("!{firehose:error-output-type}/!{partitionKeyFromLambda:a}/"),
            ),
            (None, Some("!{timestamp:yyyy}/")),
            (None, Some("!{firehose:random-string}/")),
        ] {
            assert!(
                fault(prefix, error_prefix, false).is_some(),
                "{prefix:?} {error_prefix:?}"
            );
        }
        assert!(fault(Some(&"x".repeat(513)), None, false).is_some());
        for (prefix, error_prefix) in [
            (None, None),
            (Some("a/"), None),
            (Some("{a}!"), None),
            (Some("!{timestamp:yyyy/MM/dd/HH}/"), error),
            (Some("!{firehose:random-string}/"), error),
            (None, Some("errors/")),
        ] {
            assert_eq!(fault(prefix, error_prefix, false), None);
        }
        let partitioned = Some("a=!{partitionKeyFromQuery:a}/!{partitionKeyFromLambda:b}/!{timestamp:yyyy}/");
        assert_eq!(fault(partitioned, error, true), None);
        assert!(fault(Some("a/"), error, true).is_some());
        assert!(fault(partitioned, None, true).is_some());
    }

    proptest! {
        #[test]
        fn valid_prefixes_make_keys_that_s3_accepts(
            prefix in r"[a-z/!{}:']{0,20}|(x?!\{(timestamp:[yMdHmsDEahkKS'/ -]{1,6}|firehose:random-string)\}/){1,4}",
            at_ms in any::<i64>(),
        ) {
            let error = "e/!{firehose:error-output-type}/";
            if fault(Some(&prefix), Some(error), false).is_none() {
                let utc = TimeZone::UTC;
                let name = Name { at_ms, ..name(&utc) };
                let key = name.key(Some(&prefix));
                prop_assert!(key.ends_with("0a1b2c3d.gz") && key.chars().count() <= 600, "{key}");
                prop_assert!(name.error_key(Some(&prefix), Some(error), PROCESSING_FAILED).starts_with("e/processing-failed/"));
            }
        }
    }
}
