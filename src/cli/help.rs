//! The help of `streamctl` itself: the commands in groups.

use std::fmt::Write as _;

use clap::Command;

use super::GROUPS;

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
