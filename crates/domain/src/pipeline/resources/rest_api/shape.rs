//! The methods and responses of a REST API as API Gateway describes them, and what of that counts.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Api, Route};

const JSON: &str = "application/json";
const ORIGIN: &str = "Access-Control-Allow-Origin";
/// The types of gateway responses that cover all others.
const GATEWAY_RESPONSES: [&str; 2] = ["DEFAULT_4XX", "DEFAULT_5XX"];

/// The answer to an accepted request.
const ACCEPTED: &str = r#"{"message": "Data sent to Kinesis successfully", "record_id": $input.json('$.SequenceNumber'), "shard_id": $input.json('$.ShardId')}"#;
/// The answer to an error of Kinesis. A throttled request may be sent again.
/// Source: "Errors", PutRecord, Kinesis API reference.
const REFUSED: &str = r#"#set($type = $input.json('$.__type'))
#if($type.contains("Throttl") || $type.contains("ThroughputExceeded") || $type.contains("LimitExceeded"))
#set($context.responseOverride.status = 503)
#set($context.responseOverride.header.Retry-After = "1")
{"message": "Kinesis does not accept the record at the moment; try again"}
#else
{"message": "The record could not be sent to Kinesis"}
#end
"#;
const FAILED: &str = r#"{"message": "Kinesis does not accept the record at the moment; try again"}"#;

impl Api<'_> {
    /// All methods, by route: those that are declared, and OPTIONS for each path if there is CORS.
    pub(super) fn methods(&self) -> BTreeMap<String, Value> {
        let mut methods = BTreeMap::new();
        for route in &self.declared.routes {
            methods.insert(route.route.clone(), self.method(route));
        }
        if let Some(headers) = self.cors_headers() {
            for route in &self.declared.routes {
                let path = route.route.split(' ').nth(1).unwrap_or_default();
                methods.insert(format!("OPTIONS {path}"), preflight(&headers));
            }
        }
        methods
            .into_iter()
            .map(|(name, method)| (name, counted(&method)))
            .collect()
    }

    fn method(&self, route: &Route) -> Value {
        let origin = self.origin();
        let origin = origin.as_ref().map(|origin| (ORIGIN, origin.as_str()));
        let headers: BTreeMap<&str, &str> = origin.into_iter().collect();
        let accepted = route.response.as_deref().unwrap_or(ACCEPTED);
        let responses = [
            ("200", None, accepted),
            ("500", Some("4\\d{2}"), REFUSED),
            ("503", Some("5\\d{2}"), FAILED),
        ];
        let responses = responses.map(|(status, pattern, template)| {
            let parameters = parameters(&headers);
            let response = json!({
                "statusCode": status, "selectionPattern": pattern, "responseParameters": parameters,
                "responseTemplates": {JSON: template},
            });
            (status.to_owned(), response)
        });
        let responses: Map<String, Value> = responses.into_iter().collect();
        let (partition, region) = (&self.location.partition, &self.location.region);
        json!({
            "methodResponses": method_responses(&responses),
            "methodIntegration": {
                "type": "AWS",
                "httpMethod": "POST",
                "uri": format!("arn:{partition}:apigateway:{region}:kinesis:action/PutRecord"),
                "credentials": self.declared.role,
                "requestParameters": {"integration.request.header.Content-Type": "'application/x-amz-json-1.1'"},
                "requestTemplates": {JSON: request_template(route)},
                "passthroughBehavior": "NEVER",
                "timeoutInMillis": self.timeout_ms(),
                "integrationResponses": responses,
            },
        })
    }

    /// The origin that may read answers.
    fn origin(&self) -> Option<String> {
        self.declared.cors.as_ref()?.allow_origins.first().cloned()
    }

    /// The headers of the answer to a preflight.
    fn cors_headers(&self) -> Option<BTreeMap<&'static str, String>> {
        let cors = self.declared.cors.as_ref()?;
        let mut headers = BTreeMap::from([(ORIGIN, self.origin()?)]);
        let mut add = |name, value: String| {
            if !value.is_empty() {
                headers.insert(name, value);
            }
        };
        add("Access-Control-Allow-Methods", cors.allow_methods.join(","));
        add("Access-Control-Allow-Headers", cors.allow_headers.join(","));
        add("Access-Control-Expose-Headers", cors.expose_headers.join(","));
        let seconds = cors.max_age_seconds.map(|seconds| seconds.to_string());
        add("Access-Control-Max-Age", seconds.unwrap_or_default());
        if cors.allow_credentials {
            add("Access-Control-Allow-Credentials", "true".to_owned());
        }
        Some(headers)
    }

    /// Errors of the API itself have the header of CORS too.
    pub(super) fn gateway_responses(&self) -> BTreeMap<String, Value> {
        let Some(origin) = self.origin() else {
            return BTreeMap::new();
        };
        let header = format!("gatewayresponse.header.{ORIGIN}");
        let response = json!({"responseParameters": {header: format!("'{origin}'")}});
        let response = counted_gateway(&response);
        GATEWAY_RESPONSES
            .map(|kind| (kind.to_owned(), response.clone()))
            .into_iter()
            .collect()
    }

    /// The description of a deployment of what is declared. API Gateway does not show what a deployment has, so that its
    /// description says it.
    pub(super) fn version(&self) -> String {
        let all = json!([self.methods(), self.gateway_responses()]);
        let hash = Sha256::digest(all.to_string().as_bytes());
        let hash: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        format!("streamctl {hash}")
    }
}

fn preflight(headers: &BTreeMap<&'static str, String>) -> Value {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let response = json!({"statusCode": "200", "responseParameters": parameters(&headers)});
    let responses = Map::from_iter([("200".to_owned(), response)]);
    json!({
        "methodResponses": method_responses(&responses),
        "methodIntegration": {
            "type": "MOCK",
            "requestTemplates": {JSON: "{\"statusCode\": 200}"},
            "passthroughBehavior": "WHEN_NO_MATCH",
            "timeoutInMillis": super::TIMEOUT_MS,
            "integrationResponses": responses,
        },
    })
}

/// Headers of a response, with fixed values.
fn parameters(headers: &BTreeMap<&str, &str>) -> Map<String, Value> {
    let headers = headers.iter();
    headers
        .map(|(name, value)| {
            (
                format!("method.response.header.{name}"),
                json!(format!("'{value}'")),
            )
        })
        .collect()
}

/// The responses that the method declares for those of its integration.
fn method_responses(responses: &Map<String, Value>) -> Map<String, Value> {
    let of = |(status, response): (&String, &Value)| {
        let names = response["responseParameters"].as_object().into_iter().flatten();
        let names: Map<String, Value> = names.map(|(name, _)| (name.clone(), json!(false))).collect();
        (
            status.clone(),
            json!({"statusCode": status, "responseParameters": names}),
        )
    };
    responses.iter().map(of).collect()
}

/// The request that puts a record. A quote in a text of a template is doubled.
fn request_template(route: &Route) -> String {
    let quoted = |template: &str| template.replace('"', "\"\"");
    let line_end = if route.newline { "\n" } else { "" };
    let record = route.record.as_deref().unwrap_or("$input.body");
    let key = route.partition_key.as_deref().unwrap_or("$context.requestId");
    format!(
        "#set($record = \"{}{line_end}\")\n#set($key = \"{}\")\n{{\"StreamName\": \"{}\", \"PartitionKey\": \"$key\", \"Data\": \
         \"$util.base64Encode($record)\"}}\n",
        quoted(record.trim_end()),
        quoted(key),
        route.stream,
    )
}

/// What counts of a method, in one form: members that are empty are absent.
pub(super) fn counted(method: &Value) -> Value {
    let integration = &method["methodIntegration"];
    let kept = |value: &Value, names: &[&str]| {
        let members = names.iter().map(|name| ((*name).to_owned(), value[name].clone()));
        let members = members.filter(|(_, value)| !is_empty(value));
        members.collect::<BTreeMap<_, _>>()
    };
    let each = |value: &Value, names: &[&str]| {
        let all = value.as_object().into_iter().flatten();
        let all = all.map(|(name, value)| (name.clone(), json!(kept(value, names))));
        all.collect::<BTreeMap<_, _>>()
    };
    let names = [
        "type",
        "httpMethod",
        "uri",
        "credentials",
        "requestParameters",
        "requestTemplates",
        "passthroughBehavior",
        "timeoutInMillis",
    ];
    let response = ["selectionPattern", "responseParameters", "responseTemplates"];
    sorted(&json!({
        "integration": kept(integration, &names),
        "responses": each(&integration["integrationResponses"], &response),
        "declared": each(&method["methodResponses"], &["responseParameters"]),
    }))
}

/// What counts of a gateway response. Its template is the default unless it is set.
pub(super) fn counted_gateway(response: &Value) -> Value {
    sorted(&json!({"responseParameters": response["responseParameters"]}))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// With members by name, since a service may show them in any order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<&String, Value> =
                map.iter().map(|(name, value)| (name, sorted(value))).collect();
            json!(map)
        }
        other => other.clone(),
    }
}

/// A few words on a method or a gateway response.
pub(super) fn words(counted: &Value) -> String {
    let integration = &counted["integration"];
    match integration["type"].as_str() {
        Some("MOCK") => "CORS".to_owned(),
        Some(_) => {
            let template = integration["requestTemplates"][JSON].as_str().unwrap_or_default();
            let name = template.split("\"StreamName\": \"").nth(1);
            match name.and_then(|rest| rest.split('"').next()) {
                Some(stream) => format!("PutRecord to {stream}"),
                None => "integration".to_owned(),
            }
        }
        None => "headers of CORS".to_owned(),
    }
}
