//! Requests of a user's own HTTP endpoints: without a signature, and without retries.

use aws_config::BehaviorVersion;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::interceptors::context::{Error as OutputError, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::ser_de::DeserializeResponse;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::ErrorMetadata;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};

use super::Context;
use super::sdk::time_limits;
use ground::error::{self, Error, Result};

/// What calls to them are of.
pub(super) const SERVICE: &str = "HTTP";

/// A request to a URL.
#[derive(Debug, Clone, PartialEq)]
pub struct WebRequest {
    pub method: String,
    /// Absolute, with `http` or `https`.
    pub url: String,
    pub content_type: Option<String>,
    pub body: Bytes,
}

/// The answer to a request, whatever its status.
#[derive(Debug, Clone, PartialEq)]
pub struct WebAnswer {
    pub status: u16,
    pub body: Bytes,
}

/// Status and unread body of an answer.
#[derive(Debug)]
struct Begun {
    status: u16,
    body: SdkBody,
}

/// Leaves the body to the caller, which bounds it.
#[derive(Debug)]
struct Unread;

impl DeserializeResponse for Unread {
    fn deserialize_streaming_with_config(
        &self,
        response: &mut HttpResponse,
        _: &ConfigBag,
    ) -> Option<Result<Output, OrchestratorError<OutputError>>> {
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        let status = response.status().as_u16();
        Some(Ok(Output::erase(Begun { status, body })))
    }

    fn deserialize_nonstreaming_with_config(
        &self,
        _: &HttpResponse,
        _: &ConfigBag,
    ) -> Result<Output, OrchestratorError<OutputError>> {
        Err(OrchestratorError::other("the answer was read twice"))
    }
}

impl Context {
    /// Sends a request once. The body of the answer has at most `most_bytes`.
    ///
    /// # Errors
    /// Exit 2 if the URL is not valid; exit 4 if its host cannot be reached; exit 1 if the answer is too large.
    pub async fn send_unsigned(&self, sent: &WebRequest, most_bytes: usize) -> Result<WebAnswer> {
        let (origin, path) = parts(&sent.url)?;
        // A query may hold a signature.
        let shown = format!("{} {origin}{}", sent.method, without_query(&path));
        let what = format!("could not send {shown}");
        let Some(client) = self.sdk.config.http_client() else {
            return Err(Error::failed(what).cause("there is no HTTP client"));
        };
        let request = sent.clone();
        let operation = Operation::builder()
            .service_name(SERVICE)
            .operation_name(shown.clone())
            .behavior_version(BehaviorVersion::latest())
            .http_client(client)
            .endpoint_url(&origin)
            .no_auth()
            .no_retry()
            .timeout_config(time_limits(self.settings.timeout))
            .interceptor(self.sdk.watch.clone())
            .serializer(move |()| {
                let mut built = http::Request::builder()
                    .method(request.method.as_str())
                    .uri(&path);
                if let Some(kind) = &request.content_type {
                    built = built.header("content-type", kind);
                }
                Ok(HttpRequest::try_from(
                    built.body(SdkBody::from(request.body.clone()))?,
                )?)
            })
            .deserializer_impl::<Begun, ErrorMetadata>(Unread)
            .build();
        let begun = operation
            .invoke(())
            .await
            .map_err(|failure| error::aws::failed(what, failure))?;
        let read = Limited::new(begun.body, most_bytes).collect().await;
        let body = read
            .map_err(|error| {
                Error::failed(format!(
                    "the answer to {shown} was cut off, or is larger than {most_bytes} bytes"
                ))
                .cause(error)
            })?
            .to_bytes();
        Ok(WebAnswer {
            status: begun.status,
            body,
        })
    }
}

/// Scheme and authority of a URL, and its path with the query.
fn parts(url: &str) -> Result<(String, String)> {
    let invalid = || Error::usage(format!("{:?} is not the URL of a web server", without_query(url)));
    let parsed: http::Uri = url.parse().map_err(|error| invalid().cause(error))?;
    match (parsed.scheme_str(), parsed.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority)) => {
            let path = parsed.path_and_query().map_or("/", |path| path.as_str());
            Ok((format!("{scheme}://{authority}"), path.to_owned()))
        }
        _ => Err(invalid()),
    }
}

/// A URL for messages.
pub fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::resources::test_support::Endpoint;

    fn request(method: &str, url: String) -> WebRequest {
        WebRequest {
            method: method.to_owned(),
            url,
            content_type: Some("application/json".to_owned()),
            body: Bytes::from_static(b"{}"),
        }
    }

    #[tokio::test]
    async fn an_answer_of_any_status_is_an_answer() {
        let endpoint = Endpoint::start(|call, body| match call {
            "PUT /a" => (200, body.to_owned()),
            _ => (503, "busy".to_owned()),
        })
        .await;
        let url = endpoint.context.settings().target.to_string();
        let send = async |method, path, most| {
            let sent = request(method, format!("{url}{path}"));
            endpoint.context.send_unsigned(&sent, most).await
        };
        let answer = send("PUT", "/a", 100).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
        let answer = send("GET", "/b", 100).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (503, &b"busy"[..]));
        let error = send("GET", "/b?X-Amz-Signature=secret", 3).await.unwrap_err();
        let words = error.chain().join(": ");
        assert!(words.contains("larger than 3 bytes"), "{words}");
        assert!(!words.contains("secret"), "{words}");
    }

    #[test]
    fn a_url_needs_a_scheme_and_a_host() {
        assert_eq!(
            parts("https://a.example:8/b?c=d").unwrap(),
            ("https://a.example:8".to_owned(), "/b?c=d".to_owned())
        );
        assert_eq!(parts("http://a").unwrap().1, "/");
        for bad in [
            "",
            "a",
            "/a",
            "ftp://a/b",
            "file:///etc",
            "http://",
            "http://a b/",
        ] {
            let error = parts(bad).unwrap_err();
            assert_eq!(error.exit(), ground::exit::Exit::Usage, "{bad}");
        }
    }
}
