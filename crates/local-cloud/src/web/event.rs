//! The events that functions get for HTTP requests: payload formats 1.0 and 2.0.
//!
//! Source: "Create AWS Lambda proxy integrations for HTTP APIs", API Gateway developer guide; "Invoking Lambda function
//! URLs", Lambda developer guide.

use std::collections::BTreeMap;

use http::Version;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HOST, HeaderMap, USER_AGENT};
use http::request::Parts;
use serde_json::{Map, Value, json};

use crate::clock::utc;
use crate::query::{pairs, percent_decode};
use crate::service::header;

/// Clients are on this machine.
pub(crate) const SOURCE_IP: &str = "127.0.0.1";

/// A request, as an event describes it.
pub(crate) struct Incoming<'a> {
    pub parts: &'a Parts,
    pub body: &'a [u8],
    /// Percent-encoded, with the stage if that is part of the URL.
    pub path: &'a str,
    pub request_id: &'a str,
    pub now_ms: i64,
    pub account: &'a str,
    /// The id of the API or function URL.
    pub id: &'a str,
    /// The host name of the endpoint.
    pub domain: String,
    pub stage: &'a str,
    pub route_key: &'a str,
    pub path_parameters: BTreeMap<String, String>,
    pub stage_variables: BTreeMap<String, String>,
    /// `requestContext.authorizer`.
    pub authorizer: Option<Value>,
}

impl Incoming<'_> {
    /// The event in format 2.0. What does not exist is absent, not null.
    pub fn format_2(&self) -> Value {
        let mut event = json!({
            "version": "2.0",
            "routeKey": self.route_key,
            "rawPath": self.path,
            "rawQueryString": self.query(),
        });
        let cookies = self.cookies();
        if !cookies.is_empty() {
            event["cookies"] = json!(cookies);
        }
        event["headers"] = self.joined_headers();
        let parameters = joined(pairs(self.query().as_bytes()));
        if !parameters.is_empty() {
            event["queryStringParameters"] = Value::Object(parameters);
        }
        event["requestContext"] = self.context_2();
        if !self.path_parameters.is_empty() {
            event["pathParameters"] = json!(self.path_parameters);
        }
        if !self.stage_variables.is_empty() {
            event["stageVariables"] = json!(self.stage_variables);
        }
        let (body, is_base64) = self.content();
        if let Some(body) = body {
            event["body"] = Value::String(body);
        }
        event["isBase64Encoded"] = json!(is_base64);
        event
    }

    fn context_2(&self) -> Value {
        let mut context = json!({
            "accountId": self.account,
            "apiId": self.id,
            "domainName": self.domain,
            "domainPrefix": self.id,
            "http": {
                "method": self.parts.method.as_str(),
                "path": self.path,
                "protocol": self.protocol(),
                "sourceIp": SOURCE_IP,
                "userAgent": header(self.parts, USER_AGENT.as_str()),
            },
            "requestId": self.request_id,
            "routeKey": self.route_key,
            "stage": self.stage,
            "time": self.time(),
            "timeEpoch": self.now_ms,
        });
        if let Some(authorizer) = &self.authorizer {
            context["authorizer"] = authorizer.clone();
        }
        context
    }

    /// The event in format 1.0. What does not exist is null.
    pub fn format_1(&self) -> Value {
        let path = percent_decode(self.path);
        let resource = match self.route_key.split_once(' ') {
            Some((_, resource)) => resource.to_owned(),
            None => self.route_key.to_owned(),
        };
        let all = grouped(pairs(self.query().as_bytes()));
        let last = |all: &BTreeMap<String, Vec<String>>| -> Value {
            let last = all
                .iter()
                .filter_map(|(name, values)| Some((name.clone(), Value::from(values.last()?.as_str()))));
            last.collect::<Map<_, _>>().into()
        };
        let or_null = |is_empty: bool, value: Value| if is_empty { Value::Null } else { value };
        let headers = grouped(self.header_pairs().map(|(name, value)| (title(&name), value)));
        let (body, is_base64) = self.content();
        json!({
            "version": "1.0",
            "resource": resource,
            "path": path,
            "httpMethod": self.parts.method.as_str(),
            "headers": last(&headers),
            "multiValueHeaders": headers,
            "queryStringParameters": or_null(all.is_empty(), last(&all)),
            "multiValueQueryStringParameters": or_null(all.is_empty(), json!(all)),
            "requestContext": self.context_1(&path, &resource),
            "pathParameters": or_null(self.path_parameters.is_empty(), json!(self.path_parameters)),
            "stageVariables": or_null(self.stage_variables.is_empty(), json!(self.stage_variables)),
            "body": body,
            "isBase64Encoded": is_base64,
        })
    }

    fn context_1(&self, path: &str, resource: &str) -> Value {
        json!({
            "accountId": self.account,
            "apiId": self.id,
            "domainName": self.domain,
            "domainPrefix": self.id,
            "extendedRequestId": self.request_id,
            "httpMethod": self.parts.method.as_str(),
            "identity": {
                "accessKey": null,
                "accountId": null,
                "caller": null,
                "cognitoAmr": null,
                "cognitoAuthenticationProvider": null,
                "cognitoAuthenticationType": null,
                "cognitoIdentityId": null,
                "cognitoIdentityPoolId": null,
                "principalOrgId": null,
                "sourceIp": SOURCE_IP,
                "user": null,
                "userAgent": header(self.parts, USER_AGENT.as_str()),
                "userArn": null,
            },
            "path": path,
            "protocol": self.protocol(),
            "requestId": self.request_id,
            "requestTime": self.time(),
            "requestTimeEpoch": self.now_ms,
            "resourceId": null,
            "resourcePath": resource,
            "stage": self.stage,
        })
    }

    fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    fn protocol(&self) -> String {
        match self.parts.version {
            Version::HTTP_2 => "HTTP/2.0".to_owned(),
            version => format!("{version:?}"),
        }
    }

    fn time(&self) -> String {
        utc(self.now_ms, "%d/%b/%Y:%H:%M:%S +0000")
    }

    fn cookies(&self) -> Vec<String> {
        let all = self.parts.headers.get_all(COOKIE).into_iter();
        let texts = all.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        texts
            .flat_map(|text| {
                let split = text.split(';').map(|cookie| cookie.trim().to_owned());
                split.filter(|cookie| !cookie.is_empty()).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Name in lower case and value of each header, also those that AWS adds.
    fn header_pairs(&self) -> impl Iterator<Item = (String, String)> {
        let port = self.host().rsplit_once(':').map_or("80", |(_, port)| port);
        let added = [
            ("x-forwarded-for", SOURCE_IP),
            ("x-forwarded-port", port),
            ("x-forwarded-proto", "http"),
        ];
        let added = added
            .into_iter()
            .filter(|(name, _)| !self.parts.headers.contains_key(*name));
        let mut all: Vec<(String, String)> = texts(&self.parts.headers).collect();
        all.extend(added.map(|(name, value)| (name.to_owned(), value.to_owned())));
        // In HTTP/2, the URI names the host.
        if !self.parts.headers.contains_key(HOST) {
            all.push(("host".to_owned(), self.host().to_owned()));
        }
        all.into_iter()
    }

    fn host(&self) -> &str {
        match header(self.parts, HOST.as_str()) {
            "" => self
                .parts
                .uri
                .authority()
                .map_or("", |authority| authority.as_str()),
            host => host,
        }
    }

    fn joined_headers(&self) -> Value {
        let named = self.header_pairs().filter(|(name, _)| name != COOKIE.as_str());
        Value::Object(joined(named))
    }

    /// The body, and whether it is in base64.
    fn content(&self) -> (Option<String>, bool) {
        if self.body.is_empty() {
            return (None, false);
        }
        let is_text = is_text(header(self.parts, CONTENT_TYPE.as_str()))
            && !self.parts.headers.contains_key(CONTENT_ENCODING);
        match std::str::from_utf8(self.body) {
            Ok(text) if is_text => (Some(text.to_owned()), false),
            _ => (Some(base64_simd::STANDARD.encode_to_string(self.body)), true),
        }
    }
}

/// Whether the body of a request with this content type is text in an event. All others are in base64, also forms and
/// bodies without a type.
fn is_text(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    let known = ["application/json", "application/xml", "application/javascript"];
    kind.starts_with("text/") || known.contains(&kind.as_str())
}

fn texts(headers: &HeaderMap) -> impl Iterator<Item = (String, String)> {
    headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    })
}

/// The values of each name.
fn grouped(pairs: impl Iterator<Item = (String, String)>) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs {
        all.entry(name).or_default().push(value);
    }
    all
}

/// The values of each name, joined by commas.
fn joined(pairs: impl Iterator<Item = (String, String)>) -> Map<String, Value> {
    grouped(pairs)
        .into_iter()
        .map(|(name, values)| (name, Value::String(values.join(","))))
        .collect()
}

/// The spelling of a header name in format 1.0: API Gateway writes these with capitals, and the others as the client did,
/// in lower case over HTTP/2.
fn title(name: &str) -> String {
    match name {
        "content-length" => "Content-Length",
        "host" => "Host",
        "user-agent" => "User-Agent",
        "x-amzn-trace-id" => "X-Amzn-Trace-Id",
        "x-forwarded-for" => "X-Forwarded-For",
        "x-forwarded-port" => "X-Forwarded-Port",
        "x-forwarded-proto" => "X-Forwarded-Proto",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests;
