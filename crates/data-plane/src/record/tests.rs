use std::io::Read;

use super::*;

mod formats;
mod properties;
mod refused;

fn read_all(input: impl Read, options: ReadOptions) -> Result<Vec<Record>, RecordError> {
    let mut reader = RecordReader::new(input, options);
    let mut records = Vec::new();
    while let Some(record) = reader.read()? {
        records.push(record);
    }
    assert!(matches!(reader.read(), Ok(None)), "the end stays the end");
    Ok(records)
}

fn with(format: InputFormat, key: KeyRule) -> ReadOptions {
    ReadOptions {
        format,
        key: Some(key),
        ..ReadOptions::default()
    }
}

fn of(format: InputFormat) -> ReadOptions {
    ReadOptions {
        format,
        ..ReadOptions::default()
    }
}

/// The data of each record, as text.
fn data(text: &str) -> Vec<String> {
    data_of(text.as_bytes(), ReadOptions::default())
}

fn data_of(text: &[u8], options: ReadOptions) -> Vec<String> {
    read_all(text, options)
        .unwrap()
        .iter()
        .map(|record| String::from_utf8_lossy(&record.data).into_owned())
        .collect()
}

/// The message of the error in `text`, and the hint.
fn error(text: impl AsRef<[u8]>) -> String {
    error_with(text, ReadOptions::default())
}

fn error_with(text: impl AsRef<[u8]>, options: ReadOptions) -> String {
    let error = read_all(text.as_ref(), options)
        .unwrap_err()
        .into_error("in.json");
    assert_eq!(error.exit(), ground::exit::Exit::Usage);
    match error.hint_text() {
        Some(hint) => format!("{error}\nhint: {hint}"),
        None => error.to_string(),
    }
}

#[test]
fn keys_come_from_a_field_with_their_exact_text() {
    let key = |text: &str, path: &str| {
        let options = with(InputFormat::Auto, KeyRule::field(path));
        read_all(text.as_bytes(), options)
            .unwrap()
            .remove(0)
            .partition_key
    };
    assert_eq!(key(r#"{"a":{"b":"x\u0041"}}"#, "a.b"), "xA");
    assert_eq!(key(r#"{"id": 29.990, "x": [1]}"#, "id"), "29.990");
    assert_eq!(key(r#"{"\u0069d": true}"#, "id"), "true");
}

#[test]
fn random_keys_differ() {
    let records = read_all(&b"1 2 3"[..], ReadOptions::default()).unwrap();
    assert_ne!(records[0].partition_key, records[1].partition_key);
    assert_eq!(records[0].partition_key.len(), 8);
}

/// A line again and again.
struct Endless<'a>(&'a [u8], usize);

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in buffer.iter_mut() {
            *byte = self.0[self.1 % self.0.len()];
            self.1 += 1;
        }
        Ok(buffer.len())
    }
}

#[test]
fn a_long_input_takes_no_more_memory_than_a_short_one() {
    let line = b"{\"a\":[1,2,3],\"b\":\"some text that makes the line longer\"}\n";
    for format in [InputFormat::Values, InputFormat::Lines] {
        let mut reader = RecordReader::new(Endless(line, 0), of(format));
        let mut held = std::collections::VecDeque::new();
        for number in 1..=50_000 {
            let record = reader.read().unwrap().unwrap();
            assert_eq!((record.number, record.line), (number, number));
            assert_eq!(record.data, line[..line.len() - 1]);
            held.push_back(record);
            if held.len() > 500 {
                held.pop_front();
            }
            assert!(reader.source.capacity() <= 256 * 1024);
        }
    }
}
