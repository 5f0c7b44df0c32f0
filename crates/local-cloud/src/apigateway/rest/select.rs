//! Which resource, template and response a request gets.

use std::collections::BTreeMap;

use regex_lite::{Regex, RegexBuilder};

use super::super::select::{matching, parts};
use super::model::{Integration, IntegrationResponse, Method, Paths, Resource};

/// Memory of a compiled pattern, in bytes.
const MAX_PATTERN: usize = 256 << 10;
const JSON: &str = "application/json";

/// A resource, its method, and the variables of the path.
pub(super) struct Selected<'a> {
    pub id: &'a str,
    pub resource: &'a Resource,
    pub method: &'a Method,
    pub variables: BTreeMap<String, String>,
}

/// The method for a request. Text in a path precedes a variable, and that a greedy one, from left to right; a method by name
/// precedes ANY. Source: "Set up a method using API Gateway console" and "Set up a proxy resource", developer guide.
pub(super) fn method<'a>(paths: &'a Paths, method: &str, path: &str) -> Option<Selected<'a>> {
    let parts = parts(path);
    let found = paths.resources.iter().filter_map(|(id, resource)| {
        let (ranks, variables) = matching(&resource.path, &parts)?;
        Some((ranks, id, resource, variables))
    });
    let (_, id, resource, variables) = found.min_by(|a, b| a.0.cmp(&b.0))?;
    let method = resource
        .methods
        .get(method)
        .or_else(|| resource.methods.get("ANY"))?;
    Some(Selected {
        id,
        resource,
        method,
        variables,
    })
}

/// How a body becomes the request of the integration.
pub(super) enum RequestTemplate<'a> {
    Template(&'a str),
    /// As it is.
    PassThrough,
    Refused,
}

/// Source: "Method request behavior for payloads without mapping templates", API Gateway developer guide.
pub(super) fn request_template<'a>(integration: &'a Integration, content_type: &str) -> RequestTemplate<'a> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = if media_type.is_empty() { JSON } else { media_type };
    let templates = &integration.request_templates;
    let named = templates
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(media_type));
    match (named, integration.passthrough_behavior.as_str()) {
        // A template that is null on AWS is empty here.
        (Some((_, template)), _) => RequestTemplate::Template(template),
        (None, "WHEN_NO_MATCH") => RequestTemplate::PassThrough,
        (None, "WHEN_NO_TEMPLATES") if templates.is_empty() => RequestTemplate::PassThrough,
        (None, _) => RequestTemplate::Refused,
    }
}

/// A regular expression that must match all of the status.
pub(super) fn pattern(pattern: &str) -> Result<Regex, regex_lite::Error> {
    RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(MAX_PATTERN)
        .build()
}

/// The response for the status of the integration: the first whose pattern matches, or the default one.
/// Source: "Set up integration responses in API Gateway", API Gateway developer guide.
pub(super) fn response(integration: &Integration, status: u16) -> Option<&IntegrationResponse> {
    let status = status.to_string();
    let responses = || integration.integration_responses.values();
    let text = |response: &IntegrationResponse| response.selection_pattern.clone().unwrap_or_default();
    let matches = |response: &&IntegrationResponse| {
        let wanted = text(response);
        !wanted.is_empty() && pattern(&wanted).is_ok_and(|regex| regex.is_match(&status))
    };
    let default = || responses().find(|response| text(response).is_empty());
    responses().find(matches).or_else(default)
}

/// The template for what the client accepts; else that for JSON, or the first one. None: the body as it is.
pub(super) fn response_template<'a>(
    templates: &'a BTreeMap<String, String>,
    accept: &str,
) -> Option<(&'a str, &'a str)> {
    let mut accepted = accept.split([',', ';']).map(str::trim);
    let named = accepted.find_map(|name| templates.get_key_value(name));
    let found = named
        .or_else(|| templates.get_key_value(JSON))
        .or_else(|| templates.first_key_value());
    found.map(|(name, template)| (name.as_str(), template.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(resources: &[(&str, &[&str])]) -> Paths {
        let resource = |(at, (path, methods)): (usize, &(&str, &[&str]))| {
            let methods = methods.iter().map(|name| ((*name).to_owned(), Method::default()));
            let resource = Resource {
                path: (*path).to_owned(),
                methods: methods.collect(),
                ..Resource::default()
            };
            (format!("r{at}"), resource)
        };
        Paths {
            resources: resources.iter().enumerate().map(resource).collect(),
            gateway_responses: BTreeMap::new(),
        }
    }

    #[test]
    fn resources_of_paths() {
        let paths = paths(&[
            ("/", &["GET"]),
            ("/pets", &["GET", "ANY"]),
            ("/pets/{id}", &["POST"]),
            ("/pets/dog", &["ANY"]),
            ("/{proxy+}", &["ANY"]),
            ("/empty", &[]),
        ]);
        for (method_name, path, expected) in [
            ("GET", "/", Some("/")),
            ("POST", "/", None),
            ("PUT", "/pets", Some("/pets")),
            ("POST", "/pets/1", Some("/pets/{id} id=1")),
            ("GET", "/pets/1", None),
            ("GET", "/pets/dog", Some("/pets/dog")),
            ("GET", "/a/b%20c", Some("/{proxy+} proxy=a/b c")),
            ("GET", "/pets/1/2", Some("/{proxy+} proxy=pets/1/2")),
            ("GET", "/empty", None),
        ] {
            let found = method(&paths, method_name, path).map(|selected| {
                let variables = selected.variables.iter();
                let variables: Vec<String> =
                    variables.map(|(name, value)| format!("{name}={value}")).collect();
                format!("{} {}", selected.resource.path, variables.join(" "))
                    .trim()
                    .to_owned()
            });
            assert_eq!(found.as_deref(), expected, "{method_name} {path}");
        }
    }

    #[test]
    fn responses_of_statuses() {
        let response = |status: &str, pattern: Option<&str>| IntegrationResponse {
            status_code: status.to_owned(),
            selection_pattern: pattern.map(str::to_owned),
            ..IntegrationResponse::default()
        };
        let all = [
            response("200", None),
            response("400", Some("4\\d{2}")),
            response("500", Some("5\\d{2}")),
        ];
        let integration = Integration {
            integration_responses: all
                .into_iter()
                .map(|one| (one.status_code.clone(), one))
                .collect(),
            ..Integration::default()
        };
        for (status, expected) in [
            (200, "200"),
            (400, "400"),
            (413, "400"),
            (503, "500"),
            (302, "200"),
        ] {
            let found = super::response(&integration, status).map(|found| found.status_code.as_str());
            assert_eq!(found, Some(expected), "{status}");
        }
        let none = Integration::default();
        assert!(super::response(&none, 200).is_none());
    }

    #[test]
    fn templates_of_content_types() {
        let integration = |behaviour: &str, names: &[&str]| Integration {
            passthrough_behavior: behaviour.to_owned(),
            request_templates: names
                .iter()
                .map(|name| ((*name).to_owned(), (*name).to_owned()))
                .collect(),
            ..Integration::default()
        };
        let json = &[JSON][..];
        for (behaviour, names, content_type, expected) in [
            ("WHEN_NO_MATCH", json, "application/json; charset=utf-8", JSON),
            ("WHEN_NO_MATCH", json, "", JSON),
            ("WHEN_NO_MATCH", json, "text/plain", "as it is"),
            ("WHEN_NO_TEMPLATES", json, "text/plain", "refused"),
            ("WHEN_NO_TEMPLATES", &[], "text/plain", "as it is"),
            ("NEVER", &[], "application/json", "refused"),
            ("NEVER", json, "Application/JSON", JSON),
        ] {
            let integration = integration(behaviour, names);
            let found = match request_template(&integration, content_type) {
                RequestTemplate::Template(template) => template,
                RequestTemplate::PassThrough => "as it is",
                RequestTemplate::Refused => "refused",
            };
            assert_eq!(found, expected, "{behaviour} {content_type}");
        }
        let templates = BTreeMap::from([
            ("a/b".to_owned(), "1".to_owned()),
            ("text/xml".to_owned(), "2".to_owned()),
        ]);
        assert_eq!(
            response_template(&templates, "text/xml;q=1, */*"),
            Some(("text/xml", "2"))
        );
        assert_eq!(response_template(&templates, "*/*"), Some(("a/b", "1")));
        assert_eq!(response_template(&BTreeMap::new(), ""), None);
    }
}
