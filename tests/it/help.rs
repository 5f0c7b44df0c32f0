//! The help of every command, at 80 columns.

use insta::assert_snapshot;

use crate::support::Machine;

fn help(words: &[&str]) -> String {
    let output = Machine::new()
        .streamctl(words)
        .arg("--help")
        .env("COLUMNS", "80")
        .assert()
        .success()
        .get_output()
        .clone();
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that a help text lists: `  NAME  SUMMARY`, before the options.
fn listed(help: &str) -> Vec<String> {
    help.lines()
        .take_while(|line| *line != "Options:")
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect()
}

/// Checks the help of a command and of its subcommands.
fn check(words: &[&str]) {
    let text = help(words);
    let name = if words.is_empty() {
        "streamctl".to_owned()
    } else {
        words.join("-")
    };
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{name}: {line}");
    }
    if words.len() < 2 {
        assert!(text.contains("Examples:"), "{name} has no examples");
    }
    for command in listed(&text) {
        check(&[words, &[command.as_str()]].concat());
    }
    assert_snapshot!(name, text);
}

#[test]
fn every_help_text() {
    assert!(listed(&help(&[])).len() > 20);
    check(&[]);
}
