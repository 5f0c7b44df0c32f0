//! Calls of services that need no client: requests that are signed with the credentials of the context, and sent with the
//! retries of the SDK. The answers are in JSON, unless the caller reads them itself.

use std::time::SystemTime;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::HttpStatusCodeClassifier;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;
use serde_json::Value;

use super::Context;
use super::sdk::time_limits;
use crate::wire::metadata;
use ground::error::{self, Error, Result};

/// A call.
pub(super) struct Call<'a> {
    /// The service's name in [`crate::settings::SERVICES`].
    pub service: &'static str,
    pub signing_name: &'a str,
    pub region: &'a str,
    /// Without a path.
    pub endpoint: &'a str,
    /// For logs.
    pub operation: &'a str,
    pub method: &'static str,
    /// Percent-encoded, with the query.
    pub path: &'a str,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Reads an answer, also an error.
pub(super) type Read<T> = fn(&HttpResponse) -> Result<T, OrchestratorError<ErrorMetadata>>;

impl Context {
    /// Makes a call. `what` begins the sentence of an error. An answer without a body is null.
    ///
    /// # Errors
    /// Exit 4 without credentials, or if the service cannot be reached or denies the call; else exit 1.
    pub(super) async fn send_signed(&self, call: Call<'_>, what: String) -> Result<Value> {
        let headers = self.signature(&call).await?;
        self.send(call, headers, answer, what).await
    }

    /// Sends a request with these headers. `read` reads its answer.
    ///
    /// # Errors
    /// As [`Context::send_signed`].
    pub(super) async fn send<T>(
        &self,
        call: Call<'_>,
        headers: Vec<(String, String)>,
        read: Read<T>,
        what: String,
    ) -> Result<T>
    where
        T: std::fmt::Debug + Send + Sync + 'static,
    {
        let Some(client) = self.sdk.config.http_client() else {
            return Err(Error::failed(what).cause("there is no HTTP client"));
        };
        let Call {
            method, path, body, ..
        } = &call;
        let (method, path, body) = (*method, (*path).to_owned(), body.clone());
        let operation = Operation::builder()
            .service_name(call.service)
            .operation_name(call.operation.to_owned())
            .behavior_version(BehaviorVersion::latest())
            .http_client(client)
            .endpoint_url(call.endpoint)
            .no_auth()
            .standard_retry(&RetryConfig::standard())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .timeout_config(time_limits(self.settings.timeout))
            .interceptor(self.sdk.watch.clone())
            .serializer(move |()| {
                let mut request = http::Request::builder().method(method).uri(&path);
                for (name, value) in &headers {
                    request = request.header(name, value);
                }
                Ok(HttpRequest::try_from(request.body(SdkBody::from(body.clone()))?)?)
            })
            .deserializer(read)
            .build();
        let answered = operation.invoke(()).await;
        answered.map_err(|failure| error::aws::failed(what, failure))
    }

    /// The headers of a request, with its signature.
    pub(super) async fn signature(&self, call: &Call<'_>) -> Result<Vec<(String, String)>> {
        let failed = |cause: String| Error::failed("could not sign the request").cause(cause);
        let identity = self.credentials().await?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(call.region)
            .name(call.signing_name)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| failed(error.to_string()))?
            .into();
        let url = format!("{}{}", call.endpoint.trim_end_matches('/'), call.path);
        let plain = call
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let body = SignableBody::Bytes(&call.body);
        let signable =
            SignableRequest::new(call.method, url, plain, body).map_err(|error| failed(error.to_string()))?;
        let (instructions, _) = sign(signable, &params)
            .map_err(|error| failed(error.to_string()))?
            .into_parts();
        let signature = instructions.headers();
        let signature = signature.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut headers = call.headers.clone();
        headers.extend(signature);
        Ok(headers)
    }
}

/// The document of an answer, or the error in it.
fn answer(response: &HttpResponse) -> Result<Value, OrchestratorError<ErrorMetadata>> {
    let bytes = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        return serde_json::from_slice(bytes).map_err(OrchestratorError::other);
    }
    Err(OrchestratorError::operation(metadata(response)))
}
