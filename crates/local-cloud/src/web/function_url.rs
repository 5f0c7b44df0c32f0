//! Function URLs: a request becomes an event of format 2.0, and what the function returns becomes the response.
//!
//! Source: "Invoking Lambda function URLs" and "Control access to Lambda function URLs", Lambda developer guide.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Response;
use http::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::address::{self, Kind};
use super::cors::{self, Cors};
use super::event::Incoming;
use super::reply::{self, Format, Invalid};
use super::{Signer, Web, WebRequest};
use crate::answer::{answer, identify, request_id, whole};
use crate::authorise::{Decision, Policies};
use crate::clock::Clock;
use crate::invoke::{Access, AccessPrincipal, Invoke, InvokeResult};
use crate::service::Permission;
use crate::types::{Body, Caller};

const INVOKE: &str = "lambda:InvokeFunction";
const INVOKE_URL: &str = "lambda:InvokeFunctionUrl";

/// A function URL.
#[derive(Debug, Clone)]
pub(crate) struct FunctionUrl {
    pub caller: Caller,
    /// The ARN of the function or alias that is invoked.
    pub target: String,
    /// Whether a request must be signed.
    pub signed: bool,
    pub cors: Option<Cors>,
}

/// The table of function URLs.
pub(crate) trait Urls: Send + Sync + 'static {
    /// The function URL with this id.
    fn find(&self, id: &str) -> Option<FunctionUrl>;
}

/// The endpoints of all function URLs.
pub(crate) struct FunctionUrls {
    pub urls: Arc<dyn Urls>,
    pub functions: Arc<dyn Invoke>,
    pub policies: Arc<dyn Policies>,
    pub clock: Arc<dyn Clock>,
}

/// An error that the endpoint answers, not the function.
struct Refused {
    status: u16,
    code: &'static str,
    body: String,
}

impl Refused {
    fn new(status: u16, code: &'static str, message: &str) -> Self {
        Self {
            status,
            code,
            body: json!({"Message": message}).to_string(),
        }
    }

    fn forbidden() -> Self {
        Self::new(
            403,
            "AccessDeniedException",
            "Forbidden. For troubleshooting Function URL authorization issues, see: \
             https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html",
        )
    }

    /// The function failed, or returned no valid response.
    fn bad_gateway() -> Self {
        Self {
            status: 502,
            code: "InternalServerErrorException",
            body: "Internal Server Error".to_owned(),
        }
    }

    fn respond(&self) -> Response<Body> {
        let mut response = answer(self.status, "application/json", whole(self.body.clone()));
        let name = HeaderName::from_static("x-amzn-errortype");
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(self.code));
        response
    }
}

impl Web for FunctionUrls {
    fn serve(self: Arc<Self>, request: WebRequest) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move {
            let id = request_id();
            let mut response = self.answer(request, &id).await;
            identify(&mut response, &id);
            response
        })
    }
}

impl FunctionUrls {
    async fn answer(&self, request: WebRequest, request_id: &str) -> Response<Body> {
        let address = &request.address;
        let url = self.urls.find(&address.id).filter(|url| {
            let region = address.region.as_deref();
            region.is_none_or(|region| region == url.caller.region)
        });
        let Some(url) = url else {
            return Refused {
                status: 404,
                code: "ResourceNotFoundException",
                body: r#"{"Message":null}"#.to_owned(),
            }
            .respond();
        };
        if let Some(cors) = url.cors.as_ref().filter(|_| cors::is_preflight(&request.parts)) {
            return cors.preflight(200, &request.parts.headers);
        }
        let called = self.call(&url, &request, request_id).await;
        let mut response = called.unwrap_or_else(|refused| refused.respond());
        if let Some(cors) = &url.cors {
            cors.apply(&request.parts.headers, response.headers_mut());
        }
        response
    }

    async fn call(
        &self,
        url: &FunctionUrl,
        request: &WebRequest,
        request_id: &str,
    ) -> Result<Response<Body>, Refused> {
        let body = request.body.as_ref().map_err(|status| unreadable(*status))?;
        if !self.is_allowed(url, request.signer.as_ref()) {
            return Err(Refused::forbidden());
        }
        let event = self.event(url, request, body, request_id);
        let invocation = self.functions.invoke(&url.target, event).await;
        match invocation.result {
            InvokeResult::Returned(payload) => {
                reply::of_payload(&payload, Format::Two).map_err(|Invalid| Refused::bad_gateway())
            }
            InvokeResult::FunctionError { .. } => Err(Refused::bad_gateway()),
            InvokeResult::Throttled => Err(Refused::new(429, "TooManyRequestsException", "Rate Exceeded.")),
            InvokeResult::Refused { code, .. } if code == "RequestTooLargeException" => Err(unreadable(413)),
            InvokeResult::Refused { code, message } => {
                tracing::warn!(
                    code,
                    message,
                    function = url.target,
                    "a function URL cannot invoke its function"
                );
                Err(Refused::bad_gateway())
            }
        }
    }

    /// Whether the policies allow a request: with the type NONE, the resource policy must allow both actions to everyone;
    /// otherwise the policies of the signer, or the resource policy, must allow them to the signer.
    fn is_allowed(&self, url: &FunctionUrl, signer: Option<&Signer>) -> bool {
        let url_auth_type = Some(if url.signed { "AWS_IAM" } else { "NONE" });
        let permits = |action: &'static str, principal: AccessPrincipal<'_>| {
            let access = Access {
                action,
                principal,
                source_arn: None,
                source_account: None,
                url_auth_type,
            };
            self.functions.permits(&url.target, &access)
        };
        if !url.signed {
            return [INVOKE_URL, INVOKE]
                .into_iter()
                .all(|action| permits(action, AccessPrincipal::Anyone));
        }
        let Some(signer) = signer else { return false };
        let Some(principal) = self.policies.principal(&signer.access_key) else {
            // No policy restricts this key. Another account needs the resource policy.
            let root = format!("arn:aws:iam::{}:root", signer.caller.account);
            return signer.caller.account == url.caller.account
                || [INVOKE_URL, INVOKE]
                    .into_iter()
                    .all(|action| permits(action, AccessPrincipal::Identity(&root)));
        };
        [INVOKE_URL, INVOKE].into_iter().all(|action| {
            let permission = Permission {
                action: action.to_owned(),
                resource: url.target.clone(),
            };
            match self.policies.decide(&principal.arn, &permission) {
                Decision::Allow => true,
                Decision::ExplicitDeny | Decision::BoundaryDeny => false,
                Decision::ImplicitDeny => permits(action, AccessPrincipal::Identity(&principal.arn)),
            }
        })
    }

    fn event(&self, url: &FunctionUrl, request: &WebRequest, body: &[u8], request_id: &str) -> Bytes {
        let address = &request.address;
        let incoming = Incoming {
            parts: &request.parts,
            body,
            path: &address.path,
            request_id,
            now_ms: self.clock.now_ms(),
            // Source: "Request payload format", Lambda developer guide: anonymous without authentication.
            account: match url.signed {
                true => &url.caller.account,
                false => "anonymous",
            },
            id: &address.id,
            domain: address::domain(Kind::FunctionUrl, &address.id, &url.caller.region),
            stage: "$default",
            route_key: "$default",
            path_parameters: BTreeMap::new(),
            stage_variables: BTreeMap::new(),
            authorizer: request
                .signer
                .as_ref()
                .filter(|_| url.signed)
                .map(|signer| self.authorizer(signer)),
        };
        incoming.format_2().to_string().into()
    }

    fn authorizer(&self, signer: &Signer) -> Value {
        let principal = self.policies.principal(&signer.access_key);
        let arn = match &principal {
            Some(principal) => principal.caller_arn(&signer.caller),
            None => format!("arn:aws:iam::{}:root", signer.caller.account),
        };
        json!({"iam": {
            "accessKey": signer.access_key,
            "accountId": signer.caller.account,
            "callerId": signer.caller.account,
            "cognitoIdentity": null,
            "principalOrgId": null,
            "userArn": arn,
            "userId": signer.caller.account,
        }})
    }
}

/// The error for a body that the front door could not read.
fn unreadable(status: u16) -> Refused {
    match status {
        413 => Refused::new(
            413,
            "RequestEntityTooLargeException",
            "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
        ),
        408 => Refused::new(408, "RequestTimeoutException", "Request Timeout"),
        503 => Refused::new(503, "ServiceUnavailableException", "Service Unavailable"),
        status => Refused::new(status, "BadRequestException", "Bad Request"),
    }
}
