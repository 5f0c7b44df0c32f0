//! The JSON Schemas of what commands print with `-o json`: `docs/schemas.json`, which is also a part of the binary. The
//! tests of this module make the file from the types.

use std::collections::BTreeSet;

use clap::{Command, CommandFactory};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Cli, help};
use domain::similar::did_you_mean;
use ground::error::{Error, Result};

/// Commands that print no JSON document, with what they print instead.
const UNSTRUCTURED: &[(&str, &str)] = &[
    ("completions", "a script for a shell"),
    ("help", "text, and schemas"),
    ("local run", "messages only"),
    ("man", "manual pages"),
    ("sample events", "records in the format of the template"),
];

/// How a schema refers to a definition.
const DEFINITION: &str = "#/$defs/";

/// The file: the schema of each command, and the definitions that they refer to.
#[derive(Deserialize)]
pub(super) struct Schemas {
    #[serde(rename = "$schema")]
    dialect: String,
    #[serde(rename = "$id")]
    id: String,
    commands: Map<String, Value>,
    #[serde(rename = "$defs")]
    definitions: Map<String, Value>,
}

impl Schemas {
    /// # Errors
    /// None in a binary that passed the tests.
    pub(super) fn read() -> Result<Self> {
        serde_json::from_str(include_str!("../../docs/schemas.json"))
            .map_err(|error| Error::failed("could not read the JSON Schemas").cause(error.to_string()))
    }

    /// The schema of what `command` prints, such as `consumer list`, with the definitions that it needs.
    ///
    /// # Errors
    /// Exit 2 for a command that does not exist, or that prints no document.
    pub(super) fn of(&self, command: &str) -> Result<Value> {
        let command = &full_name(command);
        let Some(body) = self.commands.get(command) else {
            return Err(self.none_of(command));
        };
        let mut schema = Map::new();
        let id = format!("{}:{}", self.id, command.replace(' ', "-"));
        let head = [
            ("$schema", self.dialect.clone()),
            ("$id", id),
            ("title", format!("streamctl {command}")),
        ];
        schema.extend(head.map(|(keyword, text)| (keyword.to_owned(), text.into())));
        schema.extend(body.as_object().cloned().unwrap_or_default());
        let definitions = self.needed_by(body);
        if !definitions.is_empty() {
            schema.insert("$defs".to_owned(), definitions.into());
        }
        Ok(schema.into())
    }

    /// The definitions that `schema` refers to, and those that they refer to.
    fn needed_by<'a>(&'a self, schema: &'a Value) -> Map<String, Value> {
        let mut needed = BTreeSet::new();
        let mut left = vec![schema];
        while let Some(value) = left.pop() {
            match value {
                Value::Object(members) => left.extend(members.values()),
                Value::Array(values) => left.extend(values),
                Value::String(text) => {
                    if let Some(name) = text.strip_prefix(DEFINITION)
                        && needed.insert(name)
                    {
                        left.extend(self.definitions.get(name));
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        let all = self.definitions.iter();
        all.filter(|(name, _)| needed.contains(name.as_str()))
            .map(|(name, schema)| (name.clone(), schema.clone()))
            .collect()
    }

    fn none_of(&self, command: &str) -> Error {
        let all = "`streamctl help output` lists the commands that have one";
        if let Some((_, prints)) = UNSTRUCTURED.iter().find(|(name, _)| *name == command) {
            let what = format!("`{command}` has no JSON Schema: it prints {prints}");
            return Error::usage(what).hint(all);
        }
        let known: Vec<String> = self.groups().into_iter().flat_map(|(_, names)| names).collect();
        let is_within = |name: &&str| {
            name.strip_prefix(command)
                .is_some_and(|rest| rest.starts_with(' '))
        };
        let within: Vec<&str> = known.iter().map(String::as_str).filter(is_within).collect();
        let near = match within.is_empty() {
            true => did_you_mean(command, known.iter().map(String::as_str)),
            false => format!("these have one: {}; ", within.join(", ")),
        };
        Error::usage(format!("there is no JSON Schema of `{command}`")).hint(format!("{near}{all}"))
    }

    /// The commands that have a schema, below the headings of the help.
    pub(super) fn groups(&self) -> Vec<(&'static str, Vec<String>)> {
        let cli = Cli::command();
        help::groups(&cli)
            .into_iter()
            .map(|group| {
                let names = group.commands.iter().flat_map(|command| all_of(command, ""));
                let with_schema = names.filter(|name| self.commands.contains_key(name));
                (group.heading, with_schema.collect::<Vec<_>>())
            })
            .filter(|(_, names)| !names.is_empty())
            .collect()
    }
}

/// `command` with names for aliases, such as `list` for `ls`.
fn full_name(command: &str) -> String {
    let cli = Cli::command();
    let mut within = Some(&cli);
    let name = |word| {
        within = within.and_then(|above| above.find_subcommand(word));
        within.map_or(word, Command::get_name)
    };
    let words: Vec<&str> = command.split(' ').map(name).collect();
    words.join(" ")
}

/// The names of `command` and of the commands below it.
fn all_of(command: &Command, above: &str) -> Vec<String> {
    let name = format!("{above}{}", command.get_name());
    let above = format!("{name} ");
    let below = command
        .get_subcommands()
        .filter(|one| !one.is_hide_set())
        .flat_map(|one| all_of(one, &above));
    let below: Vec<String> = below.collect();
    std::iter::once(name).chain(below).collect()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod types;
#[cfg(test)]
#[expect(dead_code, reason = "only the schemas of the types are used")]
mod written;
