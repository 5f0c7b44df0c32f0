//! Gateway responses: the responses of an API that do not come from an integration.
//!
//! Source: "Gateway responses for REST APIs in API Gateway" and "Gateway response types", API Gateway developer guide.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::check::RESPONSE_TYPES;
use super::mapping::Variables;
use super::model::{GatewayResponse, Paths};
use super::select;
use crate::answer::{answer, whole};
use crate::types::Body;
use crate::web::reply::is_own;

const TEMPLATE: &str = "{\"message\":$context.error.messageString}";

/// An error of the API itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    /// A gateway response type.
    pub kind: &'static str,
    pub status: u16,
    /// The header `x-amzn-errortype`.
    code: &'static str,
    pub message: String,
}

impl Failed {
    fn new(kind: &'static str, status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            status,
            code,
            message: message.into(),
        }
    }

    /// There is no such API or stage.
    pub fn forbidden() -> Self {
        Self::new("ACCESS_DENIED", 403, "ForbiddenException", "Forbidden")
    }

    /// There is no such method.
    pub fn no_method() -> Self {
        Self::new(
            "MISSING_AUTHENTICATION_TOKEN",
            403,
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        )
    }

    pub fn throttled() -> Self {
        Self::new("THROTTLED", 429, "TooManyRequestsException", "Too Many Requests")
    }

    pub fn media_type() -> Self {
        Self::new(
            "UNSUPPORTED_MEDIA_TYPE",
            415,
            "BadRequestException",
            "Unsupported Media Type",
        )
    }

    pub fn timeout() -> Self {
        Self::new(
            "INTEGRATION_TIMEOUT",
            504,
            "InternalServerErrorException",
            "Endpoint request timed out",
        )
    }

    /// The API is configured wrongly.
    pub fn configuration() -> Self {
        Self::new(
            "API_CONFIGURATION_ERROR",
            500,
            "InternalServerErrorException",
            "Internal server error",
        )
    }

    /// A template looks into a body that is not JSON.
    pub fn body(why: &str) -> Self {
        let message = format!("Could not parse request body into json: {why}");
        Self::new("BAD_REQUEST_BODY", 400, "BadRequestException", message)
    }

    /// The error for a body that the front door could not read.
    pub fn unreadable(status: u16) -> Self {
        match status {
            413 => Self::too_large(),
            503 => Self::new(
                "DEFAULT_5XX",
                503,
                "ServiceUnavailableException",
                "Service Unavailable",
            ),
            408 => Self::new("DEFAULT_4XX", 408, "BadRequestException", "Request Timeout"),
            status => Self::new("DEFAULT_4XX", status, "BadRequestException", "Bad Request"),
        }
    }

    pub fn too_large() -> Self {
        Self::new(
            "REQUEST_TOO_LARGE",
            413,
            "RequestTooLargeException",
            "Request Too Long",
        )
    }

    /// The response, as `paths` sets it for its type or its class.
    pub async fn respond(&self, paths: Option<&Paths>, variables: &Variables) -> Response<Body> {
        let class = if self.status < 500 {
            "DEFAULT_4XX"
        } else {
            "DEFAULT_5XX"
        };
        let set = paths.and_then(|paths| {
            let all = &paths.gateway_responses;
            all.get(self.kind).or_else(|| all.get(class)).cloned()
        });
        let set = set.unwrap_or_else(|| default(self.kind));
        let mut variables = variables.clone();
        if !variables.context.is_object() {
            variables.context = json!({});
        }
        variables.context["error"] = json!({
            "message": self.message,
            "messageString": json!(self.message).to_string(),
            "responseType": self.kind,
        });
        let accept = variables
            .value("method.request.header.Accept")
            .unwrap_or_default();
        let (content_type, template) = select::response_template(&set.response_templates, &accept)
            .unwrap_or(("application/json", TEMPLATE));
        let rendered = variables.render(template, &Bytes::new()).await;
        let text = rendered.map(|rendered| rendered.text);
        let text = text.unwrap_or_else(|_| json!({"message": self.message}).to_string());
        // The status of a class counts for each error of the class, if it is set.
        let status = set.status_code.as_deref().and_then(|status| status.parse().ok());
        let mut response = answer(status.unwrap_or(self.status), "application/json", whole(text));
        let headers = response.headers_mut();
        headers.insert("x-amzn-errortype", HeaderValue::from_static(self.code));
        set_header(headers, CONTENT_TYPE.as_str(), content_type);
        for (target, source) in &set.response_parameters {
            let name = target.strip_prefix("gatewayresponse.header.").unwrap_or_default();
            if let Some(value) = variables.value(source) {
                set_header(headers, name, &value);
            }
        }
        response
    }
}

/// Sets a header, unless the server sets it, or it is no header.
pub(super) fn set_header(headers: &mut HeaderMap, name: &str, value: &str) {
    let name = HeaderName::from_bytes(name.as_bytes()).ok();
    let value = HeaderValue::from_str(value).ok();
    if let Some((name, value)) = name.zip(value).filter(|(name, _)| !is_own(name.as_str())) {
        headers.insert(name, value);
    }
}

/// What an API answers that sets nothing.
pub(super) fn default(kind: &str) -> GatewayResponse {
    let status = RESPONSE_TYPES.iter().find(|(name, _)| *name == kind);
    let status = status.map(|(_, status)| *status).filter(|status| *status > 0);
    GatewayResponse {
        response_type: kind.to_owned(),
        status_code: status.map(|status| status.to_string()),
        response_parameters: BTreeMap::new(),
        response_templates: BTreeMap::from([("application/json".to_owned(), TEMPLATE.to_owned())]),
        default_response: true,
    }
}

/// The member of a body that an expression such as `integration.response.body.error.type` names.
pub(super) fn body_member(body: &[u8], path: &str) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let found = path
        .split('.')
        .try_fold(&document, |value, name| value.get(name))?;
    Some(match found {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}
