//! JSON of others as people read it: on one line or indented, with colours. Numbers, names and their order stay as they
//! are, since no value is made of the text.

use super::{Style, visible};

/// What a piece of JSON is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    /// A brace, a bracket, a comma or a colon.
    Mark(u8),
    /// A string that is the name of a member.
    Name,
    Text,
    /// A number, `true`, `false` or `null`.
    Word,
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// `text` on one line, without the line ends and indents of pretty-printed JSON, and escaped for a terminal. Text that is
/// not JSON is only escaped.
pub fn on_one_line(text: &str, style: &Style) -> String {
    let has_lines = text.contains(['\n', '\r']);
    if !(has_lines || style.has_colour()) || !is_json(text) {
        return visible(text);
    }
    let mut line = String::with_capacity(text.len() * 2);
    for (kind, piece) in pieces(text) {
        match kind {
            Kind::Space if has_lines => {}
            Kind::Space => line.push_str(&visible(piece)),
            kind => line.push_str(&painted(kind, piece, style)),
        }
    }
    line
}

/// JSON without space between its values.
pub fn compact(text: &str) -> String {
    let pieces = pieces(text).filter(|(kind, _)| *kind != Kind::Space);
    pieces.map(|(_, piece)| piece).collect()
}

/// JSON with a line for each value, each indented by `margin` and two spaces for each level; `None` for other text.
pub fn indented(text: &str, margin: &str, style: &Style) -> Option<String> {
    if !is_json(text) {
        return None;
    }
    let mut lines = margin.to_owned();
    let mut depth = 0_usize;
    let mut pieces = pieces(text).filter(|(kind, _)| *kind != Kind::Space).peekable();
    let break_line = |lines: &mut String, depth: usize| {
        lines.push('\n');
        lines.push_str(margin);
        (0..depth).for_each(|_| lines.push_str("  "));
    };
    while let Some((kind, piece)) = pieces.next() {
        match kind {
            Kind::Mark(b'}' | b']') => {
                depth = depth.saturating_sub(1);
                break_line(&mut lines, depth);
                lines.push_str(piece);
            }
            Kind::Mark(b'{' | b'[') => {
                lines.push_str(piece);
                match pieces.next_if(|(kind, _)| matches!(kind, Kind::Mark(b'}' | b']'))) {
                    Some((_, end)) => lines.push_str(end),
                    None => {
                        depth += 1;
                        break_line(&mut lines, depth);
                    }
                }
            }
            Kind::Mark(b',') => {
                lines.push_str(piece);
                break_line(&mut lines, depth);
            }
            Kind::Mark(b':') => lines.push_str(": "),
            kind => lines.push_str(&painted(kind, piece, style)),
        }
    }
    Some(lines)
}

fn painted(kind: Kind, piece: &str, style: &Style) -> String {
    let piece = visible(piece);
    match kind {
        Kind::Name => style.name(&piece),
        Kind::Text => style.good(&piece),
        Kind::Word => style.caution(&piece),
        Kind::Space | Kind::Mark(_) => piece,
    }
}

/// The pieces of `text`, which is JSON.
fn pieces(text: &str) -> impl Iterator<Item = (Kind, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = *rest.as_bytes().first()?;
        let (kind, length) = match first {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => (Kind::Mark(first), 1),
            b'"' => {
                let length = string_length(rest);
                let is_name = rest[length..].trim_start().starts_with(':');
                (if is_name { Kind::Name } else { Kind::Text }, length)
            }
            b' ' | b'\t' | b'\n' | b'\r' => (Kind::Space, rest.len() - rest.trim_start().len()),
            _ => {
                let ends = |c: char| c.is_ascii_whitespace() || matches!(c, ',' | ']' | '}' | ':');
                (Kind::Word, rest.find(ends).unwrap_or(rest.len()))
            }
        };
        let (piece, tail) = rest.split_at(length);
        rest = tail;
        Some((kind, piece))
    })
}

/// The length of the string at the start of `text`, with its quotes.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn pretty_printed_json_is_on_one_line() {
        let plain = Style::plain();
        let line = |text| on_one_line(text, &plain);
        assert_eq!(line("{\"a\": 1}"), "{\"a\": 1}");
        assert_eq!(
            line("{\n  \"a \\\" b\": [1,\n 2.50]\n}"),
            r#"{"a \" b":[1,2.50]}"#
        );
        assert_eq!(line("two\nlines\u{1b}[31m"), r"two\nlines\u{1b}[31m");
        assert_eq!(line("{\"a\":\n"), r#"{"a":\n"#);
    }

    #[test]
    fn json_is_indented_and_coloured() {
        let text = r#"{"a":[1e400,{"b":"x:\"y"},[],{}],"ü\u001b":null,"a":true}"#;
        assert_snapshot!(indented(text, "  ", &Style::plain()).unwrap(), @r#"
          {
            "a": [
              1e400,
              {
                "b": "x:\"y"
              },
              [],
              {}
            ],
            "ü\u001b": null,
            "a": true
          }
        "#);
        assert_snapshot!(on_one_line(r#"{"a": "b", "c":[1]}"#, &Style::new(true, false)).replace('\u{1b}', "␛"), @r#"{␛[34m"a"␛[0m: ␛[32m"b"␛[0m, ␛[34m"c"␛[0m:[␛[33m1␛[0m]}"#);
        assert_eq!(indented("no JSON", "", &Style::plain()), None);
        assert_eq!(indented("[] []", "", &Style::plain()), None);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[ -~]{0,4}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_value_stays_the_same(value in value()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let line = on_one_line(&pretty, &Style::plain());
            prop_assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value.clone());
            let indented = indented(&line, "", &Style::plain()).unwrap();
            prop_assert_eq!(indented, pretty);
        }

        #[test]
        fn no_text_is_a_panic(text in "\\PC{0,40}") {
            let style = Style::new(true, false);
            on_one_line(&text, &style);
            indented(&text, "", &style);
        }
    }
}
