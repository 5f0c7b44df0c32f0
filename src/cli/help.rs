//! `streamctl help`: the help of commands, and topics that concern all of them. Also the help of `streamctl` itself, with
//! the commands in groups.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;

use clap::{Args, Command, CommandFactory};
use clap_complete::{ArgValueCompleter, CompletionCandidate};

use super::Cli;
use super::GROUPS;
use super::schemas::Schemas;
use super::shared::Session;
use super::usage;
use crate::ui::{Printer, wrap};
use ground::error::Result;
use ground::exit::Exit;

/// Show the help of a command, or of a topic
#[derive(Debug, Args)]
#[command(after_help = "\
Topics:
  exit-codes     what the exit code of a command means
  environment    variables that streamctl reads
  output         output formats, and JSON Schemas: `help output COMMAND`
  targets        how AWS, an endpoint or the local cloud is chosen

Examples:
  streamctl help put
  streamctl help tag add
  streamctl help targets
  streamctl help output consumer list    the JSON Schema of what it prints")]
pub struct HelpArgs {
    /// A topic, or a command and its subcommands [default: the list of commands]
    #[arg(value_name = "TOPIC|COMMAND", add = ArgValueCompleter::new(names))]
    words: Vec<String>,
}

/// Where the list of schemas goes in the topic.
const SCHEMAS: &str = "{schemas}\n";

/// Help that belongs to no command. Each text fits in 80 columns.
const TOPICS: &[(&str, &str)] = &[
    ("exit-codes", include_str!("help/topics/exit-codes.txt")),
    ("environment", include_str!("help/topics/environment.txt")),
    ("output", include_str!("help/topics/output.txt")),
    ("targets", include_str!("help/topics/targets.txt")),
];

pub(super) async fn run(args: HelpArgs, session: &Session) -> Result<Exit> {
    show(&args, session.printer())
}

/// Needs no settings: help works where a file with settings cannot be read.
pub(super) fn show(args: &HelpArgs, printer: &Printer) -> Result<Exit> {
    match args.words.as_slice() {
        [word] => {
            if let Some(text) = topic(word)? {
                printer.out_lines(&text)?;
                printer.flush()?;
                return Ok(Exit::Done);
            }
        }
        [topic, command @ ..] if topic == "output" => {
            printer.document(&Schemas::read()?.of(&command.join(" "))?)?;
            return Ok(Exit::Done);
        }
        _ => {}
    }
    let words: Vec<OsString> = std::iter::once("streamctl")
        .chain(args.words.iter().map(String::as_str))
        .chain(["--help"])
        .map(OsString::from)
        .collect();
    // clap answers `--help` in place of a command.
    Ok(match Cli::parse_words(&words) {
        Ok(_) => Exit::Done,
        Err(answer) => usage::print(&answer, &words, printer),
    })
}

/// The text of a topic.
fn topic(name: &str) -> Result<Option<String>> {
    match TOPICS.iter().find(|(topic, _)| *topic == name) {
        Some((_, text)) if text.contains(SCHEMAS) => Ok(Some(text.replace(SCHEMAS, &schema_list()?))),
        found => Ok(found.map(|(_, text)| (*text).to_owned())),
    }
}

/// The commands that have a JSON Schema, below the headings of the help.
fn schema_list() -> Result<String> {
    let groups = Schemas::read()?.groups();
    let indent = groups.iter().map(|(heading, _)| heading.len()).max().unwrap_or(0) + 4;
    let mut text = String::new();
    for (heading, names) in groups {
        // A name is not broken.
        let names: Vec<String> = names.iter().map(|name| name.replace(' ', "\u{a0}")).collect();
        for (at, line) in wrap(&names.join(", "), 80 - indent).iter().enumerate() {
            let head = if at == 0 {
                format!("  {heading}")
            } else {
                String::new()
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{head:indent$}{}", line.replace('\u{a0}', " "));
        }
    }
    Ok(text)
}

/// The topics and commands that begin with `typed`.
fn names(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let topics = TOPICS.iter().map(|(name, _)| (*name).to_owned());
    let cli = Cli::command();
    let commands = cli.get_subcommands().map(|command| command.get_name().to_owned());
    topics
        .chain(commands)
        .filter(|name| name.starts_with(&*typed))
        .map(CompletionCandidate::new)
        .collect()
}

/// A heading of the help and the commands below it.
pub(super) struct Group<'a> {
    pub(super) heading: &'static str,
    pub(super) commands: Vec<&'a Command>,
}

/// The commands of `cli` in their groups. Hidden commands are left out.
pub(super) fn groups(cli: &Command) -> Vec<Group<'_>> {
    let mut commands = cli.get_subcommands();
    let group = |&(heading, count): &(&'static str, usize)| Group {
        heading,
        commands: commands
            .by_ref()
            .take(count)
            .filter(|command| !command.is_hide_set())
            .collect(),
    };
    GROUPS.iter().map(group).collect()
}

/// The summary of a command. It is not wrapped: it must fit beside the names in 80 columns.
pub(super) fn summary(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// clap's template of a help text, with one list of commands for each group. clap itself knows a single list.
pub(super) fn template(cli: &Command) -> String {
    let styles = cli.get_styles();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let groups = groups(cli);
    let names = groups
        .iter()
        .flat_map(|group| &group.commands)
        .map(|command| command.get_name().len());
    let width = names.max().unwrap_or(0);
    let mut text = "{about-with-newline}\n{usage-heading} {usage}\n\n".to_owned();
    for group in groups.iter().filter(|group| !group.commands.is_empty()) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{header}{}:{header:#}", group.heading);
        for command in &group.commands {
            let (name, summary) = (command.get_name(), summary(command));
            let _ = writeln!(
                text,
                "  {literal}{name}{literal:#}{:1$}  {summary}",
                "",
                width - name.len()
            );
        }
        text.push('\n');
    }
    let _ = write!(text, "{header}Options:{header:#}\n{{options}}{{after-help}}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_fit_80_columns_and_are_listed() {
        let cli = Cli::command();
        let help = cli
            .find_subcommand("help")
            .unwrap()
            .get_after_help()
            .unwrap()
            .to_string();
        for (name, _) in TOPICS {
            let text = topic(name).unwrap().unwrap();
            assert!(help.contains(&format!("\n  {name} ")), "{name}: {help}");
            assert!(text.contains("\nExamples:\n"), "{name}");
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{name}: {line}");
            }
        }
    }

    #[test]
    fn the_output_topic_lists_the_schemas() {
        let text = topic("output").unwrap().unwrap();
        assert!(!text.contains('{'), "{text}");
        let list = schema_list().unwrap();
        let first: Vec<&str> = list.lines().take(3).collect();
        insta::assert_snapshot!(first.join("\n"), @"
          Provision  setup, plan, destroy, verify, outputs, open, init
          Streams    list, describe, create, delete, encrypt, tag add, tag remove,
                     tag list, retention, mode, monitoring enable, monitoring disable,
        ");
        assert!(text.contains(&list), "{text}");
    }

    /// The exit codes of the topic, each with its meaning.
    fn exit_codes() -> Vec<(u8, String)> {
        let (_, text) = TOPICS.iter().find(|(name, _)| *name == "exit-codes").unwrap();
        let (_, list) = text.split_once("\n\n").unwrap();
        let list = list.split("\n\n").next().unwrap();
        let mut codes: Vec<(u8, String)> = Vec::new();
        for line in list.lines().map(str::trim_start) {
            let code = line.split_once("  ").and_then(|(code, _)| code.parse().ok());
            match (code, codes.last_mut()) {
                (Some(code), _) => codes.push((code, line.split_once("  ").unwrap().1.trim().to_owned())),
                (None, Some((_, meaning))) => meaning.push_str(&format!(" {line}")),
                (None, None) => panic!("{line}"),
            }
        }
        codes
    }

    /// `ground::exit` has the same codes.
    #[test]
    fn all_exit_codes_are_listed() {
        let listed: Vec<u8> = exit_codes().into_iter().map(|(code, _)| code).collect();
        let all = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::Partial,
            Exit::Unreachable,
            Exit::Faults,
            Exit::Interrupted,
        ];
        assert_eq!(listed, all.map(|exit| exit as u8));
    }

    #[test]
    fn the_tables_of_exit_codes_say_what_the_topic_says() {
        for (name, page) in [
            ("README.md", include_str!("../../README.md")),
            ("docs/errors.md", include_str!("../../docs/errors.md")),
        ] {
            let (_, section) = page.split_once("\n## Exit codes\n").unwrap();
            let section = section.split("\n## ").next().unwrap().replace('`', "");
            let rows: Vec<(u8, String)> = section
                .lines()
                .filter_map(|line| {
                    let mut cells = line.trim_matches('|').split('|').map(str::trim);
                    Some((cells.next()?.parse().ok()?, cells.next()?.to_owned()))
                })
                .collect();
            assert_eq!(rows, exit_codes(), "{name}");
        }
    }

    /// A variable that `.env` may set is explained.
    #[test]
    fn variables_of_dotenv_are_listed() {
        let (_, text) = TOPICS.iter().find(|(name, _)| *name == "environment").unwrap();
        for name in domain::settings::dotenv::ALLOWED {
            // The profile has a second name, as the region.
            assert!(text.contains(name), "{name}");
        }
    }
}
