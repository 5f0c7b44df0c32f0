//! AWS JSON 1.0: times are seconds since the epoch.

use serde_json::{Map, Value};

use super::Out;
use super::cbor::seconds;
use crate::cloudwatch::error::ApiError;

pub(super) fn read(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    if !crate::json::is_admissible(body) {
        return Err(ApiError::too_large());
    }
    serde_json::from_slice(body).map_err(|_| ApiError::malformed("The request body is not a JSON object."))
}

pub(super) fn write(out: Option<&Out>) -> Vec<u8> {
    out.map_or_else(|| Value::Object(Map::new()), value)
        .to_string()
        .into_bytes()
}

fn value(out: &Out) -> Value {
    match out {
        Out::Text(text) => Value::String(text.clone()),
        Out::Number(number) => Value::from(*number),
        Out::Whole(number) => Value::from(*number),
        Out::Flag(flag) => Value::from(*flag),
        Out::Time(ms) if ms % 1000 == 0 => Value::from(ms / 1000),
        Out::Time(ms) => Value::from(seconds(*ms)),
        Out::List(items) => Value::Array(items.iter().map(value).collect()),
        Out::Struct(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, out)| ((*name).to_owned(), value(out)))
                .collect(),
        ),
        Out::Map(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, out)| (key.clone(), value(out)))
                .collect(),
        ),
    }
}
