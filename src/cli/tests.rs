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
    assert_eq!(names, ["put", "group", "generate", "copy"]);
    assert!(!template.contains("Read records"), "{template}");
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
