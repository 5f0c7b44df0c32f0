//! Operations that are called again and again, from the parts of the SDK that a call needs.
//!
//! A client of the SDK prepares each call anew, from some fifteen interceptors and ten plugins, which costs more than its
//! signature. Here all that calls have in common is prepared once, and is one plugin. The rules of endpoints, credentials,
//! signatures, connections and time limits are the SDK's.

use std::fmt;
use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_runtime::user_agent::{ApiMetadata, AwsUserAgent};
use aws_sdk_kinesis::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_smithy_runtime::client::defaults::{DefaultPluginParams, default_plugins};
use aws_smithy_runtime::client::http::connection_poisoning::ConnectionPoisoningInterceptor;
use aws_smithy_runtime::client::orchestrator;
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime::client::retries::strategy::NeverRetryStrategy;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::endpoint::EndpointResolverParams;
use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use aws_smithy_runtime_api::client::interceptors::context::{Error, Input, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, Metadata, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::{
    RuntimePlugin as _, RuntimePlugins, StaticRuntimePlugin,
};
use aws_smithy_runtime_api::client::ser_de::{
    DeserializeResponse, SerializeRequest, SharedRequestSerializer, SharedResponseDeserializer,
};
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::{ConfigBag, Layer};
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::os_shim_internal::Env;
use bytes::Bytes;
use data_plane::wire::{Format, Malformed};
use futures_util::FutureExt as _;
use ground::error::find_cause;
use http_body_util::BodyExt as _;
use tracing::Level;

use super::direct::Direct;
use super::failure::metadata;
use super::signing::signer;
use crate::context::Watch;
use crate::context::formats::{Answered, Formats};

/// The name of the service in logs.
const SERVICE: &str = "Kinesis";

/// The failure of a call.
pub(crate) type CallError = SdkError<ErrorMetadata, HttpResponse>;

/// Reads a body.
type Read<T> = fn(Format, Bytes) -> Result<T, Malformed>;

/// What an operation is.
pub(super) struct Description<T> {
    pub(super) name: &'static str,
    /// Reads a success.
    pub(super) read: Read<T>,
    /// Whether a call changes something, so that it is not repeated if it may have been carried out.
    pub(super) has_effect: bool,
}

/// An operation of the data plane of Kinesis. What its calls have in common is prepared.
#[derive(Debug)]
pub(super) struct PreparedOperation<T> {
    name: &'static str,
    /// One that has everything.
    plugins: RuntimePlugins,
    direct: Option<Arc<Direct>>,
    serializer: Arc<Serializer>,
    read: Read<T>,
    formats: Formats,
    has_effect: bool,
}

/// Whether or not an answer can be cloned.
impl<T> Clone for PreparedOperation<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            plugins: self.plugins.clone(),
            direct: self.direct.clone(),
            serializer: Arc::clone(&self.serializer),
            read: self.read,
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
    watch: Option<Watch>,
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
    pub(crate) fn watched(self, watch: Watch) -> Self {
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
        let api = ApiMetadata::new("kinesis", aws_sdk_kinesis::meta::PKG_VERSION);
        let mut agent = AwsUserAgent::new_from_environment(Env::real(), api);
        if let Some(name) = self.config.app_name() {
            agent.set_app_name(name.clone());
        }
        let agents = [
            ("user-agent", agent.ua_header()),
            ("x-amz-user-agent", agent.aws_ua_header()),
        ];
        let serializer = Arc::new(Serializer {
            target: format!("Kinesis_20131202.{name}"),
            agents,
        });
        let connect_limit = limits.connect_timeout();
        let has_limits = limits.operation_timeout().is_some() || limits.operation_attempt_timeout().is_some();
        let (mut layer, components) = self.parts(stream_arn);
        layer.store_put(Metadata::new(name, SERVICE));
        layer.store_put(RetryConfig::disabled());
        layer.store_put(RetryPartition::new(SERVICE));
        layer.store_put(StalledStreamProtectionConfig::disabled());
        layer.store_put(limits);
        layer.store_put(SharedRequestSerializer::new(Shared(Arc::clone(&serializer))));
        layer.store_put(SharedResponseDeserializer::new(Reader(read)));
        let own = components
            .with_retry_strategy(Some(NeverRetryStrategy::new()))
            .with_retry_classifier(TransientErrorClassifier::<ErrorMetadata>::new())
            .with_retry_classifier(HttpStatusCodeClassifier::default())
            .with_interceptor(SharedInterceptor::new(ConnectionPoisoningInterceptor::new()));
        let (layer, components) = (layer.freeze(), default_components().merge_from(&own));
        // The orchestration alone knows time limits.
        let direct = connect_limit.filter(|_| !has_limits).and_then(|connect_limit| {
            Direct::new(
                components.clone(),
                layer.clone(),
                connect_limit,
                self.watch.clone(),
            )
        });
        let plugin = StaticRuntimePlugin::new()
            .with_config(layer)
            .with_runtime_components(components);
        PreparedOperation {
            name,
            plugins: RuntimePlugins::new().with_client_plugin(plugin),
            direct: direct.map(Arc::new),
            serializer,
            read,
            formats: self.formats.clone(),
            has_effect,
        }
    }

    /// What the SDK's client of Kinesis puts together for each call.
    fn parts(&self, stream_arn: Option<String>) -> (Layer, RuntimeComponentsBuilder) {
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
        let watch = self.watch.clone().map(SharedInterceptor::new);
        components.extend_interceptors(watch.into_iter());
        (layer, components)
    }
}

/// What every client has, such as a clock. The settings that come with it are those of the operation.
fn default_components() -> RuntimeComponentsBuilder {
    let params = DefaultPluginParams::new()
        .with_retry_partition_name(SERVICE)
        .with_behavior_version(BehaviorVersion::latest());
    let none = RuntimeComponentsBuilder::new("Prepared");
    default_plugins(params)
        .into_iter()
        .fold(none, |components, plugin| {
            let added = plugin.runtime_components(&components).into_owned();
            components.merge_from(&added)
        })
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
            let sent = self.invoke(request).await;
            let learned = answered(&sent).filter(|_| format == Format::Cbor);
            if learned.is_some_and(|answered| self.formats.learn(&answered, self.has_effect)) {
                continue;
            }
            return sent.map(|reply| reply.answer);
        }
    }

    /// Without the short way.
    #[cfg(test)]
    pub(super) fn orchestrated(self) -> Self {
        Self { direct: None, ..self }
    }

    #[cfg(test)]
    pub(super) fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    async fn invoke(&self, request: Request) -> Result<Reply<T>, CallError> {
        // The orchestration logs what it does.
        let direct = self.direct.as_ref().filter(|_| !tracing::enabled!(Level::DEBUG));
        let attempt = match direct.map(|direct| (direct, self.serializer.request(request.clone()))) {
            Some((direct, Ok(made))) => direct.attempt(SERVICE, self.name, made).await,
            _ => None,
        };
        let Some(attempt) = attempt else {
            return self.orchestrate(request, &self.plugins).await;
        };
        if let Some(Ok(reply)) = attempt.success().map(|response| answer(response, self.read)) {
            return Ok(reply);
        }
        let plugins = self.plugins.clone().with_operation_plugin(attempt.replayed());
        self.orchestrate(request, &plugins).await
    }

    async fn orchestrate(&self, request: Request, plugins: &RuntimePlugins) -> Result<Reply<T>, CallError> {
        let sent = orchestrator::invoke(SERVICE, self.name, Input::erase(request), plugins).await;
        let mistyped = || SdkError::construction_failure("the SDK returned another type than it was given");
        match sent {
            Ok(output) => output.downcast().map_err(|_| mistyped()),
            Err(failure) => Err(failure.map_service_error(|error| {
                error
                    .downcast()
                    .unwrap_or_else(|_| ErrorMetadata::builder().build())
            })),
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

/// Makes the requests of an operation.
#[derive(Debug)]
struct Serializer {
    /// The operation, in a header.
    target: String,
    agents: [(&'static str, String); 2],
}

#[derive(Debug)]
struct Shared(Arc<Serializer>);

impl SerializeRequest for Shared {
    fn serialize_input(&self, input: Input, _: &mut ConfigBag) -> Result<HttpRequest, BoxError> {
        match input.downcast() {
            Ok(request) => self.0.request(request),
            Err(_) => Err("the input is not a request".into()),
        }
    }
}

/// Reads the answers of an operation.
struct Reader<T>(Read<T>);

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl<T: Send + Sync + 'static> DeserializeResponse for Reader<T> {
    fn deserialize_nonstreaming(&self, response: &HttpResponse) -> Result<Output, OrchestratorError<Error>> {
        answer(response, self.0)
            .map(Output::erase)
            .map_err(|error| error.map_operation_error(Error::erase))
    }
}

/// A call, without what all calls have in common.
#[derive(Clone)]
struct Request {
    format: Format,
    body: Bytes,
}

impl Serializer {
    fn request(&self, Request { format, body }: Request) -> Result<HttpRequest, BoxError> {
        let length = body.len().to_string();
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST")?;
        request.set_uri("/")?;
        let headers = request.headers_mut();
        headers.insert("content-type", format.content_type());
        headers.insert("content-length", length);
        headers.insert("x-amz-target", self.target.clone());
        for (name, agent) in &self.agents {
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
