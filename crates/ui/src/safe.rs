//! Escapes text that comes from a service (names, tags, messages, records): terminals act on control characters.

use std::borrow::Cow;
use std::fmt::Write as _;

use ground::unicode::is_harmful;

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

/// Ends all styles.
const RESET: &str = "\u{1b}[0m";

/// [`visible`] for text with lines, tabs and the colours of this program, which are kept.
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
    // A style that a service has set must not last.
    if shown
        .rfind("\u{1b}[")
        .is_some_and(|at| !shown[at..].starts_with(RESET))
    {
        shown.push_str(RESET);
    }
    Cow::Owned(shown)
}

/// The data of a record or a response, for a terminal: lines and tabs are kept. A byte that is not UTF-8 is shown as
/// `\xNN`.
pub(super) fn data(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                c if is_harmful(c) && !matches!(c, '\n' | '\t') => escape(&mut shown, c),
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// A message on one or more lines, of which only the first starts in the first column: what a service answers cannot look
/// like a message of this program.
pub(super) fn message(text: &str) -> Cow<'_, str> {
    let text = harmless(text);
    let leading = text.len() - text.trim_start_matches('\n').len();
    let starts_line = |(at, _): &(usize, &str)| {
        let next = text[at + 1..].chars().next();
        *at >= leading && next.is_some_and(|c| !matches!(c, ' ' | '\n'))
    };
    if !text.match_indices('\n').any(|found| starts_line(&found)) {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut written = 0;
    for (at, _) in text.match_indices('\n').filter(starts_line) {
        shown.push_str(&text[written..=at]);
        shown.push_str("  ");
        written = at + 1;
    }
    shown.push_str(&text[written..]);
    Cow::Owned(shown)
}

/// JSON with the same value, in which nothing is left that a terminal acts on. What is not ASCII stands only in strings.
pub(super) fn json(text: String) -> String {
    // A raw value may have line ends of its own; serde_json escapes control characters in strings.
    let harmful = |c: char| c == '\r' || (!matches!(c, '\n' | '\t') && is_harmful(c));
    if !text.chars().any(harmful) {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\r' => shown.push(' '),
            c if harmful(c) => {
                // All of them are in the basic multilingual plane. Writing to a string cannot fail.
                let _ = write!(shown, "\\u{:04x}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

/// Whether YAML needs to be written in another style: only strings in double quotes can have escapes.
pub(super) fn is_harmless(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '\n' | '\t') || !is_harmful(c))
}

/// The length of a sequence that sets one of the styles of [`Style`](super::Style), such as `ESC [ 1 ; 31 m`, at the start of
/// `text`. Others could hide what follows. Source: ECMA-48, 8.3.117.
fn colour_length(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    let mut each = parameters[..end].split(';');
    let known = each.all(is_known_style);
    (known && parameters.as_bytes()[end] == b'm').then_some(2 + end + 1)
}

/// Bold, dim and colours of the foreground but black and white, which can be those of the background.
fn is_known_style(parameter: &str) -> bool {
    match parameter.as_bytes() {
        b"" | [b'0'..=b'2'] => true,
        [b'3' | b'9', hue] => (b'1'..=b'6').contains(hue),
        _ => false,
    }
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

    #[test]
    fn only_the_styles_of_this_program_are_kept() {
        let hidden = "\u{1b}[8mhidden\u{1b}[0m";
        assert_eq!(harmless(hidden), "\\u{1b}[8mhidden\u{1b}[0m");
        for style in [super::super::Style::new(true, true)] {
            for hue in 0..super::super::Style::HUES {
                assert_eq!(harmless(&style.hue(hue, "a")), style.hue(hue, "a"));
            }
            for text in [
                style.found("a"),
                style.good("a"),
                style.caution("a"),
                style.bad("a"),
                style.dim("a"),
                style.bold("a"),
            ] {
                assert_eq!(harmless(&text), text);
            }
            for text in [
                style.stderr_error("a"),
                style.stderr_warning("a"),
                style.stderr_hint("a"),
            ] {
                assert_eq!(harmless(&text), text);
            }
        }
    }

    #[test]
    fn a_style_that_is_not_ended_is_ended() {
        assert_eq!(harmless("\u{1b}[31mred"), "\u{1b}[31mred\u{1b}[0m");
        assert_eq!(
            harmless("\u{1b}[31mred\u{1b}[0m, then plain"),
            "\u{1b}[31mred\u{1b}[0m, then plain"
        );
    }

    #[test]
    fn a_message_of_a_service_cannot_look_like_one_of_this_program() {
        assert_eq!(
            message("failed: x\nhint: run curl"),
            "failed: x\n  hint: run curl"
        );
        assert_eq!(message("a\r\nerror: b"), "a\\u{d}\n  error: b");
        for ours in [
            "\n$ streamctl put",
            "Next:\n  streamctl tail\n  streamctl put",
            "one",
            "a\n\n  b\n",
        ] {
            assert_eq!(message(ours), ours);
        }
    }

    #[test]
    fn data_for_a_terminal_shows_every_byte() {
        assert_eq!(
            data(b"a\tb\nc\x1b[31m\r\xff\xc2\x9b"),
            "a\tb\nc\\u{1b}[31m\\u{d}\\xff\\u{9b}"
        );
        assert_eq!(data("日本".as_bytes()), "日本");
    }

    mod properties {
        use proptest::prelude::*;
        use serde_json::Value;

        use super::super::*;

        proptest! {
            #[test]
            fn json_keeps_its_value_and_has_nothing_for_a_terminal(
                text in "(\\PC|\\p{Cc}|[\u{80}-\u{9f}\u{61c}\u{200e}\u{200f}\u{2028}-\u{202e}\u{2066}-\u{206f}]){0,20}",
            ) {
                let value = serde_json::json!({ text.clone(): [text] });
                let shown = json(serde_json::to_string(&value).unwrap());
                prop_assert!(is_harmless(&shown), "{shown:?}");
                prop_assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
            }

            #[test]
            fn nothing_is_left_for_a_terminal(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                prop_assert!(is_harmless(&data(&bytes)));
                prop_assert!(!visible(&text).contains('\n') && is_harmless(&visible(&text)));
            }
        }
    }
}
