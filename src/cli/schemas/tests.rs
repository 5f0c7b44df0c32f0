use std::collections::BTreeSet;
use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::json;

use super::super::reference::WRITE;
use super::types::{Make, make, types};
use super::*;

/// Commands that print one document a line, always or with some option.
const LINES: &[&str] = &["generate", "logs", "metrics", "reshard", "tail"];

/// The width of the file.
const COLUMNS: usize = 120;

/// All commands that can be called, by name.
fn commands() -> Vec<String> {
    fn add(command: &Command, above: &str, all: &mut Vec<String>) {
        for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
            let name = format!("{above}{}", one.get_name());
            add(one, &format!("{name} "), all);
            if !one.is_subcommand_required_set() {
                all.push(name);
            }
        }
    }
    let mut all = Vec::new();
    add(&Cli::command(), "", &mut all);
    all
}

/// The schema of the documents that `command` prints, which are of the types that `makes` makes the schemas of.
fn body(command: &str, makes: &[Make], generator: &mut SchemaGenerator) -> Value {
    let mut body = Map::new();
    if LINES.contains(&command) {
        let lines = "One document, or one a line where the command prints as it goes.";
        body.insert("description".to_owned(), lines.into());
    }
    let kinds: Vec<Value> = makes.iter().map(|make| make(generator).to_value()).collect();
    match kinds.as_slice() {
        [Value::Object(one)] => body.extend(one.clone()),
        several => drop(body.insert("anyOf".to_owned(), several.into())),
    }
    body.into()
}

/// The file with the schemas of `commands`.
fn file(commands: &[(&str, Vec<Make>)]) -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut bodies = Map::new();
    for (command, makes) in commands {
        let mut body = body(command, makes, &mut generator);
        tidy(&mut body, true);
        bodies.insert((*command).to_owned(), body);
    }
    let mut definitions = generator.take_definitions(true);
    definitions.sort_keys();
    let is_numbered = |name: &&String| name.ends_with(|last: char| last.is_ascii_digit());
    let numbered: Vec<&String> = definitions.keys().filter(is_numbered).collect();
    assert!(
        numbered.is_empty(),
        "two types have each of these names: give one another with `schemars(rename)`: {numbered:?}"
    );
    definitions.values_mut().for_each(|schema| tidy(schema, true));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:streamctl:output",
        "description": "What the commands of streamctl print with -o json.",
        "commands": bodies,
        "$defs": definitions,
    })
}

fn read(file: Value) -> Schemas {
    serde_json::from_value(file).unwrap()
}

/// `value` as JSON after `taken` columns: on one line if it fits there.
fn pretty(value: &Value, margin: usize, taken: usize) -> String {
    let line = value.to_string();
    let (open, close) = match value {
        Value::Object(members) if !members.is_empty() => ('{', '}'),
        Value::Array(values) if !values.is_empty() => ('[', ']'),
        _ => return line,
    };
    if taken + line.len() < COLUMNS {
        return line;
    }
    let inner = margin + 2;
    let parts: Vec<String> = match value {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let name = format!("{:inner$}{}: ", "", Value::from(name.as_str()));
                let value = pretty(value, inner, name.len());
                name + &value
            };
            members.iter().map(member).collect()
        }
        other => {
            let values = other.as_array().into_iter().flatten();
            values
                .map(|value| format!("{:inner$}{}", "", pretty(value, inner, inner)))
                .collect()
        }
    };
    format!("{open}\n{}\n{:margin$}{close}", parts.join(",\n"), "")
}

/// Writes the descriptions of `schema` for readers of JSON. They are the comments of Rust types. A member that is not
/// required is left out where Rust has `None`.
fn tidy(schema: &mut Value, is_required: bool) {
    match schema {
        Value::Object(members) => {
            // What a manifest may leave out is always printed.
            members.shift_remove("default");
            // Of numbers: a type of Rust, which JSON Schema does not know.
            if !members.get("type").is_some_and(may_be_text) {
                members.shift_remove("format");
            }
            if let Some(Value::String(text)) = members.get("description") {
                match plain(text, is_required) {
                    text if text.is_empty() => drop(members.shift_remove("description")),
                    text => drop(members.insert("description".to_owned(), text.into())),
                }
            }
            let required = members.get("required").and_then(Value::as_array);
            let required: BTreeSet<String> = required
                .into_iter()
                .flatten()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect();
            for (keyword, value) in members {
                match (keyword.as_str(), value) {
                    ("properties", Value::Object(properties)) => {
                        for (name, schema) in properties {
                            let is_required = required.contains(name);
                            tidy(schema, is_required);
                            if !is_required {
                                forbid_null(schema);
                            }
                        }
                    }
                    (_, value) => tidy(value, true),
                }
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(|schema| tidy(schema, true)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A member that is left out where Rust has `None` is never `null`.
fn forbid_null(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    if let Some(Value::Array(kinds)) = members.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [one] = kinds.as_slice() {
            let one = one.clone();
            members.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(schemas)) = members.get_mut("anyOf") {
        schemas.retain(|schema| schema["type"] != "null");
        if let [Value::Object(one)] = schemas.as_slice() {
            let mut one = one.clone();
            members.shift_remove("anyOf");
            one.append(members);
            *members = one;
        }
    }
}

/// A comment of a type as a description: without links, and without the sentence that says what all schemas say.
fn plain(comment: &str, is_required: bool) -> String {
    let text = comment.replace('\n', " ").replace("[`", "`").replace("`]", "`");
    let sentences: Vec<&str> = text
        .split_inclusive(". ")
        .filter(|sentence| !sentence.contains("contract with scripts"))
        .collect();
    let text = sentences.concat().trim().to_owned();
    match (is_required, text.strip_prefix("`None`")) {
        (true, _) => text.replace("`None`", "`null`"),
        (false, Some(rest)) => format!("Absent{}", rest.replace("`None`", "absent")),
        (false, None) => text.replace("`None`", "absent"),
    }
}

/// Whether a schema with this `type` may be text.
fn may_be_text(kind: &Value) -> bool {
    kind == "string"
        || kind
            .as_array()
            .is_some_and(|kinds| kinds.contains(&"string".into()))
}

#[test]
fn each_command_has_a_schema_or_a_reason() {
    let commands = commands();
    assert!(commands.len() > 80, "{commands:?}");
    let types = types();
    assert!(types.is_sorted_by_key(|(name, _)| *name));
    for command in &commands {
        let has_schema = types.iter().any(|(name, _)| name == command);
        let has_reason = UNSTRUCTURED.iter().any(|(name, _)| name == command);
        assert!(
            has_schema != has_reason,
            "{command}: add what it prints to the table `types!`, or to UNSTRUCTURED why there is no schema"
        );
    }
    let names = types.iter().map(|(name, _)| *name);
    for name in names.chain(UNSTRUCTURED.iter().map(|(name, _)| *name)) {
        assert!(commands.iter().any(|command| command == name), "{name}");
    }
}

#[test]
fn the_schemas_are_up_to_date() {
    let text = pretty(&file(&types()), 0, 0) + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas.json");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap() == text,
        "{} is not up to date: run `{WRITE}=1 cargo test -p streamctl-lib --lib cli::schemas`",
        path.display()
    );
}

#[test]
fn a_value_is_on_one_line_where_it_fits() {
    let long = "x".repeat(COLUMNS - 20);
    let value = json!({ "short": [1, 2], "long": { "text": long, "empty": {} } });
    let text = pretty(&value, 0, 0);
    insta::assert_snapshot!(text.replace(&long, "…"), @r#"
    {
      "short": [1,2],
      "long": {
        "text": "…",
        "empty": {}
      }
    }
    "#);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
}

#[test]
fn descriptions_are_for_readers_of_json() {
    assert_eq!(
        plain(
            "What a run did. Its fields are a stable contract with scripts.",
            true
        ),
        "What a run did."
    );
    assert_eq!(plain("A contract with scripts.", true), "");
    assert_eq!(
        plain("`None` if [`Plan`]\nis empty.", true),
        "`null` if `Plan` is empty."
    );
    assert_eq!(plain("`None` if it is empty.", false), "Absent if it is empty.");
    assert_eq!(
        plain("A name; `None` for none.", false),
        "A name; absent for none."
    );
}

/// What it is made for: a member that is left out is not required, one that may be null is, and texts of Rust are gone.
#[test]
fn a_schema_says_what_is_printed() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Inner(u32, u32);
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Shown {
        /// `None` if there is none.
        known: Option<u32>,
        /// `None` if there is none.
        #[serde(skip_serializing_if = "Option::is_none")]
        rare: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        other: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        inner: Option<Inner>,
        at: Option<jiff::Timestamp>,
        #[serde(skip)]
        internal: u32,
    }
    let schemas = read(file(&[
        ("list", vec![make::<Shown>]),
        ("tail", vec![make::<Shown>, make::<Vec<Shown>>]),
        ("tag list", vec![make::<Vec<String>>]),
    ]));
    let schema = schemas.of("list").unwrap();
    assert_eq!(schema["$ref"], "#/$defs/Shown");
    insta::assert_snapshot!(pretty(&schema["$defs"]["Shown"], 0, COLUMNS), @r##"
    {
      "type": "object",
      "properties": {
        "known": {"type":["integer","null"],"minimum":0,"description":"`null` if there is none."},
        "rare": {"type":"integer","minimum":0,"description":"Absent if there is none."},
        "other": {"type":"array","items":{"type":"string"}},
        "inner": {"$ref":"#/$defs/Inner"},
        "at": {"type":["string","null"],"format":"date-time"}
      },
      "required": ["known","at"]
    }
    "##);
    let several = schemas.of("tail").unwrap();
    assert_eq!(several["anyOf"].as_array().unwrap().len(), 2);
    assert!(several["description"].is_string());
    assert!(several["$defs"]["Shown"].is_object(), "{several}");
    let plain = schemas.of("tag list").unwrap();
    assert_eq!(plain["type"], "array");
    assert!(plain.get("$defs").is_none(), "{plain}");
}

/// Those that are referred to are there, at any depth, and no others.
#[test]
fn a_schema_has_the_definitions_that_it_needs() {
    let reference = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    let schemas = read(json!({
        "$schema": "",
        "$id": "urn:x",
        "commands": { "list": { "anyOf": [reference("A"), { "type": "null" }] } },
        "$defs": {
            "A": { "properties": { "b": reference("B") } },
            "B": { "items": reference("A") },
            "C": reference("A"),
        },
    }));
    let schema = schemas.of("list").unwrap();
    let names: Vec<&String> = schema["$defs"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["A", "B"]);
}

#[test]
fn a_schema_is_found_by_the_name_of_its_command() {
    let schemas = Schemas::read().unwrap();
    let id = |command: &str| schemas.of(command).unwrap()["$id"].as_str().unwrap().to_owned();
    assert_eq!(id("list"), "urn:streamctl:output:list");
    assert_eq!(id("consumer list"), "urn:streamctl:output:consumer-list");
    assert_eq!(id("ls"), id("list"));
    let refused = |command: &str| {
        let error = schemas.of(command).unwrap_err();
        format!(
            "{}: {error}\n  hint: {}",
            error.exit() as u8,
            error.hint_text().unwrap()
        )
    };
    insta::assert_snapshot!(["descrbe", "consumer", "consumer lst", "man"].map(refused).join("\n"), @"
    2: there is no JSON Schema of `descrbe`
      hint: did you mean describe? `streamctl help output` lists the commands that have one
    2: there is no JSON Schema of `consumer`
      hint: these have one: consumer register, consumer list, consumer describe, consumer deregister; `streamctl help output` lists the commands that have one
    2: there is no JSON Schema of `consumer lst`
      hint: did you mean consumer list? `streamctl help output` lists the commands that have one
    2: `man` has no JSON Schema: it prints manual pages
      hint: `streamctl help output` lists the commands that have one
    ");
}

/// A command with a schema is below a heading, once.
#[test]
fn all_schemas_are_listed() {
    let groups = Schemas::read().unwrap().groups();
    let mut listed: Vec<String> = groups.into_iter().flat_map(|(_, names)| names).collect();
    listed.sort();
    let all: Vec<&str> = types().into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, all);
}
