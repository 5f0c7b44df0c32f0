//! HTTP responses of all services.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};

use crate::types::Body;

pub(crate) use lambda_host::request_id;

/// A response. `status` must be an HTTP status; any other value becomes 500.
pub(crate) fn answer(status: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// The response that `work`, which blocks, gives on a thread of its own; `stopping` gives that of a process that ends before.
/// A panic is passed on: the front handles it.
pub(crate) async fn blocking(
    work: impl FnOnce() -> Response<Body> + Send + 'static,
    stopping: impl FnOnce(&'static str) -> Response<Body>,
) -> Response<Body> {
    let answered = tokio::task::spawn_blocking(work).await;
    answered.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => stopping("The local cloud is stopping."),
    })
}

/// A body in one piece.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Sets the request id of a response.
pub(crate) fn identify(response: &mut Response<Body>, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        let name = HeaderName::from_static("x-amzn-requestid");
        response.headers_mut().insert(name, id);
    }
}
