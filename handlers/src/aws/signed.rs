//! Calls of services of which one operation is needed: a signed request without the service's client.
//!
//! The clients of Kinesis and of SageMaker are large crates to build, and one operation of each is called.

use std::convert::Infallible;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, OrchestratorError};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::display::DisplayErrorContext;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Clients, kind, timeouts};
use crate::cart::{Receipt, Stream};
use crate::recommend::Endpoint;
use crate::store::{CallError, CallErrorKind};

/// A service that takes POST requests.
struct Service {
    signing_name: &'static str,
    endpoint: String,
    region: String,
    credentials: Credentials,
    http: SharedHttpClient,
}

/// What AWS says of an error, in the spellings of its protocols.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

impl Clients {
    pub fn stream(&self, name: &str) -> KinesisStream {
        KinesisStream {
            service: self.service("kinesis", "kinesis"),
            name: name.to_owned(),
        }
    }

    pub fn endpoint(&self, name: &str) -> SageMakerEndpoint {
        SageMakerEndpoint {
            service: self.service("sagemaker", "runtime.sagemaker"),
            path: format!("/endpoints/{name}/invocations"),
        }
    }

    fn service(&self, signing_name: &'static str, host: &str) -> Service {
        let region = self.region.as_ref();
        // The regions of China have a domain of their own.
        let domain = if region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        let endpoint = self.url_of(signing_name);
        Service {
            signing_name,
            endpoint: endpoint.unwrap_or_else(|| format!("https://{host}.{region}.{domain}")),
            region: region.to_owned(),
            credentials: self.credentials.clone(),
            http: self.http(signing_name),
        }
    }
}

impl Service {
    /// Sends `body` once, and returns the body of the answer.
    async fn post(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
    ) -> Result<Bytes, CallError> {
        let signature = self.signature(path, headers, &body).map_err(|error| {
            CallError::new(
                CallErrorKind::Refused,
                format!("could not sign the request: {error}"),
            )
        })?;
        let mut request = HttpRequest::new(SdkBody::from(body));
        let is_valid = request.set_method("POST").is_ok() && request.set_uri(path.to_owned()).is_ok();
        if !is_valid {
            return Err(CallError::new(
                CallErrorKind::Refused,
                format!("{path} is not a path"),
            ));
        }
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned()));
        for (name, value) in headers.chain(signature) {
            request.headers_mut().insert(name, value);
        }
        let operation = Operation::builder()
            .service_name(self.signing_name)
            .operation_name("Post")
            .behavior_version(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .endpoint_url(&self.endpoint)
            .no_auth()
            .no_retry()
            .timeout_config(timeouts())
            .serializer(|request: HttpRequest| Ok(request))
            .deserializer(|response| {
                let body = Bytes::copy_from_slice(response.body().bytes().unwrap_or_default());
                Ok::<_, OrchestratorError<Infallible>>((response.status().as_u16(), body))
            })
            .build();
        match operation.invoke(request).await {
            Ok((status, body)) if (200..300).contains(&status) => Ok(body),
            Ok((status, body)) => Err(refusal(status, &body)),
            Err(error) => Err(CallError::new(
                CallErrorKind::Transient,
                DisplayErrorContext(error).to_string(),
            )),
        }
    }

    fn signature(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> Result<Vec<(&'static str, String)>, Box<dyn std::error::Error>> {
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.signing_name)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let url = format!("{}{path}", self.endpoint.trim_end_matches('/'));
        let request = SignableRequest::new("POST", url, headers.iter().copied(), SignableBody::Bytes(body))?;
        let (instructions, _) = sign(request, &params)?.into_parts();
        let (headers, _) = instructions.into_parts();
        let headers = headers.iter();
        Ok(headers
            .map(|header| (header.name(), header.value().to_owned()))
            .collect())
    }
}

fn refusal(status: u16, body: &[u8]) -> CallError {
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
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

pub struct KinesisStream {
    service: Service,
    name: String,
}

/// The input of PutRecord.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecord<'a> {
    stream_name: &'a str,
    partition_key: &'a str,
    /// In base64.
    data: String,
}

impl Stream for KinesisStream {
    async fn put(&self, partition_key: &str, data: &[u8]) -> Result<Receipt, CallError> {
        let input = PutRecord {
            stream_name: &self.name,
            partition_key,
            data: base64_simd::STANDARD.encode_to_string(data),
        };
        let input = serde_json::to_vec(&input)
            .map_err(|error| CallError::new(CallErrorKind::Rejected, error.to_string()))?;
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "Kinesis_20131202.PutRecord"),
        ];
        let answer = self.service.post("/", &headers, input).await?;
        serde_json::from_slice(&answer).map_err(|error| {
            CallError::new(
                CallErrorKind::Transient,
                format!("the answer of Kinesis is not one of PutRecord: {error}"),
            )
        })
    }
}

pub struct SageMakerEndpoint {
    service: Service,
    path: String,
}

impl Endpoint for SageMakerEndpoint {
    async fn invoke(&self, csv: String) -> Result<Bytes, CallError> {
        let headers = [("content-type", "text/csv"), ("accept", "text/csv")];
        self.service.post(&self.path, &headers, csv.into_bytes()).await
    }
}
