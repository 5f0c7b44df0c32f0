//! Where a partition key comes from.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{PartitionKey, RecordErrorKind};

/// Source of the partition key for formats without keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRule {
    /// Random keys, so that records spread evenly over shards.
    Random,
    /// The same key for every record, so that all go to one shard.
    Constant(PartitionKey),
    /// The text, number or boolean at this path of each JSON record.
    Field(FieldPath),
    /// The first of these patterns that fits the JSON record.
    Patterns(Vec<KeyPattern>),
}

/// Source of the explicit hash key, which selects the shard instead of the partition key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HashKeyRule {
    /// The record's own, if its format has one.
    #[default]
    Own,
    /// The same for every record, so that all go to one shard: a decimal number below 2^128.
    Constant(String),
    /// The text or number at this path of each JSON record.
    Field(FieldPath),
}

/// Names of members and numbers of elements that lead to a value of a JSON record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    names: Vec<String>,
}

impl FieldPath {
    /// A JSON pointer such as `/user/id`, or a dotted path such as `user.id`.
    pub fn parse(text: &str) -> Self {
        let names = match text.strip_prefix('/') {
            // Source: RFC 6901.
            Some(pointer) => {
                let name = |part: &str| part.replace("~1", "/").replace("~0", "~");
                pointer.split('/').map(name).collect()
            }
            None => text.split('.').map(str::to_owned).collect(),
        };
        Self { names }
    }

    /// What the JSON `data` has there: a string's text, any other value as it is written. `None` if it has nothing there.
    pub fn value_of<'a>(&self, data: &'a [u8]) -> Option<Cow<'a, str>> {
        let value = value_at(std::str::from_utf8(data).ok()?, &self.names)?;
        match value.starts_with('"') {
            true => serde_json::from_str::<Text<'_>>(value).ok().map(|text| text.0),
            false => Some(Cow::Borrowed(value)),
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join("."))
    }
}

/// A pattern of partition keys, such as `artist_{payload.artist_id}`. It fits the JSON records that have its fields.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "DeclaredPattern")]
pub struct KeyPattern {
    pieces: Vec<Piece>,
    /// Fields that must have one of these values.
    when: Vec<(FieldPath, Vec<String>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(FieldPath),
}

/// A pattern as a manifest declares it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredPattern {
    key: String,
    /// Values by dotted path.
    #[serde(default)]
    when: BTreeMap<String, Vec<String>>,
}

impl TryFrom<DeclaredPattern> for KeyPattern {
    type Error = String;

    fn try_from(declared: DeclaredPattern) -> Result<Self, String> {
        let when = declared.when.into_iter();
        Ok(Self {
            when: when
                .map(|(field, values)| (FieldPath::parse(&field), values))
                .collect(),
            ..Self::parse(&declared.key)?
        })
    }
}

impl KeyPattern {
    /// A pattern that fits every record with its fields, such as `{source}_{payload.id}`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let problem = || format!("{text:?} is not a pattern of keys, such as user_{{user.id}}");
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (field, after) = after.split_once('}').ok_or_else(problem)?;
            if before.contains('}') || field.is_empty() || field.contains('{') {
                return Err(problem());
            }
            pieces.extend([
                Piece::Text(before.to_owned()),
                Piece::Field(FieldPath::parse(field)),
            ]);
            rest = after;
        }
        if rest.contains('}') || text.is_empty() {
            return Err(problem());
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self {
            pieces,
            when: Vec::new(),
        })
    }

    /// The key of a JSON record; `None` if the pattern does not fit it.
    fn key_of(&self, text: &str) -> Option<PartitionKey> {
        let fits = |(path, values): &(FieldPath, Vec<String>)| {
            text_at(text, &path.names).is_some_and(|value| values.iter().any(|one| *one == value))
        };
        if !self.when.iter().all(fits) {
            return None;
        }
        let mut key = PartitionKey::default();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => key.push_str(text),
                Piece::Field(path) => {
                    key.push_str(&text_at(text, &path.names).filter(|value| !value.is_empty())?);
                }
            }
        }
        Some(key)
    }
}

impl KeyRule {
    /// The rule that takes keys from a JSON pointer such as `/user/id`, or a dotted path such as `user.id`.
    pub fn field(path: &str) -> Self {
        Self::Field(FieldPath::parse(path))
    }

    /// The key of a record with this data.
    pub fn key_of(&self, data: &[u8]) -> Result<PartitionKey, RecordErrorKind> {
        let text = || std::str::from_utf8(data).ok();
        match self {
            Self::Random => Ok(random_key()),
            Self::Constant(key) => Ok(key.clone()),
            Self::Field(path) => text()
                .and_then(|text| text_at(text, &path.names))
                .map(PartitionKey::from)
                .ok_or_else(|| RecordErrorKind::NoKeyField(path.to_string())),
            Self::Patterns(patterns) => text()
                .and_then(|text| patterns.iter().find_map(|pattern| pattern.key_of(text)))
                .ok_or(RecordErrorKind::NoKeyPattern),
        }
    }
}

impl HashKeyRule {
    /// The hash key of a record with this data; `own` is that of its format.
    pub(super) fn key_of(&self, data: &[u8], own: Option<String>) -> Result<Option<String>, RecordErrorKind> {
        match self {
            Self::Own => Ok(own),
            Self::Constant(key) => Ok(Some(key.clone())),
            Self::Field(path) => {
                let text = std::str::from_utf8(data).ok();
                let key = text.and_then(|text| text_at(text, &path.names));
                let key = key.ok_or_else(|| RecordErrorKind::NoHashKeyField(path.to_string()))?;
                checked_hash_key(key.into_owned()).map(Some)
            }
        }
    }

    /// The rule that gives every record the hash key `key`; `None` if it is not one.
    pub fn constant(key: &str) -> Option<Self> {
        checked_hash_key(key.to_owned()).ok().map(Self::Constant)
    }
}

/// `key`, if it is a decimal number below 2^128 as Kinesis takes it.
pub(super) fn checked_hash_key(key: String) -> Result<String, RecordErrorKind> {
    // u128 also parses "+1" and "007", which Kinesis refuses.
    let refused =
        key.parse::<u128>().is_err() || key.starts_with('+') || (key.len() > 1 && key.starts_with('0'));
    match refused {
        true => Err(RecordErrorKind::HashKey),
        false => Ok(key),
    }
}

/// The length of random keys. A key is sent and hashed with each record, and counts against the limit of its shard, so it is
/// short. All have the same, so that one can take the place of another.
pub const RANDOM_KEY_LENGTH: usize = 8;

/// A random key, as [`set_random_key`] makes one.
pub(crate) fn random_key() -> PartitionKey {
    let mut key = PartitionKey::default();
    set_random_key(&mut key);
    key
}

/// Makes `key` a random key. Keys are used again in turn, each at most [`USES`] times, so that the MD5 of most is known
/// ([`super::HashKeys`]). The first [`KEYS_IN_TURN`] differ.
pub(super) fn set_random_key(key: &mut PartitionKey) {
    thread_local! {
        static KEYS: RefCell<RandomKeys> = RefCell::new(RandomKeys {
            // Keys need not be secret.
            random: SmallRng::from_os_rng(),
            keys: Vec::new(),
            next: 0,
            round: 0,
        });
    }
    KEYS.with_borrow_mut(|keys| key.clone_from(keys.next()));
}

/// How many keys are in use at the same time: as many as a request has records, and few enough for their hash keys to stay in
/// the first cache of a processor. Others take their places, so that all shards of a large stream get their share.
pub(super) const KEYS_IN_TURN: usize = 1 << 9;
const USES: usize = 8;

struct RandomKeys {
    random: SmallRng,
    keys: Vec<PartitionKey>,
    next: usize,
    round: usize,
}

impl RandomKeys {
    fn next(&mut self) -> &PartitionKey {
        let at = self.next;
        self.next = (at + 1) % KEYS_IN_TURN;
        self.round += usize::from(self.next == 0);
        if at == self.keys.len() {
            self.keys.push(random_text(&mut self.random));
        } else if at % USES == self.round % USES {
            // In each round, the keys of other places are replaced.
            self.keys[at] = random_text(&mut self.random);
        }
        &self.keys[at]
    }
}

/// 5 random bits a character, in digits and small letters.
fn random_text(random: &mut SmallRng) -> PartitionKey {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut bits = random.next_u64();
    let key = [0_u8; RANDOM_KEY_LENGTH].map(|_| {
        let digit = DIGITS[(bits % 32) as usize];
        bits /= 32;
        digit
    });
    std::str::from_utf8(&key)
        .map(PartitionKey::from)
        .unwrap_or_default()
}

/// The text or number at the path `names` of the JSON value `text`.
fn text_at<'a>(text: &'a str, names: &[String]) -> Option<Cow<'a, str>> {
    let value = value_at(text, names)?;
    match value.as_bytes().first()? {
        b'"' => serde_json::from_str::<Text<'_>>(value).ok().map(|text| text.0),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(value)),
    }
}

/// A string of JSON. Borrows unless a character is escaped.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The JSON value at the path `names` of the JSON value `text`, as it is written.
fn value_at<'a>(text: &'a str, names: &[String]) -> Option<&'a str> {
    let text = text.trim_ascii();
    match names {
        [] => Some(text),
        [name, rest @ ..] => match text.as_bytes().first()? {
            b'[' => value_at(element(text, name.parse().ok()?)?.get(), rest),
            _ => value_at(member(text, name)?.get(), rest),
        },
    }
}

/// The element `index` of the JSON array `text`.
fn element(text: &str, index: usize) -> Option<&RawValue> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    elements.get(index).copied()
}

/// The member `name` of the JSON object `text`; the last one of several, as in most parsers.
fn member<'a>(text: &'a str, name: &str) -> Option<&'a RawValue> {
    struct Find<'n>(&'n str);
    impl<'a> Visitor<'a> for Find<'_> {
        type Value = Option<&'a RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'a>>(self, mut members: M) -> Result<Self::Value, M::Error> {
            let mut found = None;
            while let Some(key) = members.next_key::<Text<'a>>()? {
                if key.0 == self.0 {
                    found = Some(members.next_value()?);
                } else {
                    members.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    serde_json::Deserializer::from_str(text)
        .deserialize_map(Find(name))
        .ok()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(key: &str, when: &[(&str, &[&str])]) -> Result<KeyPattern, String> {
        let when = when.iter().map(|(field, values)| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            ((*field).to_owned(), values)
        });
        KeyPattern::try_from(DeclaredPattern {
            key: key.to_owned(),
            when: when.collect(),
        })
    }

    #[test]
    fn a_value_is_shown_as_it_is_written() {
        let value = |path: &str| {
            let value =
                FieldPath::parse(path).value_of(br#" {"a": {"b": [1, 2.50]}, "c": "x\ny", "d": null} "#);
            value.map(Cow::into_owned)
        };
        assert_eq!(value("a.b.1").as_deref(), Some("2.50"));
        assert_eq!(value("/a/b").as_deref(), Some("[1, 2.50]"));
        assert_eq!(value("c").as_deref(), Some("x\ny"));
        assert_eq!(value("d").as_deref(), Some("null"));
        assert_eq!(value("a.c"), None);
        assert_eq!(FieldPath::parse("a").value_of(b"\xff"), None);
        assert_eq!(FieldPath::parse("a").value_of(b"plain"), None);
    }

    #[test]
    fn the_first_pattern_that_fits_makes_the_key() {
        let concerts: &[(&str, &[&str])] = &[("data_type", &["concerts", "events"])];
        let rule = KeyRule::Patterns(vec![
            pattern("concert_{payload.concert_id}", concerts).unwrap(),
            pattern("concert_{payload.event_id}", concerts).unwrap(),
            pattern("{data_type}_unknown", &[]).unwrap(),
        ]);
        let key = |data: &str| rule.key_of(data.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(
            key(r#"{"data_type":"events","payload":{"concert_id":7,"event_id":"e"}}"#).unwrap(),
            "concert_7"
        );
        assert_eq!(
            key(r#"{"data_type":"concerts","payload":{"concert_id":"","event_id":"e"}}"#).unwrap(),
            "concert_e"
        );
        assert_eq!(
            key(r#"{"data_type":"venues","payload":{"concert_id":7}}"#).unwrap(),
            "venues_unknown"
        );
        assert_eq!(
            key("[1]").unwrap_err(),
            "it has none of the fields that the template uses for partition keys"
        );
    }

    #[test]
    fn a_path_is_a_pointer_or_dotted() {
        let key = |path: &str| {
            KeyRule::field(path)
                .key_of(br#"{"a":{"b":[1,"x"]},"c/d":2,"e.f":3}"#)
                .ok()
        };
        assert_eq!(key("/a/b/1").as_deref(), Some("x"));
        assert_eq!(key("a.b.0").as_deref(), Some("1"));
        assert_eq!(key("/c~1d").as_deref(), Some("2"));
        assert_eq!(key("/e.f").as_deref(), Some("3"));
        assert_eq!(key("a.b.2"), None);
        assert_eq!(key("a"), None);
    }

    #[test]
    fn random_keys_are_used_again_a_few_times() {
        // A thread of its own has keys of its own.
        let count = 40 * KEYS_IN_TURN;
        let keys = std::thread::spawn(move || (0..count).map(|_| random_key()).collect::<Vec<_>>());
        let keys = keys.join().unwrap();
        let mut uses = BTreeMap::new();
        keys.iter().for_each(|key| *uses.entry(key).or_insert(0) += 1);
        assert!(
            uses.values().all(|uses| *uses <= USES),
            "{:?}",
            uses.values().max()
        );
        assert!(uses.len() > 2 * KEYS_IN_TURN, "{}", uses.len());
        let first: std::collections::BTreeSet<_> = keys[..KEYS_IN_TURN].iter().collect();
        assert_eq!(first.len(), KEYS_IN_TURN);
        assert!(keys.iter().all(|key| key.len() == RANDOM_KEY_LENGTH));
    }

    #[test]
    fn a_hash_key_is_a_number_as_kinesis_takes_it() {
        for bad in [
            "",
            "-1",
            "+1",
            "007",
            "x",
            "340282366920938463463374607431768211456",
        ] {
            assert_eq!(HashKeyRule::constant(bad), None, "{bad}");
        }
        assert!(HashKeyRule::constant("340282366920938463463374607431768211455").is_some());
        let rule = HashKeyRule::Field(FieldPath::parse("h"));
        assert_eq!(
            rule.key_of(br#"{"h":12}"#, None).ok(),
            Some(Some("12".to_owned()))
        );
        assert!(rule.key_of(br#"{"h":1.5}"#, None).is_err());
        assert!(rule.key_of(b"{}", Some("1".to_owned())).is_err());
    }

    #[test]
    fn a_pattern_needs_matching_braces() {
        for bad in ["", "{", "}", "a{}", "a{b", "a}b", "{a{b}}"] {
            pattern(bad, &[]).unwrap_err();
        }
        assert_eq!(pattern("all", &[]).unwrap().key_of("{}").as_deref(), Some("all"));
    }
}
