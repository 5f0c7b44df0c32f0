//! The manifest of a template, in TOML: its name, parameters, resources and outputs. It is checked as a whole when it is
//! read: a typing mistake is an error with its line, and never silently ignored.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use super::condition::Condition;
use super::follow;
use super::graph::Graph;
use super::parameter::{Parameter, Values};
use super::samples::{DeclaredItems, DeclaredObject, DeclaredOrders};
use super::source::Files;
use super::substitute;
use crate::record::{KeyPattern, KeyRule};
use ground::error::{Error, Result};

/// The names of the properties that a kind of resource takes; `None` for an unknown kind.
pub type Schema<'a> = &'a dyn Fn(&str) -> Option<&'static [&'static str]>;

/// A template.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The first part of the pipeline's identity.
    pub name: String,
    /// What the template creates, in one line.
    pub description: String,
    /// Distinguishes pipelines of this template, such as `${stream}`; the second part of the identity.
    pub instance: String,
    /// Tags for every resource.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    pub resources: Vec<Declaration>,
    /// Values shown after a setup, by name.
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
    /// Sample events to put to its stream.
    pub events: Option<SampleEvents>,
    /// Sample items for its tables, to be loaded before the events are put.
    #[serde(default)]
    pub items: Vec<DeclaredItems>,
    /// Files for its buckets, to be loaded like the items.
    #[serde(default)]
    pub objects: Vec<DeclaredObject>,
    /// Orders that are generated for its bucket, and of which a function makes features.
    pub orders: Option<DeclaredOrders>,
    /// The event that `verify` puts, and where it is expected.
    pub verify: Option<follow::Declared>,
    /// Where the files are that it refers to.
    #[serde(skip)]
    pub(super) files: Files,
}

/// A file of sample events that comes with a template.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleEvents {
    /// The file name, relative to the manifest.
    pub file: String,
    /// The field of an event that is its partition key.
    pub partition_key_field: Option<String>,
    /// Patterns of partition keys, if no single field is the key. The first one that fits an event makes its key.
    #[serde(default)]
    pub partition_keys: Vec<KeyPattern>,
}

impl SampleEvents {
    /// Where the partition keys of events come from.
    pub fn key_rule(&self) -> KeyRule {
        match &self.partition_key_field {
            Some(field) => KeyRule::field(field),
            None if self.partition_keys.is_empty() => KeyRule::Random,
            None => KeyRule::Patterns(self.partition_keys.clone()),
        }
    }
}

/// A resource as a manifest declares it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Such as `stream`.
    pub kind: Spanned<String>,
    /// Its name in the manifest: lower-case letters, digits and `_`.
    pub id: String,
    /// Ids of resources that it needs, besides those that its properties refer to.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// The resource is created only if this condition holds.
    pub when: Option<Condition>,
    /// A list parameter. The resource is created once for each element, which is `${each}` in its properties.
    pub each: Option<String>,
    /// The properties that its kind takes.
    #[serde(default)]
    pub properties: BTreeMap<String, Spanned<Value>>,
    /// The line of the manifest where it starts, from 1.
    #[serde(skip)]
    pub line: usize,
}

impl Manifest {
    /// Reads and checks a manifest; `source` names it in messages.
    ///
    /// # Errors
    /// Exit 2 with the line of a syntax error or an unknown key, or else with every other problem.
    pub fn parse(source: &str, text: &str, schema: Schema<'_>) -> Result<Self> {
        Self::parse_with(source, text, schema, &Files::None)
    }

    /// As [`Manifest::parse`]; `files` are those that the manifest may refer to.
    ///
    /// # Errors
    /// As [`Manifest::parse`]; also when a file cannot be read.
    pub(super) fn parse_with(source: &str, text: &str, schema: Schema<'_>, files: &Files) -> Result<Self> {
        let mut manifest: Self = toml::from_str(text).map_err(|error| {
            Error::usage(format!("template {source} is not a valid manifest"))
                .cause(error.to_string().trim_end().to_owned())
        })?;
        for declared in &mut manifest.resources {
            declared.line = line_of(text, declared.kind.span().start);
            files.resolve(declared)?;
        }
        for declared in &mut manifest.items {
            declared.items = files.items(&declared.file).map_err(|problem| {
                Error::usage(format!("template {source} is not a valid manifest"))
                    .cause(format!("items: {problem}"))
            })?;
        }
        for declared in &mut manifest.objects {
            declared.text = files.text(&declared.file).map_err(|problem| {
                Error::usage(format!("template {source} is not a valid manifest"))
                    .cause(format!("objects: {problem}"))
            })?;
        }
        manifest.files = files.clone();
        let mut problems = manifest.parameter_problems();
        problems.extend(manifest.resource_problems(text, schema));
        problems.extend(manifest.output_problems());
        problems.extend(manifest.verify_problems());
        if !problems.is_empty() {
            return Err(
                Error::usage(format!("template {source} is not a valid manifest")).cause(problems.join("\n"))
            );
        }
        manifest.check_cycles()?;
        Ok(manifest)
    }

    pub fn resource(&self, id: &str) -> Option<&Declaration> {
        self.resources.iter().find(|declared| declared.id == id)
    }

    fn parameter_problems(&self) -> Vec<String> {
        self.parameters
            .iter()
            .flat_map(|(name, parameter)| {
                let problems = parameter.problems().into_iter();
                problems.map(move |problem| format!("parameter {name}: {problem}"))
            })
            .chain((!is_name(&self.name)).then(|| format!("{:?} is not a template name", self.name)))
            .collect()
    }

    fn resource_problems(&self, text: &str, schema: Schema<'_>) -> Vec<String> {
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for declared in &self.resources {
            let mut report = |line: usize, problem: String| {
                problems.push(format!("line {line}: resource {}: {problem}", declared.id));
            };
            if !is_id(&declared.id) || declared.id == "pipeline" {
                report(
                    declared.line,
                    "an id consists of a-z, 0-9 and _, and is not `pipeline`".to_owned(),
                );
            }
            if !seen.insert(&declared.id) {
                report(declared.line, "declared twice".to_owned());
            }
            for name in declared.when.iter().flat_map(Condition::names) {
                if !self.parameters.contains_key(name) {
                    report(
                        declared.line,
                        format!("`when` refers to an unknown parameter: {name}"),
                    );
                }
            }
            if let Some(name) = &declared.each
                && self.parameters.get(name).is_none_or(|one| !one.is_list())
            {
                report(
                    declared.line,
                    format!("`each` refers to an unknown list parameter: {name}"),
                );
            }
            for need in &declared.depends_on {
                if self.resource(need).is_none() {
                    report(declared.line, format!("depends on {need}, which is not declared"));
                }
            }
            let known = schema(declared.kind.get_ref());
            if known.is_none() {
                report(
                    declared.line,
                    format!("unknown kind {:?}", declared.kind.get_ref()),
                );
            }
            for (at, problem) in self.property_problems(declared, known) {
                report(line_of(text, at), problem);
            }
        }
        problems
    }

    /// The problems of the properties, each with its byte offset. `known` are the properties of the kind.
    fn property_problems(&self, declared: &Declaration, known: Option<&[&str]>) -> Vec<(usize, String)> {
        let mut problems = Vec::new();
        let own: &[&str] = if declared.each.is_some() { &["each"] } else { &[] };
        for (key, value) in &declared.properties {
            let at = value.span().start;
            if let Some(known) = known.filter(|known| !known.contains(&key.as_str())) {
                let known = known.join(", ");
                problems.push((at, format!("unknown property {key}; the properties are {known}")));
            }
            if let Err(problem) = self.check_references(value.get_ref(), own) {
                problems.push((at, format!("property {key}: {problem}")));
            }
        }
        problems
    }

    fn output_problems(&self) -> Vec<String> {
        let texts = self
            .outputs
            .iter()
            .map(|(name, text)| (format!("output {name}"), text));
        let texts = texts.chain(self.tags.iter().map(|(name, text)| (format!("tag {name}"), text)));
        let tables = self.items.iter().map(|one| ("items".to_owned(), &one.table));
        let objects = self.objects.iter().flat_map(|one| [&one.bucket, &one.key]);
        let orders = self.orders.iter().flat_map(DeclaredOrders::texts);
        texts
            .chain(tables)
            .chain(objects.map(|text| ("objects".to_owned(), text)))
            .chain(orders.map(|text| ("orders".to_owned(), text)))
            .chain([("instance".to_owned(), &self.instance)])
            .filter_map(|(what, text)| {
                let checked = self.check_references(&Value::from(text.as_str()), &[]);
                checked.err().map(|problem| format!("{what}: {problem}"))
            })
            .chain(self.object_problems())
            .collect()
    }

    fn object_problems(&self) -> impl Iterator<Item = String> {
        let names = self.objects.iter().flat_map(DeclaredObject::conditions);
        let unknown = names.filter(|name| !self.parameters.contains_key(*name));
        unknown.map(|name| format!("objects: `when` refers to an unknown parameter: {name}"))
    }

    fn verify_problems(&self) -> Vec<String> {
        let Some(verify) = &self.verify else {
            return Vec::new();
        };
        let mut problems = verify.problems();
        for (value, own) in verify.values() {
            problems.extend(self.check_references(&value, &own).err());
        }
        for name in verify.kept().filter(|name| !is_id(name) || self.is_taken(name)) {
            problems.push(format!(
                "`keep` cannot use the name {name:?}: it consists of a-z, 0-9 and _, and is no parameter"
            ));
        }
        for name in verify.conditions() {
            if !self.parameters.contains_key(name) {
                problems.push(format!("`when` refers to an unknown parameter: {name}"));
            }
        }
        problems
            .into_iter()
            .map(|problem| format!("verify: {problem}"))
            .collect()
    }

    /// Whether `name` is a parameter, or a name of the section `[verify]`.
    fn is_taken(&self, name: &str) -> bool {
        self.parameters.contains_key(name) || follow::NAMES.contains(&name)
    }

    fn check_references(&self, value: &Value, own: &[&str]) -> Result<(), String> {
        for name in substitute::references(value)? {
            let known = match name.split_once('.') {
                None => self.parameters.contains_key(&name) || own.contains(&name.as_str()),
                Some(("pipeline", built_in)) => BUILT_IN.contains(&built_in),
                // A resource with `each` stands for several, so it has no outputs.
                Some((id, _)) => self.resource(id).is_some_and(|declared| declared.each.is_none()),
            };
            if !known {
                return Err(format!("${{{name}}} is not known"));
            }
        }
        Ok(())
    }

    fn check_cycles(&self) -> Result<()> {
        let nodes = self
            .resources
            .iter()
            .map(|declared| Ok((declared.id.clone(), declared.needs()?)))
            .collect::<Result<Vec<_>>>()?;
        Graph::new(nodes).map(drop)
    }
}

/// Names after `pipeline.` in `${pipeline.…}`.
const BUILT_IN: &[&str] = &[
    "template",
    "instance",
    "instance_suffix",
    "instance_hash",
    "instance_word",
    "suffix",
    "account",
    "region",
    "partition",
];

impl Declaration {
    /// The ids of the resources that it needs: those in `depends_on`, and those that its properties refer to.
    ///
    /// # Errors
    /// Exit 2 when a reference is malformed.
    pub fn needs(&self) -> Result<BTreeSet<String>> {
        let mut needs: BTreeSet<String> = self.depends_on.iter().cloned().collect();
        for (key, value) in &self.properties {
            let names = substitute::references(value.get_ref())
                .map_err(|problem| self.problem(&format!("property {key}: {problem}")))?;
            needs.extend(
                names
                    .iter()
                    .filter_map(|name| name.split_once('.'))
                    .filter(|(id, _)| *id != "pipeline")
                    .map(|(id, _)| id.to_owned()),
            );
        }
        Ok(needs)
    }

    /// One declaration, or one for each element of the parameter that `each` names.
    pub(super) fn expand(&self, values: &Values) -> Vec<Self> {
        let Some(name) = &self.each else {
            return vec![self.clone()];
        };
        let elements = values.get(name).and_then(Value::as_array);
        elements
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(index, element)| {
                // A `${` in an element is literal.
                let text = substitute::plain(element).replace("${", "$${");
                let fill =
                    |value: &Spanned<Value>| Spanned::new(value.span(), with_element(value.get_ref(), &text));
                let properties = self.properties.iter();
                Self {
                    id: format!("{}_{}", self.id, index + 1),
                    each: None,
                    properties: properties
                        .map(|(key, value)| (key.clone(), fill(value)))
                        .collect(),
                    ..self.clone()
                }
            })
            .collect()
    }

    /// Whether one of its properties refers to the parameter `name`.
    pub(super) fn refers_to(&self, name: &str) -> bool {
        let names = |value: &Spanned<Value>| substitute::references(value.get_ref()).unwrap_or_default();
        self.properties
            .values()
            .any(|value| names(value).iter().any(|one| one == name))
    }

    /// The error for a problem of this declaration (exit 2).
    pub fn problem(&self, problem: &str) -> Error {
        Error::usage(format!("line {}: resource {}: {problem}", self.line, self.id))
    }
}

fn with_element(value: &Value, element: &str) -> Value {
    match value {
        Value::String(text) => text.replace("${each}", element).into(),
        Value::Array(items) => items.iter().map(|item| with_element(item, element)).collect(),
        Value::Object(entries) => {
            let entries = entries
                .iter()
                .map(|(key, item)| (key.clone(), with_element(item, element)));
            entries.collect::<serde_json::Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// Ids, with hyphens between them.
fn is_name(name: &str) -> bool {
    name.split('-').all(is_id)
}

fn is_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    !id.is_empty() && id.bytes().all(allowed)
}

/// The line of byte `at`, from 1.
fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Manifest> {
        Manifest::parse("demo", text, &|kind| {
            (kind == "box").then_some(&["size", "beside"][..])
        })
    }

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().chain().join("\n")
    }

    const HEAD: &str = "name = \"demo\"\ndescription = \"x\"\ninstance = \"one\"\n";

    #[test]
    fn references_are_dependencies() {
        let manifest = parse(&format!(
            "{HEAD}[[resources]]\nkind = \"box\"\nid = \"a\"\n[[resources]]\nkind = \"box\"\nid = \"b\"\n\
             properties.beside = [\"${{a.name}}\", \"${{pipeline.region}}\"]"
        ))
        .unwrap();
        assert_eq!(
            manifest.resources[1].needs().unwrap(),
            BTreeSet::from(["a".to_owned()])
        );
    }

    #[test]
    fn every_problem_is_reported_with_its_line() {
        let text = format!(
            "{HEAD}[[resources]]\nkind = \"box\"\nid = \"a\"\nproperties.sise = 1\nproperties.beside = \"${{c.name}}\"\n\
             [[resources]]\nkind = \"bag\"\nid = \"a\"\nwhen = \"on\"\ndepends_on = [\"z\"]\n[outputs]\nx = \"${{nope}}\""
        );
        insta::assert_snapshot!(refusal(&text), @r#"
        template demo is not a valid manifest
        line 8: resource a: property beside: ${c.name} is not known
        line 7: resource a: unknown property sise; the properties are size, beside
        line 10: resource a: declared twice
        line 10: resource a: `when` refers to an unknown parameter: on
        line 10: resource a: depends on z, which is not declared
        line 10: resource a: unknown kind "bag"
        output x: ${nope} is not known
        "#);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        insta::assert_snapshot!(refusal(&format!("{HEAD}resource = []\n")), @"
        template demo is not a valid manifest
        TOML parse error at line 4, column 1
          |
        4 | resource = []
          | ^^^^^^^^
        unknown field `resource`, expected one of `name`, `description`, `instance`, `tags`, `parameters`, `resources`, `outputs`, `events`, `items`, `objects`, `orders`, `verify`
        ");
    }

    #[test]
    fn cycles_are_refused() {
        let text = format!(
            "{HEAD}[[resources]]\nkind = \"box\"\nid = \"a\"\nproperties.beside = \"${{b.name}}\"\n\
             [[resources]]\nkind = \"box\"\nid = \"b\"\ndepends_on = [\"a\"]"
        );
        insta::assert_snapshot!(refusal(&text), @"circular dependency between resources: a → b → a");
    }
}
