//! A check of whole JSON values: every record of a file goes through it.
//!
//! It says only whether a value is complete and valid. A [`Scanner`](super::Scanner) says where an error is, and knows
//! values that are nested more deeply than [`Open`] counts.

/// A complete and valid value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct WholeValue {
    pub(in super::super) length: usize,
    /// Whether it is all ASCII, and without a line end.
    pub(in super::super) is_ascii_line: bool,
}

/// The object, array or string at the start of `text`, if it is complete and valid.
#[inline]
pub(in super::super) fn whole_value(text: &[u8]) -> Option<WholeValue> {
    #[cfg(target_arch = "x86_64")]
    if matches!(text.first(), Some(b'{' | b'['))
        && let Some(value) = super::blocks::whole_value(text)
    {
        return value;
    }
    by_bytes(text)
}

/// That value, found byte by byte.
#[inline(never)]
pub(in super::super) fn by_bytes(text: &[u8]) -> Option<WholeValue> {
    let length = length_by_bytes(text)?;
    let value = &text[..length];
    Some(WholeValue {
        length,
        is_ascii_line: value.is_ascii() && memchr::memchr(b'\n', value).is_none(),
    })
}

fn length_by_bytes(text: &[u8]) -> Option<usize> {
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
                    open.pass(b'{')?;
                    at = after_key(text, at)?;
                    continue;
                }
                at + 1
            }
            b'[' => {
                at = after_space(text, at + 1);
                if *text.get(at)? != b']' {
                    open.pass(b'[')?;
                    continue;
                }
                at + 1
            }
            b'"' => after_string(text, at + 1)?,
            _ => after_scalar(text, at)?,
        };
        // A value has ended, and with it perhaps those around it.
        loop {
            if open.is_outside() {
                return Some(at);
            }
            at = after_space(text, at);
            match (*text.get(at)?, open.is_object()) {
                (b',', true) => {
                    at = after_key(text, after_space(text, at + 1))?;
                    break;
                }
                (b',', false) => {
                    at += 1;
                    break;
                }
                (bracket @ b'}', true) | (bracket @ b']', false) => {
                    open.pass(bracket)?;
                    at += 1;
                }
                _ => return None,
            }
        }
    }
}

/// The containers around a value: a bit for each, 1 for an object, after a 1 that stands for the outside.
pub(super) struct Open(u64);

impl Default for Open {
    fn default() -> Self {
        Self(1)
    }
}

impl Open {
    /// Goes into a container, or out of the innermost one. `None` when that is too deep, or not its bracket.
    #[inline]
    pub(super) fn pass(&mut self, bracket: u8) -> Option<()> {
        // The bits in which `{}` differ from `[]`, and `}]` from `{[`. Without branches: brackets are hard to guess.
        let kind = u64::from(bracket >> 5 & 1);
        let closes = bracket & 4 != 0;
        let is_wrong = if closes {
            self.0 & 1 != kind
        } else {
            self.0 >> 63 == 1
        };
        self.0 = if closes { self.0 >> 1 } else { self.0 << 1 | kind };
        (!is_wrong).then_some(())
    }

    #[inline]
    pub(super) fn is_outside(&self) -> bool {
        self.0 == 1
    }

    /// Whether the innermost container is an object.
    #[inline]
    pub(super) fn is_object(&self) -> bool {
        self.0 & 1 == 1
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
            b'\\' => at = after_escape(text, at)?,
            _ => return None,
        }
    }
}

/// The place after the escape whose backslash is at `at`.
pub(super) fn after_escape(text: &[u8], at: usize) -> Option<usize> {
    match *text.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => {
            let digits = text.get(at + 2..at + 6)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 6)
        }
        _ => None,
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
    match literal(text.get(at..)?) {
        Some(word) => Some(at + word.len()),
        None => after_number(text, at),
    }
}

/// The literal at the start of `text`.
#[inline]
pub(super) fn literal(text: &[u8]) -> Option<&'static [u8]> {
    [&b"true"[..], b"false", b"null"]
        .into_iter()
        .find(|word| text.starts_with(word))
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
