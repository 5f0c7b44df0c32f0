//! The operations of REST APIs, and how method and path name them.
//!
//! Source: Amazon API Gateway API reference (version 1).

use http::request::Parts;

use crate::operation::operations;
use crate::query::{pairs, percent_decode};

operations! {
    pub(super) enum Operation {
        CreateDeployment,
        CreateResource,
        CreateRestApi,
        CreateStage,
        DeleteDeployment,
        DeleteGatewayResponse,
        DeleteIntegration,
        DeleteIntegrationResponse,
        DeleteMethod,
        DeleteMethodResponse,
        DeleteResource,
        DeleteRestApi,
        DeleteStage,
        GetDeployment,
        GetDeployments,
        GetGatewayResponse,
        GetGatewayResponses,
        GetIntegration,
        GetIntegrationResponse,
        GetMethod,
        GetMethodResponse,
        GetResource,
        GetResources,
        GetRestApi,
        GetRestApis,
        GetStage,
        GetStages,
        GetTags,
        PutGatewayResponse,
        PutIntegration,
        PutIntegrationResponse,
        PutMethod,
        PutMethodResponse,
        TagResource,
        UntagResource,
        UpdateDeployment,
        UpdateGatewayResponse,
        UpdateIntegration,
        UpdateIntegrationResponse,
        UpdateMethod,
        UpdateMethodResponse,
        UpdateResource,
        UpdateRestApi,
        UpdateStage,
    }
}

/// An operation, and what its path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub operation: Operation,
    /// The id of the API, or the ARN of tags.
    pub api: String,
    /// The id of a resource or deployment, the name of a stage, or the type of a gateway response.
    pub id: String,
    /// The HTTP method of a method.
    pub method: String,
    /// The status of a response.
    pub status: String,
    path: String,
    query: Vec<(String, String)>,
}

impl Route {
    /// `None` for an unknown path.
    pub fn of(parts: &Parts) -> Option<Self> {
        let path = parts.uri.path().trim_end_matches('/');
        let segments: Vec<String> = path.strip_prefix('/')?.split('/').map(percent_decode).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (operation, names) = operation(parts.method.as_str(), &segments)?;
        let name = |at: usize| names.get(at).copied().unwrap_or_default().to_owned();
        Some(Self {
            operation,
            api: name(0),
            id: name(1),
            method: name(2),
            status: name(3),
            path: path.to_owned(),
            query: pairs(parts.uri.query().unwrap_or_default().as_bytes()).collect(),
        })
    }

    /// The last part of the ARN that policies name.
    pub fn resource(&self) -> &str {
        &self.path
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters(name).next()
    }

    pub fn parameters<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.query
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

fn operation<'a>(method: &str, segments: &[&'a str]) -> Option<(Operation, Vec<&'a str>)> {
    use Operation as O;
    let (operation, names) = match segments {
        ["restapis"] => (
            of(method, [("POST", O::CreateRestApi), ("GET", O::GetRestApis)])?,
            vec![],
        ),
        ["restapis", api] => (
            of(
                method,
                [
                    ("GET", O::GetRestApi),
                    ("PATCH", O::UpdateRestApi),
                    ("DELETE", O::DeleteRestApi),
                ],
            )?,
            vec![*api],
        ),
        ["restapis", api, kind] => (of_list(method, kind)?, vec![*api]),
        ["restapis", api, kind, id] => (of_item(method, kind)?, vec![*api, *id]),
        [
            "restapis",
            api,
            "resources",
            id,
            "methods",
            http_method,
            rest @ ..,
        ] => {
            return of_method(method, rest, vec![*api, *id, *http_method]);
        }
        ["tags", arn] => (
            of(
                method,
                [
                    ("GET", O::GetTags),
                    ("PUT", O::TagResource),
                    ("DELETE", O::UntagResource),
                ],
            )?,
            vec![*arn],
        ),
        _ => return None,
    };
    Some((operation, names))
}

fn of<const N: usize>(method: &str, table: [(&str, Operation); N]) -> Option<Operation> {
    let mut rows = table.into_iter();
    rows.find(|(name, _)| *name == method)
        .map(|(_, operation)| operation)
}

fn of_list(method: &str, kind: &str) -> Option<Operation> {
    use Operation as O;
    Some(match (method, kind) {
        ("GET", "resources") => O::GetResources,
        ("GET", "gatewayresponses") => O::GetGatewayResponses,
        ("POST", "deployments") => O::CreateDeployment,
        ("GET", "deployments") => O::GetDeployments,
        ("POST", "stages") => O::CreateStage,
        ("GET", "stages") => O::GetStages,
        _ => return None,
    })
}

fn of_item(method: &str, kind: &str) -> Option<Operation> {
    use Operation as O;
    Some(match (method, kind) {
        ("POST", "resources") => O::CreateResource,
        ("GET", "resources") => O::GetResource,
        ("PATCH", "resources") => O::UpdateResource,
        ("DELETE", "resources") => O::DeleteResource,
        ("PUT", "gatewayresponses") => O::PutGatewayResponse,
        ("GET", "gatewayresponses") => O::GetGatewayResponse,
        ("PATCH", "gatewayresponses") => O::UpdateGatewayResponse,
        ("DELETE", "gatewayresponses") => O::DeleteGatewayResponse,
        ("GET", "deployments") => O::GetDeployment,
        ("PATCH", "deployments") => O::UpdateDeployment,
        ("DELETE", "deployments") => O::DeleteDeployment,
        ("GET", "stages") => O::GetStage,
        ("PATCH", "stages") => O::UpdateStage,
        ("DELETE", "stages") => O::DeleteStage,
        _ => return None,
    })
}

/// `rest` is what follows the HTTP method in the path.
fn of_method<'a>(
    method: &str,
    rest: &[&'a str],
    mut names: Vec<&'a str>,
) -> Option<(Operation, Vec<&'a str>)> {
    use Operation as O;
    let table = match rest {
        [] => [
            ("PUT", O::PutMethod),
            ("GET", O::GetMethod),
            ("PATCH", O::UpdateMethod),
            ("DELETE", O::DeleteMethod),
        ],
        ["responses", _] => [
            ("PUT", O::PutMethodResponse),
            ("GET", O::GetMethodResponse),
            ("PATCH", O::UpdateMethodResponse),
            ("DELETE", O::DeleteMethodResponse),
        ],
        ["integration"] => [
            ("PUT", O::PutIntegration),
            ("GET", O::GetIntegration),
            ("PATCH", O::UpdateIntegration),
            ("DELETE", O::DeleteIntegration),
        ],
        ["integration", "responses", _] => [
            ("PUT", O::PutIntegrationResponse),
            ("GET", O::GetIntegrationResponse),
            ("PATCH", O::UpdateIntegrationResponse),
            ("DELETE", O::DeleteIntegrationResponse),
        ],
        _ => return None,
    };
    names.extend(rest.last().filter(|_| rest.len() > 1));
    Some((of(method, table)?, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &str, uri: &str) -> Option<String> {
        let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
        let route = Route::of(&request.into_parts().0)?;
        let Route {
            api,
            id,
            method,
            status,
            ..
        } = &route;
        let words = [route.operation.as_str(), api, id, method, status];
        Some(words.join(" ").trim_end().to_owned())
    }

    #[test]
    fn paths_name_operations() {
        for (method, uri, expected) in [
            ("POST", "/restapis", Some("CreateRestApi")),
            ("GET", "/restapis/?limit=1", Some("GetRestApis")),
            ("PATCH", "/restapis/a", Some("UpdateRestApi a")),
            ("GET", "/restapis/a/resources", Some("GetResources a")),
            ("POST", "/restapis/a/resources/r", Some("CreateResource a r")),
            (
                "PUT",
                "/restapis/a/resources/r/methods/POST",
                Some("PutMethod a r POST"),
            ),
            (
                "PUT",
                "/restapis/a/resources/r/methods/POST/responses/200",
                Some("PutMethodResponse a r POST 200"),
            ),
            (
                "DELETE",
                "/restapis/a/resources/r/methods/POST/integration",
                Some("DeleteIntegration a r POST"),
            ),
            (
                "PATCH",
                "/restapis/a/resources/r/methods/POST/integration/responses/200",
                Some("UpdateIntegrationResponse a r POST 200"),
            ),
            (
                "PUT",
                "/restapis/a/gatewayresponses/DEFAULT_4XX",
                Some("PutGatewayResponse a DEFAULT_4XX"),
            ),
            ("POST", "/restapis/a/stages", Some("CreateStage a")),
            (
                "PUT",
                "/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Frestapis%2Fa",
                Some("TagResource arn:aws:apigateway:us-east-1::/restapis/a"),
            ),
            ("PUT", "/restapis", None),
            ("GET", "/restapis/a/models", None),
            ("GET", "/restapis/a/resources/r/methods", None),
            ("GET", "/restapis/a/resources/r/methods/GET/x", None),
            ("GET", "/", None),
        ] {
            assert_eq!(found(method, uri).as_deref(), expected, "{method} {uri}");
        }
    }
}
