//! Reads JSON and keeps the digits of numbers. Source: RFC 8259.

use std::rc::Rc;

use crate::value::{Heap, Number, VALUE_BYTES, Value};

/// Levels of lists and maps in one another.
const MAX_DEPTH: usize = 128;

/// # Errors
/// If it is not JSON, or takes too much memory.
pub(crate) fn parse(text: &str, heap: &Heap) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0, heap };
    reader.skip_space();
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.unexpected());
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    heap: &'a Heap,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn unexpected(&self) -> String {
        match self.text[self.at..].chars().next() {
            Some(c) => format!("unexpected {c:?} at byte {}", self.at),
            None => "unexpected end".to_owned(),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} levels are nested"));
        }
        self.heap.charge(VALUE_BYTES)?;
        match self.peek() {
            Some(b'{') => self.map(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => {
                let text = self.string()?;
                self.heap.charge(text.len())?;
                Ok(Value::Text(text))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                for (word, value) in [
                    ("true", Value::Bool(true)),
                    ("false", Value::Bool(false)),
                    ("null", Value::Null),
                ] {
                    if self.text[self.at..].starts_with(word) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                Err(self.unexpected())
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(self.heap.list(items, true)?);
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.unexpected()),
            }
        }
        self.at += 1;
        Ok(self.heap.list(items, true)?)
    }

    fn map(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut pairs = Vec::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(self.heap.map(pairs)?);
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected());
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected());
            }
            self.at += 1;
            self.skip_space();
            let value = self.value(depth + 1)?;
            pairs.push((key, value));
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.unexpected()),
            }
        }
        self.at += 1;
        Ok(self.heap.map(pairs)?)
    }

    fn digits(&mut self) -> usize {
        let begin = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at - begin
    }

    fn number(&mut self) -> Result<Value, String> {
        let begin = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let digits = self.digits();
        let mut is_valid = digits == 1 || digits > 1 && !leading_zero;
        if self.peek() == Some(b'.') {
            self.at += 1;
            is_valid &= self.digits() > 0;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            is_valid &= self.digits() > 0;
        }
        if !is_valid {
            return Err(format!("invalid number at byte {begin}"));
        }
        let text = &self.text[begin..self.at];
        self.heap.charge(text.len())?;
        Ok(Value::Number(Number(text.into())))
    }

    fn string(&mut self) -> Result<Rc<str>, String> {
        self.at += 1;
        let begin = self.at;
        let mut unescaped: Option<String> = None;
        let mut copied = begin;
        loop {
            match self.peek() {
                None => return Err(self.unexpected()),
                Some(b'"') => break,
                Some(0..0x20) => return Err(self.unexpected()),
                Some(b'\\') => {
                    let out = unescaped.get_or_insert_default();
                    out.push_str(&self.text[copied..self.at]);
                    let c = self.escape()?;
                    unescaped.get_or_insert_default().push(c);
                    copied = self.at;
                }
                Some(_) => self.at += 1,
            }
        }
        let tail = &self.text[copied..self.at];
        self.at += 1;
        Ok(match unescaped {
            None => tail.into(),
            Some(mut text) => {
                text.push_str(tail);
                text.into()
            }
        })
    }

    /// After a backslash. A surrogate without its other half becomes U+FFFD.
    fn escape(&mut self) -> Result<char, String> {
        self.at += 1;
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(c)
    }

    fn unicode(&mut self) -> Result<char, String> {
        let high = self.unit()?;
        if !(0xd800..0xdc00).contains(&high) {
            return Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let after = self.at;
        if self.text[after..].starts_with("\\u") {
            self.at += 1;
            let low = self.unit()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = after;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    /// At the `u` of an escape.
    fn unit(&mut self) -> Result<u32, String> {
        self.at += 1;
        let code = self.text.get(self.at..self.at + 4).unwrap_or_default();
        if !code.bytes().all(|b| b.is_ascii_hexdigit()) || code.len() != 4 {
            return Err(self.unexpected());
        }
        self.at += 4;
        u32::from_str_radix(code, 16).map_err(|_| self.unexpected())
    }
}
