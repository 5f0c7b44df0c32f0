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
    CreateFunctionUrlConfig(String),
    GetFunctionUrlConfig(String),
    UpdateFunctionUrlConfig(String),
    DeleteFunctionUrlConfig(String),
    ListFunctionUrlConfigs(String),
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
    Some(match (method.as_str(), segments.as_slice()) {
        ("POST", ["2015-03-31", "functions"]) => O::CreateFunction,
        ("GET", ["2015-03-31", "functions"]) => O::ListFunctions,
        (method, [version, "functions", name, rest @ ..]) => of_function(method, version, name, rest)?,
        ("GET", ["2017-03-31", "tags", arn]) => O::ListTags((*arn).to_owned()),
        ("POST", ["2017-03-31", "tags", arn]) => O::TagResource((*arn).to_owned()),
        ("DELETE", ["2017-03-31", "tags", arn]) => O::UntagResource((*arn).to_owned()),
        ("GET", ["2016-08-19", "account-settings"]) => O::GetAccountSettings,
        ("GET", [DOWNLOAD, hash]) => O::DownloadCode((*hash).to_owned()),
        _ => return None,
    })
}

/// The operation on the function `name`: `rest` is the path behind the name.
fn of_function(method: &str, version: &str, name: &str, rest: &[&str]) -> Option<Operation> {
    use Operation as O;
    let f = name.to_owned();
    Some(match (method, version, rest) {
        ("GET", "2015-03-31", []) => O::GetFunction(f),
        ("DELETE", "2015-03-31", []) => O::DeleteFunction(f),
        ("GET", "2015-03-31", ["configuration"]) => O::GetFunctionConfiguration(f),
        ("PUT", "2015-03-31", ["configuration"]) => O::UpdateFunctionConfiguration(f),
        ("PUT", "2015-03-31", ["code"]) => O::UpdateFunctionCode(f),
        ("POST", "2015-03-31", ["versions"]) => O::PublishVersion(f),
        ("GET", "2015-03-31", ["versions"]) => O::ListVersionsByFunction(f),
        ("POST", "2015-03-31", ["aliases"]) => O::CreateAlias(f),
        ("GET", "2015-03-31", ["aliases"]) => O::ListAliases(f),
        ("GET", "2015-03-31", ["aliases", alias]) => O::GetAlias(f, (*alias).to_owned()),
        ("PUT", "2015-03-31", ["aliases", alias]) => O::UpdateAlias(f, (*alias).to_owned()),
        ("DELETE", "2015-03-31", ["aliases", alias]) => O::DeleteAlias(f, (*alias).to_owned()),
        ("POST", "2015-03-31", ["policy"]) => O::AddPermission(f),
        ("GET", "2015-03-31", ["policy"]) => O::GetPolicy(f),
        ("DELETE", "2015-03-31", ["policy", sid]) => O::RemovePermission(f, (*sid).to_owned()),
        ("POST", "2015-03-31", ["invocations"]) => O::Invoke(f),
        ("POST", "2014-11-13", ["invoke-async"]) => O::InvokeAsync(f),
        ("PUT", "2017-10-31", ["concurrency"]) => O::PutFunctionConcurrency(f),
        ("GET", "2019-09-30", ["concurrency"]) => O::GetFunctionConcurrency(f),
        ("DELETE", "2017-10-31", ["concurrency"]) => O::DeleteFunctionConcurrency(f),
        ("PUT", "2019-09-25", ["event-invoke-config"]) => O::PutFunctionEventInvokeConfig(f),
        ("POST", "2019-09-25", ["event-invoke-config"]) => O::UpdateFunctionEventInvokeConfig(f),
        ("GET", "2019-09-25", ["event-invoke-config"]) => O::GetFunctionEventInvokeConfig(f),
        ("DELETE", "2019-09-25", ["event-invoke-config"]) => O::DeleteFunctionEventInvokeConfig(f),
        ("GET", "2019-09-25", ["event-invoke-config", "list"]) => O::ListFunctionEventInvokeConfigs(f),
        ("POST", "2021-10-31", ["url"]) => O::CreateFunctionUrlConfig(f),
        ("GET", "2021-10-31", ["url"]) => O::GetFunctionUrlConfig(f),
        ("PUT", "2021-10-31", ["url"]) => O::UpdateFunctionUrlConfig(f),
        ("DELETE", "2021-10-31", ["url"]) => O::DeleteFunctionUrlConfig(f),
        ("GET", "2021-10-31", ["urls"]) => O::ListFunctionUrlConfigs(f),
        ("GET", "2020-06-30", ["code-signing-config"]) => O::GetFunctionCodeSigningConfig(f),
        ("GET", "2021-07-20", ["runtime-management-config"]) => O::GetRuntimeManagementConfig(f),
        ("GET", "2024-08-31", ["recursion-config"]) => O::GetFunctionRecursionConfig(f),
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
