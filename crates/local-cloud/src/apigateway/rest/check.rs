//! What integrations, responses and mapping expressions may be.
//!
//! Source: PutIntegration, PutIntegrationResponse and PutGatewayResponse, API reference; "Parameter mapping source for REST
//! APIs", API Gateway developer guide.

use std::collections::BTreeMap;

use mapping_template::Template;

use super::super::error::{Error, Result};
use super::model::{GatewayResponse, Integration, IntegrationResponse, MAX_TIMEOUT_MS, Method};

/// The actions of Kinesis that an integration may call.
const ACTIONS: [&str; 2] = ["PutRecord", "PutRecords"];
const CONTENT_TYPE: &str = "integration.request.header.Content-Type";
const MIN_TIMEOUT_MS: u32 = 50;
const MAX_ENTRIES: usize = 50;

/// Gateway response types with their status; those without one cover all of a class.
/// Source: "Gateway response types for API Gateway", API Gateway developer guide.
pub(super) const RESPONSE_TYPES: [(&str, u16); 21] = [
    ("ACCESS_DENIED", 403),
    ("API_CONFIGURATION_ERROR", 500),
    ("AUTHORIZER_CONFIGURATION_ERROR", 500),
    ("AUTHORIZER_FAILURE", 500),
    ("BAD_REQUEST_BODY", 400),
    ("BAD_REQUEST_PARAMETERS", 400),
    ("DEFAULT_4XX", 0),
    ("DEFAULT_5XX", 0),
    ("EXPIRED_TOKEN", 403),
    ("INTEGRATION_FAILURE", 504),
    ("INTEGRATION_TIMEOUT", 504),
    ("INVALID_API_KEY", 403),
    ("INVALID_SIGNATURE", 403),
    ("MISSING_AUTHENTICATION_TOKEN", 403),
    ("QUOTA_EXCEEDED", 429),
    ("REQUEST_TOO_LARGE", 413),
    ("RESOURCE_NOT_FOUND", 404),
    ("THROTTLED", 429),
    ("UNAUTHORIZED", 401),
    ("UNSUPPORTED_MEDIA_TYPE", 415),
    ("WAF_FILTERED", 403),
];

/// The action in the URI of an integration, such as `arn:aws:apigateway:us-east-1:kinesis:action/PutRecord`, and its region.
pub(super) fn action(uri: &str) -> Option<(&str, &'static str)> {
    let parts: Vec<&str> = uri.split(':').collect();
    let ["arn", _, "apigateway", region, "kinesis", action] = parts.as_slice() else {
        return None;
    };
    let action = action.strip_prefix("action/")?;
    ACTIONS
        .into_iter()
        .find(|known| *known == action)
        .map(|action| (*region, action))
}

/// Checks an integration of a method, and fills in defaults.
pub(super) fn integration(integration: &mut Integration, method: &Method, region: &str) -> Result<()> {
    if integration.timeout_in_millis == 0 {
        integration.timeout_in_millis = MAX_TIMEOUT_MS;
    }
    if !(MIN_TIMEOUT_MS..=MAX_TIMEOUT_MS).contains(&integration.timeout_in_millis) {
        return Err(Error::bad_request(format!(
            "Timeout should be between {MIN_TIMEOUT_MS} ms and {MAX_TIMEOUT_MS} ms"
        )));
    }
    match integration.passthrough_behavior.as_str() {
        "" => integration.passthrough_behavior = "WHEN_NO_MATCH".to_owned(),
        "WHEN_NO_MATCH" | "WHEN_NO_TEMPLATES" | "NEVER" => {}
        other => {
            return Err(Error::bad_request(format!(
                "Invalid passthrough behavior {other}: it must be WHEN_NO_MATCH, WHEN_NO_TEMPLATES or NEVER"
            )));
        }
    }
    if !integration.cache_key_parameters.is_empty() || !integration.cache_namespace.is_empty() {
        return Err(Error::not_offered("caches of REST APIs"));
    }
    templates(&integration.request_templates)?;
    match integration.kind.as_str() {
        "MOCK" => mock(integration),
        "AWS" => aws(integration, method, region),
        "AWS_PROXY" | "HTTP" | "HTTP_PROXY" => Err(Error::not_offered(format_args!(
            "integrations of the type {} of REST APIs: they are of the type AWS, with an action of Kinesis, or MOCK",
            integration.kind
        ))),
        _ => Err(Error::bad_request(
            "Enumeration value for type must be non-empty and one of HTTP, AWS, MOCK, HTTP_PROXY, AWS_PROXY",
        )),
    }
}

fn mock(integration: &Integration) -> Result<()> {
    let unused = integration.uri.is_some() || integration.credentials.is_some();
    if unused || !integration.request_parameters.is_empty() {
        return Err(Error::bad_request(
            "A MOCK integration has neither a URI nor credentials nor request parameters",
        ));
    }
    Ok(())
}

fn aws(integration: &Integration, method: &Method, region: &str) -> Result<()> {
    let uri = integration.uri.as_deref().unwrap_or_default();
    let Some((of, _)) = action(uri) else {
        return Err(Error::not_offered(format_args!(
            "the integration URI {uri:?}: it is arn:aws:apigateway:{region}:kinesis:action/PutRecord or …/PutRecords"
        )));
    };
    if of != region {
        return Err(Error::not_offered(format_args!(
            "integrations with another region: {of} is not {region}"
        )));
    }
    if integration.http_method.as_deref() != Some("POST") {
        return Err(Error::bad_request(
            "The HTTP method of an integration with an action of Kinesis must be POST",
        ));
    }
    let role = integration.credentials.as_deref().unwrap_or_default();
    let is_role = role.starts_with("arn:")
        && role
            .split(':')
            .nth(5)
            .is_some_and(|name| name.starts_with("role/"));
    if !is_role {
        return Err(Error::bad_request(
            "Role ARN must be specified for AWS integrations",
        ));
    }
    check_count(integration.request_parameters.len())?;
    for (target, source) in &integration.request_parameters {
        // Kinesis reads no other header, and neither the path nor the query string.
        if !target.eq_ignore_ascii_case(CONTENT_TYPE) {
            return Err(Error::not_offered(format_args!(
                "the request parameter {target}: Kinesis reads {CONTENT_TYPE} only"
            )));
        }
        let is_declared =
            source.starts_with("method.request.") && method.request_parameters.contains_key(source);
        if !is_declared && !is_static(source) && !is_variable(source) {
            return Err(invalid_expression(source));
        }
    }
    Ok(())
}

fn invalid_expression(expression: &str) -> Error {
    Error::bad_request(format!(
        "Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression \
         parameter specified: {expression}]"
    ))
}

fn check_count(count: usize) -> Result<()> {
    if count > MAX_ENTRIES {
        return Err(Error::bad_request(format!(
            "A map has at most {MAX_ENTRIES} entries"
        )));
    }
    Ok(())
}

pub(super) fn is_static(source: &str) -> bool {
    source.len() >= 2 && source.starts_with('\'') && source.ends_with('\'')
}

fn is_variable(source: &str) -> bool {
    ["context.", "stageVariables."]
        .iter()
        .any(|prefix| source.starts_with(prefix))
}

/// Mapping templates by content type.
pub(super) fn templates(templates: &BTreeMap<String, String>) -> Result<()> {
    check_count(templates.len())?;
    for (content_type, text) in templates {
        Template::parse(text).map_err(|error| {
            Error::bad_request(format!(
                "Invalid mapping template specified for {content_type}: {error}"
            ))
        })?;
    }
    Ok(())
}

pub(super) fn status(status: &str) -> Result<()> {
    if status.len() == 3
        && status
            .parse::<u16>()
            .is_ok_and(|status| (100..600).contains(&status))
    {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "Invalid status code specified: {status}"
    )))
}

/// Checks a response of an integration of a method.
pub(super) fn integration_response(response: &IntegrationResponse, method: &Method) -> Result<()> {
    status(&response.status_code)?;
    let Some(declared) = method.method_responses.get(&response.status_code) else {
        return Err(Error::bad_request(
            "Invalid mapping expression specified: Validation Result: warnings : [], errors : [No method response exists \
             for method.]",
        ));
    };
    if let Some(pattern) = &response.selection_pattern {
        super::select::pattern(pattern).map_err(|why| {
            Error::bad_request(format!("Invalid selection pattern specified: {pattern}: {why}"))
        })?;
    }
    templates(&response.response_templates)?;
    check_count(response.response_parameters.len())?;
    for (target, source) in &response.response_parameters {
        if !declared.response_parameters.contains_key(target) {
            return Err(invalid_expression(target));
        }
        let is_known = is_static(source)
            || is_variable(source)
            || source.starts_with("integration.response.header.")
            || source.starts_with("integration.response.body.");
        if !is_known {
            return Err(invalid_expression(source));
        }
    }
    Ok(())
}

/// The parameters of a method response: headers.
pub(super) fn response_parameters(parameters: &BTreeMap<String, bool>) -> Result<()> {
    check_count(parameters.len())?;
    let prefix = "method.response.header.";
    match parameters.keys().find(|name| !is_header(name, prefix)) {
        Some(name) => Err(invalid_expression(name)),
        None => Ok(()),
    }
}

/// The parameters of a method.
pub(super) fn request_parameters(parameters: &BTreeMap<String, bool>) -> Result<()> {
    check_count(parameters.len())?;
    let places = ["header", "path", "querystring"].map(|place| format!("method.request.{place}."));
    let is_known = |name: &&String| !places.iter().any(|place| name.starts_with(place.as_str()));
    match parameters.keys().find(is_known) {
        Some(name) => Err(invalid_expression(name)),
        None => Ok(()),
    }
}

/// Models other than those that every API has are not offered.
pub(super) fn models(models: &BTreeMap<String, String>) -> Result<()> {
    check_count(models.len())?;
    match models
        .values()
        .find(|model| *model != "Empty" && *model != "Error")
    {
        Some(model) => Err(Error::not_offered(format_args!("the model {model}"))),
        None => Ok(()),
    }
}

fn is_header(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|name| http::HeaderName::from_bytes(name.as_bytes()).is_ok())
}

pub(super) fn gateway_response(response: &GatewayResponse) -> Result<()> {
    let kind = &response.response_type;
    if !RESPONSE_TYPES.iter().any(|(name, _)| name == kind) {
        return Err(Error::bad_request(format!(
            "Invalid response type specified: {kind}"
        )));
    }
    if let Some(code) = &response.status_code {
        status(code)?;
    }
    templates(&response.response_templates)?;
    check_count(response.response_parameters.len())?;
    for (target, source) in &response.response_parameters {
        if !is_header(target, "gatewayresponse.header.") {
            return Err(invalid_expression(target));
        }
        if !is_static(source) && !is_variable(source) && !source.starts_with("method.request.header.") {
            return Err(invalid_expression(source));
        }
    }
    Ok(())
}
