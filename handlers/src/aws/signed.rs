//! Signed requests of services without their clients.
//!
//! The clients of Kinesis, S3, SageMaker and SQS are large crates to build and to load, and one or two operations of each are
//! called.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningInstructions, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime::client::orchestrator::operation::{Operation, OperationBuilder};
use aws_smithy_runtime::client::retries::classifiers::HttpStatusCodeClassifier;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::ser_de::DeserializeResponse;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::display::DisplayErrorContext;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{Clients, kind, retries, timeouts};
use crate::store::{CallError, CallErrorKind};

/// What Signature Version 4 percent-encodes. Source: "Create a signed AWS API request", IAM user guide.
pub(super) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where a service is, and how its requests are signed.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) signing_name: &'static str,
    /// Without a path.
    pub(super) endpoint: String,
    region: String,
    credentials: Credentials,
    http: SharedHttpClient,
}

/// A request.
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    /// Percent-encoded, with the query.
    pub(super) path: Cow<'a, str>,
    pub(super) headers: &'a [(&'static str, &'a str)],
    pub(super) body: Bytes,
    /// Whether it may be sent again when its outcome is not known.
    pub(super) is_repeatable: bool,
}

/// An answer with the status of an error.
#[derive(Debug)]
struct Refused {
    status: u16,
    body: Bytes,
}

impl Refused {
    fn of(response: &HttpResponse) -> Self {
        Self {
            status: response.status().as_u16(),
            body: body_of(response),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)
    }
}

impl std::error::Error for Refused {}

/// Leaves the body of an answer to the caller, which reads it part by part.
#[derive(Debug)]
struct Streamed;

impl DeserializeResponse for Streamed {
    fn deserialize_streaming_with_config(
        &self,
        response: &mut HttpResponse,
        _config: &ConfigBag,
    ) -> Option<Result<Output, OrchestratorError<Error>>> {
        let is_success = response.status().is_success();
        is_success.then(|| {
            let body = std::mem::replace(response.body_mut(), SdkBody::taken());
            Ok(Output::erase(body))
        })
    }

    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        _config: &ConfigBag,
    ) -> Result<Output, OrchestratorError<Error>> {
        Err(OrchestratorError::operation(Error::erase(Refused::of(response))))
    }
}

impl Clients {
    pub(super) fn service(&self, signing_name: &'static str, host: &str) -> Service {
        let region = self.region.as_ref();
        // Source: `partitions.json` of the AWS SDKs.
        let domain = match region.split('-').next() {
            Some("cn") => "amazonaws.com.cn",
            Some("eusc") => "amazonaws.eu",
            _ => "amazonaws.com",
        };
        let endpoint = self.url_of(signing_name);
        let endpoint = endpoint.unwrap_or_else(|| format!("https://{host}.{region}.{domain}"));
        Service {
            signing_name,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            region: region.to_owned(),
            credentials: self.credentials.clone(),
            http: self.http(signing_name),
        }
    }
}

impl Service {
    /// The body of the answer.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Bytes, CallError> {
        let call = self.call(&request);
        let call = call.deserializer(|response| {
            let is_success = response.status().is_success();
            match is_success {
                true => Ok(body_of(response)),
                false => Err(OrchestratorError::operation(Refused::of(response))),
            }
        });
        let answered = call.build().invoke(self.signed(&request)?).await;
        answered.map_err(call_error)
    }

    /// The body of the answer, which is read part by part.
    pub(super) async fn open(&self, request: Request<'_>) -> Result<SdkBody, CallError> {
        let call = self.call(&request);
        let call: OperationBuilder<_, SdkBody, Refused> = call.deserializer_impl(Streamed);
        let answered = call.build().invoke(self.signed(&request)?).await;
        answered.map_err(call_error)
    }

    fn call(&self, request: &Request<'_>) -> OperationBuilder<HttpRequest> {
        let call = Operation::builder()
            .service_name(self.signing_name)
            .operation_name(request.method)
            .behavior_version(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .endpoint_url(&self.endpoint)
            .no_auth()
            .timeout_config(timeouts());
        let call = match request.is_repeatable {
            true => call
                .standard_retry(&retries())
                .retry_classifier(HttpStatusCodeClassifier::default()),
            false => call.no_retry(),
        };
        call.serializer(|request: HttpRequest| Ok(request))
    }

    /// The request with its signature.
    fn signed(&self, request: &Request<'_>) -> Result<HttpRequest, CallError> {
        let body = SignableBody::Bytes(&request.body);
        let (signature, _) = self.sign(request, body, self.settings())?.into_parts();
        let signature = signature.iter();
        let signature = signature.map(|header| (header.name(), header.value().to_owned()));
        let headers = request.headers.iter();
        let headers = headers.map(|(name, value)| (*name, (*value).to_owned()));
        let mut signed = HttpRequest::new(SdkBody::from(request.body.clone()));
        let is_valid =
            signed.set_method(request.method).is_ok() && signed.set_uri(request.path.to_string()).is_ok();
        if !is_valid {
            let problem = format!("{} is not a path", request.path);
            return Err(CallError::new(CallErrorKind::Refused, problem));
        }
        for (name, value) in headers.chain(signature) {
            signed.headers_mut().insert(name, value);
        }
        Ok(signed)
    }

    /// The URL of the request, with a signature for `lifetime`. Its body is not signed.
    pub(super) fn presigned(&self, request: &Request<'_>, lifetime: Duration) -> Result<String, CallError> {
        let mut settings = self.settings();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(lifetime);
        let signature = self.sign(request, SignableBody::UnsignedPayload, settings)?;
        let mut url = format!("{}{}", self.endpoint, request.path);
        for (name, value) in signature.params() {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, ENCODED));
        }
        Ok(url)
    }

    /// Source: "Signature Version 4 signing process", Amazon S3 API reference: paths are not normalized and encoded once, and a
    /// header has the hash of the body.
    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        if self.signing_name == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        settings
    }

    fn sign(
        &self,
        request: &Request<'_>,
        body: SignableBody<'_>,
        settings: SigningSettings,
    ) -> Result<SigningInstructions, CallError> {
        let signed = || -> Result<SigningInstructions, Box<dyn std::error::Error>> {
            let identity = self.credentials.clone().into();
            let params = v4::SigningParams::builder()
                .identity(&identity)
                .region(&self.region)
                .name(self.signing_name)
                .time(SystemTime::now())
                .settings(settings)
                .build()?
                .into();
            let url = format!("{}{}", self.endpoint, request.path);
            let headers = request.headers.iter().copied();
            let request = SignableRequest::new(request.method, url, headers, body)?;
            Ok(sign(request, &params)?.into_parts().0)
        };
        signed().map_err(|error| {
            let problem = format!("could not sign the request: {error}");
            CallError::new(CallErrorKind::Refused, problem)
        })
    }
}

fn body_of(response: &HttpResponse) -> Bytes {
    Bytes::copy_from_slice(response.body().bytes().unwrap_or_default())
}

fn call_error(error: SdkError<Refused, HttpResponse>) -> CallError {
    match &error {
        SdkError::ServiceError(refused) => refusal(refused.err().status, &refused.err().body),
        _ => CallError::new(CallErrorKind::Transient, DisplayErrorContext(error).to_string()),
    }
}

/// What AWS says of an error, in the spellings of its JSON protocols.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

impl Refusal {
    fn of(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        // The names of members of S3's answers have no attributes.
        let member = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            let (value, _) = rest.split_once("</")?;
            Some(value.to_owned())
        };
        serde_json::from_slice(body).unwrap_or_else(|_| Self {
            kind: member("Code"),
            message: member("Message"),
        })
    }
}

fn refusal(status: u16, body: &[u8]) -> CallError {
    let refusal = Refusal::of(body);
    // Such as `com.amazonaws.kinesis#ThrottlingException`.
    let code = refusal.kind.as_deref().and_then(|kind| kind.rsplit('#').next());
    let text = match (code, &refusal.message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(text), None) => text.to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => format!("HTTP {status}"),
    };
    CallError::new(kind(code.unwrap_or_default(), status), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_in_json_and_in_xml() {
        let json = refusal(
            400,
            br#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no queue"}"#,
        );
        assert_eq!(
            (json.kind, json.message.as_str()),
            (CallErrorKind::Refused, "QueueDoesNotExist: no queue")
        );
        let xml = refusal(
            404,
            br#"<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>no key</Message></Error>"#,
        );
        assert_eq!(
            (xml.kind, xml.message.as_str()),
            (CallErrorKind::Refused, "NoSuchKey: no key")
        );
        let none = refusal(503, b"");
        assert_eq!(
            (none.kind, none.message.as_str()),
            (CallErrorKind::Transient, "HTTP 503")
        );
    }
}
