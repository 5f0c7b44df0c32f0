//! `--format` and `--separator`: text with escapes and, in a format, tokens such as `%k`.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use super::line::{arrival, shard_number};
use domain::consume::Item;
use domain::record::FieldPath;
use ground::error::{Error, Result};

/// The tokens, for messages.
const TOKENS: &str = "%t %T %S %s %p %o %u %k %K %v %V %R %b %x %i %{FIELD} and %%";
const ESCAPES: &str = r"\n \r \t \0 \\ and \xNN";

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Token(Token),
    /// A field of JSON data.
    Field(FieldPath),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Arrival,
    ArrivalMs,
    Stream,
    Shard,
    ShardNumber,
    SequenceNumber,
    SubSequenceNumber,
    Key,
    KeyLength,
    Data,
    DataLength,
    DataLengthBytes,
    Base64,
    Hex,
    Count,
}

impl Token {
    /// The token `%letter`. Where they have it, the letters mean what they mean to kcat (`%T %p %o %k %K %R`) and to rpk
    /// (`%k %v %V %p %o %x`).
    fn of(letter: char) -> Option<Self> {
        Some(match letter {
            't' => Self::Arrival,
            'T' => Self::ArrivalMs,
            'S' => Self::Stream,
            's' => Self::Shard,
            'p' => Self::ShardNumber,
            'o' => Self::SequenceNumber,
            'u' => Self::SubSequenceNumber,
            'k' => Self::Key,
            'K' => Self::KeyLength,
            'v' => Self::Data,
            'V' => Self::DataLength,
            'R' => Self::DataLengthBytes,
            'b' => Self::Base64,
            'x' => Self::Hex,
            'i' => Self::Count,
            _ => return None,
        })
    }
}

/// The form of a record that `--format` describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    parts: Vec<Part>,
}

/// What a pattern needs besides the record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) stream: &'a str,
    pub(super) zone: &'a TimeZone,
    /// The number of the record, from 1.
    pub(super) count: u64,
}

impl Pattern {
    /// Reads the value of `--format`.
    ///
    /// # Errors
    /// Exit 2 with the position of the first token or escape that does not exist.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let parts = parts(text, true).map_err(|fault| {
            let hint = match fault.is_token {
                true => format!("the tokens are {TOKENS}"),
                false => format!("the escapes are {ESCAPES}"),
            };
            fault.error(text, "--format").hint(hint)
        })?;
        Ok(Self { parts })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, item: &Item<'_>, place: Place<'_>) {
        for part in &self.parts {
            match part {
                Part::Literal(bytes) => out.extend_from_slice(bytes),
                Part::Token(token) => token.write(out, item, place),
                Part::Field(path) => {
                    let value = path.value_of(&item.data).unwrap_or(Cow::Borrowed("-"));
                    out.extend_from_slice(value.as_bytes());
                }
            }
        }
    }
}

impl Token {
    fn write(self, out: &mut Vec<u8>, item: &Item<'_>, place: Place<'_>) {
        let text = match self {
            Self::Data => return out.extend_from_slice(&item.data),
            Self::Key => return out.extend_from_slice(item.partition_key.as_bytes()),
            Self::Stream => return out.extend_from_slice(place.stream.as_bytes()),
            Self::Shard => return out.extend_from_slice(item.record.shard_id.as_bytes()),
            Self::SequenceNumber => return out.extend_from_slice(item.record.sequence_number.as_bytes()),
            // A record has at most 10 MiB.
            Self::DataLengthBytes => {
                let length = u32::try_from(item.data.len()).unwrap_or(u32::MAX);
                return out.extend_from_slice(&length.to_be_bytes());
            }
            Self::Arrival => arrival(item.record.arrival_ms, place.zone),
            Self::ArrivalMs => item
                .record
                .arrival_ms
                .map_or_else(|| "-".to_owned(), |ms| ms.to_string()),
            Self::ShardNumber => shard_number(&item.record.shard_id)
                .map_or_else(|| item.record.shard_id.to_string(), |number| number.to_string()),
            // As the Kinesis Client Library numbers a record that is not aggregated.
            Self::SubSequenceNumber => item.sub_sequence_number.unwrap_or_default().to_string(),
            Self::KeyLength => item.partition_key.len().to_string(),
            Self::DataLength => item.data.len().to_string(),
            Self::Base64 => base64_simd::STANDARD.encode_to_string(&item.data),
            Self::Hex => item.data.iter().map(|byte| format!("{byte:02x}")).collect(),
            Self::Count => place.count.to_string(),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// Where a text goes wrong.
struct Fault {
    /// The character, from 1.
    at: usize,
    what: String,
    is_token: bool,
}

impl Fault {
    fn error(&self, text: &str, flag: &str) -> Error {
        Error::usage(format!(
            "{text:?} is not valid for {flag}: at character {}, {}",
            self.at, self.what
        ))
    }
}

fn parts(text: &str, has_tokens: bool) -> std::result::Result<Vec<Part>, Fault> {
    let characters: Vec<char> = text.chars().collect();
    let mut parts = Vec::new();
    let mut literal = Vec::new();
    let mut at = 0;
    while let Some(&c) = characters.get(at) {
        let next = characters.get(at + 1).copied();
        let fault = |what: String, is_token| Fault {
            at: at + 1,
            what,
            is_token,
        };
        match (c, next) {
            ('%', Some('%')) if has_tokens => {
                literal.push(b'%');
                at += 2;
            }
            ('%', Some(letter)) if has_tokens => {
                let Some((part, length)) = token(letter, &characters[at + 2..]) else {
                    let what = match letter {
                        '{' => "a field is written as %{user.id} or %{/user/id}".to_owned(),
                        _ => format!("there is no token %{letter}"),
                    };
                    return Err(fault(what, true));
                };
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(part);
                at += length;
            }
            ('%', None) if has_tokens => return Err(fault("the token has no letter".to_owned(), true)),
            ('\\', _) => {
                let Some((byte, length)) = escape(&characters[at + 1..]) else {
                    let what = match next {
                        None => "the escape has no letter".to_owned(),
                        Some('x') => r"\x needs two hexadecimal digits".to_owned(),
                        Some(letter) => format!(r"there is no escape \{letter}"),
                    };
                    return Err(fault(what, false));
                };
                literal.push(byte);
                at += 1 + length;
            }
            (c, _) => {
                literal.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                at += 1;
            }
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

/// The token `%letter` with the characters after the letter at the start of `rest`, and the length of it all.
fn token(letter: char, rest: &[char]) -> Option<(Part, usize)> {
    if letter != '{' {
        return Some((Part::Token(Token::of(letter)?), 2));
    }
    let length = rest.iter().position(|c| *c == '}').filter(|length| *length > 0)?;
    let path: String = rest[..length].iter().collect();
    Some((Part::Field(FieldPath::parse(&path)), length + 3))
}

/// The byte of the escape whose characters after the backslash are at the start of `rest`, and how many they are.
fn escape(rest: &[char]) -> Option<(u8, usize)> {
    let byte = match rest.first()? {
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        '0' => 0,
        '\\' => b'\\',
        'x' => {
            let digit = |at: usize| rest.get(at).and_then(|c| c.to_digit(16));
            let value = digit(1)? * 16 + digit(2)?;
            return u8::try_from(value).ok().map(|byte| (byte, 3));
        }
        _ => return None,
    };
    Some((byte, 1))
}

/// What stands between records of `-o raw` and `-o text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Separator {
    /// These bytes after each record.
    After(Vec<u8>),
    /// The length in front of each record: four bytes, most significant first.
    Length,
    /// The length in front of each record, as a varint of protobuf.
    Varint,
}

impl Separator {
    /// Reads the value of `--separator`.
    ///
    /// # Errors
    /// Exit 2 with the position of the first escape that does not exist.
    pub(super) fn parse(text: &str) -> Result<Self> {
        match text {
            "none" => return Ok(Self::After(Vec::new())),
            // The names of these formats of `put`.
            "length-delimited" => return Ok(Self::Length),
            "varint-delimited" => return Ok(Self::Varint),
            _ => {}
        }
        let parts = parts(text, false).map_err(|fault| {
            fault
                .error(text, "--separator")
                .hint(format!("the escapes are {ESCAPES}"))
        })?;
        let bytes = parts.into_iter().flat_map(|part| match part {
            Part::Literal(bytes) => bytes,
            Part::Token(_) | Part::Field(_) => Vec::new(),
        });
        Ok(Self::After(bytes.collect()))
    }

    /// The bytes before a record of `length` bytes, and those after it.
    pub(super) fn around(&self, length: usize) -> (Vec<u8>, &[u8]) {
        match self {
            Self::After(bytes) => (Vec::new(), bytes),
            // A record has at most 10 MiB.
            Self::Length => {
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                (length.to_be_bytes().to_vec(), &[])
            }
            Self::Varint => (varint(length), &[]),
        }
    }
}

/// Source: "Encoding", Protocol Buffers documentation, base 128 varints.
fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4);
    while value >= 0x80 {
        bytes.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    bytes.push((value & 0x7f) as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use domain::consume::TailRecord;
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;

    fn shown(format: &str) -> String {
        shown_of(format, b"a\xffb")
    }

    fn shown_of(format: &str, data: &'static [u8]) -> String {
        let record = TailRecord {
            shard_id: Arc::from("shardId-000000000003"),
            sequence_number: "495".into(),
            arrival_ms: Some(1_795_255_200_007),
            partition_key: "schlüssel".into(),
            data: Bytes::from_static(data),
            encryption: None,
        };
        let place = Place {
            stream: "orders",
            zone: &TimeZone::fixed(jiff::tz::offset(1)),
            count: 7,
        };
        let mut out = Vec::new();
        Pattern::parse(format)
            .unwrap()
            .write(&mut out, &Item::of(&record), place);
        out.escape_ascii().to_string()
    }

    #[test]
    fn every_token_and_escape() {
        assert_eq!(
            shown(r"%t %s %k %v\n"),
            r"2026-11-21T11:00:00.007+01:00 shardId-000000000003 schl\xc3\xbcssel a\xffb\n"
        );
        assert_eq!(
            shown("%T|%S|%p|%o|%u|%K|%V|%R|%b|%x|%i|%%"),
            r"1795255200007|orders|3|495|0|10|3|\x00\x00\x00\x03|Yf9i|61ff62|7|%"
        );
        assert_eq!(shown(r"\t\r\0\\\x7F→"), r"\t\r\x00\\\x7f\xe2\x86\x92");
        assert_eq!(shown(""), "");
    }

    #[test]
    fn fields_of_json_data() {
        let data = br#"{"user": {"id": 7, "name": "Ann"}, "tags": ["a"]}"#;
        assert_eq!(
            shown_of("%{user.id} %{/user/name}: %{tags} %{tags.0} %{none}", data),
            r#"7 Ann: [\"a\"] a -"#
        );
        assert_eq!(shown("%k %{user.id}"), r"schl\xc3\xbcssel -");
    }

    #[test]
    fn a_fault_has_its_position() {
        let refused = |text| {
            let error = Pattern::parse(text).unwrap_err();
            format!("{} ({})", error.chain().join(": "), error.hint_text().unwrap())
        };
        assert_snapshot!(refused("%k ü%z"), @r#""%k ü%z" is not valid for --format: at character 5, there is no token %z (the tokens are %t %T %S %s %p %o %u %k %K %v %V %R %b %x %i %{FIELD} and %%)"#);
        assert_snapshot!(refused("%k %{user"), @r#""%k %{user" is not valid for --format: at character 4, a field is written as %{user.id} or %{/user/id} (the tokens are %t %T %S %s %p %o %u %k %K %v %V %R %b %x %i %{FIELD} and %%)"#);
        assert_snapshot!(refused("%k%"), @r#""%k%" is not valid for --format: at character 3, the token has no letter (the tokens are %t %T %S %s %p %o %u %k %K %v %V %R %b %x %i %{FIELD} and %%)"#);
        assert_snapshot!(refused(r"%k\q"), @r#""%k\\q" is not valid for --format: at character 3, there is no escape \q (the escapes are \n \r \t \0 \\ and \xNN)"#);
        assert_snapshot!(refused(r"\x4"), @r#""\\x4" is not valid for --format: at character 1, \x needs two hexadecimal digits (the escapes are \n \r \t \0 \\ and \xNN)"#);
        let error = Separator::parse("a\\").unwrap_err();
        assert_snapshot!(error.chain().join(": "), @r#""a\\" is not valid for --separator: at character 2, the escape has no letter"#);
    }

    #[test]
    fn separators() {
        let around = |text: &str, length| {
            let separator = Separator::parse(text).unwrap();
            let (before, after) = separator.around(length);
            (before, after.to_vec())
        };
        assert_eq!(around("none", 3), (vec![], vec![]));
        assert_eq!(around("", 3), (vec![], vec![]));
        assert_eq!(around(r"%k\0\n", 3), (vec![], b"%k\0\n".to_vec()));
        assert_eq!(around("length-delimited", 258), (vec![0, 0, 1, 2], vec![]));
        assert_eq!(around("varint-delimited", 300), (vec![0xac, 2], vec![]));
        assert_eq!(around("varint-delimited", 0), (vec![0], vec![]));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "[%\\\\{}.a-zA-Z0-9ü]{0,12}") {
            let _ = Pattern::parse(&text);
            let _ = Separator::parse(&text);
        }
    }
}
