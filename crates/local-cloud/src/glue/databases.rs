//! Databases and their tags.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::check::{self, name, page_size, required};
use super::error::{Error, Result};
use super::model::{Database, DatabaseInput};
use super::{Call, Glue, tables};
use crate::entries::{List, Scope, name_of_token, token};
use crate::service::{apply_tag_change, arn};
use crate::types::{Caller, Tags};

const DATABASES: List<'static> = List::of("database");
/// Source: "Data Catalog quotas", AWS general reference: databases of an account.
const MOST: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Create {
    catalog_id: Option<String>,
    database_input: Option<DatabaseInput>,
    tags: Option<Tags>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Named {
    catalog_id: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Update {
    catalog_id: Option<String>,
    name: Option<String>,
    database_input: Option<DatabaseInput>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ListAll {
    catalog_id: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct OfResource {
    resource_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Tag {
    resource_arn: Option<String>,
    tags_to_add: Option<Tags>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Untag {
    resource_arn: Option<String>,
    tags_to_remove: Option<Vec<String>>,
}

/// The database `name`.
pub(super) fn find(scope: &Scope<'_>, name: &str) -> Result<Database> {
    let found = scope.get(DATABASES, name)?;
    found.ok_or_else(|| Error::not_found("Database", name))
}

impl Call<'_> {
    /// There is one catalog, that of the account.
    pub(super) fn check_catalog(&self, given: Option<&str>) -> Result<()> {
        match given {
            Some(id) if id != self.caller.account => Err(Error::not_offered("catalogs of other accounts")),
            _ => Ok(()),
        }
    }

    pub(super) fn create_database(&self, input: Create) -> Result<Value> {
        self.check_catalog(input.catalog_id.as_deref())?;
        let given = required(input.database_input, "databaseInput")?;
        let (name, input_of) = given.checked()?;
        let tags = input.tags.unwrap_or_default();
        check::tags(&tags, "tags")?;
        let database = Database {
            input: input_of,
            created_ms: self.now_ms(),
            tags,
        };
        self.glue.entries.write(self.caller, |scope| {
            if scope.get::<Database>(DATABASES, &name)?.is_some() {
                return Err(Error::exists("Database"));
            }
            if scope.count(DATABASES)? >= MOST {
                return Err(Error::too_many("databases"));
            }
            scope.put(DATABASES, &name, &database)?;
            Ok(json!({}))
        })
    }

    pub(super) fn get_database(&self, input: Named) -> Result<Value> {
        self.check_catalog(input.catalog_id.as_deref())?;
        let name = name(input.name, "name")?;
        let entries = &self.glue.entries;
        let found = entries.read(self.caller, |scope| find(scope, &name))?;
        Ok(json!({"Database": found.show(self.caller)}))
    }

    pub(super) fn get_databases(&self, input: &ListAll) -> Result<Value> {
        self.check_catalog(input.catalog_id.as_deref())?;
        let most = page_size(input.max_results)?;
        let after = page_start(input.next_token.as_deref())?;
        let (found, next) = self.glue.entries.read(self.caller, |scope| {
            let page = scope.page::<Database>(DATABASES, &after, most, |_| true);
            Ok::<_, Error>(page?)
        })?;
        let shown: Vec<Value> = found.iter().map(|one| one.show(self.caller)).collect();
        Ok(with_token(json!({"DatabaseList": shown}), next))
    }

    /// The input replaces the former one.
    pub(super) fn update_database(&self, input: Update) -> Result<Value> {
        self.check_catalog(input.catalog_id.as_deref())?;
        let name = name(input.name, "name")?;
        let given = required(input.database_input, "databaseInput")?;
        let (new_name, given) = given.checked()?;
        if new_name != name {
            return Err(Error::not_offered("another name for a database"));
        }
        self.glue.entries.write(self.caller, |scope| {
            let mut database = find(scope, &name)?;
            database.input = given;
            scope.put(DATABASES, &name, &database)?;
            Ok(json!({}))
        })
    }

    /// Its tables go with it. AWS deletes them later, when nobody can see them any more.
    pub(super) fn delete_database(&self, input: Named) -> Result<Value> {
        self.check_catalog(input.catalog_id.as_deref())?;
        let name = name(input.name, "name")?;
        self.glue.entries.write(self.caller, |scope| {
            if !scope.remove(DATABASES, &name)? {
                return Err(Error::not_found("Database", &name));
            }
            scope.remove_all(tables::of(&name))?;
            Ok(json!({}))
        })
    }

    pub(super) fn get_tags(&self, input: OfResource) -> Result<Value> {
        let name = database_of(&required(input.resource_arn, "resourceArn")?, self.caller)?;
        let entries = &self.glue.entries;
        let found = entries.read(self.caller, |scope| find(scope, &name))?;
        Ok(json!({"Tags": found.tags}))
    }

    pub(super) fn tag(&self, input: Tag) -> Result<Value> {
        let added = required(input.tags_to_add, "tagsToAdd")?;
        check::tags(&added, "tagsToAdd")?;
        self.retag(input.resource_arn, |tags| tags.extend(added))
    }

    pub(super) fn untag(&self, input: Untag) -> Result<Value> {
        let removed = required(input.tags_to_remove, "tagsToRemove")?;
        self.retag(input.resource_arn, |tags| {
            tags.retain(|key, _| !removed.contains(key));
        })
    }

    fn retag(&self, arn: Option<String>, change: impl FnOnce(&mut Tags)) -> Result<Value> {
        let name = database_of(&required(arn, "resourceArn")?, self.caller)?;
        self.glue.entries.write(self.caller, |scope| {
            let mut database = find(scope, &name)?;
            change(&mut database.tags);
            check::tags(&database.tags, "tags")?;
            scope.put(DATABASES, &name, &database)?;
            Ok(json!({}))
        })
    }
}

/// The name after which a page begins.
pub(super) fn page_start(token: Option<&str>) -> Result<String> {
    name_of_token(token).ok_or_else(|| Error::invalid("The continuation token is not valid."))
}

pub(super) fn with_token(mut answer: Value, next: Option<String>) -> Value {
    if let Some(name) = next {
        answer["NextToken"] = json!(token(&name));
    }
    answer
}

/// The database in an ARN. Of the catalog, only databases have tags.
/// Source: "AWS tags in AWS Glue", AWS Glue developer guide.
fn database_of(given: &str, caller: &Caller) -> Result<String> {
    let prefix = arn(caller, "glue", "database/");
    match given.strip_prefix(&prefix) {
        Some(name) if !name.is_empty() => Ok(name.to_lowercase()),
        _ => Err(Error::invalid(format!(
            "{given} is not the ARN of a database of this account and region: the local cloud keeps tags of databases."
        ))),
    }
}

/// The tags of the databases of `caller` that have some, by ARN.
pub(super) fn tagged(glue: &Glue, caller: &Caller) -> BTreeMap<String, Tags> {
    if !glue.entries.exists() {
        return BTreeMap::new();
    }
    let read = glue
        .entries
        .read(caller, |scope| Ok::<_, Error>(scope.all::<Database>(DATABASES)?));
    let all = read.unwrap_or_default().into_iter();
    let tagged = all.filter(|one| !one.tags.is_empty());
    tagged
        .map(|one| (arn(caller, "glue", &format!("database/{}", one.name())), one.tags))
        .collect()
}

/// A change through resource group tags.
pub(super) fn change_tags(glue: &Glue, caller: &Caller, operation: &str, input: &Value) -> Result<()> {
    let call = Call {
        glue,
        caller,
        body: &[],
    };
    let arn = input["ResourceARN"].as_str().map(str::to_owned);
    let changed = call.retag(arn, |tags| apply_tag_change(tags, operation, input));
    changed.map(drop)
}
