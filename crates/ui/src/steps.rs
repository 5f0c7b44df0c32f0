//! Command lines to copy: the list "Next:" of suggested commands.

/// Maximum width of a line.
const WIDTH: usize = 80;
const INDENT: usize = 2;
/// The end of a line of a command that goes on in the next.
const CONTINUED: &str = " \\";
/// Spaces between a command and its description.
const GAP: usize = 3;

/// Formats `steps` (command line and description) in two columns. A command that is too long continues on the next line
/// after a backslash.
pub fn next_steps(steps: &[(String, &str)]) -> String {
    let broken: Vec<(Vec<String>, &str)> = steps
        .iter()
        .map(|(command, what)| (lines_of(command, what), *what))
        .collect();
    let length = |lines: &[String]| lines.last().map_or(0, |last| last.chars().count());
    let column = broken.iter().map(|(lines, _)| length(lines)).max().unwrap_or(0);
    let mut text = "Next:".to_owned();
    for (lines, what) in &broken {
        let (last, before) = lines.split_last().map_or(("", &[][..]), |(l, b)| (l.as_str(), b));
        for line in before {
            text.push_str(&format!("\n{:INDENT$}{line}{CONTINUED}", ""));
        }
        // Longer commands must not push this description past the width.
        let most = WIDTH.saturating_sub(INDENT + GAP + what.chars().count());
        let column = column.min(most).max(last.chars().count());
        text.push_str(&format!("\n{:INDENT$}{last:column$}{:GAP$}{what}", "", ""));
    }
    text
}

/// `command` in one line if it fits beside `what`, else broken before its flags.
fn lines_of(command: &str, what: &str) -> Vec<String> {
    let fits = |line: &str, after: usize| INDENT + line.chars().count() + after <= WIDTH;
    let beside_what = GAP + what.chars().count();
    if fits(command, beside_what) {
        return vec![command.to_owned()];
    }
    let parts: Vec<&str> = command.split(" --").collect();
    let mut lines = Vec::new();
    let mut line = String::new();
    for (index, part) in parts.iter().enumerate() {
        let is_last = index + 1 == parts.len();
        let after = if is_last { beside_what } else { CONTINUED.len() };
        let longer = format!("{line} --{part}");
        match index {
            0 => line.push_str(part),
            _ if fits(&longer, after) => line = longer,
            _ => lines.push(std::mem::replace(&mut line, format!("    --{part}"))),
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_do_stands_in_one_column() {
        let steps = [
            ("streamctl put --file records.json".to_owned(), "send records"),
            ("streamctl metrics".to_owned(), "see the last hour"),
        ];
        insta::assert_snapshot!(next_steps(&steps), @r"
        Next:
          streamctl put --file records.json   send records
          streamctl metrics                   see the last hour
        ");
    }

    #[test]
    fn a_long_command_goes_on_in_the_next_line() {
        let long = "streamctl put --stream retail-events-stream-dev --file retail/events.json \
                    --partition-key-field userId";
        let steps = [
            (long.to_owned(), "send them"),
            ("streamctl verify retail".to_owned(), "follow an event"),
        ];
        let text = next_steps(&steps);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        insta::assert_snapshot!(text, @r"
        Next:
          streamctl put --stream retail-events-stream-dev --file retail/events.json \
              --partition-key-field userId   send them
          streamctl verify retail            follow an event
        ");
    }

    #[test]
    fn the_last_line_of_a_command_leaves_room_for_its_description() {
        let command = "streamctl put --file stream/events.json --target local --region eu-west-1";
        insta::assert_snapshot!(next_steps(&[(command.to_owned(), "send records")]), @r"
        Next:
          streamctl put --file stream/events.json --target local \
              --region eu-west-1   send records
        ");
    }
}
