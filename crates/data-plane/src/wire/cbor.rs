//! CBOR, as far as Kinesis uses it. Source: RFC 8949.
//!
//! Maps and lists are written with indefinite lengths, as the SDKs for Java write them. Both forms are read.

use std::borrow::Cow;

use bytes::Bytes;
use minicbor::Decoder;
use minicbor::data::Type;

use super::Malformed;

pub const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;

pub const MAP: u8 = 0xBF;
pub const LIST: u8 = 0x9F;
/// The end of a map or a list.
pub const END: u8 = 0xFF;
const NULL: u8 = 0xF6;
const UNDEFINED: u8 = 0xF7;
/// Texts up to the end of a list are one.
const PIECES_OF_TEXT: u8 = 0x7F;

/// The longest head of an item, in bytes.
pub const HEAD: usize = 9;

pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_head(out, TEXT, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_head(out, BYTES, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The head of an item: its major type, and its value or length.
pub fn put_head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    match value {
        0..24 => out.push(major | value as u8),
        24..0x100 => out.extend_from_slice(&[major | 24, value as u8]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

type Result<T> = std::result::Result<T, Malformed>;

impl From<minicbor::decode::Error> for Malformed {
    fn from(error: minicbor::decode::Error) -> Self {
        Self(error.to_string())
    }
}

/// Reads a map; `member` reads the value of a member. A member that is null is absent.
pub fn members<'b>(
    decoder: &mut Decoder<'b>,
    mut member: impl FnMut(&mut Decoder<'b>, &str) -> Result<()>,
) -> Result<()> {
    let mut left = decoder.map()?;
    while more(decoder, &mut left)? {
        let name = text(decoder)?;
        match next(decoder) {
            Some(NULL | UNDEFINED) => decoder.skip()?,
            _ => member(decoder, &name)?,
        }
    }
    Ok(())
}

/// Reads a list; `element` reads an element.
pub fn elements<'b>(
    decoder: &mut Decoder<'b>,
    mut element: impl FnMut(&mut Decoder<'b>) -> Result<()>,
) -> Result<()> {
    let mut left = decoder.array()?;
    while more(decoder, &mut left)? {
        element(decoder)?;
    }
    Ok(())
}

/// Whether a map or a list goes on. `left` is `None` for one of indefinite length.
fn more(decoder: &mut Decoder<'_>, left: &mut Option<u64>) -> Result<bool> {
    match left {
        Some(0) => Ok(false),
        Some(count) => {
            *count -= 1;
            Ok(true)
        }
        None if next(decoder) == Some(END) => {
            decoder.set_position(decoder.position() + 1);
            Ok(false)
        }
        None => Ok(true),
    }
}

/// The first byte of the next item.
fn next(decoder: &Decoder<'_>) -> Option<u8> {
    decoder.input().get(decoder.position()).copied()
}

pub fn text<'b>(decoder: &mut Decoder<'b>) -> Result<Cow<'b, str>> {
    match next(decoder) {
        // Long texts may come in pieces.
        Some(PIECES_OF_TEXT) => {
            let pieces = decoder.str_iter()?.collect::<std::result::Result<String, _>>()?;
            Ok(Cow::Owned(pieces))
        }
        _ => Ok(Cow::Borrowed(decoder.str()?)),
    }
}

/// A slice of `body`, which `decoder` reads.
pub fn bytes(decoder: &mut Decoder<'_>, body: &Bytes) -> Result<Bytes> {
    match decoder.datatype()? {
        Type::BytesIndef => {
            let mut pieces = Vec::new();
            for piece in decoder.bytes_iter()? {
                pieces.extend_from_slice(piece?);
            }
            Ok(pieces.into())
        }
        _ => Ok(body.slice_ref(decoder.bytes()?)),
    }
}

/// A time in milliseconds since the Unix epoch.
///
/// Kinesis's times in CBOR are whole milliseconds under tag 1. RFC 8949 has seconds there, so a small number is taken for
/// seconds: these milliseconds are over in 1973.
pub fn time_ms(decoder: &mut Decoder<'_>) -> Result<i64> {
    const SMALL: i64 = 100_000_000_000;
    if decoder.datatype()? == Type::Tag {
        decoder.tag()?;
    }
    let number = match decoder.datatype()? {
        Type::F32 => f64::from(decoder.f32()?),
        Type::F64 => decoder.f64()?,
        _ => {
            let whole = decoder.i64()?;
            return Ok(match (-SMALL..SMALL).contains(&whole) {
                true => whole * 1000,
                false => whole,
            });
        }
    };
    Ok(match number.abs() < SMALL as f64 {
        true => (number * 1000.0).round() as i64,
        false => number.round() as i64,
    })
}
