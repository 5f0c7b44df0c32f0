//! Glue: the databases and tables of the Data Catalog. No crawlers, jobs, partitions, versions or connections.
//!
//! Source: "AWS Glue Web API reference" (2017-03-31); "Data Catalog quotas", AWS general reference.

mod check;
mod databases;
mod error;
mod model;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::Response;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::clock::Clock;
use crate::entries::Entries;
use crate::operation::operations;
use crate::service::{Permission, Request, Service, arn, operation};
use crate::types::{Body, Caller, Tags};
use crate::{json, json_api};
use daemon::protocol::Damage;
use error::{Error, Result};

operations! {
    enum Operation {
        BatchDeleteTable,
        CreateDatabase,
        CreateTable,
        DeleteDatabase,
        DeleteTable,
        GetDatabase,
        GetDatabases,
        GetTable,
        GetTables,
        GetTags,
        TagResource,
        UntagResource,
        UpdateDatabase,
        UpdateTable,
    }
}

pub(crate) struct Glue {
    entries: Entries,
    clock: Arc<dyn Clock>,
}

/// A call of an operation.
struct Call<'a> {
    glue: &'a Glue,
    caller: &'a Caller,
    body: &'a [u8],
}

impl Glue {
    /// With its database in `dir`, opened on first use.
    pub fn new(dir: &Path, clock: Arc<dyn Clock>) -> Self {
        Self {
            entries: Entries::new(&dir.join("glue.db")),
            clock,
        }
    }

    fn run(&self, caller: &Caller, operation: &str, body: &[u8]) -> Result<Value> {
        let call = Call {
            glue: self,
            caller,
            body,
        };
        call.run(operation)
    }
}

impl Call<'_> {
    fn run(&self, operation: &str) -> Result<Value> {
        let Some(known) = Operation::parse(operation) else {
            return Err(Error::unknown_operation(operation));
        };
        use Operation as O;
        match known {
            O::CreateDatabase => self.create_database(self.read()?),
            O::GetDatabase => self.get_database(self.read()?),
            O::GetDatabases => self.get_databases(&self.read()?),
            O::UpdateDatabase => self.update_database(self.read()?),
            O::DeleteDatabase => self.delete_database(self.read()?),
            O::CreateTable => self.create_table(self.read()?),
            O::GetTable => self.get_table(self.read()?),
            O::GetTables => self.get_tables(&self.read()?),
            O::UpdateTable => self.update_table(self.read()?),
            O::DeleteTable => self.delete_table(self.read()?),
            O::BatchDeleteTable => self.batch_delete_table(&self.read()?),
            O::GetTags => self.get_tags(self.read()?),
            O::TagResource => self.tag(self.read()?),
            O::UntagResource => self.untag(self.read()?),
        }
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(json::read(self.body)?)
    }

    fn now_ms(&self) -> i64 {
        self.glue.clock.now_ms()
    }
}

/// The ARNs that an operation needs permission for: a resource and what it is in; what is deleted with it too.
/// Source: "Specifying AWS Glue resource ARNs", AWS Glue developer guide.
fn resources(caller: &Caller, operation: &str, input: &Value) -> Vec<String> {
    let text = |pointer: &str| input.pointer(pointer).and_then(Value::as_str);
    let glue = |resource: &str| arn(caller, "glue", resource);
    let lower = |name: &str| name.to_lowercase();
    let mut all = vec![glue("catalog")];
    let database = ["/DatabaseName", "/Name", "/DatabaseInput/Name"];
    use Operation as O;
    match Operation::parse(operation) {
        Some(O::GetTags | O::TagResource | O::UntagResource) => {
            return vec![text("/ResourceArn").unwrap_or("*").to_owned()];
        }
        Some(O::GetDatabases) | None => return all,
        Some(O::CreateDatabase | O::DeleteDatabase | O::GetDatabase | O::UpdateDatabase) => {
            let name = lower(database.iter().find_map(|at| text(at)).unwrap_or("*"));
            all.push(glue(&format!("database/{name}")));
            if operation == O::DeleteDatabase.as_str() {
                all.push(glue(&format!("table/{name}/*")));
                all.push(glue(&format!("userDefinedFunction/{name}/*")));
            }
        }
        Some(
            O::BatchDeleteTable
            | O::CreateTable
            | O::DeleteTable
            | O::GetTable
            | O::GetTables
            | O::UpdateTable,
        ) => {
            let name = lower(text("/DatabaseName").unwrap_or("*"));
            let one = text("/TableInput/Name").or_else(|| text("/Name"));
            let many = input.pointer("/TablesToDelete").and_then(Value::as_array);
            let many = many.into_iter().flatten().filter_map(Value::as_str);
            let tables: Vec<String> = one.into_iter().chain(many).map(lower).collect();
            all.push(glue(&format!("database/{name}")));
            match tables.is_empty() {
                true => all.push(glue(&format!("table/{name}/*"))),
                false => all.extend(tables.iter().map(|table| glue(&format!("table/{name}/{table}")))),
            }
        }
    }
    all
}

impl Service for Glue {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response<Body>> {
        json_api::call(request, move |request, operation| {
            self.run(&request.caller, operation, &request.body)
        })
    }

    /// Source: "Actions, resources, and condition keys for AWS Glue", Service Authorization Reference.
    fn permissions(&self, request: &Request) -> Vec<Permission> {
        let Some((operation, input)) = operation(request) else {
            return Vec::new();
        };
        let resources = resources(&request.caller, &operation, &input);
        let tags = input["Tags"].as_object().is_some_and(|tags| !tags.is_empty());
        let tagging = (tags && operation == Operation::CreateDatabase.as_str())
            .then(|| Permission::new("glue", "TagResource", resources.last().cloned()));
        let all = resources
            .into_iter()
            .map(|resource| Permission::new("glue", &operation, Some(resource)));
        all.chain(tagging).collect()
    }

    /// A table has a few values of 500 KB at most.
    fn max_body(&self) -> usize {
        4 << 20
    }

    /// A page has 2 MiB and one table.
    fn max_response(&self, request: &Request) -> usize {
        match request.target() {
            Some((_, "GetDatabases" | "GetTables" | "GetTable" | "GetDatabase")) => 8 << 20,
            _ => 0,
        }
    }

    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        databases::tagged(self, caller)
    }

    fn change_tags(
        self: Arc<Self>,
        caller: Caller,
        operation: &'static str,
        input: Value,
    ) -> BoxFuture<'static, Result<(), (String, String)>> {
        json_api::change_tags(move || databases::change_tags(&self, &caller, operation, &input))
    }

    fn open(&self) {
        self.entries.open_existing();
    }

    fn damage(&self) -> Vec<Damage> {
        self.entries.damage()
    }

    fn shutdown(&self) {
        self.entries.close();
    }
}
