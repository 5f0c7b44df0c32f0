//! Where a partition key comes from.

use std::borrow::Cow;
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
}

impl KeyRule {
    /// The rule that takes keys from a dotted path such as `user.id`.
    pub fn field(path: &str) -> Self {
        Self::Field(path.split('.').map(str::to_owned).collect())
    }

    pub(super) fn key_of(&self, data: &[u8]) -> Result<String, RecordErrorKind> {
        match self {
            Self::Random => Ok(format!("{:032x}", rand::rng().random::<u128>())),
            Self::Constant(key) => Ok(key.clone()),
            Self::Field(path) => std::str::from_utf8(data)
                .ok()
                .and_then(|text| text_at(text, path))
                .ok_or_else(|| RecordErrorKind::NoKeyField(path.join("."))),
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
