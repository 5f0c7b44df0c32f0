//! What holds for any input.

use std::io::Read;

use proptest::prelude::*;

use super::super::json::{Ahead, by_bytes, value_ahead, whole_value};
use super::*;

/// Reads `chunk` bytes at a time, like a slow pipe.
struct Dribble<'a>(&'a [u8], usize);

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(self.0.len()).min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(|n| serde_json::json!(n)),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map(".{0,6}", inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Writes `value` with what comes next of `spaces` around each token.
fn write_spaced(out: &mut String, value: &serde_json::Value, spaces: &mut dyn Iterator<Item = &str>) {
    out.push_str(spaces.next().unwrap());
    match value {
        serde_json::Value::Array(items) => {
            out.extend(["[", spaces.next().unwrap()]);
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write_spaced(out, item, spaces);
            }
            out.push(']');
        }
        serde_json::Value::Object(members) => {
            out.extend(["{", spaces.next().unwrap()]);
            for (n, (key, member)) in members.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                let key = serde_json::json!(key).to_string();
                out.extend([spaces.next().unwrap(), &key, spaces.next().unwrap(), ":"]);
                write_spaced(out, member, spaces);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
    out.push_str(spaces.next().unwrap());
}

/// An array that holds any JSON with white space in it. What comes first moves it over the borders of blocks.
fn long_json() -> impl Strategy<Value = String> {
    let spaces = prop::collection::vec("[ \t\r\n]{0,3}| {60,68}|", 1..9);
    (
        any_json(),
        spaces,
        "x{0,140}|é{0,140}|x{70,140}éx{70,140}",
        0usize..70,
    )
        .prop_map(|(value, spaces, letters, blanks)| {
            let mut text = format!("[\"{letters}\",{}", " ".repeat(blanks));
            write_spaced(&mut text, &value, &mut spaces.iter().map(String::as_str).cycle());
            text + "]"
        })
}

/// Checks what the fast scan says of `text` against the scan by bytes, serde_json and plain definitions.
fn check_fast_scan(text: &[u8]) -> Result<(), TestCaseError> {
    let value = whole_value(text);
    prop_assert_eq!(value, by_bytes(text));
    let length = value.map(|value| value.length);
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<serde::de::IgnoredAny>();
    let is_valid = matches!(values.next(), Some(Ok(_)));
    let is_ours = matches!(text.first(), Some(b'{' | b'[' | b'"'));
    prop_assert_eq!(length, (is_valid && is_ours).then(|| values.byte_offset()));
    if let Some(value) = value {
        let text = &text[..value.length];
        let is_ascii_line = text.iter().all(|byte| *byte < 0x80 && *byte != b'\n');
        prop_assert_eq!(value.is_ascii_line, is_ascii_line);
    }
    Ok(())
}

const FORMATS: [InputFormat; 12] = [
    InputFormat::Auto,
    InputFormat::Array,
    InputFormat::Values,
    InputFormat::PutRecords,
    InputFormat::GetRecords,
    InputFormat::Recording,
    InputFormat::Csv,
    InputFormat::Tsv,
    InputFormat::Lines,
    InputFormat::LengthDelimited,
    InputFormat::VarintDelimited,
    InputFormat::Whole,
];

/// What inputs are made of.
const PIECES: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    ",",
    "\n",
    "\r\n",
    "\"",
    "\\",
    "{\"a\":1}",
    "[1,\"x\"]",
    "\u{feff}",
    "é",
    " ",
    "1.5",
    "tru",
    "\0\0\0\u{2}",
    "a,b",
    "\t",
    "{\"Records\":[",
    "\"NextShardIterator\":\"x\"",
    "\"StreamName\":",
    "{\"Data\":\"aGk=\",\"PartitionKey\":\"k\"}",
    "{\"Data\":\"aGk=\",\"PartitionKey\":\"k\",\"SequenceNumber\":\"1\",\"ApproximateArrivalTimestamp\":1.5}",
    "{\"shard_id\":\"s\",\"sequence_number\":\"1\",\"partition_key\":\"k\",\"data\":\"x\"}",
];

/// What JSON is made of, and some of what it is not made of.
const TOKENS: &[&str] = &[
    "{", "}", "[", "]", "{}", "[]", ",", ":", "\"\"", "\"a\"", "\"b\":", ",\"c\":", "\"", "\\", "\\\"",
    "\\u00e9", "\\u0", "0", "-", "1", ",1", "-0", "10", ".", "1.5", "e", "E", "+", "e-07", "1e5", "true",
    "false", "null", "t", "nul", " ", "\n", "\t", "\r", "\u{1}", "\u{b}", "é",
];

fn lenient_or_not(format: InputFormat, lenient: bool) -> ReadOptions {
    ReadOptions {
        max_record_bytes: 60,
        bad: lenient.then(|| std::sync::Arc::new(BadRecords::skipped())),
        ..of(format)
    }
}

/// All that is made of the bytes of numbers, up to five of them, and what is nearly a literal; on both sides of the border
/// of a block.
#[test]
fn the_fast_scan_agrees_with_others_on_numbers_and_literals() {
    let mut atoms = vec![String::new()];
    for length in 1..=5 {
        let shorter: Vec<String> = atoms
            .iter()
            .filter(|atom| atom.len() + 1 == length)
            .cloned()
            .collect();
        atoms.extend(
            shorter
                .iter()
                .flat_map(|atom| "-+.0e1".chars().map(move |c| format!("{atom}{c}"))),
        );
    }
    for word in ["true", "false", "null"] {
        let near = ["e", "0", ".", "-", "true", "\"\"", "[]"]
            .map(|more| [format!("{word}{more}"), format!("{more}{word}")]);
        atoms.extend(near.into_iter().flatten());
        atoms.extend([word.to_owned(), word[1..].to_owned(), word[..3].to_owned()]);
    }
    for (before, atom) in (58..64).flat_map(|before| atoms.iter().map(move |atom| (before, atom))) {
        let text = format!("[{}{atom}]", " ".repeat(before));
        check_fast_scan(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn any_json_comes_through_byte_for_byte(values in prop::collection::vec(any_json(), 1..6), pretty: bool, chunk in 1usize..9) {
        let texts: Vec<String> = values
            .iter()
            .map(|v| if pretty { serde_json::to_string_pretty(v) } else { serde_json::to_string(v) }.unwrap())
            .collect();
        for (input, format) in [
            (format!("[{}]", texts.join(" ,\n")), InputFormat::Array),
            (texts.join("\n"), InputFormat::Values),
        ] {
            let records = read_all(Dribble(input.as_bytes(), chunk), of(format)).unwrap();
            let seen: Vec<_> = records.iter().map(|r| r.data.as_ref()).collect();
            prop_assert_eq!(seen, texts.iter().map(String::as_bytes).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_grammar_is_that_of_serde_json(text in r#"[\[\]{},:"\\0-9eE.+\-a-fntrulsu ]{0,14}"#) {
        let ours = match value_ahead(format!("{text} ").as_bytes()) {
            Ahead::Whole(length) => format!("{text} ")[length..].trim().is_empty(),
            _ => false,
        };
        prop_assert_eq!(ours, serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
    }

    #[test]
    fn the_fast_scan_agrees_with_the_scanner(text in r#"[\[{"][\[\]{},:"\\0-9eE.+\-a-fntrulsu ]{0,14}"#) {
        let fast = whole_value(text.as_bytes()).map(|value| value.length);
        let slow = match value_ahead(text.as_bytes()) {
            Ahead::Whole(length) => Some(length),
            _ => None,
        };
        prop_assert_eq!(fast, slow);
    }

    #[test]
    fn the_fast_scan_agrees_with_the_scanner_on_long_values(
        texts in prop::collection::vec(any::<String>(), 0..5),
        number in any::<f64>(),
        depth in 0usize..70,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let value = serde_json::json!({"texts": texts, "number": number, "more": [[], {}, true, false, null]});
        let mut text = format!("{}{value:#}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
        let length = text.len();
        // Deeper values are the scanner's.
        let is_deep = depth > 60;
        prop_assert!(is_deep || whole_value(&text).map(|value| value.length) == Some(length));
        text[at.index(length)] = byte;
        let fast = whole_value(&text).map(|value| value.length);
        let slow = match value_ahead(&text) {
            Ahead::Whole(length) => Some(length),
            _ => None,
        };
        // The scanner also takes numbers and literals.
        let is_container = matches!(text[0], b'{' | b'[' | b'"');
        prop_assert!(fast == slow || (fast.is_none() && (is_deep || !is_container)), "{fast:?} {slow:?}");
    }

    #[test]
    fn the_fast_scan_finds_the_end_of_any_json(
        text in long_json(), cut in 0usize..7, after in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let text = text.into_bytes();
        for end in (cut..text.len()).step_by(7) {
            prop_assert_eq!(whole_value(&text[..end]), None, "{}", end);
        }
        check_fast_scan(&text)?;
        let followed = [text.clone(), after].concat();
        prop_assert_eq!(whole_value(&followed), whole_value(&text));
        prop_assert_eq!(whole_value(&text.repeat(2)), whole_value(&text));
    }

    #[test]
    fn the_fast_scan_agrees_with_others_on_changed_json(
        text in long_json(),
        at in any::<prop::sample::Index>(),
        removed in 0usize..3,
        added in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3),
            prop::sample::select(TOKENS).prop_map(|token| token.as_bytes().to_vec()),
        ],
    ) {
        let mut text = text.into_bytes();
        let at = at.index(text.len());
        let end = text.len().min(at + removed);
        text.splice(at..end, added);
        check_fast_scan(&text)?;
    }

    #[test]
    fn the_fast_scan_agrees_with_others_on_any_tokens(
        letters in "x{40,64}",
        tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..24),
        is_object: bool,
    ) {
        let (open, close) = if is_object { ("{\"x\":[\"", "}") } else { ("[[\"", "]") };
        let tokens = tokens.concat();
        check_fast_scan(format!("{open}{letters}\",{tokens}]{close}").as_bytes())?;
        check_fast_scan(format!("{open}{letters}\",1{tokens}]{close}").as_bytes())?;
    }

    #[test]
    fn nothing_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), chunk in 1usize..9, lenient: bool) {
        for format in FORMATS {
            let _ = read_all(Dribble(&bytes, chunk), lenient_or_not(format, lenient));
        }
    }

    /// Text that is nearly in a format goes deeper than any bytes do.
    #[test]
    fn near_misses_do_not_make_the_reader_panic(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24), chunk in 1usize..9, lenient: bool,
    ) {
        let text = pieces.concat();
        for format in FORMATS {
            let _ = read_all(Dribble(text.as_bytes(), chunk), lenient_or_not(format, lenient));
        }
    }

    #[test]
    fn records_do_not_depend_on_the_blocks_of_the_input(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24), chunk in 1usize..9, lenient: bool,
    ) {
        let text = pieces.concat();
        for format in FORMATS {
            let key = |options| ReadOptions { key: Some(KeyRule::Constant("k".into())), ..options };
            let whole = read_all(text.as_bytes(), key(lenient_or_not(format, lenient)));
            // Both look at what has arrived so far.
            if let Err(RecordError { kind: RecordErrorKind::Binary | RecordErrorKind::Unknown(_), .. }) = whole {
                continue;
            }
            let split = read_all(Dribble(text.as_bytes(), chunk), key(lenient_or_not(format, lenient)));
            let told = |error: RecordError| error.into_error("in").to_string();
            let (whole, split) = (whole.map_err(told), split.map_err(told));
            prop_assert_eq!(whole, split, "{:?}", format);
        }
    }

    #[test]
    fn failed_records_can_be_put_again(data: Vec<u8>, key in ".{1,20}", hash: Option<u128>) {
        let record = Record {
            data: data.into(),
            partition_key: key.into(),
            explicit_hash_key: hash.map(|h| h.to_string()),
            has_random_key: false,
            number: 1,
            line: 1,
        };
        let again = read_all(to_entry_json(&record).as_bytes(), ReadOptions::default()).unwrap();
        prop_assert_eq!(again, vec![record]);
    }
}
