//! The contract of `-o json`: the documents that tests read are as `docs/schemas.json` says, and have no other members.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::support::{Cloud, Machine};

/// The file with the schemas of all commands.
static FILE: LazyLock<Value> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
});

/// Other names of commands.
const ALIASES: [(&str, &str); 3] = [("desc", "describe"), ("ls", "list"), ("rm", "delete")];

/// Schemas that were used, by the name of their command.
static USED: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// Checks what `streamctl ARGS -o json` printed: documents, one after another.
///
/// # Panics
/// If it is not as the schema of the command says.
pub fn check(args: &[&str], printed: &[u8]) {
    let Some(command) = command_of(args) else {
        panic!("no schema in docs/schemas.json is that of {args:?}");
    };
    let schema = strict_schema(&command);
    for document in serde_json::Deserializer::from_slice(printed).into_iter::<Value>() {
        let wrong = faults(&schema, &document.unwrap());
        assert!(
            wrong.is_empty(),
            "{args:?} does not print what docs/schemas.json says of `{command}`:\n{}",
            wrong.join("\n")
        );
    }
}

/// The command of a command line: the first words that name one with a schema.
fn command_of(args: &[&str]) -> Option<String> {
    let mut named = (0..args.len()).flat_map(|at| {
        let most = (at + 2).min(args.len());
        (at + 1..=most).rev().map(move |end| args[at..end].join(" "))
    });
    named.find_map(|name| {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
        let name = alias.map_or(name, |(_, full)| (*full).to_owned());
        FILE["commands"].get(&name).is_some().then_some(name)
    })
}

/// The schema of `command`, without the head that `help output` adds.
fn schema_of(command: &str) -> Value {
    let mut schema = FILE["commands"][command].clone();
    schema["$schema"] = FILE["$schema"].clone();
    schema["$defs"] = FILE["$defs"].clone();
    schema
}

fn strict_schema(command: &str) -> Arc<Validator> {
    let mut used = USED.lock().unwrap_or_else(PoisonError::into_inner);
    let schema = used.entry(command.to_owned()).or_insert_with(|| {
        let mut schema = schema_of(command);
        forbid_others(&mut schema, false);
        let options = jsonschema::options().should_validate_formats(true);
        Arc::new(options.build(&schema).unwrap())
    });
    Arc::clone(schema)
}

/// What is wrong with `document`, one line each.
fn faults(schema: &Validator, document: &Value) -> Vec<String> {
    schema
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// Makes members that `schema` does not name an error. The schemas allow them, since new ones can be added. `is_part`: the
/// schema says a part of what a schema around it says, which has the other members.
fn forbid_others(schema: &mut Value, is_part: bool) {
    let Value::Object(keywords) = schema else {
        return;
    };
    let has_members = keywords.contains_key("properties");
    if is_part {
        keywords.remove("additionalProperties");
    } else if has_members && !keywords.contains_key("additionalProperties") {
        keywords.insert("unevaluatedProperties".to_owned(), json!(false));
    }
    for (keyword, value) in keywords {
        match (keyword.as_str(), value) {
            ("properties" | "$defs", Value::Object(schemas)) => schemas
                .values_mut()
                .for_each(|schema| forbid_others(schema, false)),
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => schemas
                .iter_mut()
                .for_each(|schema| forbid_others(schema, is_part || has_members)),
            ("items" | "additionalProperties", schema) => forbid_others(schema, false),
            _ => {}
        }
    }
}

#[test]
fn the_schema_of_a_command_line_is_found() {
    let name = |args: &[&str]| command_of(args).unwrap_or_default();
    assert_eq!(name(&["list"]), "list");
    assert_eq!(name(&["ls"]), "list");
    assert_eq!(
        name(&["--region", "eu-west-1", "consumer", "list", "orders"]),
        "consumer list"
    );
    assert_eq!(name(&["policy", "orders", "--for", "producer"]), "policy");
    assert_eq!(name(&["policy", "show", "orders"]), "policy show");
    assert_eq!(name(&["sample", "events"]), "");
}

/// A schema that takes everything would find nothing.
#[test]
fn a_wrong_document_is_refused() {
    let right = json!({
        "stream": "orders",
        "arn": "arn:aws:kinesis:us-east-1:000000000000:stream/orders",
        "changed": true,
        "changes": [{ "setting": "retention", "from": "24", "to": null }],
    });
    let schema = strict_schema("retention");
    assert_eq!(faults(&schema, &right), Vec::<String>::new());
    let wrong = |change: fn(&mut Value)| {
        let mut document = right.clone();
        change(&mut document);
        faults(&schema, &document)
    };
    let changes: [fn(&mut Value); 5] = [
        |document| document["changed"] = json!("yes"),
        |document| document["more"] = json!(1),
        |document| drop(document.as_object_mut().unwrap().remove("arn")),
        |document| document["changes"][0]["more"] = json!(1),
        |document| drop(document["changes"][0].as_object_mut().unwrap().remove("from")),
    ];
    for change in changes {
        assert_eq!(wrong(change).len(), 1, "{:?}", wrong(change));
    }
}

/// Members of a flattened type are known, and others are not.
#[test]
fn flattened_members_are_known() {
    let step = json!({ "action": "resize", "from": 1, "shards": 2 });
    let mut schema = schema_of("reshard");
    forbid_others(&mut schema, false);
    schema["anyOf"] = json!([{ "$ref": "#/$defs/ReshardStep" }]);
    let schema = jsonschema::validator_for(&schema).unwrap();
    assert_eq!(faults(&schema, &step), Vec::<String>::new());
    for (name, value) in [
        ("more", json!(1)),
        ("from", json!("1")),
        ("action", json!("none")),
    ] {
        let mut step = step.clone();
        step[name] = value;
        assert!(!schema.is_valid(&step), "{step}");
    }
}

#[test]
fn help_prints_each_schema() {
    let machine = Machine::new();
    let list = machine.ok(["help", "output"]);
    let listed: Vec<&str> = list.split([',', '\n']).map(str::trim).collect();
    let commands = FILE["commands"].as_object().unwrap();
    for command in commands.keys() {
        assert!(
            listed.iter().any(|words| words.ends_with(command)),
            "{command}: {list}"
        );
        let args = ["help", "output"].into_iter().chain(command.split(' '));
        let output = machine.streamctl(args).assert().success().get_output().clone();
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(schema["title"], format!("streamctl {command}"));
        // It needs no other file.
        let schema = jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(!schema.is_valid(&json!("text")), "{command} prints anything");
    }
    let wrong = machine.fails(2, ["help", "output", "descrbe"]);
    assert!(wrong.contains("did you mean describe?"), "{wrong}");
    let yaml = machine.ok(["help", "output", "list", "-o", "yaml"]);
    assert!(yaml.starts_with("$schema: "), "{yaml}");
}

/// YAML has the fields of JSON, in the same places.
#[test]
fn yaml_has_the_shape_of_json() {
    let cloud = Cloud::start();
    cloud.stream("orders", 2);
    cloud.ok(["consumer", "register", "orders", "analytics"]);
    cloud.ok(["alarms", "set", "orders"]);
    let commands: [&[&str]; 14] = [
        &["list"],
        &["describe", "orders", "--shards"],
        &["consumer", "list", "orders"],
        &["tag", "list", "orders"],
        &["retention", "orders", "48h", "--dry-run"],
        &["delete", "orders", "--dry-run"],
        &["reshard", "orders", "--to", "4", "--dry-run"],
        &["alarms", "list"],
        &["alarms", "delete", "--set", "orders", "--dry-run"],
        &["plan"],
        &["policy", "orders", "--for", "producer"],
        &["account", "show"],
        &["config", "show"],
        &["handlers"],
    ];
    for args in commands {
        let printed = |format: &str| {
            let command = cloud.streamctl(args).args(["-o", format]).assert().success();
            command.get_output().stdout.clone()
        };
        let json = printed("json");
        check(args, &json);
        let json: Value = serde_json::from_slice(&json).unwrap();
        let yaml: Value = serde_saphyr::from_slice(&printed("yaml")).unwrap();
        assert_eq!(yaml, json, "{args:?}");
    }
}
