//! Adds to the error of a call that AWS did not answer: the endpoint, what names it, and what earlier attempts were
//! answered.

use std::mem;

use aws_smithy_runtime_api::client::interceptors::context::{Error, InterceptorContext, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::retry::ErrorKind;
use ground::error::aws::{CallFailure, Class, class_of, is_web_page};

use super::Call;
use crate::context::unsigned;
use crate::wire::metadata;

type Outcome<'a> = Option<Result<&'a Output, &'a OrchestratorError<Error>>>;

/// Why an attempt without a response failed, in a few words.
pub(super) fn reason(outcome: Outcome<'_>) -> String {
    let Some(Err(error)) = outcome else {
        return "no answer".to_owned();
    };
    let words = match error.as_connector_error() {
        Some(error) if error.is_timeout() => "no connection in time",
        Some(error) if error.is_io() => "no connection",
        _ if error.is_timeout_error() => "no answer in time",
        _ => "no answer",
    };
    words.to_owned()
}

/// The error code of an answer.
/// Sources: "JSON 1.0/1.1", "REST-JSON" and "Query" protocols, "Operation error serialization", Smithy 2.0.
pub(super) fn code(response: &HttpResponse) -> Option<String> {
    if let Some(code) = metadata(response).code() {
        return Some(code.to_owned());
    }
    let text = std::str::from_utf8(response.body().bytes()?).ok()?;
    let code = text.split_once("<Code>")?.1.split_once("</Code>")?.0;
    Some(code.to_owned())
}

/// Wraps the error of `context`, unless it is an answer of AWS.
pub(super) fn locate(context: &mut InterceptorContext, call: &Call, named_by: Option<&str>) {
    let is_answered = context.response().is_some();
    let is_web_page = context.response().is_some_and(is_web_page);
    let Some(outcome) = context.output_or_error_mut() else {
        return;
    };
    let is_answer = match &*outcome {
        Ok(_) => true,
        Err(error) => error.is_operation_error(),
    };
    // S3 and endpoints of a user return web pages. Only its errors tell that it is not S3.
    let has_pages = ["S3", unsigned::SERVICE].contains(&call.service.as_str());
    if is_answer && (!is_web_page || (outcome.is_ok() && has_pages)) {
        return;
    }
    let placeholder = Err(OrchestratorError::other("replaced"));
    let error = match mem::replace(outcome, placeholder) {
        Ok(_) => OrchestratorError::other("the answer is a web page"),
        Err(error) => error,
    };
    // Others, such as credentials that cannot be loaded, say themselves what is wrong.
    let is_of_endpoint = is_answered || error.is_connector_error() || error.is_timeout_error();
    *outcome = Err(match is_of_endpoint {
        true => located(error, call, named_by, is_web_page),
        false => error,
    });
}

fn located(
    error: OrchestratorError<Error>,
    call: &Call,
    named_by: Option<&str>,
    is_web_page: bool,
) -> OrchestratorError<Error> {
    let connector = error.as_connector_error().map(kind);
    let is_timeout = error.is_timeout_error();
    let is_throttled = is_timeout && {
        let reason = call.retried_for.as_deref();
        reason.and_then(|code| class_of(code, "")) == Some(Class::Throttle)
    };
    let failure = Box::new(CallFailure {
        endpoint: call.endpoint.clone(),
        named_by: named_by.map(str::to_owned),
        elapsed: call.started.elapsed(),
        attempts: call.attempt,
        last_code: call.last_code.clone(),
        is_web_page,
        source: error.into(),
    });
    match connector {
        _ if is_web_page => OrchestratorError::response(failure),
        Some(make) => OrchestratorError::connector(make(failure)),
        // The time was up between throttles: the service did answer.
        None if is_throttled => {
            let kind = Some(ErrorKind::ThrottlingError);
            OrchestratorError::connector(ConnectorError::other(failure, kind))
        }
        None if is_timeout => OrchestratorError::timeout(failure),
        None => OrchestratorError::response(failure),
    }
}

/// Makes a connector error of the same kind.
fn kind(error: &ConnectorError) -> Box<dyn FnOnce(Box<CallFailure>) -> ConnectorError> {
    let other = error.as_other();
    match (error.is_timeout(), error.is_io(), error.is_user()) {
        (true, ..) => Box::new(|failure| ConnectorError::timeout(failure)),
        (_, true, _) => Box::new(|failure| ConnectorError::io(failure)),
        (.., true) => Box::new(|failure| ConnectorError::user(failure)),
        _ => Box::new(move |failure| ConnectorError::other(failure, other)),
    }
}
