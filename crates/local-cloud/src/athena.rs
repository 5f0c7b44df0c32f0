//! Athena: work groups, and the queries and prepared statements that are saved in them. No query is run.
//!
//! Source: "Amazon Athena API reference" (2017-05-18); "Service Quotas", Amazon Athena user guide.

mod error;
mod groups;
mod model;
mod queries;
mod tags;
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
use crate::service::{Permission, Request, Service, arn};
use crate::types::{Body, Caller, Tags};
use crate::{json, json_api};
use daemon::protocol::Damage;
use error::{Error, Result};

operations! {
    enum Operation {
        BatchGetNamedQuery,
        CreateNamedQuery,
        CreatePreparedStatement,
        CreateWorkGroup,
        DeleteNamedQuery,
        DeletePreparedStatement,
        DeleteWorkGroup,
        GetNamedQuery,
        GetPreparedStatement,
        GetWorkGroup,
        ListNamedQueries,
        ListPreparedStatements,
        ListTagsForResource,
        ListWorkGroups,
        StartQueryExecution,
        TagResource,
        UntagResource,
        UpdateWorkGroup,
    }
}

pub(crate) struct Athena {
    entries: Entries,
    clock: Arc<dyn Clock>,
}

/// A call of an operation.
struct Call<'a> {
    athena: &'a Athena,
    caller: &'a Caller,
    body: &'a [u8],
}

impl Athena {
    /// With its database in `dir`, opened on first use.
    pub fn new(dir: &Path, clock: Arc<dyn Clock>) -> Self {
        Self {
            entries: Entries::new(&dir.join("athena.db")),
            clock,
        }
    }

    fn run(&self, caller: &Caller, operation: &str, body: &[u8]) -> Result<Value> {
        let call = Call {
            athena: self,
            caller,
            body,
        };
        call.run(operation)
    }
}

impl Call<'_> {
    fn run(&self, operation: &str) -> Result<Value> {
        let Some(known) = Operation::parse(operation) else {
            return Err(Error::no_operation(operation));
        };
        use Operation as O;
        match known {
            O::CreateWorkGroup => self.create_group(self.read()?),
            O::GetWorkGroup => self.get_group(&self.read()?),
            O::ListWorkGroups => self.list_groups(&self.read()?),
            O::UpdateWorkGroup => self.update_group(self.read()?),
            O::DeleteWorkGroup => self.delete_group(&self.read()?),
            O::CreateNamedQuery => self.create_query(self.read()?),
            O::GetNamedQuery => self.get_query(&self.read()?),
            O::BatchGetNamedQuery => self.get_queries(&self.read()?),
            O::ListNamedQueries => self.list_queries(&self.read()?),
            O::DeleteNamedQuery => self.delete_query(&self.read()?),
            O::CreatePreparedStatement => self.create_statement(self.read()?),
            O::GetPreparedStatement => self.get_statement(&self.read()?),
            O::ListPreparedStatements => self.list_statements(&self.read()?),
            O::DeletePreparedStatement => self.delete_statement(&self.read()?),
            O::ListTagsForResource => self.list_tags(&self.read()?),
            O::TagResource => self.tag(&self.read()?),
            O::UntagResource => self.untag(&self.read()?),
            O::StartQueryExecution => Err(Error::runs_no_queries()),
        }
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(json::read(self.body)?)
    }
}

impl Service for Athena {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response<Body>> {
        json_api::call(request, move |request, operation| {
            self.run(&request.caller, operation, &request.body)
        })
    }

    /// Source: "Actions, resources, and condition keys for Amazon Athena", Service Authorization Reference.
    fn permissions(&self, request: &Request) -> Vec<Permission> {
        let group = |name: &str| arn(&request.caller, "athena", &format!("workgroup/{name}"));
        Permission::of_operation("athena", request, |operation, input| {
            if let Some(arn) = input["ResourceARN"].as_str() {
                return Some(arn.to_owned());
            }
            let name = ["WorkGroup", "Name"]
                .iter()
                .find_map(|member| input[*member].as_str());
            match Operation::parse(operation) {
                Some(Operation::ListWorkGroups) | None => None,
                // A saved query is in a work group that the request does not name.
                Some(
                    Operation::GetNamedQuery | Operation::DeleteNamedQuery | Operation::BatchGetNamedQuery,
                ) => Some(group("*")),
                Some(Operation::CreateNamedQuery) => {
                    Some(group(input["WorkGroup"].as_str().unwrap_or(groups::PRIMARY)))
                }
                Some(_) => Some(group(name.unwrap_or(groups::PRIMARY))),
            }
        })
    }

    /// A query has 256 KiB, each byte of which JSON can escape as six.
    fn max_body(&self) -> usize {
        2 << 20
    }

    /// As many queries as one request names, or a page.
    fn max_response(&self, request: &Request) -> usize {
        match request.target() {
            Some((_, "BatchGetNamedQuery")) => 64 << 20,
            _ => 0,
        }
    }

    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        tags::tagged(self, caller)
    }

    fn change_tags(
        self: Arc<Self>,
        caller: Caller,
        operation: &'static str,
        input: Value,
    ) -> BoxFuture<'static, Result<(), (String, String)>> {
        json_api::change_tags(move || tags::change(&self, &caller, operation, &input))
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
