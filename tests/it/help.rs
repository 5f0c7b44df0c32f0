//! The whole command line reference, as a user reads it at 80 columns.

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

#[test]
fn every_help_text() {
    assert_snapshot!("streamctl", help(&[]));
    for command in [
        "setup", "plan", "destroy", "verify", "outputs", "list", "describe", "put", "tail", "metrics",
        "local", "demo", "attach", "detach", "mappings", "invoke", "logs", "dlq",
    ] {
        let text = help(&[command]);
        assert!(text.contains("Examples:"), "{command} has no examples");
        assert_snapshot!(command, text);
    }
    for command in ["start", "stop", "status", "env", "reset", "run"] {
        assert_snapshot!(format!("local-{command}"), help(&["local", command]));
    }
}

#[test]
fn no_help_line_is_wider_than_80_columns() {
    for command in ["setup", "put", "tail", "metrics", "destroy", "local"] {
        for line in help(&[command]).lines() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
    }
}
