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

/// Every command, those of `local` and `dlq` apart.
const COMMANDS: [&str; 23] = [
    "setup", "plan", "destroy", "verify", "outputs", "init", "list", "describe", "put", "tail", "metrics",
    "handlers", "deploy", "undeploy", "policy", "attach", "detach", "mappings", "invoke", "logs", "dlq",
    "local", "demo",
];

#[test]
fn every_help_text() {
    assert_snapshot!("streamctl", help(&[]));
    for command in COMMANDS {
        let text = help(&[command]);
        assert!(text.contains("Examples:"), "{command} has no examples");
        assert_snapshot!(command, text);
    }
    for command in ["start", "stop", "status", "env", "reset", "run"] {
        assert_snapshot!(format!("local-{command}"), help(&["local", command]));
    }
    for command in ["list", "replay"] {
        assert_snapshot!(format!("dlq-{command}"), help(&["dlq", command]));
    }
}

#[test]
fn no_help_line_is_wider_than_80_columns() {
    for command in COMMANDS {
        for line in help(&[command]).lines() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
    }
}
