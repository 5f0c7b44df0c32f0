//! `glue_table`: an external table of the Glue Data Catalog, over files in S3. It describes the files and holds no data.
//!
//! Glue keeps no tags for tables. Two parameters of a table say which pipeline made it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::common::{self, Wait, is_known};
use super::glue;
use super::kind::{Existing, Kind, Managed, TagMap};
use crate::context::GLUE;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs};
use crate::pipeline::tags::{MANAGED_BY, PIPELINE, STREAMCTL};
use ground::error::aws::Class;
use ground::error::{Error, Result};

mod column_type;
mod format;

use format::Format;

/// The members of `TableInput`. Source: UpdateTable, AWS Glue Web API reference.
const INPUT: [&str; 13] = [
    "Name",
    "Description",
    "Owner",
    "LastAccessTime",
    "LastAnalyzedTime",
    "Retention",
    "StorageDescriptor",
    "PartitionKeys",
    "ViewOriginalText",
    "ViewExpandedText",
    "TableType",
    "Parameters",
    "TargetTable",
];

/// How long others may change the table.
const LONGEST_CONFLICT: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    /// The name of the database.
    database: String,
    name: String,
    description: Option<String>,
    /// Where its files are, such as `s3://BUCKET/orders/`. Files that are compressed with gzip end with `.gz`.
    location: String,
    columns: Vec<Column>,
    /// Columns whose values are in the keys of the files, such as `day=2026-11-30/`.
    partition_keys: Option<Vec<Column>>,
    /// `json` (lines, the default), `csv` or `parquet`.
    format: Option<Format>,
    /// Settings of the SerDe, such as `ignore.malformed.json`.
    serde_parameters: Option<BTreeMap<String, String>>,
    parameters: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Column {
    name: String,
    /// A type of Hive, such as `bigint` or `array<string>`.
    #[serde(rename = "type")]
    of_type: String,
    comment: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    description: Option<String>,
    location: Option<String>,
    columns: Vec<Column>,
    partition_keys: Vec<Column>,
    input_format: Option<String>,
    output_format: Option<String>,
    serde: Option<String>,
    serde_parameters: BTreeMap<String, String>,
    parameters: BTreeMap<String, String>,
}

type Table<'a> = Managed<'a, Declared>;

impl Table<'_> {
    fn format(&self) -> Format {
        self.declared.format.unwrap_or_default()
    }

    async fn call(&self, operation: &str, input: &Value, action: &str) -> Result<Value> {
        glue::call(self.context, operation, input, &self.failure(action)).await
    }

    async fn get(&self) -> Result<Option<Value>> {
        let input = json!({"DatabaseName": self.declared.database, "Name": self.declared.name});
        let answer = glue::if_exists(self.call("GetTable", &input, "read").await)?;
        Ok(answer.map(|mut answer| answer["Table"].take()))
    }

    /// The declared parameters, with what marks the table as external and as ours.
    fn parameters(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([
            ("EXTERNAL".to_owned(), "TRUE".to_owned()),
            (
                "classification".to_owned(),
                self.format().classification().to_owned(),
            ),
        ]);
        all.extend(self.declared.parameters.clone().unwrap_or_default());
        all.extend(self.marks());
        all
    }

    fn marks(&self) -> [(String, String); 2] {
        [
            (MANAGED_BY.to_owned(), STREAMCTL.to_owned()),
            (PIPELINE.to_owned(), self.spec.identity.to_string()),
        ]
    }

    fn partition_keys(&self) -> &[Column] {
        self.declared.partition_keys.as_deref().unwrap_or_default()
    }

    /// `TableInput`, with the members of `there` that are not declared. `describes` is whether the description counts.
    fn input(&self, there: Option<&Value>, describes: bool) -> Value {
        let declared = &self.declared;
        let members = |member: &str| Some((member.to_owned(), there?.get(member)?.clone()));
        let mut input: Value = INPUT
            .into_iter()
            .filter_map(members)
            .collect::<Map<_, _>>()
            .into();
        input["Name"] = json!(declared.name);
        input["TableType"] = json!("EXTERNAL_TABLE");
        if let Some(description) = declared.description.as_ref().filter(|_| describes) {
            input["Description"] = json!(description);
        }
        if there.is_none() {
            input["PartitionKeys"] = json!(
                self.partition_keys()
                    .iter()
                    .map(Column::shown)
                    .collect::<Vec<_>>()
            );
        }
        if !input["Parameters"].is_object() {
            input["Parameters"] = json!({});
        }
        for (key, value) in self.parameters() {
            input["Parameters"][key] = json!(value);
        }
        let storage = &mut input["StorageDescriptor"];
        if !storage.is_object() {
            *storage = json!({});
        }
        storage["Columns"] = json!(declared.columns.iter().map(Column::shown).collect::<Vec<_>>());
        storage["Location"] = json!(declared.location);
        let format = self.format();
        storage["InputFormat"] = json!(format.input());
        storage["OutputFormat"] = json!(format.output());
        if !storage["SerdeInfo"].is_object() {
            storage["SerdeInfo"] = json!({});
        }
        storage["SerdeInfo"]["SerializationLibrary"] = json!(format.serde());
        if let Some(parameters) = &declared.serde_parameters {
            storage["SerdeInfo"]["Parameters"] = json!(parameters);
        }
        input
    }

    fn check_columns(&self) -> Result<()> {
        let declared = &self.declared;
        if declared.columns.is_empty() {
            return Err(self.bad_property("a table needs at least one column"));
        }
        let mut names = BTreeSet::new();
        for column in declared.columns.iter().chain(self.partition_keys()) {
            let name = &column.name;
            if let Some(problem) = glue::name_problem(name) {
                return Err(self.bad_property(&problem));
            }
            if !names.insert(name) {
                return Err(self.bad_property(&format!("the column {name} is declared twice")));
            }
            if let Err(problem) = column_type::check(&column.of_type) {
                return Err(self.bad_property(&format!("column {name}: {problem}")));
            }
            if column
                .comment
                .as_ref()
                .is_some_and(|text| text.chars().count() > 255)
            {
                return Err(
                    self.bad_property(&format!("column {name}: a comment has at most 255 characters"))
                );
            }
        }
        Ok(())
    }

    /// What is not as declared, with the words for it: field, there, wanted.
    fn differences(&self, facts: &Facts) -> Vec<(&'static str, String, String)> {
        let declared = &self.declared;
        let mut found = Vec::new();
        let words = |columns: &[Column]| columns.iter().map(Column::words).collect::<Vec<_>>().join(", ");
        if facts.columns != declared.columns {
            found.push(("columns", words(&facts.columns), words(&declared.columns)));
        }
        let there = facts.location.as_deref().unwrap_or("none");
        if is_known(&declared.location) && there != declared.location {
            found.push(("location", there.to_owned(), declared.location.clone()));
        }
        let format = self.format();
        let is_of_format = facts.serde.as_deref() == Some(format.serde())
            && facts.input_format.as_deref() == Some(format.input())
            && facts.output_format.as_deref() == Some(format.output());
        if !is_of_format {
            let there = facts.serde.as_deref().unwrap_or("none");
            found.push(("format", there.to_owned(), format.serde().to_owned()));
        }
        let pairs = |all: &BTreeMap<String, String>| {
            let pairs: Vec<String> = all.iter().map(|(key, value)| format!("{key}={value}")).collect();
            match pairs.is_empty() {
                true => "none".to_owned(),
                false => pairs.join(", "),
            }
        };
        if let Some(wanted) = &declared.serde_parameters
            && *wanted != facts.serde_parameters
        {
            found.push(("SerDe parameters", pairs(&facts.serde_parameters), pairs(wanted)));
        }
        let mut wanted = self.parameters();
        wanted.retain(|key, value| facts.parameters.get(key) != Some(value));
        if !wanted.is_empty() {
            let mut there = facts.parameters.clone();
            there.retain(|key, _| wanted.contains_key(key));
            found.push(("parameters", pairs(&there), pairs(&wanted)));
        }
        found
    }
}

impl Column {
    fn shown(&self) -> Value {
        let mut shown = json!({"Name": self.name, "Type": self.of_type});
        if let Some(comment) = &self.comment {
            shown["Comment"] = json!(comment);
        }
        shown
    }

    fn read(shown: &Value) -> Self {
        let text = |member: &str| shown[member].as_str().map(str::to_owned);
        Self {
            name: text("Name").unwrap_or_default(),
            of_type: text("Type").unwrap_or_default(),
            comment: text("Comment").filter(|text| !text.is_empty()),
        }
    }

    fn words(&self) -> String {
        format!("{} {}", self.name, self.of_type)
    }
}

impl Facts {
    fn read(table: &Value) -> Self {
        let storage = &table["StorageDescriptor"];
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let columns = |list: &Value| list.as_array().into_iter().flatten().map(Column::read).collect();
        let texts = |map: &Value| {
            let entries = map.as_object().into_iter().flatten();
            let entries = entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
            entries.collect()
        };
        Self {
            description: text(&table["Description"]),
            location: text(&storage["Location"]),
            columns: columns(&storage["Columns"]),
            partition_keys: columns(&table["PartitionKeys"]),
            input_format: text(&storage["InputFormat"]),
            output_format: text(&storage["OutputFormat"]),
            serde: text(&storage["SerdeInfo"]["SerializationLibrary"]),
            serde_parameters: texts(&storage["SerdeInfo"]["Parameters"]),
            parameters: texts(&table["Parameters"]),
        }
    }
}

#[async_trait]
impl Kind for Table<'_> {
    const NOUN: &'static str = "Glue table";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        let columns = self.declared.columns.iter_mut();
        for column in columns.chain(self.declared.partition_keys.iter_mut().flatten()) {
            // Athena reads no types with spaces.
            column.of_type.retain(|c| !c.is_whitespace());
        }
        let declared = &self.declared;
        for name in [&declared.name, &declared.database] {
            if let Some(problem) = glue::name_problem(name).filter(|_| is_known(name)) {
                return Err(self.bad_property(&problem));
            }
        }
        if is_known(&declared.location)
            && let Some(problem) = glue::location_problem(&declared.location)
        {
            return Err(self.bad_property(&problem));
        }
        if declared
            .description
            .as_ref()
            .is_some_and(|text| text.chars().count() > 2048)
        {
            return Err(self.bad_property("a description has at most 2048 characters"));
        }
        let reserved = [MANAGED_BY, PIPELINE, "EXTERNAL"];
        if let Some(key) = reserved
            .iter()
            .find(|key| declared.parameters.iter().any(|all| all.contains_key(**key)))
        {
            return Err(self.bad_property(&format!("the parameter {key} is set by streamctl")));
        }
        self.check_columns()
    }

    fn name(&self) -> String {
        format!("{}.{}", self.declared.database, self.declared.name)
    }

    fn arn(&self) -> String {
        let Declared { database, name, .. } = &self.declared;
        glue::arn(self.location, &format!("table/{database}/{name}"))
    }

    fn summary(&self) -> String {
        format!("{} in {}", self.format().classification(), self.declared.location)
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        if !is_known(&self.declared.database) {
            return Ok(None);
        }
        let Some(table) = self.get().await? else {
            return Ok(None);
        };
        let marks = glue::marks(&table);
        // One that nobody marked is a stranger's.
        let tags = match marks.is_empty() {
            true => marks,
            false => {
                let mut tags = self.spec.tags.all();
                tags.remove(MANAGED_BY);
                tags.remove(PIPELINE);
                tags.extend(marks);
                tags
            }
        };
        Ok(Some((tags, Facts::read(&table))))
    }

    /// Glue changes partition keys only while there are no partitions, and Athena never.
    fn only_change(&self, facts: &Facts) -> Option<Change> {
        let same = facts.partition_keys == self.partition_keys();
        (!same).then(|| Change::Refused {
            reason: "has other partition keys, which cannot be changed".to_owned(),
            hint: "destroy the pipeline, then set it up again".to_owned(),
        })
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        let there = existing.facts.description.as_ref();
        if let Some(wanted) = &self.declared.description
            && there != Some(wanted)
            && self.enforced("description", existing)
        {
            changes.push(Change::update(
                "description",
                there.map_or("none", String::as_str),
                wanted,
            ));
        }
        let found = self.differences(&existing.facts).into_iter();
        changes.extend(found.map(|(field, from, to)| Change::update(field, from, to)));
        Ok(changes)
    }

    fn is_tagged(&self, _existing: &Existing<'_, Facts>) -> bool {
        false
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let input = json!({"DatabaseName": self.declared.database, "TableInput": self.input(None, true)});
        match self.call("CreateTable", &input, "create").await {
            // An earlier attempt was accepted and its answer lost.
            Err(error) if error.is("AlreadyExistsException") => match self.get().await? {
                Some(table) if glue::is_ours(&table, &self.spec.identity) => Ok(()),
                _ => Err(error),
            },
            answer => answer.map(drop),
        }?;
        step.touched();
        Ok(())
    }

    /// UpdateTable replaces all members, so one call makes all changes; another one then finds nothing to change. A change of
    /// others since the look is refused, and not overwritten.
    async fn update(&self, field: &str, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing(format!("setting {field}"));
        let describes = self.enforced("description", existing);
        let mut wait = Wait::new(LONGEST_CONFLICT);
        loop {
            let Some(there) = self.get().await? else {
                return Err(Error::failed(self.failure("change")).cause("it does not exist any more"));
            };
            let wanted = self.input(Some(&there), describes);
            if INPUT.iter().all(|member| wanted.get(member) == there.get(member)) {
                return Ok(());
            }
            let mut input =
                json!({"DatabaseName": self.declared.database, "TableInput": wanted, "SkipArchive": true});
            if let Some(version) = there["VersionId"].as_str() {
                input["VersionId"] = json!(version);
            }
            let call = self
                .context
                .call_regional(GLUE, "UpdateTable", &input, self.failure("change"));
            match call.await {
                Err(error)
                    if error.class() == Some(Class::Conflict)
                        && wait.pause(step, "another change is under way").await? => {}
                answer => return answer.map(drop),
            }
        }
    }

    /// Its files stay.
    async fn delete(&self, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        let input = json!({"DatabaseName": self.declared.database, "Name": self.declared.name});
        glue::if_exists(self.call("DeleteTable", &input, "delete").await).map(drop)
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        let differences = self.differences(&existing.facts);
        let (state, words) = match differences.first() {
            Some((field, from, to)) => (CheckState::Fault, format!("{field}: {from} instead of {to}")),
            None => {
                let columns = match existing.facts.columns.len() {
                    1 => "1 column".to_owned(),
                    n => format!("{n} columns"),
                };
                let location = existing.facts.location.as_deref().unwrap_or("nothing");
                (CheckState::Good, format!("{columns} of {location}"))
            }
        };
        vec![Check::new(state, "described", words)]
    }

    fn outputs(&self, _facts: Option<Facts>) -> Outputs {
        let Declared { database, name, .. } = &self.declared;
        common::outputs([
            ("name", name.clone()),
            ("database", database.clone()),
            ("arn", self.arn()),
        ])
    }

    /// Source: as for the kind `glue_database`.
    fn iam(&self) -> Vec<Statement> {
        let Declared { database, name, .. } = &self.declared;
        let resources = [
            "catalog".to_owned(),
            format!("database/{database}"),
            format!("table/{database}/{name}"),
        ];
        vec![Statement::new(
            &[
                "glue:CreateTable",
                "glue:DeleteTable",
                "glue:GetTable",
                "glue:UpdateTable",
            ],
            resources.map(|resource| glue::arn(self.location, &resource)),
        )]
    }
}

#[cfg(test)]
mod tests;
