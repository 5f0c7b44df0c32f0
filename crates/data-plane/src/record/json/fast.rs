//! A check of whole JSON values: every record of a file goes through it.
//!
//! It says only whether a value is complete and valid. A [`Scanner`](super::Scanner) says where an error is.

/// Deeper values are left to the scanner: one bit a level.
const DEEPEST: u32 = 64;

/// The length of the object, array or string at the start of `text`, if it is complete and valid.
pub(in super::super) fn whole_value(text: &[u8]) -> Option<usize> {
    if !matches!(text.first(), Some(b'{' | b'[' | b'"')) {
        return None;
    }
    let mut open = Open::default();
    let mut at = 0;
    loop {
        at = after_space(text, at);
        at = match *text.get(at)? {
            b'{' => {
                at = after_space(text, at + 1);
                if *text.get(at)? != b'}' {
                    open.push(true)?;
                    at = after_key(text, at)?;
                    continue;
                }
                at + 1
            }
            b'[' => {
                at = after_space(text, at + 1);
                if *text.get(at)? != b']' {
                    open.push(false)?;
                    continue;
                }
                at + 1
            }
            b'"' => after_string(text, at + 1)?,
            _ => after_scalar(text, at)?,
        };
        // A value has ended, and with it perhaps those around it.
        loop {
            let Some(is_object) = open.innermost() else {
                return Some(at);
            };
            at = after_space(text, at);
            match (*text.get(at)?, is_object) {
                (b',', true) => {
                    at = after_key(text, after_space(text, at + 1))?;
                    break;
                }
                (b',', false) => {
                    at += 1;
                    break;
                }
                (b'}', true) | (b']', false) => {
                    open.pop();
                    at += 1;
                }
                _ => return None,
            }
        }
    }
}

/// The containers around a value: a bit for each, 1 for an object.
#[derive(Default)]
struct Open {
    depth: u32,
    kinds: u64,
}

impl Open {
    fn push(&mut self, is_object: bool) -> Option<()> {
        if self.depth == DEEPEST {
            return None;
        }
        self.depth += 1;
        self.kinds = self.kinds << 1 | u64::from(is_object);
        Some(())
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.kinds >>= 1;
    }

    /// Whether the innermost container is an object; `None` outside of all.
    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.kinds & 1 == 1)
    }
}

fn after_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// The place after the key at `at` and its colon.
fn after_key(text: &[u8], at: usize) -> Option<usize> {
    if *text.get(at)? != b'"' {
        return None;
    }
    let at = after_space(text, after_string(text, at + 1)?);
    (*text.get(at)? == b':').then_some(at + 1)
}

/// The place after the string whose first character is at `at`.
fn after_string(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = special(text, at)?;
        match text[at] {
            b'"' => return Some(at + 1),
            b'\\' => match *text.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' => {
                    let digits = text.get(at + 2..at + 6)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    at += 6;
                }
                _ => return None,
            },
            _ => return None,
        }
    }
}

/// The place of the first quote, backslash or control character from `at` on.
fn special(text: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = u64::from_ne_bytes([0x80; 8]);
    // The highest bit of each byte that is below `limit`; a byte after one that is may have it too.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGHEST;
    let is = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    while let Some(bytes) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*bytes);
        let found = is(word, b'"') | is(word, b'\\') | below(word, b' ');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = text.get(at..)?;
    let found = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..b' '))?;
    Some(at + found)
}

/// The place after the number or the literal at `at`. What follows it is checked by the caller.
fn after_scalar(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let literal = [&b"true"[..], b"false", b"null"]
        .into_iter()
        .find(|word| rest.starts_with(word));
    match literal {
        Some(word) => Some(at + word.len()),
        None => after_number(text, at),
    }
}

fn after_number(text: &[u8], mut at: usize) -> Option<usize> {
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match *text.get(at)? {
        b'0' => at + 1,
        b'1'..=b'9' => after_digits(text, at + 1),
        _ => return None,
    };
    if text.get(at) == Some(&b'.') {
        at = after_first_digit(text, at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(text.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = after_first_digit(text, at)?;
    }
    Some(at)
}

/// The place after one or more digits.
fn after_first_digit(text: &[u8], at: usize) -> Option<usize> {
    text.get(at)?.is_ascii_digit().then(|| after_digits(text, at + 1))
}

fn after_digits(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}
