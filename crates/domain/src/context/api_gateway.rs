//! Calls of API Gateway: REST, with JSON bodies.
//!
//! No SDK client: an HTTP API or a REST API needs a dozen operations, and each client adds to the time of a build. Both
//! versions of the API have the same endpoint.

use std::net::IpAddr;

use http::Uri;
use serde_json::Value;

use super::signed::{Call, Retries};
use super::{Context, regions};
use ground::error::Result;

/// The name in [`crate::settings::SERVICES`].
const SERVICE: &str = "ApiGatewayV2";

impl Context {
    /// Calls the API. `path` is percent-encoded and begins with `/v2/`, or with `/restapis` or `/tags` in version 1; `what` begins the sentence of an error.
    /// An answer without a body is null.
    ///
    /// # Errors
    /// Exit 4 without credentials, or if the service cannot be reached or denies the call; else exit 1.
    pub(crate) async fn call_api_gateway(
        &self,
        method: &'static str,
        path: &str,
        input: Option<&Value>,
        what: String,
    ) -> Result<Value> {
        let aws = format!("https://apigateway.{}.{}", self.region(), self.dns_suffix());
        let endpoint = self.sdk.endpoints.of(SERVICE).unwrap_or(&aws);
        let mut headers = Vec::new();
        let mut body = Vec::new();
        if let Some(input) = input {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
            body = input.to_string().into_bytes();
        }
        let call = Call {
            service: SERVICE,
            signing_name: "apigateway",
            region: self.region(),
            endpoint,
            operation: path,
            method,
            path,
            headers,
            body,
            retries: Retries::Status,
        };
        self.send_signed(call, what).await
    }

    /// Where an API is served, without the stage: at a host of its own.
    /// Source: "Invoke REST APIs in API Gateway", API Gateway developer guide.
    pub(crate) fn api_endpoint(&self, id: &str) -> String {
        let suffix = self.dns_suffix();
        let of_aws = |uri: &Uri| uri.host().is_none_or(|host| host.ends_with(suffix));
        let foreign = self
            .sdk
            .endpoints
            .of(SERVICE)
            .and_then(|endpoint| endpoint.parse().ok());
        // An interface endpoint of API Gateway serves no APIs.
        match foreign.filter(|uri| !of_aws(uri)) {
            Some(endpoint) => emulated(id, &endpoint),
            None => format!("https://{id}.execute-api.{}.{suffix}", self.region()),
        }
    }

    fn dns_suffix(&self) -> &'static str {
        regions::dns_suffix(self.region())
    }
}

/// Where LocalStack and ministack serve an API: below the name of their endpoint.
fn emulated(id: &str, endpoint: &Uri) -> String {
    let host = endpoint.host().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    // There are no names below an address.
    let host = if address.is_ok_and(|address| address.is_loopback()) {
        "localhost"
    } else {
        host
    };
    let scheme = endpoint.scheme_str().unwrap_or("http");
    let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{id}.execute-api.{host}{port}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline::resources::test_support::Endpoint;

    #[tokio::test]
    async fn calls_are_rest_and_errors_have_their_class() {
        let endpoint = Endpoint::start(|call, body| match call {
            "POST /v2/apis" => (201, body.to_owned()),
            "DELETE /v2/apis/a" => (204, String::new()),
            _ => (
                404,
                r#"{"message":"Invalid API identifier specified","code":"NotFoundException"}"#.to_owned(),
            ),
        })
        .await;
        let call = async |method, path, input: Option<&Value>| {
            endpoint
                .context
                .call_api_gateway(method, path, input, "could not".to_owned())
                .await
        };
        let input = json!({"name": "a"});
        assert_eq!(call("POST", "/v2/apis", Some(&input)).await.unwrap(), input);
        assert_eq!(call("DELETE", "/v2/apis/a", None).await.unwrap(), Value::Null);
        let error = call("GET", "/v2/apis/b", None).await.unwrap_err();
        assert!(error.is_not_found(), "{error:?}");
    }

    #[test]
    fn an_emulator_serves_an_api_below_its_name() {
        for (endpoint, url) in [
            ("http://127.0.0.1:4566", "http://a1.execute-api.localhost:4566"),
            ("http://[::1]:4566/", "http://a1.execute-api.localhost:4566"),
            ("http://localhost:4566", "http://a1.execute-api.localhost:4566"),
            ("https://aws.test", "https://a1.execute-api.aws.test"),
        ] {
            assert_eq!(emulated("a1", &endpoint.parse().unwrap()), url);
        }
    }
}
