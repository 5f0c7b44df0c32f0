//! A JSON parser that keeps numbers as they are written.
//!
//! `serde_json` converts 29.99 to a binary float. Its feature `arbitrary_precision` avoids that, but would change every
//! other crate of the workspace. This parser borrows from its input and accepts exactly what RFC 8259 and `serde_json`
//! accept, but does not limit the size of numbers.

use std::borrow::Cow;
use std::fmt;

/// Maximum nesting, as in `serde_json`. Limits recursion, so that the stack cannot overflow.
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

/// A syntax error.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Malformed {
    /// Its offset in bytes.
    pub at: usize,
    /// What is wrong.
    pub reason: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.at)
    }
}

/// Parses one JSON text.
///
/// # Errors
/// The bytes are not UTF-8 or not JSON, the value is followed by other text, or it is nested more than 127 deep.
pub fn parse(data: &[u8]) -> Result<Json<'_>, Malformed> {
    let text = std::str::from_utf8(data).map_err(|error| Malformed {
        at: error.valid_up_to(),
        reason: "not UTF-8",
    })?;
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
    };
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at < reader.bytes.len() {
        return Err(reader.malformed("characters after the end of the value"));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn malformed(&self, reason: &'static str) -> Malformed {
        Malformed { at: self.at, reason }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, word: &'static str, value: Json<'a>) -> Result<Json<'a>, Malformed> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.malformed("not a JSON value"))
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, Malformed> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Ok(Json::Number(self.number()?)),
            Some(b't') => self.expect("true", Json::Bool(true)),
            Some(b'f') => self.expect("false", Json::Bool(false)),
            Some(b'n') => self.expect("null", Json::Null),
            Some(_) => Err(self.malformed("not a JSON value")),
            None => Err(self.malformed("the text ends where a value should be")),
        }
    }

    fn enter(&mut self, depth: usize) -> Result<usize, Malformed> {
        if depth >= MAX_DEPTH {
            return Err(self.malformed("nested too deeply"));
        }
        self.at += 1;
        self.skip_space();
        Ok(depth + 1)
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, Malformed> {
        let depth = self.enter(depth)?;
        let mut members = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(Object(members)));
        }
        members.reserve(8);
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.malformed("a name in quotes is missing"));
            }
            let name = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.malformed("`:` is missing"));
            }
            self.at += 1;
            members.push((name, self.value(depth)?));
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(Object(members)));
                }
                _ => return Err(self.malformed("`,` or `}` is missing")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, Malformed> {
        let depth = self.enter(depth)?;
        let mut elements = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(elements));
                }
                _ => return Err(self.malformed("`,` or `]` is missing")),
            }
        }
    }

    fn number(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.malformed("a digit is missing")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// One or more digits.
    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.malformed("a digit is missing"));
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.at += 1;
        let start = self.at;
        self.skip_plain();
        match self.peek() {
            Some(b'"') => {
                let text = &self.text[start..self.at];
                self.at += 1;
                Ok(Cow::Borrowed(text))
            }
            Some(b'\\') => {
                let mut unescaped = self.text[start..self.at].to_owned();
                self.escaped(&mut unescaped)?;
                Ok(Cow::Owned(unescaped))
            }
            Some(_) => Err(self.malformed("a control character in a string")),
            None => Err(self.malformed("a string without its closing quote")),
        }
    }

    fn skip_plain(&mut self) {
        while let Some(byte) = self.peek() {
            if byte == b'"' || byte == b'\\' || byte < 0x20 {
                return;
            }
            self.at += 1;
        }
    }

    /// The rest of a string, from its first escape to its closing quote.
    fn escaped(&mut self, into: &mut String) -> Result<(), Malformed> {
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    into.push(self.escape()?);
                }
                Some(0..0x20) => return Err(self.malformed("a control character in a string")),
                Some(_) => {
                    let start = self.at;
                    self.skip_plain();
                    into.push_str(&self.text[start..self.at]);
                }
                None => return Err(self.malformed("a string without its closing quote")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Malformed> {
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.code_point(),
            _ => return Err(self.malformed("an unknown escape in a string")),
        })
    }

    fn code_point(&mut self) -> Result<char, Malformed> {
        let first = self.hex()?;
        let code = if (0xD800..0xDC00).contains(&first) {
            if !self.bytes[self.at..].starts_with(b"\\u") {
                return Err(self.malformed("half a surrogate pair in a string"));
            }
            self.at += 2;
            let second = self.hex()?;
            if !(0xDC00..0xE000).contains(&second) {
                return Err(self.malformed("half a surrogate pair in a string"));
            }
            0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.malformed("half a surrogate pair in a string"))
    }

    fn hex(&mut self) -> Result<u32, Malformed> {
        let digits = self.bytes.get(self.at..self.at + 4);
        let mut code = 0;
        for digit in digits.unwrap_or_default() {
            let digit = char::from(*digit).to_digit(16);
            code = code * 16 + digit.ok_or_else(|| self.malformed("an unknown escape in a string"))?;
        }
        if digits.is_none() {
            return Err(self.malformed("an unknown escape in a string"));
        }
        self.at += 4;
        Ok(code)
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
        assert_eq!(
            parse(b"{\"a\" 1}").unwrap_err().to_string(),
            "`:` is missing at byte 5"
        );
        assert_eq!(parse(b"\xff").unwrap_err().to_string(), "not UTF-8 at byte 0");
        assert_eq!(parse(&[b'['; 100_000]).unwrap_err().reason, "nested too deeply");
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
