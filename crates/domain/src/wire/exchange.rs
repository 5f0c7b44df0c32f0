//! Calls of the SDK with bodies of our own.
//!
//! An interceptor puts its own serializer and deserializer in place of the operation's. A failed call is read by the
//! operation's deserializer, so that errors are what they always are.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_records::{GetRecords, GetRecordsError, GetRecordsOutput};
use aws_sdk_kinesis::operation::put_records::{PutRecords, PutRecordsError, PutRecordsOutput};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextMut, Error, Input, Output,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::client::runtime_plugin::RuntimePlugin;
use aws_smithy_runtime_api::client::ser_de::{
    DeserializeResponse, SerializeRequest, SharedRequestSerializer, SharedResponseDeserializer,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::{ConfigBag, FrozenLayer};
use bytes::Bytes;
use data_plane::record::Record;
use data_plane::wire::{Format, Malformed, PutAnswer, ReadRecords, cbor, get, put};
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;

use crate::context::formats::{Answered, Formats};
use crate::stream::reference::name_or_arn;

/// Puts `records` into `stream`, a name or an ARN.
///
/// # Errors
/// Those of the SDK.
pub(crate) async fn put_records(
    client: &Client,
    formats: &Formats,
    stream: &str,
    records: &[Record],
) -> Result<PutAnswer, SdkError<PutRecordsError, HttpResponse>> {
    loop {
        let format = formats.current();
        let exchange = Exchange::new(
            &PUT_RECORDS,
            format,
            put::body(format, stream, records),
            |format, body| put::read(format, &body),
        );
        let (by_name, by_arn) = name_or_arn(stream);
        // The endpoint may depend on the stream.
        let call = client
            .put_records()
            .set_stream_name(by_name)
            .set_stream_arn(by_arn);
        let sent = call.customize().interceptor(exchange.clone()).send().await;
        let (answer, answered) = exchange.seen();
        if is_refused(formats, format, answered.as_ref(), true) {
            continue;
        }
        return sent.map(|_| answer.unwrap_or_default());
    }
}

/// Reads a page of at most `limit` records.
///
/// # Errors
/// Those of the SDK. `SdkError::ResponseError` has a body that could not be read.
pub(crate) async fn get_records(
    client: &Client,
    formats: &Formats,
    iterator: &str,
    limit: i32,
) -> Result<ReadRecords, SdkError<GetRecordsError, HttpResponse>> {
    loop {
        let format = formats.current();
        let body = get::body(format, iterator, limit);
        let exchange = Exchange::new(&GET_RECORDS, format, body, get::read);
        let call = client.get_records().shard_iterator(iterator);
        let sent = call.customize().interceptor(exchange.clone()).send().await;
        let (answer, answered) = exchange.seen();
        if is_refused(formats, format, answered.as_ref(), false) {
            continue;
        }
        return sent.map(|_| answer.unwrap_or_default());
    }
}

/// Whether to make the call again in JSON.
fn is_refused(formats: &Formats, format: Format, answered: Option<&Answered>, has_effect: bool) -> bool {
    format == Format::Cbor && answered.is_some_and(|answered| formats.learn(answered, has_effect))
}

/// An operation of the SDK.
struct Operation {
    target: &'static str,
    /// Its own serializer and deserializer.
    layer: OnceLock<Option<FrozenLayer>>,
    make_layer: fn() -> Option<FrozenLayer>,
    /// An output for the SDK to pass on. What was read takes another way.
    output: fn() -> Result<Output, BoxError>,
}

static PUT_RECORDS: Operation = Operation {
    target: "Kinesis_20131202.PutRecords",
    layer: OnceLock::new(),
    make_layer: || PutRecords::new().config(),
    output: || {
        let output = PutRecordsOutput::builder().set_records(Some(Vec::new()));
        Ok(Output::erase(output.build()?))
    },
};

static GET_RECORDS: Operation = Operation {
    target: "Kinesis_20131202.GetRecords",
    layer: OnceLock::new(),
    make_layer: || GetRecords::new().config(),
    output: || {
        let output = GetRecordsOutput::builder().set_records(Some(Vec::new()));
        Ok(Output::erase(output.build()?))
    },
};

type Read<T> = fn(Format, Bytes) -> Result<T, Malformed>;

/// A call and its answer.
struct Exchange<T> {
    operation: &'static Operation,
    format: Format,
    body: Bytes,
    read: Read<T>,
    seen: Arc<Mutex<Seen<T>>>,
}

type Seen<T> = (Option<T>, Option<Answered>);

impl<T> Exchange<T> {
    fn new(operation: &'static Operation, format: Format, body: Bytes, read: Read<T>) -> Self {
        Self {
            operation,
            format,
            body,
            read,
            seen: Arc::default(),
        }
    }

    /// What was answered.
    fn seen(&self) -> Seen<T> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, answer: Option<T>, answered: Answered) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = (answer, Some(answered));
    }
}

impl<T> Clone for Exchange<T> {
    fn clone(&self) -> Self {
        Self {
            operation: self.operation,
            format: self.format,
            body: self.body.clone(),
            read: self.read,
            seen: Arc::clone(&self.seen),
        }
    }
}

/// Without the body, which has the user's data.
impl<T> fmt::Debug for Exchange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("target", &self.operation.target)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Intercept for Exchange<T> {
    fn name(&self) -> &'static str {
        "Exchange"
    }

    fn modify_before_serialization(
        &self,
        _context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let state = config.interceptor_state();
        state.store_put(SharedRequestSerializer::new(self.clone()));
        state.store_put(SharedResponseDeserializer::new(self.clone()));
        Ok(())
    }
}

impl<T: Send + 'static> SerializeRequest for Exchange<T> {
    fn serialize_input(&self, _input: Input, _config: &mut ConfigBag) -> Result<HttpRequest, BoxError> {
        let mut request = HttpRequest::new(SdkBody::from(self.body.clone()));
        request.set_method("POST")?;
        request.set_uri("/")?;
        let headers = request.headers_mut();
        headers.insert("content-type", self.format.content_type());
        headers.insert("content-length", self.body.len().to_string());
        headers.insert("x-amz-target", self.operation.target);
        Ok(request)
    }
}

impl<T: Send + 'static> DeserializeResponse for Exchange<T> {
    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        config: &ConfigBag,
    ) -> Result<Output, OrchestratorError<Error>> {
        let content_type = response.headers().get("content-type");
        let format = Format::of(content_type);
        let mut answered = Answered {
            status: response.status().as_u16(),
            format,
            code: None,
            is_read: false,
            is_page: content_type.is_some_and(|kind| kind.starts_with("text/html")),
        };
        if response.status().is_success() {
            let read = (self.read)(format, body_of(response));
            answered.is_read = read.is_ok();
            let (answer, malformed) = match read {
                Ok(answer) => (Some(answer), None),
                Err(malformed) => (None, Some(malformed)),
            };
            self.keep(answer, answered);
            return match malformed {
                Some(malformed) => Err(OrchestratorError::other(malformed)),
                None => (self.operation.output)().map_err(OrchestratorError::other),
            };
        }
        let in_json = match format {
            Format::Cbor => failure_in_json(response),
            Format::Json => None,
        };
        let response = in_json.as_ref().unwrap_or(response);
        answered.code = code_of(response);
        self.keep(None, answered);
        let layer = self.operation.layer.get_or_init(self.operation.make_layer);
        let own = layer
            .as_ref()
            .and_then(|layer| layer.load::<SharedResponseDeserializer>());
        let own = own.ok_or_else(|| OrchestratorError::other("the operation has no deserializer"))?;
        own.deserialize_nonstreaming_with_config(response, config)
    }
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

/// The code of a failure: the header, or the member `__type`, without a namespace.
fn code_of(response: &HttpResponse) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Failure {
        #[serde(rename = "__type")]
        kind: String,
    }
    let header = response.headers().get("x-amzn-errortype").map(str::to_owned);
    let code = header.or_else(|| {
        let body = response.body().bytes()?;
        serde_json::from_slice::<Failure>(body)
            .ok()
            .map(|failure| failure.kind)
    })?;
    let code = code.split(':').next().unwrap_or_default();
    Some(code.rsplit('#').next().unwrap_or_default().to_owned())
}

/// The code of a failure in CBOR; `None` for one in another format.
pub(crate) fn code_in_cbor(response: &HttpResponse) -> Option<String> {
    match Format::of(response.headers().get("content-type")) {
        Format::Cbor => code_of(&failure_in_json(response)?),
        Format::Json => None,
    }
}

/// A failure in CBOR as the SDK reads it. `None` if its body is not in memory. One that cannot be read leaves the status.
fn failure_in_json(response: &HttpResponse) -> Option<HttpResponse> {
    let (mut code, mut message) = (None, None);
    let mut decoder = minicbor::Decoder::new(response.body().bytes()?);
    let read = cbor::members(&mut decoder, |decoder, name| {
        match name {
            "__type" | "code" => code = Some(cbor::text(decoder)?.into_owned()),
            "message" | "Message" => message = Some(cbor::text(decoder)?.into_owned()),
            _ => decoder.skip()?,
        }
        Ok(())
    });
    let body = match read {
        Ok(()) => serde_json::json!({ "__type": code, "message": message }).to_string(),
        Err(_) => "{}".to_owned(),
    };
    let mut in_json = HttpResponse::new(response.status(), SdkBody::from(body));
    for (name, value) in response.headers().iter() {
        in_json.headers_mut().append(name.to_owned(), value.to_owned());
    }
    Some(in_json)
}
