//! Smithy RPC v2 CBOR: times have tag 1, numbers are written as doubles.

use ciborium::Value as Cbor;
use serde_json::{Map, Value};

use super::Out;
use crate::cloudwatch::error::ApiError;

/// Maximum nesting of a request.
const MAX_DEPTH: usize = 32;
/// Maximum number of data items of a request. 1,000 metrics with 150 values, counts and 30 dimensions have 400,000.
const MAX_ITEMS: usize = 1_000_000;

pub(super) fn read(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let malformed = || ApiError::malformed("The request body is not valid CBOR.");
    if items(body) > MAX_ITEMS {
        return Err(ApiError::too_large());
    }
    let value: Cbor =
        ciborium::de::from_reader_with_recursion_limit(body, MAX_DEPTH).map_err(|_| malformed())?;
    match tree(value) {
        Value::Object(map) => Ok(map),
        _ => Err(malformed()),
    }
}

/// The number of data items in CBOR, or more: what follows malformed data counts too.
/// Source: RFC 8949, section 3: each item begins with a byte of its major type and the length of its argument.
fn items(body: &[u8]) -> usize {
    let (mut count, mut at) = (0, 0);
    while let Some(first) = body.get(at) {
        count += 1;
        let argument = match first & 31 {
            length @ 24..=27 => 1usize << (length - 24),
            _ => 0,
        };
        let end = at + 1 + argument;
        let is_text = matches!(first >> 5, 2 | 3);
        let length = match body.get(at + 1..end) {
            Some(bytes) if argument > 0 => bytes
                .iter()
                .fold(0, |n: usize, byte| (n << 8) | usize::from(*byte)),
            _ => usize::from(first & 31) % 31,
        };
        at = if is_text { end.saturating_add(length) } else { end };
    }
    count
}

fn tree(value: Cbor) -> Value {
    match value {
        Cbor::Integer(number) => {
            let number = i128::from(number);
            i64::try_from(number).map_or_else(
                #[allow(clippy::cast_precision_loss, reason = "beyond what any field takes")]
                |_| Value::from(number as f64),
                Value::from,
            )
        }
        // JSON has no NaN. As strings these values are rejected where a number is expected.
        Cbor::Float(number) if !number.is_finite() => Value::String(number.to_string()),
        Cbor::Float(number) => Value::from(number),
        Cbor::Text(text) => Value::String(text),
        Cbor::Bool(flag) => Value::Bool(flag),
        Cbor::Tag(_, inner) => tree(*inner),
        Cbor::Array(items) => Value::Array(items.into_iter().map(tree).collect()),
        Cbor::Map(entries) => Value::Object(
            entries
                .into_iter()
                .filter_map(|(key, value)| Some((key.into_text().ok()?, tree(value))))
                .collect(),
        ),
        _ => Value::Null,
    }
}

pub(super) fn write(out: Option<&Out>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    let value = out.map_or_else(|| Cbor::Map(Vec::new()), value);
    // Cannot fail: a vector accepts every byte, and every value here has a CBOR form.
    let _ = ciborium::into_writer(&value, &mut bytes);
    bytes
}

fn value(out: &Out) -> Cbor {
    match out {
        Out::Text(text) => Cbor::Text(text.clone()),
        Out::Number(number) => Cbor::Float(*number),
        Out::Whole(number) => Cbor::Integer((*number).into()),
        Out::Flag(flag) => Cbor::Bool(*flag),
        Out::Time(ms) => Cbor::Tag(1, Box::new(Cbor::Float(seconds(*ms)))),
        Out::List(items) => Cbor::Array(items.iter().map(value).collect()),
        Out::Struct(fields) => Cbor::Map(
            fields
                .iter()
                .map(|(name, out)| (Cbor::from(*name), value(out)))
                .collect(),
        ),
        Out::Map(entries) => Cbor::Map(
            entries
                .iter()
                .map(|(key, out)| (Cbor::from(key.as_str()), value(out)))
                .collect(),
        ),
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "milliseconds of this age of the world are exact"
)]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claimed_lengths_allocate_no_memory() {
        // Arrays, maps and texts that claim 2^56 entries.
        for first in [0x9b, 0xbb, 0x7b] {
            assert!(read(&[first, 1, 0, 0, 0, 0, 0, 0, 0]).is_err());
        }
        assert!(read(&[0x81; 10_000]).is_err());
        assert!(read(&[0xc1; 10_000]).is_err());
    }

    #[test]
    fn many_small_items_are_refused_before_they_are_read() {
        let mut body = vec![0x9f];
        body.resize(16 << 20, 0);
        assert_eq!(read(&body).unwrap_err(), ApiError::too_large());
        let text = "x".repeat(4 << 20);
        let mut body = Vec::new();
        ciborium::into_writer(&Cbor::Map(vec![("a".into(), text.into())]), &mut body).unwrap();
        assert!(read(&body).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn items_are_counted_as_they_are_read(numbers in proptest::collection::vec(0u64.., 0..50), text in ".{0,300}") {
            let mut body = Vec::new();
            let count = numbers.len();
            let list: Vec<Cbor> = numbers.into_iter().map(Cbor::from).collect();
            ciborium::into_writer(&Cbor::Array(vec![Cbor::Array(list), text.into(), 1.5.into()]), &mut body).unwrap();
            proptest::prop_assert_eq!(items(&body), count + 4);
        }

        #[test]
        fn parsing_arbitrary_bytes_does_not_panic(bytes in proptest::collection::vec(0u8.., 0..200)) {
            let _ = read(&bytes);
        }
    }
}
