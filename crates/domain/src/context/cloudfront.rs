//! Calls of CloudFront: REST, with XML bodies. And requests to distributions, as a browser sends them.
//!
//! No SDK client: a site needs a dozen operations, and the client of CloudFront is one of the largest.

use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_types::error::ErrorMetadata;
use bytes::Bytes;
use ground::xml::Node;

use super::endpoints::is_of_aws;
use super::signed::{Call, Retries};
use super::{Context, WebAnswer, WebRequest};
use ground::error::{Error, Result};

/// The name in [`crate::settings::SERVICES`].
const SERVICE: &str = "CloudFront";
const NAMESPACE: &str = "http://cloudfront.amazonaws.com/doc/2020-05-31/";
const VERSION: &str = "/2020-05-31";

/// A request to CloudFront.
#[derive(Debug, Default)]
pub(crate) struct Request<'a> {
    pub method: &'static str,
    /// Percent-encoded, after the version of the API.
    pub path: &'a str,
    /// The version of what is changed.
    pub etag: Option<&'a str>,
    pub body: Option<&'a Node>,
}

/// An answer of CloudFront.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// Without a name where the answer has no body.
    pub node: Node,
    /// The version of what it describes.
    pub etag: String,
}

impl Context {
    /// `what` begins the sentence of an error.
    ///
    /// # Errors
    /// Exit 4 without credentials, or if the service cannot be reached or denies the call; else exit 1.
    pub(crate) async fn call_cloudfront(&self, request: Request<'_>, what: String) -> Result<Document> {
        // Source: "Amazon CloudFront endpoints and quotas", AWS general reference.
        let (aws, region) = match self.partition() {
            "aws-cn" => (
                "https://cloudfront.cn-northwest-1.amazonaws.com.cn",
                "cn-northwest-1",
            ),
            _ => ("https://cloudfront.amazonaws.com", "us-east-1"),
        };
        let mut headers = Vec::new();
        let mut body = Vec::new();
        if let Some(etag) = request.etag {
            headers.push(("if-match".to_owned(), etag.to_owned()));
        }
        if let Some(node) = request.body {
            headers.push(("content-type".to_owned(), "application/xml".to_owned()));
            body = node.to_xml(NAMESPACE).into_bytes();
        }
        let path = format!("{VERSION}{}", request.path);
        let call = Call {
            service: SERVICE,
            signing_name: "cloudfront",
            region,
            endpoint: self.sdk.endpoints.of(SERVICE).unwrap_or(aws),
            operation: &path,
            method: request.method,
            path: &path,
            headers,
            body,
            retries: Retries::Status,
        };
        self.send(call, document, what).await
    }

    /// Whether requests to a distribution can be sent: an emulator has the control plane only.
    pub(crate) fn serves_distributions(&self) -> bool {
        self.is_local() || is_of_aws(self.sdk.endpoints.of(SERVICE))
    }

    /// Gets the page at `path` of a distribution, once.
    ///
    /// # Errors
    /// Exit 4 if it cannot be reached; exit 1 if it is larger than `most_bytes`.
    pub(crate) async fn get_page(
        &self,
        id: &str,
        domain: &str,
        path: &str,
        most_bytes: usize,
    ) -> Result<WebAnswer> {
        let url = match (is_local(domain), self.sdk.endpoints.of(SERVICE)) {
            // Names below localhost do not resolve everywhere.
            (true, Some(endpoint)) => format!("{endpoint}/_cloudfront/{id}{path}"),
            (true, None) => format!("http://{domain}{path}"),
            (false, _) => format!("https://{domain}{path}"),
        };
        let request = WebRequest {
            method: "GET".to_owned(),
            url,
            content_type: None,
            body: Bytes::new(),
        };
        self.send_unsigned(&request, most_bytes).await
    }
}

/// Whether the host of a distribution is that of a local cloud, which has no TLS.
pub(crate) fn is_local(domain: &str) -> bool {
    let host = domain.split(':').next().unwrap_or_default();
    host.ends_with(".localhost")
}

fn document(response: &HttpResponse) -> Result<Document, OrchestratorError<ErrorMetadata>> {
    let bytes = response.body().bytes().unwrap_or_default();
    let node = Node::read(bytes);
    if response.status().is_success() {
        let node = match node {
            None if !bytes.is_empty() => {
                return Err(OrchestratorError::other(Error::failed("the answer is not XML")));
            }
            node => node.unwrap_or_default(),
        };
        let etag = response.headers().get("etag").unwrap_or_default().to_owned();
        return Ok(Document { node, etag });
    }
    let mut metadata = ErrorMetadata::builder();
    let error = node.as_ref().and_then(|node| match node.name.as_str() {
        "Error" => Some(node),
        _ => node.child("Error"),
    });
    if let Some(code) = error.and_then(|error| error.text_of("Code")) {
        metadata = metadata.code(code);
    }
    if let Some(message) = error.and_then(|error| error.text_of("Message")) {
        metadata = metadata.message(message);
    }
    Err(OrchestratorError::operation(metadata.build()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::resources::test_support::Endpoint;

    #[tokio::test]
    async fn calls_are_rest_with_xml_and_errors_have_their_code() {
        let endpoint = Endpoint::start(|call, body| match call {
            "POST /2020-05-31/distribution" => (201, body.to_owned()),
            "DELETE /2020-05-31/distribution/E1" => (204, String::new()),
            "GET /2020-05-31/distribution/E2" => (200, "not XML".to_owned()),
            _ => (
                404,
                "<ErrorResponse><Error><Code>NoSuchDistribution</Code><Message>None</Message></Error></ErrorResponse>"
                    .to_owned(),
            ),
        })
        .await;
        let call = async |method, path, body: Option<&Node>| {
            let request = Request {
                method,
                path,
                etag: Some("E0"),
                body,
            };
            let what = "could not".to_owned();
            endpoint.context.call_cloudfront(request, what).await
        };
        let node = Node::of("A", vec![Node::leaf("B", "<1>")]);
        assert_eq!(
            call("POST", "/distribution", Some(&node)).await.unwrap().node,
            node
        );
        let gone = call("DELETE", "/distribution/E1", None).await.unwrap();
        assert_eq!(gone.node, Node::default());
        assert!(call("GET", "/distribution/E2", None).await.is_err());
        let error = call("GET", "/distribution/E3", None).await.unwrap_err();
        assert!(
            error.is_not_found() && error.is("NoSuchDistribution"),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn pages_of_a_local_distribution_come_from_the_endpoint() {
        let endpoint = Endpoint::start(|call, _| match call {
            "GET /_cloudfront/E1/a" => (200, "page".to_owned()),
            _ => (403, "denied".to_owned()),
        })
        .await;
        let get = async |path, most_bytes| {
            let domain = "e1.cloudfront.localhost:9";
            let page = endpoint.context.get_page("E1", domain, path, most_bytes).await?;
            Ok::<_, Error>((page.status, page.body))
        };
        assert_eq!(get("/a", 4).await.unwrap(), (200, "page".into()));
        assert_eq!(get("/b", 9).await.unwrap(), (403, "denied".into()));
        assert!(get("/a", 3).await.is_err());
        assert!(is_local("e1.cloudfront.localhost:9") && !is_local("d1.cloudfront.net"));
    }
}
