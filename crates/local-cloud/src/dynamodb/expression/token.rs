//! The tokens of expressions.

use std::ops::Range;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(String),
    Name(String),
    Value(String),
    Number(usize),
    Sign(&'static str),
    /// A character that no expression has.
    Unknown,
}

/// The tokens, and where they are.
pub(super) fn tokens(text: &str) -> (Vec<Token>, Vec<Range<usize>>) {
    const SIGNS: [&str; 15] = [
        "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", ".", "[", "]", "+", "-", "*",
    ];
    let (mut tokens, mut spans) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, length) = if first.is_ascii_digit() {
            let length = rest.bytes().take_while(u8::is_ascii_digit).count();
            (
                rest[..length].parse().map_or(Token::Unknown, Token::Number),
                length,
            )
        } else if is_word(first) || first == '#' || first == ':' {
            let tail = &rest[first.len_utf8()..];
            let length = first.len_utf8() + tail.find(|c| !is_word(c)).unwrap_or(tail.len());
            let word = rest[..length].to_owned();
            let token = match first {
                '#' => Token::Name(word),
                ':' => Token::Value(word),
                _ => Token::Word(word),
            };
            (token, length)
        } else {
            match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => (Token::Unknown, first.len_utf8()),
            }
        };
        tokens.push(token);
        spans.push(at..at + length);
        at += length;
    }
    (tokens, spans)
}
