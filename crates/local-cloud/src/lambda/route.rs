//! Maps method and path to an operation.

use http::Method;
use http::request::Parts;

use crate::query::{pairs, percent_decode};

/// The supported operations. The text is the function or resource as written in the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    CreateFunction,
    ListFunctions,
    GetFunction(String),
    DeleteFunction(String),
    GetFunctionConfiguration(String),
    UpdateFunctionConfiguration(String),
    UpdateFunctionCode(String),
    PublishVersion(String),
    ListVersionsByFunction(String),
    CreateAlias(String),
    ListAliases(String),
    GetAlias(String, String),
    UpdateAlias(String, String),
    DeleteAlias(String, String),
    AddPermission(String),
    GetPolicy(String),
    RemovePermission(String, String),
    Invoke(String),
    InvokeAsync(String),
    PutFunctionConcurrency(String),
    GetFunctionConcurrency(String),
    DeleteFunctionConcurrency(String),
    PutFunctionEventInvokeConfig(String),
    UpdateFunctionEventInvokeConfig(String),
    GetFunctionEventInvokeConfig(String),
    DeleteFunctionEventInvokeConfig(String),
    ListFunctionEventInvokeConfigs(String),
    GetFunctionCodeSigningConfig(String),
    GetRuntimeManagementConfig(String),
    GetFunctionRecursionConfig(String),
    ListTags(String),
    TagResource(String),
    UntagResource(String),
    GetAccountSettings,
    /// Not an AWS operation: the target of `Code.Location`.
    DownloadCode(String),
}

/// The path of [`Operation::DownloadCode`].
pub(super) const DOWNLOAD: &str = "_streamctl_code";

/// A parsed request: operation and query.
pub(super) struct Route {
    pub operation: Operation,
    query: Vec<(String, String)>,
}

impl Route {
    /// The operation of a request. `None` for an unknown path.
    pub fn of(parts: &Parts) -> Option<Self> {
        let operation = operation(&parts.method, parts.uri.path())?;
        let query = pairs(parts.uri.query().unwrap_or_default().as_bytes()).collect();
        Some(Self { operation, query })
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// All values of a query parameter.
    pub fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

fn operation(method: &Method, path: &str) -> Option<Operation> {
    use Operation as O;
    let segments: Vec<String> = path.trim_matches('/').split('/').map(percent_decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let f = |text: &&str| (*text).to_owned();
    Some(match (method.as_str(), segments.as_slice()) {
        ("POST", ["2015-03-31", "functions"]) => O::CreateFunction,
        ("GET", ["2015-03-31", "functions"]) => O::ListFunctions,
        ("GET", ["2015-03-31", "functions", name]) => O::GetFunction(f(name)),
        ("DELETE", ["2015-03-31", "functions", name]) => O::DeleteFunction(f(name)),
        ("GET", ["2015-03-31", "functions", name, "configuration"]) => O::GetFunctionConfiguration(f(name)),
        ("PUT", ["2015-03-31", "functions", name, "configuration"]) => {
            O::UpdateFunctionConfiguration(f(name))
        }
        ("PUT", ["2015-03-31", "functions", name, "code"]) => O::UpdateFunctionCode(f(name)),
        ("POST", ["2015-03-31", "functions", name, "versions"]) => O::PublishVersion(f(name)),
        ("GET", ["2015-03-31", "functions", name, "versions"]) => O::ListVersionsByFunction(f(name)),
        ("POST", ["2015-03-31", "functions", name, "aliases"]) => O::CreateAlias(f(name)),
        ("GET", ["2015-03-31", "functions", name, "aliases"]) => O::ListAliases(f(name)),
        ("GET", ["2015-03-31", "functions", name, "aliases", alias]) => O::GetAlias(f(name), f(alias)),
        ("PUT", ["2015-03-31", "functions", name, "aliases", alias]) => O::UpdateAlias(f(name), f(alias)),
        ("DELETE", ["2015-03-31", "functions", name, "aliases", alias]) => O::DeleteAlias(f(name), f(alias)),
        ("POST", ["2015-03-31", "functions", name, "policy"]) => O::AddPermission(f(name)),
        ("GET", ["2015-03-31", "functions", name, "policy"]) => O::GetPolicy(f(name)),
        ("DELETE", ["2015-03-31", "functions", name, "policy", sid]) => O::RemovePermission(f(name), f(sid)),
        ("POST", ["2015-03-31", "functions", name, "invocations"]) => O::Invoke(f(name)),
        ("POST", ["2014-11-13", "functions", name, "invoke-async"]) => O::InvokeAsync(f(name)),
        ("PUT", ["2017-10-31", "functions", name, "concurrency"]) => O::PutFunctionConcurrency(f(name)),
        ("GET", ["2019-09-30", "functions", name, "concurrency"]) => O::GetFunctionConcurrency(f(name)),
        ("DELETE", ["2017-10-31", "functions", name, "concurrency"]) => O::DeleteFunctionConcurrency(f(name)),
        ("PUT", ["2019-09-25", "functions", name, "event-invoke-config"]) => {
            O::PutFunctionEventInvokeConfig(f(name))
        }
        ("POST", ["2019-09-25", "functions", name, "event-invoke-config"]) => {
            O::UpdateFunctionEventInvokeConfig(f(name))
        }
        ("GET", ["2019-09-25", "functions", name, "event-invoke-config"]) => {
            O::GetFunctionEventInvokeConfig(f(name))
        }
        ("DELETE", ["2019-09-25", "functions", name, "event-invoke-config"]) => {
            O::DeleteFunctionEventInvokeConfig(f(name))
        }
        ("GET", ["2019-09-25", "functions", name, "event-invoke-config", "list"]) => {
            O::ListFunctionEventInvokeConfigs(f(name))
        }
        ("GET", ["2020-06-30", "functions", name, "code-signing-config"]) => {
            O::GetFunctionCodeSigningConfig(f(name))
        }
        ("GET", ["2021-07-20", "functions", name, "runtime-management-config"]) => {
            O::GetRuntimeManagementConfig(f(name))
        }
        ("GET", ["2024-08-31", "functions", name, "recursion-config"]) => {
            O::GetFunctionRecursionConfig(f(name))
        }
        ("GET", ["2017-03-31", "tags", arn]) => O::ListTags(f(arn)),
        ("POST", ["2017-03-31", "tags", arn]) => O::TagResource(f(arn)),
        ("DELETE", ["2017-03-31", "tags", arn]) => O::UntagResource(f(arn)),
        ("GET", ["2016-08-19", "account-settings"]) => O::GetAccountSettings,
        ("GET", [DOWNLOAD, hash]) => O::DownloadCode(f(hash)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, uri: &str) -> Option<Route> {
        let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
        Route::of(&request.into_parts().0)
    }

    #[test]
    fn paths_are_decoded() {
        let route = route(
            "DELETE",
            "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A0%3Afunction%3Aa?tagKeys=a%20b&tagKeys=c",
        )
        .unwrap();
        assert_eq!(
            route.operation,
            Operation::UntagResource("arn:aws:lambda:us-east-1:0:function:a".to_owned())
        );
        assert_eq!(route.parameters("tagKeys").collect::<Vec<_>>(), ["a b", "c"]);
    }

    #[test]
    fn event_source_mappings_are_not_routed() {
        assert!(route("GET", "/2015-03-31/event-source-mappings/").is_none());
        assert!(route("GET", "/2015-03-31/functions/").is_some());
        assert!(route("PATCH", "/2015-03-31/functions/").is_none());
    }
}
