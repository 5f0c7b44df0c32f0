//! The API of Lambda: functions and event source mappings under one signing name.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;

use crate::error::{ApiError, ErrorFormat};
use crate::lambda::Lambda;
use crate::mappings::Mappings;
use crate::service::{Permission, arn};
use crate::service::{Protocol, Request, Service};
use crate::types::Body;
use daemon::protocol::Damage;

pub(crate) struct LambdaApi {
    pub lambda: Arc<Lambda>,
    pub mappings: Arc<Mappings>,
}

impl Service for LambdaApi {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response<Body>> {
        async move {
            let Request { caller, parts, body } = request;
            if let Some(response) = self.lambda.handle(&caller, &parts, body.clone()).await {
                return response;
            }
            if let Some(response) = self.mappings.handle(&caller, &parts, &body).await {
                return response;
            }
            let (method, path) = (&parts.method, parts.uri.path());
            ApiError::new(
                404,
                "UnknownOperationException",
                format!("The local cloud does not offer {method} {path} of Lambda."),
            )
            .respond(ErrorFormat::Json)
        }
        .boxed()
    }

    /// Only Invoke needs a permission here.
    fn permissions(&self, request: &Request) -> Vec<Permission> {
        let path = request.parts.uri.path();
        let name = path.strip_prefix("/2015-03-31/functions/");
        let name = name.and_then(|rest| rest.strip_suffix("/invocations"));
        let permission = name.map(|name| {
            let name = name.replace("%3A", ":");
            let name = name.rsplit(":function:").next().unwrap_or_default();
            let function = arn(&request.caller, "lambda", &format!("function:{name}"));
            Permission::new("lambda", "InvokeFunction", Some(function))
        });
        permission.into_iter().collect()
    }

    fn access_denied(&self) -> (u16, &'static str) {
        (403, "AccessDeniedException")
    }

    fn protocol(&self) -> Protocol {
        Protocol::RestJson
    }

    /// Source: "RequestTooLargeException" of CreateFunction: a zip of 50 MB, in base64, and the other parameters.
    fn max_body(&self) -> usize {
        70_167_211
    }

    fn takes_minutes(&self, request: &Request) -> bool {
        request.parts.uri.path().ends_with("/invocations")
    }

    fn damage(&self) -> Vec<Damage> {
        let mut all = self.lambda.damage();
        all.extend(self.mappings.damage());
        all
    }

    fn shutdown(&self) {
        // Mappings first: the end of a function would count as a failure of its batch.
        self.mappings.shutdown();
        self.lambda.shutdown();
    }
}
