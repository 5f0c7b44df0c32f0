//! The actions of Kinesis, with the role's permissions in IAM.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use http::header::CONTENT_TYPE;

use super::decide;
use crate::actions::{Actions, Call, NotAssumed};
use crate::authorise::{Decision, Principal};
use crate::awsim::{Iam, Stored};
use crate::error::{ApiError, ErrorFormat};
use crate::kinesis::engine::Engine;
use crate::kinesis::service::Kinesis;
use crate::service::{Request, Service};
use crate::types::Body;

/// The name of the session in which API Gateway assumes a role. Source: messages of AWS.
const SESSION: &str = "BackplaneAssumeRoleSession";

pub(super) struct KinesisActions {
    pub engine: Arc<Engine>,
    pub iam: Stored<Iam>,
}

impl Actions for KinesisActions {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Response<Body>, NotAssumed>> {
        let (kinesis, iam) = (Arc::new(Kinesis(Arc::clone(&self.engine))), self.iam.clone());
        async move {
            let trusts = iam
                .get()
                .is_ok_and(|iam| iam.trusts(&call.role, "apigateway.amazonaws.com"));
            if !trusts {
                return Err(NotAssumed);
            }
            let request = http::Request::post("/")
                .header("x-amz-target", format!("Kinesis_20131202.{}", call.action))
                .header(CONTENT_TYPE, &call.content_type)
                .body(());
            // A content type that is no header is not JSON to Kinesis.
            let Ok(request) = request else {
                let error = ApiError::new(400, "SerializationException", "The content type is not valid.");
                return Ok(error.respond(ErrorFormat::Json));
            };
            let request = Request {
                caller: call.caller,
                parts: request.into_parts().0,
                body: call.body,
            };
            for permission in kinesis.permissions(&request) {
                let decision = decide(&iam, &call.role, &permission);
                if decision != Decision::Allow {
                    let principal = Principal {
                        arn: call.role,
                        session: Some(SESSION.to_owned()),
                    };
                    let message = principal.denied(&request.caller, &permission, decision);
                    let (status, code) = kinesis.access_denied();
                    return Ok(ApiError::new(status, code, message).respond(ErrorFormat::Json));
                }
            }
            Ok(kinesis.call(request).await)
        }
        .boxed()
    }
}
