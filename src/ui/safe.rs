//! Escapes text that comes from a service (names, tags, messages, records): terminals act on control characters.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` on one line. Control characters, line separators and marks that change the direction of writing are escaped.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if is_harmful(c) => escape(&mut shown, c),
            c => shown.push(c),
        }
    }
    shown
}

/// [`visible`] for text with lines, tabs and colours, which are kept.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    let stays = |c: char| matches!(c, '\n' | '\t') || !is_harmful(c);
    if text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = colour_length(rest).unwrap_or(c.len_utf8());
        let (piece, tail) = rest.split_at(length);
        if length > c.len_utf8() || stays(c) {
            shown.push_str(piece);
        } else {
            escape(&mut shown, c);
        }
        rest = tail;
    }
    Cow::Owned(shown)
}

fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The length of a sequence that only changes how text looks (SGR), such as `ESC [ 1 ; 31 m`, at the start of `text`.
/// Source: ECMA-48, 8.3.117.
fn colour_length(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    (parameters.as_bytes()[end] == b'm').then_some(2 + end + 1)
}

fn escape(shown: &mut String, c: char) {
    // Writing to a string cannot fail.
    let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(harmless("a\u{1b}]0;owned\u{7}b"), r"a\u{1b}]0;owned\u{7}b");
        assert_eq!(harmless("\u{1b}[2J\u{9b}2J\rgone"), r"\u{1b}[2J\u{9b}2J\u{d}gone");
        assert_eq!(harmless("user\u{202e}nimda"), r"user\u{202e}nimda");
        assert_eq!(visible("a\tb\nc\u{1b}[31m"), r"a\tb\nc\u{1b}[31m");
    }

    #[test]
    fn tables_and_their_colours_stay_as_they_are() {
        let table = "NAME\tSTATUS\n\u{1b}[1m日本\u{1b}[0m\t\u{1b}[1;32mACTIVE\u{1b}[0m";
        assert_eq!(harmless(table), table);
        assert!(matches!(harmless("plain\ttext\n"), Cow::Borrowed(_)));
        assert_eq!(harmless("\u{1b}[31"), r"\u{1b}[31");
    }
}
