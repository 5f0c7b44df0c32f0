//! Operations that are called again and again, from the parts of the SDK that a call needs.
//!
//! A client of the SDK prepares each call anew, with some fifteen interceptors, which costs more than its signature. Here all
//! that calls have in common is prepared once. The rules of endpoints, credentials, signatures, connections and time limits
//! are the SDK's.

use std::fmt;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_runtime::user_agent::{ApiMetadata, AwsUserAgent};
use aws_sdk_kinesis::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::endpoint::EndpointResolverParams;
use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::os_shim_internal::Env;
use bytes::Bytes;
use data_plane::wire::{Format, Malformed};
use futures_util::FutureExt as _;
use ground::error::find_cause;
use http_body_util::BodyExt as _;

use super::failure::metadata;
use super::signing::signer;
use crate::context::formats::{Answered, Formats};

/// The failure of a call.
pub(crate) type CallError = SdkError<ErrorMetadata, HttpResponse>;

/// What an operation is.
pub(super) struct Description<T> {
    pub(super) name: &'static str,
    /// Reads a success.
    pub(super) read: fn(Format, Bytes) -> Result<T, Malformed>,
    /// Whether a call changes something, so that it is not repeated if it may have been carried out.
    pub(super) has_effect: bool,
}

/// An operation of the data plane of Kinesis. What its calls have in common is prepared.
#[derive(Debug)]
pub(super) struct PreparedOperation<T> {
    operation: Operation<Request, Reply<T>, ErrorMetadata>,
    formats: Formats,
    has_effect: bool,
}

/// Whether or not an answer can be cloned.
impl<T> Clone for PreparedOperation<T> {
    fn clone(&self) -> Self {
        Self {
            operation: self.operation.clone(),
            formats: self.formats.clone(),
            has_effect: self.has_effect,
        }
    }
}

/// What the calls of a context have in common.
#[derive(Debug, Clone)]
pub(crate) struct DataPlane {
    /// With the endpoint of Kinesis.
    config: SdkConfig,
    watch: Option<SharedInterceptor>,
    formats: Formats,
}

impl DataPlane {
    pub(crate) fn new(config: SdkConfig, formats: Formats) -> Self {
        Self {
            config,
            watch: None,
            formats,
        }
    }

    /// `watch` sees all calls.
    pub(crate) fn watched(self, watch: SharedInterceptor) -> Self {
        Self {
            watch: Some(watch),
            ..self
        }
    }

    /// The time limits of calls, unless a call has its own.
    pub(super) fn time_limits(&self) -> TimeoutConfig {
        let none = || TimeoutConfig::builder().build();
        self.config.timeout_config().cloned().unwrap_or_else(none)
    }

    /// Prepares an operation. Its endpoint may depend on the ARN of the stream.
    pub(super) fn operation<T>(
        &self,
        description: Description<T>,
        stream_arn: Option<String>,
        limits: TimeoutConfig,
    ) -> PreparedOperation<T>
    where
        T: Send + Sync + 'static,
    {
        let Description {
            name,
            read,
            has_effect,
        } = description;
        let target = format!("Kinesis_20131202.{name}");
        let api = ApiMetadata::new("kinesis", aws_sdk_kinesis::meta::PKG_VERSION);
        let mut agent = AwsUserAgent::new_from_environment(Env::real(), api);
        if let Some(name) = self.config.app_name() {
            agent.set_app_name(name.clone());
        }
        let agents = [
            ("user-agent", agent.ua_header()),
            ("x-amz-user-agent", agent.aws_ua_header()),
        ];
        let operation = Operation::builder()
            .service_name("Kinesis")
            .operation_name(name)
            .behavior_version(BehaviorVersion::latest())
            .no_retry()
            .retry_classifier(TransientErrorClassifier::<ErrorMetadata>::new())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .with_connection_poisoning()
            .timeout_config(limits)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .runtime_plugin(self.parts(stream_arn))
            .serializer(move |request: Request| request.into_http(&target, &agents))
            .deserializer(move |response: &HttpResponse| answer(response, read))
            .build();
        PreparedOperation {
            operation,
            formats: self.formats.clone(),
            has_effect,
        }
    }

    /// What the SDK's client of Kinesis puts together for each call.
    fn parts(&self, stream_arn: Option<String>) -> StaticRuntimePlugin {
        let config = &self.config;
        let region = config.region().cloned();
        let (mut layer, components) = signer(config, "kinesis", region.clone());
        let endpoint = Params::builder()
            .set_region(region.map(|region| region.to_string()))
            .set_use_fips(config.use_fips())
            .set_use_dual_stack(config.use_dual_stack())
            .set_endpoint(config.endpoint_url().map(str::to_owned))
            .set_account_id_endpoint_mode(Some(
                config
                    .account_id_endpoint_mode()
                    .cloned()
                    .unwrap_or_default()
                    .to_string(),
            ))
            .set_operation_type(Some("data".to_owned()))
            .set_stream_arn(stream_arn)
            .build();
        if let Ok(endpoint) = endpoint {
            layer.store_put(EndpointResolverParams::new(endpoint));
        }
        let mut components = components
            .with_http_client(config.http_client())
            .with_endpoint_resolver(Some(DefaultResolver::new().into_shared_resolver()));
        components.extend_interceptors(self.watch.clone().into_iter());
        StaticRuntimePlugin::new()
            .with_config(layer.freeze())
            .with_runtime_components(components)
    }
}

impl<T: Send + Sync + 'static> PreparedOperation<T> {
    /// Makes the call with the body that `body` writes in a format. An endpoint that refuses CBOR gets JSON.
    ///
    /// # Errors
    /// Those of the SDK. `SdkError::ResponseError` has a body that could not be read.
    pub(super) async fn send(&self, body: impl Fn(Format) -> Bytes) -> Result<T, CallError> {
        loop {
            let format = self.formats.current();
            let request = Request {
                format,
                body: body(format),
            };
            let sent = self.operation.invoke(request).await;
            let learned = answered(&sent).filter(|_| format == Format::Cbor);
            if learned.is_some_and(|answered| self.formats.learn(&answered, self.has_effect)) {
                continue;
            }
            return sent.map(|reply| reply.answer);
        }
    }
}

/// What an endpoint has answered; `None` for no answer.
fn answered<T>(sent: &Result<Reply<T>, CallError>) -> Option<Answered> {
    let (response, code) = match sent {
        Ok(reply) => {
            return Some(Answered {
                status: 200,
                format: reply.format,
                code: None,
                is_read: true,
                is_page: false,
            });
        }
        Err(SdkError::ServiceError(refused)) => (refused.raw(), refused.err().code().map(str::to_owned)),
        // A success that was cut off says nothing of the format.
        Err(failure @ SdkError::ResponseError(unread))
            if !unread.raw().status().is_success() || find_cause::<Malformed>(failure).is_some() =>
        {
            (unread.raw(), None)
        }
        Err(_) => return None,
    };
    let content_type = response.headers().get("content-type");
    Some(Answered {
        status: response.status().as_u16(),
        format: Format::of(content_type),
        code,
        is_read: false,
        is_page: content_type.is_some_and(|kind| kind.starts_with("text/html")),
    })
}

/// A call, without what all calls have in common.
struct Request {
    format: Format,
    body: Bytes,
}

impl Request {
    fn into_http(self, target: &str, agents: &[(&'static str, String)]) -> Result<HttpRequest, BoxError> {
        let length = self.body.len().to_string();
        let mut request = HttpRequest::new(SdkBody::from(self.body));
        request.set_method("POST")?;
        request.set_uri("/")?;
        let headers = request.headers_mut();
        headers.insert("content-type", self.format.content_type());
        headers.insert("content-length", length);
        headers.insert("x-amz-target", target.to_owned());
        for (name, agent) in agents {
            headers.insert(*name, agent.clone());
        }
        Ok(request)
    }
}

struct Reply<T> {
    format: Format,
    answer: T,
}

/// Without the body, which has the user's data.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// Without the answer, which has the user's data.
impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

fn answer<T>(
    response: &HttpResponse,
    read: fn(Format, Bytes) -> Result<T, Malformed>,
) -> Result<Reply<T>, OrchestratorError<ErrorMetadata>> {
    if !response.status().is_success() {
        return Err(OrchestratorError::operation(metadata(response)));
    }
    let format = Format::of(response.headers().get("content-type"));
    let answer = read(format, body_of(response)).map_err(OrchestratorError::other)?;
    Ok(Reply { format, answer })
}

/// The body of an answer that is in memory. No bytes are copied.
fn body_of(response: &HttpResponse) -> Bytes {
    let body = response.body();
    let whole = body.try_clone().and_then(|body| body.collect().now_or_never());
    match whole {
        Some(Ok(whole)) => whole.to_bytes(),
        _ => Bytes::copy_from_slice(body.bytes().unwrap_or_default()),
    }
}
