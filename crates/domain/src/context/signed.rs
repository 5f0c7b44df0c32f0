//! Calls of services that need no client: requests that are signed with the credentials of the context, and sent with the
//! retries of the SDK. The answers are in JSON, unless the caller reads them itself.

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_runtime::service_clock_skew::ServiceClockSkewClassifier;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;
use serde_json::{Map, Value};

use super::Context;
use super::sdk::time_limits;
use crate::wire::{metadata, signer};
use ground::error::{self, Error, Result};

/// Which failures of a call are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retries {
    /// Those that the status of an answer tells: the service failed.
    Status,
    /// As by the clients of the SDK, also throttles and answers that do not come. For calls that change nothing.
    All,
}

/// A call.
pub(super) struct Call<'a> {
    /// The service's name in [`crate::settings::SERVICES`].
    pub service: &'static str,
    pub signing_name: &'static str,
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
    pub retries: Retries,
}

/// Reads an answer, also an error.
pub(super) type Read<T> = fn(&HttpResponse) -> Result<T, OrchestratorError<ErrorMetadata>>;

impl Context {
    /// Makes a call. `what` begins the sentence of an error. An answer without a body is null.
    ///
    /// # Errors
    /// Exit 4 without credentials, or if the service cannot be reached or denies the call; else exit 1.
    pub(super) async fn send_signed(&self, call: Call<'_>, what: String) -> Result<Value> {
        self.send(call, answer, what).await
    }

    /// As [`Context::send_signed`]. `read` reads the answer.
    ///
    /// # Errors
    /// As [`Context::send_signed`].
    pub(super) async fn send<T>(&self, call: Call<'_>, read: Read<T>, what: String) -> Result<T>
    where
        T: std::fmt::Debug + Send + Sync + 'static,
    {
        let Some(client) = self.sdk.config.http_client() else {
            return Err(Error::failed(what).cause("there is no HTTP client"));
        };
        let region = Region::new(call.region.to_owned());
        let (layer, components) = signer(&self.sdk.config, call.signing_name, Some(region));
        let signer = StaticRuntimePlugin::new()
            .with_config(layer.freeze())
            .with_runtime_components(components);
        let Call {
            method,
            path,
            headers,
            body,
            ..
        } = call;
        let path = path.to_owned();
        let operation = Operation::builder()
            .service_name(call.service)
            .operation_name(call.operation.to_owned())
            .behavior_version(BehaviorVersion::latest())
            .http_client(client)
            .endpoint_url(call.endpoint)
            .runtime_plugin(signer)
            .retry_classifier(HttpStatusCodeClassifier::default())
            .retry_classifier(ServiceClockSkewClassifier::<ErrorMetadata>::new())
            .timeout_config(time_limits(self.settings.timeout))
            .interceptor(self.sdk.watch.clone());
        let standard = RetryConfig::standard();
        let operation = match call.retries {
            Retries::Status => operation.standard_retry(&standard),
            Retries::All => operation
                .standard_retry(self.sdk.config.retry_config().unwrap_or(&standard))
                .retry_classifier(TransientErrorClassifier::<ErrorMetadata>::new())
                .retry_classifier(AwsErrorCodeClassifier::<ErrorMetadata>::new())
                .with_connection_poisoning(),
        };
        let operation = operation
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
}

/// The document of an answer, which is an object, or the error in it.
fn answer(response: &HttpResponse) -> Result<Value, OrchestratorError<ErrorMetadata>> {
    let bytes = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        let document: Option<Map<String, Value>> =
            serde_json::from_slice(bytes).map_err(OrchestratorError::other)?;
        return Ok(document.map_or(Value::Null, Value::Object));
    }
    Err(OrchestratorError::operation(metadata(response)))
}
