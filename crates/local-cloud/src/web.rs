//! Endpoints for web clients: function URLs, HTTP APIs and distributions of CloudFront.
//!
//! They differ from the APIs of AWS: a request needs no signature unless the endpoint asks for one, and web pages may send
//! it. This module owns what the endpoints share: where they are ([`address`]), the events that functions get ([`event`]),
//! the responses that functions return ([`reply`]), and CORS ([`cors`]). It knows neither Lambda, API Gateway nor CloudFront.

pub(crate) mod address;
pub(crate) mod cors;
pub(crate) mod event;
pub(crate) mod function_url;
pub(crate) mod reply;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Response;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;

use crate::types::{Body, Caller};
pub(crate) use address::{Address, Kind};

/// The largest body of a request to an endpoint. Source: "Quotas for configuring and running an HTTP API", API Gateway
/// developer guide: 10 MB.
pub(crate) const MAX_BODY: usize = 10 << 20;

/// A request to an endpoint.
pub(crate) struct WebRequest {
    pub address: Address,
    pub parts: Parts,
    /// The status of the error if the body cannot be read.
    pub body: Result<Bytes, u16>,
    /// Who signed it. The front door has verified the signature, or knows that the sender is the user.
    pub signer: Option<Signer>,
}

/// The sender of a signed request.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub access_key: String,
    pub caller: Caller,
}

/// Serves endpoints.
pub(crate) trait Web: Send + Sync + 'static {
    /// Answers a request. Errors are answers too.
    fn serve(self: Arc<Self>, request: WebRequest) -> BoxFuture<'static, Response<Body>>;
}

/// All endpoints, by kind.
pub(crate) struct Endpoints {
    pub function_urls: Arc<dyn Web>,
    pub http_apis: Arc<dyn Web>,
    pub distributions: Arc<dyn Web>,
}

impl Web for Endpoints {
    fn serve(self: Arc<Self>, request: WebRequest) -> BoxFuture<'static, Response<Body>> {
        let endpoint = match request.address.kind {
            Kind::FunctionUrl => &self.function_urls,
            Kind::HttpApi => &self.http_apis,
            Kind::Distribution => &self.distributions,
        };
        let in_path = request.address.in_path();
        let serving = Arc::clone(endpoint).serve(request);
        Box::pin(async move {
            let mut response = serving.await;
            if in_path {
                isolate(response.headers_mut());
            }
            response
        })
    }
}

/// Gives a page that is served below the front door's own host an origin of its own. With the host's origin it could call
/// the AWS APIs as a page of the same origin.
fn isolate(headers: &mut HeaderMap) {
    let is_page = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| !value.as_bytes().starts_with(b"application/json"));
    if is_page {
        let sandbox = "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts";
        headers.append(CONTENT_SECURITY_POLICY, HeaderValue::from_static(sandbox));
    }
}
