//! Where a partition key comes from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use rand::Rng as _;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::RecordErrorKind;

/// Source of the partition key for formats without keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRule {
    /// A random key per record (128 bits in hexadecimal), so that records spread evenly over shards.
    Random,
    /// The same key for every record, so that all go to one shard.
    Constant(String),
    /// The text, number or boolean at this path of each JSON record.
    Field(Vec<String>),
    /// The first of these patterns that fits the JSON record.
    Patterns(Vec<KeyPattern>),
}

/// A pattern of partition keys, such as `artist_{payload.artist_id}`. It fits the JSON records that have its fields.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "DeclaredPattern")]
pub struct KeyPattern {
    pieces: Vec<Piece>,
    /// Fields that must have one of these values.
    when: Vec<(Vec<String>, Vec<String>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Vec<String>),
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
        let problem = || {
            format!(
                "{:?} is not a pattern of keys, such as user_{{user.id}}",
                declared.key
            )
        };
        let mut pieces = Vec::new();
        let mut rest = declared.key.as_str();
        while let Some((text, after)) = rest.split_once('{') {
            let (field, after) = after.split_once('}').ok_or_else(problem)?;
            if text.contains('}') || field.is_empty() || field.contains('{') {
                return Err(problem());
            }
            pieces.extend([Piece::Text(text.to_owned()), Piece::Field(path_of(field))]);
            rest = after;
        }
        if rest.contains('}') || declared.key.is_empty() {
            return Err(problem());
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let when = declared.when.into_iter();
        Ok(Self {
            pieces,
            when: when.map(|(field, values)| (path_of(&field), values)).collect(),
        })
    }
}

impl KeyPattern {
    /// The key of a JSON record; `None` if the pattern does not fit it.
    fn key_of(&self, text: &str) -> Option<String> {
        let fits = |(path, values): &(Vec<String>, Vec<String>)| {
            text_at(text, path).is_some_and(|value| values.contains(&value))
        };
        if !self.when.iter().all(fits) {
            return None;
        }
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => Some(text.clone()),
            Piece::Field(path) => text_at(text, path).filter(|value| !value.is_empty()),
        };
        self.pieces.iter().map(piece).collect()
    }
}

/// The names of a dotted path.
fn path_of(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

impl KeyRule {
    /// The rule that takes keys from a dotted path such as `user.id`.
    pub fn field(path: &str) -> Self {
        Self::Field(path_of(path))
    }

    pub(super) fn key_of(&self, data: &[u8]) -> Result<String, RecordErrorKind> {
        match self {
            Self::Random => Ok(format!("{:032x}", rand::rng().random::<u128>())),
            Self::Constant(key) => Ok(key.clone()),
            Self::Field(path) => std::str::from_utf8(data)
                .ok()
                .and_then(|text| text_at(text, path))
                .ok_or_else(|| RecordErrorKind::NoKeyField(path.join("."))),
            Self::Patterns(patterns) => std::str::from_utf8(data)
                .ok()
                .and_then(|text| patterns.iter().find_map(|pattern| pattern.key_of(text)))
                .ok_or(RecordErrorKind::NoKeyPattern),
        }
    }
}

/// The scalar at `path` of the JSON value `text`: a string's content, or the exact text of a number or boolean.
fn text_at(text: &str, path: &[String]) -> Option<String> {
    match path {
        [] => match text.as_bytes().first()? {
            b'"' => serde_json::from_str(text).ok(),
            b'{' | b'[' | b'n' => None,
            _ => Some(text.to_owned()),
        },
        [name, rest @ ..] => text_at(member(text, name)?.get(), rest),
    }
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
            while let Some(key) = members.next_key::<Key<'a>>()? {
                if key.0 == self.0 {
                    found = Some(members.next_value()?);
                } else {
                    members.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    /// Borrows unless a character is escaped.
    #[derive(serde::Deserialize)]
    struct Key<'k>(#[serde(borrow)] Cow<'k, str>);

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
            "it has none of the fields that the template makes partition keys of"
        );
    }

    #[test]
    fn a_pattern_needs_matching_braces() {
        for bad in ["", "{", "}", "a{}", "a{b", "a}b", "{a{b}}"] {
            pattern(bad, &[]).unwrap_err();
        }
        assert_eq!(pattern("all", &[]).unwrap().key_of("{}").as_deref(), Some("all"));
    }
}
