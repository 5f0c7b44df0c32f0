//! What classes of Java do with text and numbers.

use std::fmt::Write;

/// A double as text. Source: `Double.toString`, Java SE API.
pub(crate) fn double(number: f64) -> String {
    let size = number.abs();
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        let text = number.to_string();
        return if text.contains('.') {
            text
        } else {
            format!("{text}.0")
        };
    }
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

/// Replaces `\u` and its four hexadecimal digits by the character.
pub(crate) fn unescape_unicode(text: &str) -> String {
    if !text.contains("\\u") {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        out.push_str(&rest[..at]);
        let (units, length) = units_of(&rest[at..]);
        if length == 0 {
            out.push_str("\\u");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&String::from_utf16_lossy(&units));
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

/// The escapes at the beginning as UTF-16, since a character beyond U+FFFF is two of them, and their length.
fn units_of(text: &str) -> (Vec<u16>, usize) {
    let mut units = Vec::new();
    let mut length = 0;
    while let Some(code) = text[length..].strip_prefix("\\u").and_then(|rest| rest.get(..4)) {
        let is_hex = code.bytes().all(|b| b.is_ascii_hexdigit());
        let Some(unit) = u16::from_str_radix(code, 16).ok().filter(|_| is_hex) else {
            break;
        };
        units.push(unit);
        length += 6;
    }
    (units, length)
}

/// Source: `StringEscapeUtils.escapeJavaScript`, Apache Commons Lang 2.6; "$util variables", API Gateway developer guide.
pub(crate) fn escape_java_script(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '\'' | '"' | '\\' | '/' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='\u{7f}' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
        }
    }
    out
}

/// Source: `URLEncoder.encode`, Java SE API.
pub(crate) fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Source: `URLDecoder.decode`, Java SE API. `None` for an incomplete escape.
pub(crate) fn url_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let code = after.get(..2)?;
                let digit = |byte: u8| {
                    char::from(byte)
                        .to_digit(16)
                        .and_then(|digit| u8::try_from(digit).ok())
                };
                bytes.push(digit(code[0])? << 4 | digit(code[1])?);
                rest = &after[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_as_java_writes_them() {
        for (number, expected) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e7, "1.0E7"),
            (1.25e-5, "1.25E-5"),
            (9_999_999.0, "9999999.0"),
            (f64::INFINITY, "Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(double(number), expected);
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape_unicode(r"a\u000Ab\u00"), "a\nb\\u00");
        assert_eq!(unescape_unicode(r"\uD83D\uDE00"), "😀");
        assert_eq!(
            escape_java_script("it's \"a\\b/c\"\né😀"),
            "it\\'s \\\"a\\\\b\\/c\\\"\\n\\u00E9\\uD83D\\uDE00"
        );
        assert_eq!(url_encode("a b&ü*"), "a+b%26%C3%BC*");
        assert_eq!(url_decode("a+b%26%c3%bc*").as_deref(), Some("a b&ü*"));
        for text in ["%", "%1", "%zz", "a%é"] {
            assert_eq!(url_decode(text), None, "{text}");
        }
    }
}
