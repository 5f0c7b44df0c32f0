//! The operations, and how method and path name them.

use http::request::Parts;

use crate::operation::operations;
use crate::query::{pairs, percent_decode};

operations! {
    pub(super) enum Operation {
        CreateApi,
        CreateDeployment,
        CreateIntegration,
        CreateRoute,
        CreateStage,
        DeleteApi,
        DeleteCorsConfiguration,
        DeleteDeployment,
        DeleteIntegration,
        DeleteRoute,
        DeleteStage,
        GetApi,
        GetApis,
        GetDeployment,
        GetDeployments,
        GetIntegration,
        GetIntegrations,
        GetRoute,
        GetRoutes,
        GetStage,
        GetStages,
        GetTags,
        TagResource,
        UntagResource,
        UpdateApi,
        UpdateDeployment,
        UpdateIntegration,
        UpdateRoute,
        UpdateStage,
    }
}

/// An operation, and what its path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub operation: Operation,
    /// The id of the API, or the ARN of tags.
    pub api: String,
    /// The id of a route, integration or deployment, or the name of a stage.
    pub id: String,
    path: String,
    query: Vec<(String, String)>,
}

impl Route {
    /// `None` for an unknown path.
    pub fn of(parts: &Parts) -> Option<Self> {
        let path = parts.uri.path();
        let rest = path.strip_prefix("/v2/")?.trim_end_matches('/');
        let segments: Vec<String> = rest.split('/').map(percent_decode).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (operation, api, id) = operation(parts.method.as_str(), &segments)?;
        Some(Self {
            operation,
            api: api.to_owned(),
            id: id.to_owned(),
            path: format!("/{rest}"),
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

fn operation<'a>(method: &str, segments: &[&'a str]) -> Option<(Operation, &'a str, &'a str)> {
    use Operation as O;
    let named = |operation, api, id| Some((operation, api, id));
    match segments {
        ["apis"] => match method {
            "POST" => named(O::CreateApi, "", ""),
            "GET" => named(O::GetApis, "", ""),
            _ => None,
        },
        ["apis", api] => match method {
            "GET" => named(O::GetApi, api, ""),
            "PATCH" => named(O::UpdateApi, api, ""),
            "DELETE" => named(O::DeleteApi, api, ""),
            _ => None,
        },
        ["apis", api, "cors"] if method == "DELETE" => named(O::DeleteCorsConfiguration, api, ""),
        ["apis", api, kind] => named(of_list(method, kind)?, api, ""),
        ["apis", api, kind, id] => named(of_item(method, kind)?, api, id),
        ["tags", arn] => match method {
            "GET" => named(O::GetTags, arn, ""),
            "POST" => named(O::TagResource, arn, ""),
            "DELETE" => named(O::UntagResource, arn, ""),
            _ => None,
        },
        _ => None,
    }
}

fn of_list(method: &str, kind: &str) -> Option<Operation> {
    use Operation as O;
    Some(match (method, kind) {
        ("POST", "deployments") => O::CreateDeployment,
        ("GET", "deployments") => O::GetDeployments,
        ("POST", "integrations") => O::CreateIntegration,
        ("GET", "integrations") => O::GetIntegrations,
        ("POST", "routes") => O::CreateRoute,
        ("GET", "routes") => O::GetRoutes,
        ("POST", "stages") => O::CreateStage,
        ("GET", "stages") => O::GetStages,
        _ => return None,
    })
}

fn of_item(method: &str, kind: &str) -> Option<Operation> {
    use Operation as O;
    Some(match (method, kind) {
        ("GET", "deployments") => O::GetDeployment,
        ("PATCH", "deployments") => O::UpdateDeployment,
        ("DELETE", "deployments") => O::DeleteDeployment,
        ("GET", "integrations") => O::GetIntegration,
        ("PATCH", "integrations") => O::UpdateIntegration,
        ("DELETE", "integrations") => O::DeleteIntegration,
        ("GET", "routes") => O::GetRoute,
        ("PATCH", "routes") => O::UpdateRoute,
        ("DELETE", "routes") => O::DeleteRoute,
        ("GET", "stages") => O::GetStage,
        ("PATCH", "stages") => O::UpdateStage,
        ("DELETE", "stages") => O::DeleteStage,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &str, uri: &str) -> Option<String> {
        let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
        let route = Route::of(&request.into_parts().0)?;
        Some(format!("{} {} {}", route.operation.as_str(), route.api, route.id))
    }

    #[test]
    fn paths_name_operations() {
        for (method, uri, expected) in [
            ("POST", "/v2/apis", Some("CreateApi  ")),
            ("GET", "/v2/apis/", Some("GetApis  ")),
            ("PATCH", "/v2/apis/a", Some("UpdateApi a ")),
            ("DELETE", "/v2/apis/a/cors", Some("DeleteCorsConfiguration a ")),
            ("GET", "/v2/apis/a/stages/%24default", Some("GetStage a $default")),
            ("DELETE", "/v2/apis/a/routes/r", Some("DeleteRoute a r")),
            (
                "GET",
                "/v2/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Fapis%2Fa",
                Some("GetTags arn:aws:apigateway:us-east-1::/apis/a "),
            ),
            ("PUT", "/v2/apis", None),
            ("GET", "/v2/apis/a/models", None),
            ("GET", "/v2/apis/a/routes/r/x", None),
            ("GET", "/v1/apis", None),
            ("GET", "/", None),
        ] {
            assert_eq!(found(method, uri).as_deref(), expected, "{method} {uri}");
        }
    }
}
