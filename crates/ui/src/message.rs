//! The layout of messages on stderr: notes, warnings and errors. On a terminal a line that is too long is broken at spaces, and
//! what follows is indented, so that only the first line of a message starts in the first column.

use unicode_width::UnicodeWidthStr as _;

use ground::error::Error;

use crate::safe;
use crate::style::Style;

const INDENT: &str = "  ";

/// A message that is not an error. A line with columns or an indent of its own stays as it is: it is a list, or a command to
/// copy.
pub(super) fn note(text: &str, width: Option<usize>) -> String {
    let line = |line: &str| match line.starts_with(' ') || line.contains("  ") {
        true => line.to_owned(),
        false => fitted(line, width, INDENT),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A warning and its label.
pub(super) fn warning(text: &str, width: Option<usize>, style: &Style) -> String {
    labelled("warning:", &note(&format!("warning: {text}"), width), |label| {
        style.stderr_warning(label)
    })
}

/// An error with its causes and its hint. Without a terminal, message and hint are one line each. The lines of a cause are
/// indented. `complete` completes the commands of a text.
pub(super) fn error(
    error: &Error,
    complete: impl Fn(&str) -> String,
    width: Option<usize>,
    style: &Style,
) -> String {
    let part = |label: &str, text: &str| {
        let text = complete(&safe::visible(text));
        fitted(&format!("{label} {text}"), width, INDENT)
    };
    let chain = error.chain();
    let mut lines = vec![labelled("error:", &part("error:", &chain[0]), |label| {
        style.stderr_error(label)
    })];
    for cause in &chain[1..] {
        let cause = format!("  cause: {}", complete(cause));
        let mut cause = cause.split('\n');
        lines.push(fitted(cause.next().unwrap_or_default(), width, "    "));
        lines.extend(cause.map(|line| fitted(&format!("    {line}"), width, "    ")));
    }
    if let Some(hint) = error.hint_text() {
        lines.push(labelled("hint:", &part("hint:", hint), |label| {
            style.stderr_hint(label)
        }));
    }
    lines.join("\n")
}

/// `text`, which starts with `label`, with the label painted: colour takes no width, so it comes last.
fn labelled(label: &str, text: &str, paint: impl Fn(&str) -> String) -> String {
    let rest = text.strip_prefix(label).unwrap_or(text);
    format!("{}{rest}", paint(label))
}

/// One line as lines of at most `width` columns. All but the first start with `indent`, which is at least that of the first.
fn fitted(line: &str, width: Option<usize>, indent: &str) -> String {
    let Some(width) = width.filter(|&width| line.width() > width) else {
        return line.to_owned();
    };
    let text = line.trim_start_matches(' ');
    let own = &line[..line.len() - text.len()];
    let lines = wrap(text, width.saturating_sub(indent.len()));
    format!("{own}{}", lines.join(&format!("\n{indent}")))
}

/// Breaks `text` at spaces into lines of at most `width` columns. A longer word has its own line. A command in backticks stays
/// whole if it fits into a line, so that it can be copied.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words(text, width) {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// What is not broken in lines of `width` columns.
fn words(text: &str, width: usize) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let end = word_end(text);
        let word = &text[..end];
        match word.width() <= width {
            true => words.push(word),
            false => words.extend(word.split(' ')),
        }
        rest = text.get(end + 1..);
    }
    words
}

/// Where the first word of `text` ends: at a space outside backticks, or at the end.
fn word_end(text: &str) -> usize {
    let mut at = 0;
    loop {
        let Some(space) = text[at..].find(' ').map(|space| at + space) else {
            return text.len();
        };
        let closed = text[at..space].find('`').and_then(|open| {
            let inside = at + open + 1;
            text[inside..].find('`').map(|close| inside + close + 1)
        });
        match closed {
            Some(after) => at = after,
            None => return space,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain() -> Style {
        Style::new(false, false)
    }

    #[test]
    fn notes_are_broken_at_spaces() {
        let text = "On-demand: 0.040 USD an hour, 0.080 USD for a GB written and 0.040 USD for a GB read (us-east-1)";
        let shown = note(text, Some(60));
        insta::assert_snapshot!(shown, @r"
        On-demand: 0.040 USD an hour, 0.080 USD for a GB written
          and 0.040 USD for a GB read (us-east-1)
        ");
        assert!(shown.lines().all(|line| line.width() <= 60));
        assert_eq!(note(text, None), text);
        let list = format!("Next:\n  streamctl put --file {}   put records", "x".repeat(60));
        assert_eq!(note(&list, Some(60)), list);
        assert_eq!(note("short", Some(60)), "short");
    }

    #[test]
    fn errors_and_hints_are_broken_at_spaces_and_commands_stay_whole() {
        let failed = Error::usage(
            "--where takes a range of arrival times, and `yesterday at noon` is not one of them",
        )
        .cause(
            "expected a point in time\nthe second line of the cause is also longer than the terminal is wide",
        )
        .hint(
            "give two points in time, such as -1h..-30m; run `streamctl help positions of records` for all",
        );
        insta::assert_snapshot!(error(&failed, str::to_owned, Some(50), &plain()), @r"
        error: --where takes a range of arrival times,
          and `yesterday at noon` is not one of them
          cause: expected a point in time
            the second line of the cause is also longer
            than the terminal is wide
        hint: give two points in time, such as
          -1h..-30m; run
          `streamctl help positions of records` for all
        ");
        insta::assert_snapshot!(error(&failed, str::to_owned, None, &plain()), @r"
        error: --where takes a range of arrival times, and `yesterday at noon` is not one of them
          cause: expected a point in time
            the second line of the cause is also longer than the terminal is wide
        hint: give two points in time, such as -1h..-30m; run `streamctl help positions of records` for all
        ");
    }

    #[test]
    fn colour_takes_no_width() {
        let style = Style::new(false, true);
        let failed = Error::usage("a message of a few words").hint("a hint of a few more words");
        for width in [12, 20, 30, 80] {
            let strip = |text: String| anstream::adapter::strip_str(&text).to_string();
            assert_eq!(
                strip(error(&failed, str::to_owned, Some(width), &style)),
                error(&failed, str::to_owned, Some(width), &plain())
            );
            let text = "a warning of a few words";
            assert_eq!(
                strip(warning(text, Some(width), &style)),
                warning(text, Some(width), &plain())
            );
        }
    }

    #[test]
    fn wide_characters_take_two_columns_and_an_open_backtick_holds_nothing_together() {
        assert_eq!(wrap("日本 東京 大阪", 9), ["日本 東京", "大阪"]);
        assert_eq!(wrap("an ` alone in a line", 10), ["an ` alone", "in a line"]);
        assert_eq!(wrap("a (`b c`), d", 8), ["a", "(`b c`),", "d"]);
        assert_eq!(wrap("", 8), [""]);
        assert_eq!(
            wrap("`too long for it` `b c`", 8),
            ["`too", "long for", "it`", "`b c`"]
        );
    }

    proptest! {
        /// No word is lost, and no line is longer than it must be.
        #[test]
        fn lines_joined_are_the_text(text in "[a-c `日]{0,60}", width in 0_usize..30) {
            let lines = wrap(&text, width);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&lines.join(" ")), words(&text));
            for line in &lines {
                prop_assert!(line.width() <= width || !line.contains(' '), "{:?} of {:?}", line, text);
            }
        }
    }
}
