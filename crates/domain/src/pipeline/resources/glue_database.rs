//! `glue_database`: a database of the Glue Data Catalog, whose tables Athena queries.
//!
//! Glue deletes the tables of a database with it. Here it is deleted only while all its tables are of this pipeline, or were
//! made by Athena with their data below `derived_tables`.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::common::is_known;
use super::glue::{self, MOST_IN_BATCH};
use super::kind::{Existing, Kind, Managed, TagMap};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState, User};
use crate::pipeline::tags::{self, Owner};
use ground::error::{Error, Result};

/// The members of `DatabaseInput`. Source: UpdateDatabase, AWS Glue Web API reference.
const INPUT: [&str; 7] = [
    "Name",
    "Description",
    "LocationUri",
    "Parameters",
    "CreateTableDefaultPermissions",
    "TargetDatabase",
    "FederatedDatabase",
];
/// Tables that a message names.
const NAMED: usize = 5;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    name: String,
    description: Option<String>,
    /// Where the data of new tables is, if they do not say it.
    location: Option<String>,
    /// Tables with their data below this location, such as the results of a work group, are deleted with the database.
    derived_tables: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    description: Option<String>,
    location: Option<String>,
}

type Database<'a> = Managed<'a, Declared>;

impl Database<'_> {
    async fn call(&self, operation: &str, input: &Value, action: &str) -> Result<Value> {
        glue::call(self.context, operation, input, &self.failure(action)).await
    }

    async fn get(&self) -> Result<Option<Value>> {
        let input = json!({"Name": self.declared.name});
        let answer = glue::if_exists(self.call("GetDatabase", &input, "read").await)?;
        Ok(answer.map(|mut answer| answer["Database"].take()))
    }

    /// The names of the tables that are deleted with it, and of those that keep it.
    async fn tables(&self) -> Result<(Vec<String>, Vec<String>)> {
        let what = self.failure("list the tables of");
        let all = glue::tables(self.context, &self.declared.name, &what).await?;
        let (mut going, mut staying) = (Vec::new(), Vec::new());
        for table in all.into_iter().flatten() {
            let derived = self.declared.derived_tables.as_deref();
            let derived = derived.is_some_and(|location| glue::is_below(&table, location));
            let name = table["Name"].as_str().unwrap_or_default().to_owned();
            match derived || glue::is_ours(&table, &self.spec.identity) {
                true => going.push(name),
                false => staying.push(name),
            }
        }
        Ok((going, staying))
    }

    fn users_of(&self, tables: Vec<String>) -> Vec<User> {
        let database = &self.declared.name;
        let user = |table: String| User {
            kind: "glue_table",
            name: format!("{database}.{table}"),
        };
        tables.into_iter().map(user).collect()
    }

    async fn delete_tables(&self, names: &[String], step: &Step<'_>) -> Result<()> {
        for names in names.chunks(MOST_IN_BATCH) {
            step.go_on()?;
            let input = json!({"DatabaseName": self.declared.name, "TablesToDelete": names});
            let answer = self
                .call("BatchDeleteTable", &input, "delete the tables of")
                .await?;
            let errors = answer["Errors"].as_array().into_iter().flatten();
            let lasting =
                errors.filter(|error| error["ErrorDetail"]["ErrorCode"] != "EntityNotFoundException");
            if let Some(error) = lasting.into_iter().next() {
                let text = |pointer: &str| error.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
                let (table, code) = (text("/TableName"), text("/ErrorDetail/ErrorCode"));
                let cause = format!("table {table}: {code}: {}", text("/ErrorDetail/ErrorMessage"));
                return Err(Error::failed(self.failure("delete the tables of")).cause(cause));
            }
        }
        Ok(())
    }
}

fn text(value: &Value, member: &str) -> Option<String> {
    value[member].as_str().map(str::to_owned)
}

#[async_trait]
impl Kind for Database<'_> {
    const NOUN: &'static str = "Glue database";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        let declared = &self.declared;
        if let Some(problem) = glue::name_problem(&declared.name) {
            return Err(self.bad_property(&problem));
        }
        let locations = [&declared.location, &declared.derived_tables];
        for location in locations.into_iter().flatten().filter(|one| is_known(one)) {
            if let Some(problem) = glue::location_problem(location) {
                return Err(self.bad_property(&problem));
            }
        }
        match &declared.description {
            Some(text) if text.chars().count() > 2048 => {
                Err(self.bad_property("a description has at most 2048 characters"))
            }
            _ => Ok(()),
        }
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn arn(&self) -> String {
        glue::arn(self.location, &format!("database/{}", self.declared.name))
    }

    fn summary(&self) -> String {
        "in the Data Catalog".to_owned()
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        let Some(database) = self.get().await? else {
            return Ok(None);
        };
        let input = json!({"ResourceArn": self.arn()});
        let tags = glue::if_exists(self.call("GetTags", &input, "list the tags of").await)?;
        let Some(tags) = tags else {
            return Ok(None);
        };
        let tags = tags["Tags"].as_object().into_iter().flatten();
        let tags = tags.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        let facts = Facts {
            description: text(&database, "Description"),
            location: text(&database, "LocationUri"),
        };
        Ok(Some((tags.collect(), facts)))
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let (declared, facts) = (&self.declared, &existing.facts);
        let fields = [
            ("description", &declared.description, &facts.description),
            ("location", &declared.location, &facts.location),
        ];
        let change = |(field, wanted, there): (&str, &Option<String>, &Option<String>)| {
            let wanted = wanted.as_ref().filter(|wanted| is_known(wanted))?;
            let differs = there.as_ref() != Some(wanted) && self.enforced(field, existing);
            differs.then(|| Change::update(field, there.as_deref().unwrap_or("none"), wanted))
        };
        Ok(fields.into_iter().filter_map(change).collect())
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let mut database = json!({"Name": self.declared.name});
        set(&mut database, "Description", self.declared.description.as_deref());
        set(&mut database, "LocationUri", self.declared.location.as_deref());
        let input = json!({"DatabaseInput": database, "Tags": self.spec.tags.all()});
        match self.call("CreateDatabase", &input, "create").await {
            // An earlier attempt was accepted and its answer lost.
            Err(error) if error.is("AlreadyExistsException") => match self.observe().await? {
                Some((tags, _)) if tags::owner(&tags, &self.spec.identity) == Owner::Us => Ok(()),
                _ => Err(error),
            },
            answer => answer.map(drop),
        }?;
        step.touched();
        Ok(())
    }

    /// UpdateDatabase replaces all members: those that are not declared stay as they are.
    async fn update(&self, field: &str, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing(format!("setting the {field}"));
        let (member, value) = match field {
            "description" => ("Description", &self.declared.description),
            "location" => ("LocationUri", &self.declared.location),
            other => return Err(self.unknown_field(other)),
        };
        let Some(there) = self.get().await? else {
            return Err(Error::failed(self.failure("change")).cause("it does not exist any more"));
        };
        let mut database: Value = INPUT
            .into_iter()
            .filter_map(|member| Some((member.to_owned(), there.get(member)?.clone())))
            .collect::<Map<_, _>>()
            .into();
        set(&mut database, member, value.as_deref());
        let input = json!({"Name": self.declared.name, "DatabaseInput": database});
        self.call("UpdateDatabase", &input, "change").await.map(drop)
    }

    async fn tag(&self, target: &str, tags: TagMap) -> Result<()> {
        let input = json!({"ResourceArn": target, "TagsToAdd": tags});
        self.call("TagResource", &input, "tag").await.map(drop)
    }

    async fn untag(&self, target: &str, keys: Vec<String>) -> Result<()> {
        let input = json!({"ResourceArn": target, "TagsToRemove": keys});
        self.call("UntagResource", &input, "untag").await.map(drop)
    }

    /// Lists the tables again: one may have come since the survey.
    async fn delete(&self, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        let (going, staying) = self.tables().await?;
        if !staying.is_empty() {
            let more = match staying.len().saturating_sub(NAMED) {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            let names = staying.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            let cause = format!("this pipeline did not make its tables {names}{more}");
            return Err(Error::failed(self.failure("delete"))
                .cause(cause)
                .hint("delete these tables, then run the same command again"));
        }
        self.delete_tables(&going, step).await?;
        step.go_on()?;
        let input = json!({"Name": self.declared.name});
        glue::if_exists(self.call("DeleteDatabase", &input, "delete").await).map(drop)
    }

    async fn users(&self, _facts: &Facts) -> Result<Vec<User>> {
        Ok(self.users_of(self.tables().await?.1))
    }

    async fn takes_along(&self, _facts: &Facts) -> Result<Vec<User>> {
        Ok(self.users_of(self.tables().await?.0))
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        let words = existing.facts.location.clone();
        let words = words.unwrap_or_else(|| "in the Data Catalog".to_owned());
        vec![Check::new(CheckState::Good, "described", words)]
    }

    /// Source: "Actions, resources, and condition keys for AWS Glue", service authorization reference; "Specifying AWS Glue
    /// resource ARNs", AWS Glue developer guide: a call needs what it is in, and a deletion what is in it.
    fn iam(&self) -> Vec<Statement> {
        let name = &self.declared.name;
        let resources = [
            "catalog".to_owned(),
            format!("database/{name}"),
            format!("table/{name}/*"),
            format!("userDefinedFunction/{name}/*"),
        ];
        vec![Statement::new(
            &[
                "glue:BatchDeleteTable",
                "glue:CreateDatabase",
                "glue:DeleteDatabase",
                "glue:GetDatabase",
                "glue:GetTables",
                "glue:GetTags",
                "glue:TagResource",
                "glue:UntagResource",
                "glue:UpdateDatabase",
            ],
            resources.map(|resource| glue::arn(self.location, &resource)),
        )]
    }
}

fn set(target: &mut Value, member: &str, value: Option<&str>) {
    if let Some(value) = value {
        target[member] = json!(value);
    }
}

#[cfg(test)]
mod tests;
