//! Tables of databases.

use regex_lite::Regex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Call;
use super::check::{line, name, page_size, required};
use super::databases::{find, page_start, with_token};
use super::error::{Error, Result};
use super::model::{Table, TableInput};
use crate::entries::{List, Scope};

/// Source: "Data Catalog quotas", AWS general reference: tables of a database.
const MOST: usize = 200_000;
/// Source: BatchDeleteTable.
const MOST_IN_BATCH: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Create {
    catalog_id: Option<String>,
    database_name: Option<String>,
    table_input: Option<TableInput>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Update {
    catalog_id: Option<String>,
    database_name: Option<String>,
    table_input: Option<TableInput>,
    version_id: Option<String>,
    /// Versions are not kept.
    #[serde(rename = "SkipArchive")]
    _skip_archive: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Named {
    catalog_id: Option<String>,
    database_name: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Batch {
    catalog_id: Option<String>,
    database_name: Option<String>,
    tables_to_delete: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ListAll {
    catalog_id: Option<String>,
    database_name: Option<String>,
    expression: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// The tables of `database`.
pub(super) fn of(database: &str) -> List<'_> {
    List {
        kind: "table",
        parent: database,
    }
}

fn table(scope: &Scope<'_>, database: &str, name: &str) -> Result<Table> {
    find(scope, database)?;
    let found = scope.get(of(database), name)?;
    found.ok_or_else(|| Error::not_found("Table", name))
}

impl Call<'_> {
    pub(super) fn create_table(&self, input: Create) -> Result<Value> {
        self.check_catalog(input.catalog_id.as_deref())?;
        let database = name(input.database_name, "databaseName")?;
        let (name, given) = required(input.table_input, "tableInput")?.checked()?;
        let now = self.now_ms();
        let made = Table {
            input: given,
            created_ms: now,
            updated_ms: now,
            version: 0,
        };
        self.glue.entries.write(self.caller, |scope| {
            find(scope, &database)?;
            if scope.get::<Table>(of(&database), &name)?.is_some() {
                return Err(Error::exists("Table"));
            }
            if scope.count(of(&database))? >= MOST {
                return Err(Error::too_many("tables"));
            }
            scope.put(of(&database), &name, &made)?;
            Ok(json!({}))
        })
    }

    pub(super) fn get_table(&self, input: Named) -> Result<Value> {
        self.check_catalog(input.catalog_id.as_deref())?;
        let database = name(input.database_name, "databaseName")?;
        let name = name(input.name, "name")?;
        let entries = &self.glue.entries;
        let found = entries.read(self.caller, |scope| table(scope, &database, &name))?;
        Ok(json!({"Table": found.show(self.caller, &database)}))
    }

    pub(super) fn get_tables(&self, input: &ListAll) -> Result<Value> {
        self.check_catalog(input.catalog_id.as_deref())?;
        let database = name(input.database_name.clone(), "databaseName")?;
        let most = page_size(input.max_results)?;
        let after = page_start(input.next_token.as_deref())?;
        let pattern = input.expression.as_deref().map(pattern).transpose()?;
        let is_wanted = |name: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(name));
        let (found, next) = self.glue.entries.read(self.caller, |scope| {
            find(scope, &database)?;
            let page = scope.page::<Table>(of(&database), &after, most, is_wanted);
            Ok::<_, Error>(page?)
        })?;
        let shown = found.iter().map(|one| one.show(self.caller, &database));
        let shown: Vec<Value> = shown.collect();
        Ok(with_token(json!({"TableList": shown}), next))
    }

    /// The input replaces the former one.
    pub(super) fn update_table(&self, input: Update) -> Result<Value> {
        self.check_catalog(input.catalog_id.as_deref())?;
        let database = name(input.database_name, "databaseName")?;
        let (name, given) = required(input.table_input, "tableInput")?.checked()?;
        let now = self.now_ms();
        self.glue.entries.write(self.caller, |scope| {
            let mut there = table(scope, &database, &name)?;
            if input.version_id.is_some_and(|id| id != there.version.to_string()) {
                return Err(Error::concurrent(
                    "Update table failed due to concurrent modifications.",
                ));
            }
            there.input = given;
            there.updated_ms = now;
            there.version += 1;
            scope.put(of(&database), &name, &there)?;
            Ok(json!({}))
        })
    }

    pub(super) fn delete_table(&self, input: Named) -> Result<Value> {
        self.check_catalog(input.catalog_id.as_deref())?;
        let database = name(input.database_name, "databaseName")?;
        let name = name(input.name, "name")?;
        self.glue.entries.write(self.caller, |scope| {
            find(scope, &database)?;
            match scope.remove(of(&database), &name)? {
                true => Ok(json!({})),
                false => Err(Error::not_found("Table", &name)),
            }
        })
    }

    pub(super) fn batch_delete_table(&self, input: &Batch) -> Result<Value> {
        self.check_catalog(input.catalog_id.as_deref())?;
        let database = name(input.database_name.clone(), "databaseName")?;
        let names = required(input.tables_to_delete.as_ref(), "tablesToDelete")?;
        if names.len() > MOST_IN_BATCH {
            let constraint = format!("have length less than or equal to {MOST_IN_BATCH}");
            return Err(Error::constraint("", "tablesToDelete", &constraint));
        }
        for name in names {
            line(name, "tablesToDelete", 1, 255)?;
        }
        self.glue.entries.write(self.caller, |scope| {
            find(scope, &database)?;
            let mut errors = Vec::new();
            for name in names {
                if !scope.remove(of(&database), &name.to_lowercase())? {
                    let error = Error::not_found("Table", name);
                    errors.push(json!({
                        "TableName": name,
                        "ErrorDetail": {"ErrorCode": error.code, "ErrorMessage": error.message},
                    }));
                }
            }
            Ok(json!({"Errors": errors}))
        })
    }
}

/// A pattern of whole names. A star that follows nothing it could repeat stands for any characters, as in Hive.
/// Source: GetTables, `Expression`: "A regular expression pattern".
fn pattern(text: &str) -> Result<Regex> {
    line(text, "expression", 0, 2048)?;
    let text = match text {
        "*" => ".*",
        text => text,
    };
    let whole = format!("^(?:{text})$");
    Regex::new(&whole).map_err(|_| Error::invalid("The expression is not a regular expression."))
}
