//! awsim's own gateway, with one service in it: its protocols.

use std::io;
use std::sync::Arc;

use awsim_core::{AppState, AuthzEngine, RequestDetailStore, ServiceHandler};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Response, Uri};
use http_body_util::BodyExt;

use crate::service::Request;
use crate::types::{ACCOUNT, Body, Caller, partition};

pub(super) struct Gateway {
    state: AppState,
    signing_name: String,
}

impl Gateway {
    pub fn new(handler: Arc<dyn ServiceHandler>) -> Self {
        let mut state = AppState::new("us-east-1".to_owned(), ACCOUNT.to_owned());
        // The default would be read from the environment.
        state.authz = Arc::new(AuthzEngine::new(false));
        // awsim keeps the bodies of recent requests for its web page: keep one request, and no body.
        state.request_details = RequestDetailStore::new(1, 0);
        let signing_name = handler.signing_name().to_owned();
        state.register(handler, Vec::new());
        Self { state, signing_name }
    }

    pub async fn call(&self, request: Request) -> Response<Body> {
        let Request { caller, parts, body } = request;
        let http::request::Parts {
            method,
            uri,
            mut headers,
            ..
        } = parts;
        self.sign(&mut headers, &caller, &uri);
        let mut state = self.state.clone();
        state.default_account_id = caller.account;
        partition(&caller.region).clone_into(&mut state.default_partition);
        state.default_region = caller.region;
        let (response, _id) = awsim_core::gateway::dispatch_request(&state, method, uri, headers, body).await;
        response.map(|body| body.map_err(io::Error::other).boxed_unsync())
    }

    /// Names service and region for awsim where the signature does not: in unsigned requests and in URLs of Signature
    /// Version 2.
    fn sign(&self, headers: &mut HeaderMap, caller: &Caller, uri: &Uri) {
        let is_signed = headers.contains_key(AUTHORIZATION)
            || uri
                .query()
                .is_some_and(|query| query.contains("X-Amz-Credential="));
        if is_signed {
            return;
        }
        let text = format!(
            "AWS4-HMAC-SHA256 Credential={}/20260101/{}/{}/aws4_request, SignedHeaders=host, Signature=0",
            caller.account, caller.region, self.signing_name
        );
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(AUTHORIZATION, value);
        }
    }
}
