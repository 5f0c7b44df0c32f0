//! JSON values whose numbers keep the text that they are written with.
//!
//! `serde_json` converts 29.99 to a binary float. Its feature `arbitrary_precision` avoids that, but would change every
//! other use of its values. Here it checks the syntax and splits objects and arrays into raw values, of which numbers are
//! kept as they are. A number of any size is accepted.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Maximum nesting, as in `serde_json`. Limits recursion, so that the stack cannot overflow, and how often a byte is read.
const MAX_DEPTH: usize = 127;

/// A JSON value that borrows from the input.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    /// A number, as written.
    Number(&'a str),
    /// A string, unescaped.
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// A JSON object. Members keep their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<'a>(pub Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Object<'a> {
    /// The value of `name`. If the name is repeated, the last one. `null` counts as missing.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.get_or_null(name).filter(|value| **value != Json::Null)
    }

    /// The value of `name`, which may be `null`. If the name is repeated, the last one.
    pub fn get_or_null(&self, name: &str) -> Option<&Json<'a>> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value)
    }

    /// The string in `name`, if it is one.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Json::Text(text)) => Some(text),
            _ => None,
        }
    }
}

impl Json<'_> {
    /// Appends the value to `into` as compact JSON. Numbers stay as written.
    pub fn write(&self, into: &mut String) {
        match self {
            Self::Null => into.push_str("null"),
            Self::Bool(bool) => into.push_str(if *bool { "true" } else { "false" }),
            Self::Number(text) => into.push_str(text),
            Self::Text(text) => write_text(text, into),
            Self::Array(elements) => {
                into.push('[');
                for (place, element) in elements.iter().enumerate() {
                    into.push_str(if place == 0 { "" } else { "," });
                    element.write(into);
                }
                into.push(']');
            }
            Self::Object(object) => object.write(into),
        }
    }
}

impl Object<'_> {
    /// Appends the object to `into` as compact JSON.
    pub fn write(&self, into: &mut String) {
        into.push('{');
        for (place, (name, value)) in self.0.iter().enumerate() {
            into.push_str(if place == 0 { "" } else { "," });
            write_text(name, into);
            into.push(':');
            value.write(into);
        }
        into.push('}');
    }
}

/// Appends `text` to `into` as a JSON string.
pub fn write_text(text: &str, into: &mut String) {
    into.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|character| matches!(character, '"' | '\\' | '\0'..='\x1f')) {
        into.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            quoted @ (b'"' | b'\\') => into.extend(['\\', char::from(quoted)]),
            b'\n' => into.push_str("\\n"),
            control => into.push_str(&format!("\\u{control:04x}")),
        }
        rest = &rest[at + 1..];
    }
    into.push_str(rest);
    into.push('"');
}

/// Parses one JSON text.
///
/// # Errors
/// The bytes are not UTF-8 or not JSON, the value is followed by other text, or it is nested more than 127 deep.
pub fn parse(data: &[u8]) -> Result<Json<'_>, Malformed> {
    value(serde_json::from_slice(data)?, 0)
}

/// Why bytes are not JSON.
#[derive(Debug)]
pub enum Malformed {
    Syntax(serde_json::Error),
    TooDeep,
}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        Self::Syntax(error)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => error.fmt(f),
            Self::TooDeep => write!(f, "nested more than {MAX_DEPTH} deep"),
        }
    }
}

fn value(raw: &RawValue, depth: usize) -> Result<Json<'_>, Malformed> {
    let text = raw.get();
    let inner = |depth| {
        if depth < MAX_DEPTH {
            Ok(depth + 1)
        } else {
            Err(Malformed::TooDeep)
        }
    };
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let depth = inner(depth)?;
            let Members(members) = serde_json::from_str(text)?;
            let member = |(name, raw)| Ok((name, value(raw, depth)?));
            Json::Object(Object(
                members
                    .into_iter()
                    .map(member)
                    .collect::<Result<_, Malformed>>()?,
            ))
        }
        Some(b'[') => {
            let depth = inner(depth)?;
            let elements: Vec<&RawValue> = serde_json::from_str(text)?;
            let elements = elements.into_iter().map(|raw| value(raw, depth));
            Json::Array(elements.collect::<Result<_, Malformed>>()?)
        }
        Some(b'"') => Json::Text(serde_json::from_str::<Text<'_>>(text)?.0),
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'n') => Json::Null,
        _ => Json::Number(text),
    })
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object, in order, repeated names included.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some((Text(name), raw)) = map.next_entry()? {
                    members.push((name, raw));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to_serde(value: &Json<'_>) -> serde_json::Value {
        match value {
            Json::Null => serde_json::Value::Null,
            Json::Bool(bool) => (*bool).into(),
            Json::Number(text) => serde_json::from_str(text).unwrap(),
            Json::Text(text) => text.as_ref().into(),
            Json::Array(elements) => elements.iter().map(to_serde).collect(),
            Json::Object(object) => {
                let member = |(name, value): &(Cow<'_, str>, Json<'_>)| (name.to_string(), to_serde(value));
                serde_json::Value::Object(object.0.iter().map(member).collect())
            }
        }
    }

    #[test]
    fn numbers_keep_their_text() {
        let json =
            parse(br#" {"price": 29.990, "big": 12345678901234567890123456789, "e": -1.5E+2} "#).unwrap();
        let Json::Object(object) = json else { panic!() };
        assert_eq!(object.get("price"), Some(&Json::Number("29.990")));
        assert_eq!(
            object.get("big"),
            Some(&Json::Number("12345678901234567890123456789"))
        );
        assert_eq!(object.get("e"), Some(&Json::Number("-1.5E+2")));
    }

    #[test]
    fn of_one_name_twice_the_last_counts_and_null_is_absent() {
        let Json::Object(object) = parse(br#"{"a":1,"a":"\u00e9\ud83d\ude00\n","b":null}"#).unwrap() else {
            panic!()
        };
        assert_eq!(object.text("a"), Some("é😀\n"));
        assert_eq!(object.get("b"), None);
    }

    #[test]
    fn a_fault_names_its_place() {
        let fault = |data: &[u8]| parse(data).unwrap_err().to_string();
        assert_eq!(fault(b"{\"a\" 1}"), "expected `:` at line 1 column 6");
        assert_eq!(fault(b"\xff"), "expected value at line 1 column 1");
        let deep = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert_eq!(fault(deep(100_000).as_bytes()), "nested more than 127 deep");
        assert!(parse(deep(127).as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(data in r#"[\[\]{}":,0-9eE+\-.\\ unltrfase\x01-\x20é]{0,12}"#) {
            let ours = parse(data.as_bytes());
            match serde_json::from_str::<serde_json::Value>(&data) {
                Ok(theirs) => prop_assert_eq!(to_serde(&ours.unwrap()), theirs),
                // A number out of the range of a double is valid JSON. The caller checks ranges.
                Err(error) if error.to_string().contains("out of range") => prop_assert!(ours.is_ok()),
                Err(_) => prop_assert!(ours.is_err()),
            }
        }

        #[test]
        fn rubbish_never_panics(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&data);
        }

        #[test]
        fn strings_survive(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let read = parse(json.as_bytes()).unwrap();
            prop_assert_eq!(&read, &Json::Text(text.into()));
            let mut written = String::new();
            read.write(&mut written);
            prop_assert_eq!(parse(written.as_bytes()).unwrap(), read);
        }
    }
}
