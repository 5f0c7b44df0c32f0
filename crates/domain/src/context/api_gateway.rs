//! Calls of API Gateway: REST, with JSON bodies.
//!
//! No SDK client: an HTTP API or a REST API needs a dozen operations, and each client adds to the time of a build. Both
//! versions of the API have the same endpoint.

use serde_json::Value;

use super::Context;
use super::signed::Call;
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
        };
        self.send_signed(call, what).await
    }

    /// Where AWS serves an API, without the stage.
    /// Source: "Invoke REST APIs in API Gateway", API Gateway developer guide.
    pub(crate) fn api_endpoint(&self, id: &str) -> String {
        format!("https://{id}.execute-api.{}.{}", self.region(), self.dns_suffix())
    }

    /// Source: "Amazon API Gateway endpoints and quotas", AWS general reference.
    pub(super) fn dns_suffix(&self) -> &'static str {
        match self.partition() {
            "aws-cn" => "amazonaws.com.cn",
            _ => "amazonaws.com",
        }
    }
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
}
