//! Calls of services that need no client: AWS JSON 1.1, signed with the credentials of the context.
//!
//! The clients of the AWS Price List and of Cost Explorer are large, and one operation of each is called.

use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::HttpStatusCodeClassifier;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;
use serde_json::Value;

use super::Context;
use ground::error::{self, Error, Result};

/// A service that is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonApi {
    /// Its name in [`crate::settings::SERVICES`].
    pub service: &'static str,
    pub signing_name: &'static str,
    /// The region of the endpoint, whatever the region of the context is.
    pub region: &'static str,
    /// AWS's endpoint.
    pub endpoint: String,
    /// What stands before the operation in `X-Amz-Target`.
    pub target: &'static str,
}

impl Context {
    /// Calls `operation`. `what` begins the sentence of an error.
    ///
    /// # Errors
    /// Exit 2 for the local cloud, which has no such service; exit 4 without credentials, or if the service cannot be reached
    /// or denies the call; else exit 1.
    pub async fn call_json(
        &self,
        api: &JsonApi,
        operation: &str,
        input: &Value,
        what: String,
    ) -> Result<Value> {
        if self.is_local() {
            return Err(Error::usage(what)
                .cause(format!("the local cloud has no {}", api.service))
                .hint("add --target aws"));
        }
        let endpoint = self.sdk.endpoints.of(api.service).unwrap_or(&api.endpoint);
        let body = input.to_string().into_bytes();
        let headers = self.signed(api, endpoint, operation, &body).await?;
        let Some(client) = self.sdk.config.http_client() else {
            return Err(Error::failed(what).cause("there is no HTTP client"));
        };
        let limits = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(Duration::from_secs(30))
            .operation_timeout(Duration::from_secs(60));
        let operation = Operation::builder()
            .service_name(api.service)
            .operation_name(operation.to_owned())
            .behavior_version(BehaviorVersion::latest())
            .http_client(client)
            .endpoint_url(endpoint)
            .no_auth()
            .standard_retry(&RetryConfig::standard())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .timeout_config(limits.build())
            .serializer(move |()| {
                let mut request = http::Request::post("/");
                for (name, value) in &headers {
                    request = request.header(name, value);
                }
                Ok(HttpRequest::try_from(request.body(SdkBody::from(body.clone()))?)?)
            })
            .deserializer(answer)
            .build();
        let answered = operation.invoke(()).await;
        answered.map_err(|failure| error::aws::failed(what, failure))
    }

    /// The headers of a request, with its signature.
    async fn signed(
        &self,
        api: &JsonApi,
        endpoint: &str,
        operation: &str,
        body: &[u8],
    ) -> Result<Vec<(String, String)>> {
        let failed = |cause: String| Error::failed("could not sign the request").cause(cause);
        let identity = self.credentials().await?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(api.region)
            .name(api.signing_name)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| failed(error.to_string()))?
            .into();
        let url = format!("{}/", endpoint.trim_end_matches('/'));
        let mut headers = vec![
            ("content-type".to_owned(), "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target".to_owned(), format!("{}.{operation}", api.target)),
        ];
        let plain = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let signable = SignableRequest::new("POST", url, plain, SignableBody::Bytes(body))
            .map_err(|error| failed(error.to_string()))?;
        let (instructions, _) = sign(signable, &params)
            .map_err(|error| failed(error.to_string()))?
            .into_parts();
        let signature = instructions.headers();
        let signature = signature.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let signature: Vec<_> = signature.collect();
        headers.extend(signature);
        Ok(headers)
    }
}

/// The document of an answer, or the error in it.
fn answer(response: &HttpResponse) -> Result<Value, OrchestratorError<ErrorMetadata>> {
    let bytes = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        return serde_json::from_slice(bytes).map_err(OrchestratorError::other);
    }
    let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = |names: [&str; 2]| names.iter().find_map(|name| document.get(name)?.as_str());
    let mut metadata = ErrorMetadata::builder();
    // Such as `com.amazonaws.pricing#ThrottlingException`.
    if let Some(code) = text(["__type", "code"]) {
        metadata = metadata.code(code.rsplit('#').next().unwrap_or(code));
    }
    if let Some(message) = text(["message", "Message"]) {
        metadata = metadata.message(message);
    }
    Err(OrchestratorError::operation(metadata.build()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline::resources::test_support::Endpoint;
    use ground::exit::Exit;

    fn api() -> JsonApi {
        JsonApi {
            service: "Pricing",
            signing_name: "pricing",
            region: "us-east-1",
            endpoint: "http://127.0.0.1:9".to_owned(),
            target: "AWSPriceListService",
        }
    }

    #[tokio::test]
    async fn a_call_is_signed_and_its_answer_read() {
        let endpoint = Endpoint::start(|call, body| {
            assert_eq!(
                (call, body),
                ("GetProducts", r#"{"ServiceCode":"AmazonKinesis"}"#)
            );
            (200, r#"{"PriceList":[]}"#.to_owned())
        })
        .await;
        let input = json!({"ServiceCode": "AmazonKinesis"});
        let api = api();
        let headers = endpoint.context.signed(
            &api,
            "https://api.pricing.us-east-1.amazonaws.com",
            "GetProducts",
            b"{}",
        );
        let headers = headers.await.unwrap();
        let signature = headers.iter().find(|(name, _)| name == "authorization").unwrap();
        assert!(
            signature.1.contains("/us-east-1/pricing/aws4_request"),
            "{}",
            signature.1
        );
        assert!(
            signature.1.contains("content-type;host;x-amz-date;x-amz-target"),
            "{}",
            signature.1
        );
        let answer = endpoint
            .context
            .call_json(&api, "GetProducts", &input, "could not".to_owned())
            .await;
        assert_eq!(answer.unwrap(), json!({"PriceList": []}));
        assert_eq!(endpoint.calls(), ["GetProducts"]);
    }

    #[tokio::test]
    async fn a_refusal_is_an_error_of_the_caller() {
        let endpoint = Endpoint::start(|_, _| {
            let refused =
                json!({"__type": "com.amazonaws#AccessDeniedException", "Message": "no pricing:GetProducts"});
            (400, refused.to_string())
        })
        .await;
        let (api, input) = (api(), json!({}));
        let answer = endpoint
            .context
            .call_json(&api, "GetProducts", &input, "could not read".to_owned());
        let error = answer.await.unwrap_err();
        assert_eq!(error.exit(), Exit::Unreachable);
        assert_eq!(
            error.chain(),
            ["could not read", "AccessDeniedException: no pricing:GetProducts"]
        );
    }
}
