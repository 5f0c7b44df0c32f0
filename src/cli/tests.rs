use std::path::{Path, PathBuf};

use super::*;

#[test]
fn clap_accepts_the_definition() {
    Cli::definition().debug_assert();
}

#[test]
fn each_command_has_a_group_and_a_summary() {
    let cli = Cli::definition();
    let in_groups: usize = GROUPS.iter().map(|(_, count)| count).sum();
    assert_eq!(in_groups, cli.get_subcommands().count());
    for command in cli.get_subcommands() {
        let summary = help::summary(command);
        assert!(!summary.is_empty(), "{} has no summary", command.get_name());
        assert!(!summary.ends_with('.'), "{summary}");
    }
}

#[test]
fn the_help_has_the_groups_and_no_wide_line() {
    let mut cli = Cli::definition().term_width(80);
    let help = cli.render_help().to_string();
    for (heading, _) in GROUPS {
        assert!(help.contains(&format!("\n{heading}:\n")), "{heading}: {help}");
    }
    for line in help.lines() {
        let width = line.chars().count();
        assert!(width <= 80, "{width} columns, shorten the summary: {line}");
    }
}

#[test]
fn hidden_commands_are_not_in_the_help() {
    let hide = |command: clap::Command| {
        let is_tail = command.get_name() == "tail";
        command.hide(is_tail)
    };
    let cli = Cli::command().mut_subcommands(hide);
    let template = help::template(&cli);
    let names: Vec<&str> = help::groups(&cli)[2]
        .commands
        .iter()
        .map(|one| one.get_name())
        .collect();
    assert_eq!(names, ["put", "sample", "group", "generate", "copy"]);
    assert!(!template.contains("Read records"), "{template}");
}

/// What a message tells the user to type must exist: each `streamctl …` in the sources is parsed as a command line. A value
/// that is filled in at run time stands for a word.
#[test]
fn commands_in_messages_exist() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let domain = package.join("../crates/domain/src");
    let mut found = 0;
    let mut wrong = Vec::new();
    for path in sources(package).into_iter().chain(sources(&domain)) {
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        let is_test = path.iter().any(|part| part.to_string_lossy().contains("test"));
        if !is_source || is_test {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        for line in command_lines(text) {
            found += 1;
            if let Some(reason) = refusal(&line) {
                wrong.push(format!("{}: {line}: {reason}", path.display()));
            }
        }
    }
    assert!(found > 100, "only {found} were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The command lines in backticks, or at the start of a text, of a source file.
fn command_lines(text: &str) -> Vec<String> {
    let joined: Vec<&str> = text.split("\\\n").map(str::trim_start).collect();
    let joined = joined.concat().replace("\\\"", "'");
    let mut lines = Vec::new();
    for quote in ['`', '"'] {
        let start = format!("{quote}streamctl ");
        for part in joined.split(&start).skip(1) {
            lines.extend(part.split(quote).next().map(|line| format!("streamctl {line}")));
        }
    }
    lines
}

/// Why `line` is not a command line that clap accepts.
fn refusal(line: &str) -> Option<String> {
    // A pipe, a redirection, "…" and `[…]` are not for clap.
    let line = line
        .split([' ', '\n'])
        .take_while(|word| !["|", ">", "…", "#"].contains(word));
    let words: Vec<String> = line.map(filled).filter(|word| !word.is_empty()).collect();
    let is_pattern = |word: &String| word.contains(['[', '<', '…', '|', '\'']);
    if words.len() < 2 || words.iter().any(is_pattern) {
        return None;
    }
    let parsed = Cli::definition().try_get_matches_from(&words);
    use clap::error::ErrorKind;
    let kind = parsed.err()?.kind();
    let is_wrong = match kind {
        ErrorKind::UnknownArgument | ErrorKind::ArgumentConflict => true,
        // A word that is filled in, "COMMAND", and what other programs call their help.
        ErrorKind::InvalidSubcommand => !["x", "COMMAND", "help", "is", "did"].contains(&words[1].as_str()),
        // A value that is filled in may be a number or a time.
        ErrorKind::ValueValidation => !words.iter().any(|word| word == "x"),
        // The command is named without its arguments.
        _ => false,
    };
    is_wrong.then(|| format!("{kind:?}"))
}

/// `word` with the values that are filled in: one that stands alone is a word, one at the end of a word is empty.
fn filled(word: &str) -> String {
    let mut text = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('{') {
        text += before;
        let (_, after) = after.split_once('}').unwrap_or(("", ""));
        if text.is_empty() || text.ends_with('=') {
            text.push('x');
        }
        rest = after;
    }
    text + rest
}

/// Commands share code through `cli/shared` and the domain.
#[test]
fn no_command_imports_another() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("cli");
    let cli = Cli::command();
    let commands = cli
        .get_subcommands()
        .map(|command| command.get_name().replace('-', "_"));
    let commands: Vec<String> = commands.collect();
    for path in sources(&dir) {
        let inside: Vec<&str> = path
            .strip_prefix(&dir)
            .unwrap()
            .iter()
            .filter_map(|part| part.to_str())
            .collect();
        let own = inside[0].trim_end_matches(".rs");
        if own != "shared" && !commands.iter().any(|name| name == own) {
            continue;
        }
        // The module `cli`, seen from this file.
        let parents = ["super::".repeat(inside.len()), "crate::cli::".to_owned()];
        let text = std::fs::read_to_string(&path).unwrap();
        for parent in parents {
            let shown = path.display();
            assert!(
                !text.contains(&format!("{parent}{{")),
                "{shown}: import from {parent} one by one"
            );
            for other in commands.iter().filter(|name| *name != own) {
                let imports = [format!("{parent}{other}::"), format!("{parent}{other};")];
                let found = imports.iter().any(|import| text.contains(import.as_str()));
                assert!(
                    !found,
                    "{shown} imports {parent}{other}: move what it needs to cli/shared"
                );
            }
        }
    }
}

/// The files below `dir`.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .collect()
}
