//! What clap answers in place of a command: help and version on stdout, errors in the form of all errors of streamctl.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Cli;
use crate::ui::Printer;
use ground::error::Error;
use ground::exit::Exit;

/// Prints the answer to the command line `words`: exit 0 for help and version, exit 2 for bad usage.
pub(super) fn print(error: &clap::Error, words: &[OsString], printer: &Printer) -> Exit {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return match error.print() {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Exit::Failed,
            _ if error.use_stderr() => Exit::Usage,
            _ => Exit::Done,
        };
    }
    printer.error(&translated(error, words));
    Exit::Usage
}

/// An error of clap as one of streamctl: a sentence, and a hint with a command that exists.
fn translated(error: &clap::Error, words: &[OsString]) -> Error {
    let help = format!("`{} --help` shows what it accepts", command(words));
    let suggested = [
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedArg,
        ContextKind::SuggestedValue,
    ];
    if let (ErrorKind::InvalidSubcommand, Some(flag)) = (error.kind(), flag_for(words)) {
        return Error::usage(sentence(error)).hint(format!("use `streamctl {flag}`"));
    }
    let suggestion = suggested.into_iter().find_map(|kind| first(error, kind));
    Error::usage(sentence(error)).hint(match suggestion {
        Some(word) => format!("did you mean {word}? {help}"),
        None => help,
    })
}

/// The flag that does what `version` does in other programs.
fn flag_for(words: &[OsString]) -> Option<&'static str> {
    let words: Vec<&str> = words.iter().skip(1).filter_map(|word| word.to_str()).collect();
    (words == ["version"]).then_some("--version")
}

fn sentence(error: &clap::Error) -> String {
    let invalid = |kind| first(error, kind).unwrap_or_default();
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            format!("there is no command {}", invalid(ContextKind::InvalidSubcommand))
        }
        ErrorKind::UnknownArgument => match invalid(ContextKind::InvalidArg) {
            option if option.starts_with('-') => format!("there is no option {option}"),
            word => format!("{word:?} is an unexpected word"),
        },
        ErrorKind::MissingRequiredArgument => format!("{} is missing", invalid(ContextKind::InvalidArg)),
        _ => rendered_sentence(error),
    }
}

/// clap's own words. A blank line ends them; tips and the usage follow, which the hint replaces.
fn rendered_sentence(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let message = rendered.strip_prefix("error: ").unwrap_or(&rendered);
    let lines = message.lines().take_while(|line| !line.trim().is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

fn first(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

/// The command that `words` name, such as `streamctl tag add`.
fn command(words: &[OsString]) -> String {
    let cli = Cli::definition();
    let mut found = &cli;
    let mut name = cli.get_name().to_owned();
    for word in words.iter().skip(1).take_while(|word| *word != "--") {
        if let Some(subcommand) = found.find_subcommand(word) {
            name = format!("{name} {}", subcommand.get_name());
            found = subcommand;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    fn said(line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = Cli::parse_words(&words).unwrap_err();
        let error = translated(&error, &words);
        format!("{error}\n  hint: {}", error.hint_text().unwrap_or_default())
    }

    #[test]
    fn errors_are_a_sentence_and_a_hint() {
        insta::assert_snapshot!(
            [
                "streamctl setpu",
                "streamctl version",
                "streamctl setup --shards 4",
                "streamctl put --in-flight 99",
                "streamctl put --format cvs",
                "streamctl retention",
                "streamctl retention 1x",
                "streamctl tag ad x=y",
                "streamctl describe a b",
                "streamctl reshard --to 2 --scale 2x",
                "streamctl reshard orders",
            ]
            .map(said)
            .join("\n"),
            @r#"
            there is no command setpu
              hint: did you mean setup? `streamctl --help` shows what it accepts
            there is no command version
              hint: use `streamctl --version`
            there is no option --shards
              hint: did you mean --shard-count? `streamctl setup --help` shows what it accepts
            invalid value '99' for '--in-flight <N>': 99 is not in 1..=64
              hint: `streamctl put --help` shows what it accepts
            invalid value 'cvs' for '--format <FORMAT>' [possible values: auto, array, ndjson, put-records, get-records, recording, csv, tsv, lines, length-delimited, varint-delimited, whole]
              hint: `streamctl put --help` shows what it accepts
            <TIME> is missing
              hint: `streamctl retention --help` shows what it accepts
            invalid value '1x' for '<TIME>': not a length of time; write it like 36h, 7d or 1d12h, or as a number of hours
              hint: `streamctl retention --help` shows what it accepts
            there is no command ad
              hint: did you mean add? `streamctl tag --help` shows what it accepts
            "b" is an unexpected word
              hint: `streamctl describe --help` shows what it accepts
            the argument '--to <N>' cannot be used with '--scale <CHANGE>'
              hint: `streamctl reshard --help` shows what it accepts
            <--to <N>|--scale <CHANGE>|--split <SHARD[@HASHKEY|half|by-traffic]>|--merge <SHARD> <SHARD>|--balance[=<BY>]|--auto> is missing
              hint: `streamctl reshard --help` shows what it accepts
            "#
        );
    }
}
