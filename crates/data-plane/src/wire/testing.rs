//! Answers in CBOR, for the tests of this crate and of those that use it.

#![allow(clippy::unwrap_used, reason = "a test that gives no CBOR value fails")]

use bytes::Bytes;
use serde_json::Value;

use super::cbor;

/// CBOR with lengths before maps and lists, for answers. Names that begin with `~` are of byte strings, in base64.
fn cbor_of(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xF6),
        Value::Bool(value) => out.push(0xF4 + u8::from(*value)),
        Value::Number(number) => match number.as_u64() {
            Some(number) => cbor::put_head(out, 0, number),
            None => {
                out.push(0xFB);
                out.extend_from_slice(&number.as_f64().unwrap().to_be_bytes());
            }
        },
        Value::String(text) => cbor::put_text(out, text),
        Value::Array(values) => {
            cbor::put_head(out, 4, values.len() as u64);
            values.iter().for_each(|value| cbor_of(value, out));
        }
        Value::Object(members) => {
            cbor::put_head(out, 5, members.len() as u64);
            for (name, value) in members {
                match name.strip_prefix('~') {
                    Some(name) => {
                        cbor::put_text(out, name);
                        let data = value.as_str().unwrap();
                        cbor::put_bytes(out, &base64_simd::STANDARD.decode_to_vec(data).unwrap());
                    }
                    None => {
                        cbor::put_text(out, name);
                        cbor_of(value, out);
                    }
                }
            }
        }
    }
}

/// `value` in CBOR, as [`cbor_of`] writes it.
pub fn in_cbor(value: &Value) -> Bytes {
    let mut out = Vec::new();
    cbor_of(value, &mut out);
    out.into()
}
