//! Saved queries and prepared statements of work groups.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Call;
use super::error::{Error, Result};
use super::groups::{PRIMARY, Page, find, name, with_token};
use super::model::seconds;
use crate::entries::{List, Scope};

/// Saved queries by id, and the work group of each.
const QUERIES: List<'static> = List::of("query");
/// Source: `QueryString`.
const LONGEST_QUERY: usize = 262_144;
/// Source: "Service Quotas", Amazon Athena user guide: saved queries, and prepared statements of a work group.
const MOST: usize = 1_000;
/// Source: BatchGetNamedQuery.
const MOST_IN_BATCH: usize = 50;

#[derive(Debug, Serialize, Deserialize)]
struct Query {
    id: String,
    name: String,
    description: Option<String>,
    database: String,
    query: String,
    group: String,
    /// The token of the request that made it.
    token: Option<String>,
}

impl Query {
    fn show(&self) -> Value {
        let mut shown = json!({
            "Name": self.name,
            "Database": self.database,
            "QueryString": self.query,
            "NamedQueryId": self.id,
            "WorkGroup": self.group,
        });
        if let Some(description) = &self.description {
            shown["Description"] = json!(description);
        }
        shown
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Statement {
    name: String,
    description: Option<String>,
    query: String,
    modified_ms: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreateQuery {
    name: Option<String>,
    description: Option<String>,
    database: Option<String>,
    query_string: Option<String>,
    client_request_token: Option<String>,
    work_group: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct QueryId {
    named_query_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct QueryIds {
    named_query_ids: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreateStatement {
    statement_name: Option<String>,
    work_group: Option<String>,
    query_statement: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct StatementName {
    statement_name: Option<String>,
    work_group: Option<String>,
}

/// The ids of the saved queries of a work group.
fn queries_of(group: &str) -> List<'_> {
    List {
        kind: "query-of",
        parent: group,
    }
}

fn statements_of(group: &str) -> List<'_> {
    List {
        kind: "statement",
        parent: group,
    }
}

fn text(given: Option<String>, member: &str, longest: usize) -> Result<String> {
    let text = given.ok_or_else(|| Error::missing(member))?;
    let constraint = match text.len() {
        0 => "have length greater than or equal to 1".to_owned(),
        length if length > longest => format!("have length less than or equal to {longest}"),
        _ => return Ok(text),
    };
    Err(Error::constraint("", member, &constraint))
}

fn query(scope: &Scope<'_>, id: &str) -> Result<Query> {
    let found = scope.get(QUERIES, id)?;
    found.ok_or_else(|| Error::invalid(format!("NamedQuery {id} was not found")))
}

/// Source: `StatementName`.
fn statement_name(given: Option<&str>) -> Result<&str> {
    let name = given.ok_or_else(|| Error::missing("statementName"))?;
    let is_sound = (1..=256).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_@:".contains(&b));
    match is_sound {
        true => Ok(name),
        false => {
            let pattern = "satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_@:]{1,256}";
            Err(Error::constraint("", "statementName", pattern))
        }
    }
}

impl Call<'_> {
    /// Whether nothing is saved in a work group.
    pub(super) fn is_empty(&self, scope: &Scope<'_>, group: &str) -> Result<bool> {
        Ok(scope.count(queries_of(group))? + scope.count(statements_of(group))? == 0)
    }

    /// Removes all that is saved in a work group.
    pub(super) fn remove_queries(&self, scope: &Scope<'_>, group: &str) -> Result<()> {
        for id in scope.all::<String>(queries_of(group))? {
            scope.remove(QUERIES, &id)?;
        }
        scope.remove_all(queries_of(group))?;
        Ok(scope.remove_all(statements_of(group))?)
    }

    /// A request that is repeated with its token makes no other query.
    pub(super) fn create_query(&self, input: CreateQuery) -> Result<Value> {
        let group = name(input.work_group.as_deref().or(Some(PRIMARY)), "workGroup")?;
        let made = Query {
            id: crate::answer::request_id(),
            name: text(input.name, "name", 128)?,
            description: input
                .description
                .map(|given| text(Some(given), "description", 1024))
                .transpose()?,
            database: text(input.database, "database", 255)?,
            query: text(input.query_string, "queryString", LONGEST_QUERY)?,
            group: group.to_owned(),
            token: input.client_request_token,
        };
        self.athena.entries.write(self.caller, |scope| {
            find(scope, group)?;
            if made.token.is_some() {
                for id in scope.all::<String>(queries_of(group))? {
                    if scope
                        .get::<Query>(QUERIES, &id)?
                        .is_some_and(|one| one.token == made.token)
                    {
                        return Ok(json!({"NamedQueryId": id}));
                    }
                }
            }
            if scope.count(queries_of(group))? >= MOST {
                return Err(Error::invalid(format!(
                    "A work group has at most {MOST} saved queries."
                )));
            }
            scope.put(QUERIES, &made.id, &made)?;
            scope.put(queries_of(group), &made.id, &made.id)?;
            Ok(json!({"NamedQueryId": made.id}))
        })
    }

    pub(super) fn get_query(&self, input: &QueryId) -> Result<Value> {
        let id = input
            .named_query_id
            .as_deref()
            .ok_or_else(|| Error::missing("namedQueryId"))?;
        let entries = &self.athena.entries;
        let found = entries.read(self.caller, |scope| query(scope, id))?;
        Ok(json!({"NamedQuery": found.show()}))
    }

    pub(super) fn get_queries(&self, input: &QueryIds) -> Result<Value> {
        let ids = input
            .named_query_ids
            .as_deref()
            .ok_or_else(|| Error::missing("namedQueryIds"))?;
        if !(1..=MOST_IN_BATCH).contains(&ids.len()) {
            let constraint = format!("have length from 1 to {MOST_IN_BATCH}");
            return Err(Error::constraint("", "namedQueryIds", &constraint));
        }
        self.athena.entries.read(self.caller, |scope| {
            let (mut found, mut missing) = (Vec::new(), Vec::new());
            for id in ids {
                match query(scope, id) {
                    Ok(query) => found.push(query.show()),
                    Err(error) => missing.push(json!({
                        "NamedQueryId": id, "ErrorCode": error.code, "ErrorMessage": error.message,
                    })),
                }
            }
            Ok(json!({"NamedQueries": found, "UnprocessedNamedQueryIds": missing}))
        })
    }

    pub(super) fn list_queries(&self, input: &Page) -> Result<Value> {
        let group = name(input.work_group.as_deref().or(Some(PRIMARY)), "workGroup")?;
        let (after, most) = (input.start()?, input.size()?);
        let (ids, next) = self.athena.entries.read(self.caller, |scope| {
            find(scope, group)?;
            Ok::<_, Error>(scope.page::<String>(queries_of(group), &after, most, |_| true)?)
        })?;
        Ok(with_token(json!({"NamedQueryIds": ids}), next))
    }

    pub(super) fn delete_query(&self, input: &QueryId) -> Result<Value> {
        let id = input
            .named_query_id
            .as_deref()
            .ok_or_else(|| Error::missing("namedQueryId"))?;
        self.athena.entries.write(self.caller, |scope| {
            let found = query(scope, id)?;
            scope.remove(queries_of(&found.group), id)?;
            scope.remove(QUERIES, id)?;
            Ok(json!({}))
        })
    }

    pub(super) fn create_statement(&self, input: CreateStatement) -> Result<Value> {
        let group = name(input.work_group.as_deref(), "workGroup")?;
        let named = statement_name(input.statement_name.as_deref())?;
        let made = Statement {
            name: named.to_owned(),
            description: input
                .description
                .map(|given| text(Some(given), "description", 1024))
                .transpose()?,
            query: text(input.query_statement, "queryStatement", LONGEST_QUERY)?,
            modified_ms: self.athena.clock.now_ms(),
        };
        self.athena.entries.write(self.caller, |scope| {
            find(scope, group)?;
            if scope.get::<Statement>(statements_of(group), named)?.is_some() {
                return Err(Error::invalid("Prepared statement already exists"));
            }
            if scope.count(statements_of(group))? >= MOST {
                return Err(Error::invalid(format!(
                    "A work group has at most {MOST} prepared statements."
                )));
            }
            scope.put(statements_of(group), named, &made)?;
            Ok(json!({}))
        })
    }

    pub(super) fn get_statement(&self, input: &StatementName) -> Result<Value> {
        let group = name(input.work_group.as_deref(), "workGroup")?;
        let named = statement_name(input.statement_name.as_deref())?;
        let found = self.athena.entries.read(self.caller, |scope| {
            find(scope, group)?;
            let found = scope.get::<Statement>(statements_of(group), named)?;
            found.ok_or_else(|| Error::not_found(format!("PreparedStatement {named} was not found")))
        })?;
        let mut shown = json!({
            "StatementName": found.name,
            "QueryStatement": found.query,
            "WorkGroupName": group,
            "LastModifiedTime": seconds(found.modified_ms),
        });
        if let Some(description) = found.description {
            shown["Description"] = json!(description);
        }
        Ok(json!({"PreparedStatement": shown}))
    }

    pub(super) fn list_statements(&self, input: &Page) -> Result<Value> {
        let group = name(input.work_group.as_deref(), "workGroup")?;
        let (after, most) = (input.start()?, input.size()?);
        let (found, next) = self.athena.entries.read(self.caller, |scope| {
            find(scope, group)?;
            Ok::<_, Error>(scope.page::<Statement>(statements_of(group), &after, most, |_| true)?)
        })?;
        let shown = found
            .iter()
            .map(|one| json!({"StatementName": one.name, "LastModifiedTime": seconds(one.modified_ms)}));
        let shown: Vec<Value> = shown.collect();
        Ok(with_token(json!({"PreparedStatements": shown}), next))
    }

    pub(super) fn delete_statement(&self, input: &StatementName) -> Result<Value> {
        let group = name(input.work_group.as_deref(), "workGroup")?;
        let named = statement_name(input.statement_name.as_deref())?;
        self.athena.entries.write(self.caller, |scope| {
            find(scope, group)?;
            match scope.remove(statements_of(group), named)? {
                true => Ok(json!({})),
                false => Err(Error::not_found(format!(
                    "PreparedStatement {named} was not found"
                ))),
            }
        })
    }
}
