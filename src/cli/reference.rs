//! The parts of the documentation that are made from code: `docs/commands.md`, and lists in other files, between
//! `<!-- list: NAME -->` and `<!-- end -->`. A test compares the files with the code, or writes them when
//! `STREAMCTL_WRITE_DOCS` is set.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::builder::StyledStr;
use clap::{Arg, Command};

use super::{Cli, help};
use domain::functions::bundle;
use domain::pipeline;

pub(super) const WRITE: &str = "STREAMCTL_WRITE_DOCS";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The definition with the arguments and usages of all commands filled in.
fn definition() -> Command {
    let mut cli = Cli::definition();
    cli.build();
    cli
}

/// `docs/commands.md`.
fn reference() -> String {
    let cli = definition();
    let mut text = "# Commands\n\nMade from the definition of the command line, as `streamctl COMMAND --help` shows it.\n\n"
        .to_owned();
    for group in help::groups(&cli) {
        let links: Vec<String> = group.commands.iter().map(|command| link(command, "")).collect();
        text += &format!("- {}: {}\n", group.heading, links.join(", "));
    }
    text += "\n## Global options\n\nEvery command accepts these.\n\n";
    text += &list(cli.get_arguments().filter(|arg| arg.is_global_set()));
    for group in help::groups(&cli) {
        text += &format!("\n## {}\n", group.heading);
        for command in group.commands {
            section(&mut text, command, 3);
        }
    }
    text
}

fn link(command: &Command, file: &str) -> String {
    let name = command.get_name();
    format!("[`{name}`]({file}#streamctl-{name})")
}

/// A command and, one level below it, its subcommands.
fn section(text: &mut String, command: &Command, level: usize) {
    let name = command.get_bin_name().unwrap_or_default();
    let plain = |styled: &StyledStr| styled.to_string().trim().to_owned();
    let summary = help::summary(command);
    // Writing to a string cannot fail.
    let _ = write!(text, "\n{} {name}\n\n{summary}.\n", "#".repeat(level));
    let long = command.get_long_about().map(plain).unwrap_or_default();
    let rest = long.strip_prefix(&summary).unwrap_or(&long).trim();
    if !rest.is_empty() {
        let _ = write!(text, "\n{rest}\n");
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let _ = write!(text, "\n```text\n{usage}\n```\n");
    let own = |arg: &&Arg| {
        !arg.is_hide_set() && !arg.is_global_set() && !matches!(arg.get_id().as_str(), "help" | "version")
    };
    let args = list(command.get_arguments().filter(own));
    if !args.is_empty() {
        let _ = write!(text, "\n{args}");
    }
    let after = command.get_after_long_help().or(command.get_after_help());
    if let Some(after) = after.map(plain).filter(|after| !after.is_empty()) {
        let _ = write!(text, "\n```text\n{after}\n```\n");
    }
    for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        section(text, one, level + 1);
    }
}

/// Arguments and options, an item each.
fn list<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    args.map(|arg| format!("- `{}`: {}\n", synopsis(arg), meaning(arg)))
        .collect()
}

/// `-o, --output <FORMAT>` or `[TEMPLATE]`.
fn synopsis(arg: &Arg) -> String {
    if arg.is_positional() {
        return arg.to_string();
    }
    let short = arg
        .get_short()
        .map(|short| format!("-{short}, "))
        .unwrap_or_default();
    format!("{short}{arg}")
}

fn meaning(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help());
    let mut text = help.map(ToString::to_string).unwrap_or_default();
    let takes_value = arg.get_action().takes_values();
    let values = arg.get_possible_values();
    if takes_value && !arg.is_hide_possible_values_set() && values.len() > 1 {
        let values: Vec<String> = values
            .iter()
            .map(|value| match value.get_help() {
                Some(help) => format!("`{}` ({help})", value.get_name()),
                None => format!("`{}`", value.get_name()),
            })
            .collect();
        text += &format!(". One of {}", values.join(", "));
    }
    let defaults: Vec<String> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy().into_owned())
        .collect();
    if takes_value && !arg.is_hide_default_value_set() && !defaults.is_empty() {
        text += &format!(" [default: {}]", defaults.join(", "));
    }
    text
}

fn command_table() -> String {
    let cli = definition();
    let mut text = "| | command | what it does |\n|---|---|---|\n".to_owned();
    for group in help::groups(&cli) {
        for (index, command) in group.commands.iter().enumerate() {
            let heading = if index == 0 { group.heading } else { "" };
            text += &format!(
                "| {heading} | {} | {} |\n",
                link(command, "docs/commands.md"),
                help::summary(command)
            );
        }
    }
    text
}

fn template_table() -> String {
    let rows = pipeline::bundled().map(|one| format!("| `{}` | {} |\n", one.name, one.description()));
    format!(
        "| template | what it makes |\n|---|---|\n{}",
        rows.collect::<String>()
    )
}

fn handler_table() -> String {
    let rows = bundle::all().iter().map(|one| {
        let aliases: Vec<String> = one.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        format!(
            "| `{}` | {} | `{}` | {} |\n",
            one.name,
            aliases.join(", "),
            one.template,
            one.about
        )
    });
    format!(
        "| handler | also called | template | what it does |\n|---|---|---|---|\n{}",
        rows.collect::<String>()
    )
}

/// `text` with the list `name` between its markers replaced.
fn replaced(text: &str, name: &str, list: &str) -> String {
    let begin = format!("<!-- list: {name} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
    let (_, after) = rest
        .split_once("<!-- end -->")
        .unwrap_or_else(|| panic!("no end of {begin}"));
    format!("{before}{begin}\n{list}\n<!-- end -->{after}")
}

#[test]
fn the_documentation_is_up_to_date() {
    let mut files = BTreeMap::from([("docs/commands.md", reference())]);
    let tables = [
        ("README.md", "commands", command_table()),
        ("README.md", "templates", template_table()),
        ("docs/templates.md", "templates", template_table()),
        ("docs/functions.md", "handlers", handler_table()),
    ];
    for (path, name, table) in tables {
        let text = files.entry(path).or_insert_with(|| read(path));
        *text = replaced(text, name, &table);
    }
    for (path, expected) in files {
        let path = root().join(path);
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&path, expected).unwrap();
            continue;
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expected,
            "{} is not up to date: run `{WRITE}=1 cargo test -p streamctl-lib --lib cli::reference`",
            path.display()
        );
    }
}

/// Lists that are written by hand, since they have more than names.
#[test]
fn the_documentation_names_each_service_and_handler() {
    for path in ["README.md", "docs/local-cloud.md"] {
        let words: Vec<String> = read(path).split_whitespace().map(str::to_owned).collect();
        let text = words.join(" ");
        for service in daemon::SERVICES {
            assert!(text.contains(service), "{path} does not name {service}");
        }
    }
    let text = read("handlers/README.md");
    for handler in bundle::all() {
        assert!(text.contains(&format!("`{}`", handler.name)), "{}", handler.name);
    }
}
