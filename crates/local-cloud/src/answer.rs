//! What every HTTP answer of the local cloud has, whichever service gives it.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};

use super::Body;

pub(super) use lambda_host::request_id;

/// An answer with the body `body`. `status` must be an HTTP status; anything else becomes 500.
pub(super) fn answer(status: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// A body that is there as a whole.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Gives an answer its identifier, as AWS gives each one.
pub(super) fn identify(response: &mut Response<Body>, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        let name = HeaderName::from_static("x-amzn-requestid");
        response.headers_mut().insert(name, id);
    }
}
