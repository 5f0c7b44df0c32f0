//! Access logs of HTTP APIs: a line for each request, written as the format of the stage says.
//!
//! Source: "Customize HTTP API access logs", API Gateway developer guide.

use std::time::Duration;

use http::header::USER_AGENT;
use http::request::Parts;

use super::model::Api;
use crate::clock::utc;
use crate::web::address::{self, Kind};
use crate::web::event::SOURCE_IP;

/// What begins a variable.
const CONTEXT: &str = "$context.";

/// A request that was answered.
pub(super) struct Answered<'a> {
    pub api: &'a Api,
    pub stage: &'a str,
    /// `None` if no route fits the request.
    pub route_key: Option<&'a str>,
    pub parts: &'a Parts,
    /// With the stage if that is part of the URL.
    pub path: &'a str,
    pub request_id: &'a str,
    pub status: u16,
    /// The size of the body of the response, in bytes.
    pub length: u64,
    /// The error, if the API answered it and not the function.
    pub error: Option<&'a str>,
    pub latency: Duration,
    /// `None` if the function was not invoked.
    pub integration_latency: Option<Duration>,
    pub now_ms: i64,
}

impl Answered<'_> {
    /// The line of the request. A variable that has no value is `-`.
    pub fn line(&self, format: &str) -> String {
        let mut line = String::new();
        let mut rest = format;
        while let Some((before, after)) = rest.split_once(CONTEXT) {
            line.push_str(before);
            let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
            let end = after.find(|c| !is_of_name(c)).unwrap_or(after.len());
            let name = after[..end].trim_end_matches('.');
            line.push_str(self.value(name).as_deref().unwrap_or("-"));
            rest = &after[name.len()..];
        }
        line.push_str(rest);
        line
    }

    fn value(&self, name: &str) -> Option<String> {
        let ms = |time: Duration| time.as_millis().to_string();
        let Api {
            id, account, region, ..
        } = self.api;
        Some(match name {
            "accountId" => account.clone(),
            "apiId" | "domainPrefix" => id.clone(),
            "domainName" => address::domain(Kind::HttpApi, id, region),
            "error.message" | "error.messageString" => self.error?.to_owned(),
            "extendedRequestId" | "requestId" => self.request_id.to_owned(),
            "httpMethod" => self.parts.method.to_string(),
            "identity.sourceIp" => SOURCE_IP.to_owned(),
            "identity.userAgent" => {
                let agent = self.parts.headers.get(USER_AGENT)?.to_str().ok()?;
                // A client chooses it: it must not look like another member of a line in JSON.
                agent.replace('\\', "\\\\").replace('"', "\\\"")
            }
            "integrationErrorMessage" | "integration.error" => {
                self.integration_latency.and(self.error)?.to_owned()
            }
            "integrationLatency" | "integration.latency" => ms(self.integration_latency?),
            // Of Lambda, not of the function.
            "integrationStatus" | "integration.status" if self.error.is_none() => {
                self.integration_latency.map(|_| "200".to_owned())?
            }
            "path" => self.path.to_owned(),
            "protocol" => format!("{:?}", self.parts.version),
            "requestTime" => utc(self.now_ms, "%d/%b/%Y:%H:%M:%S +0000"),
            "requestTimeEpoch" => (self.now_ms / 1000).to_string(),
            "responseLatency" => ms(self.latency),
            "responseLength" => self.length.to_string(),
            "routeKey" => self.route_key?.to_owned(),
            "stage" => self.stage.to_owned(),
            "status" => self.status.to_string(),
            _ => return None,
        })
    }
}

/// The name of the log group in the ARN of a destination, which may end in `:*`.
pub(super) fn group(destination: &str) -> Option<&str> {
    let (_, group) = destination.split_once(":log-group:")?;
    group.split(':').next()
}
