//! Services whose API is JSON 1.1 and whose work blocks: the call, the answer, and the errors that all of them have.
//!
//! Source: "AWS JSON 1.1 protocol", Smithy documentation.

use std::marker::PhantomData;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use serde_json::{Value, json};

use crate::answer::{answer, blocking, identify, request_id, whole};
use crate::json::{TooManyValues, Unread, admit};
use crate::service::Request;
use crate::types::Body;

/// What the errors of a service are called.
pub(crate) trait Codes: Send + Sync + 'static {
    /// The service in messages.
    const NAME: &'static str;
    /// A failure of the service.
    const INTERNAL: &'static str;
    /// A wrong parameter.
    const INVALID: &'static str;
    /// A parameter that breaks a constraint of the model.
    const CONSTRAINT: &'static str;

    /// The body of an error.
    fn document(code: &str, message: &str) -> Value {
        json!({"__type": code, "Message": message})
    }
}

/// An error of the service with these codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error<C> {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    codes: PhantomData<C>,
}

impl<C: Codes, E: std::error::Error> From<E> for Error<C> {
    fn from(error: E) -> Self {
        Self::internal(error.to_string())
    }
}

impl<C: Codes> From<Unread> for Error<C> {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Unknown(member) => Self::not_offered(format!("the member {member}")),
            Unread::Malformed(text) => Self::serialization(text),
        }
    }
}

impl<C: Codes> Error<C> {
    pub fn with_status(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            codes: PhantomData,
        }
    }

    /// An error of the caller.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self::with_status(400, code, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::with_status(500, C::INTERNAL, message)
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(C::INVALID, message)
    }

    /// What AWS offers and the local cloud does not.
    pub fn not_offered(what: impl std::fmt::Display) -> Self {
        Self::invalid(format!("The local cloud does not offer {what}."))
    }

    /// A value that breaks a constraint of the model. `value` is what the message shows of it.
    pub fn constraint(value: &str, member: &str, constraint: &str) -> Self {
        let message = format!(
            "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: Member must {constraint}"
        );
        Self::new(C::CONSTRAINT, message)
    }

    /// A required member that is missing.
    pub fn missing(member: &str) -> Self {
        Self::constraint("null", member, "not be null")
    }

    pub fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", message)
    }

    pub fn unknown_operation(operation: &str) -> Self {
        let name = C::NAME;
        Self::new(
            "UnknownOperationException",
            format!("The local cloud does not offer the operation {operation} of {name}."),
        )
    }

    pub fn respond(&self) -> Response<Body> {
        respond(self.status, &C::document(self.code, &self.message))
    }
}

fn respond(status: u16, document: &Value) -> Response<Body> {
    let body = whole(document.to_string());
    let mut response = answer(status, "application/x-amz-json-1.1", body);
    identify(&mut response, &request_id());
    response
}

/// The response to a call.
pub(crate) fn answered<C: Codes>(outcome: Result<Value, Error<C>>) -> Response<Body> {
    match outcome {
        Ok(document) => respond(200, &document),
        Err(error) => error.respond(),
    }
}

/// Answers `request` with what `run`, which blocks, makes of its operation.
pub(crate) fn call<C: Codes>(
    request: Request,
    run: impl FnOnce(&Request, &str) -> Result<Value, Error<C>> + Send + 'static,
) -> BoxFuture<'static, Response<Body>> {
    async move {
        let Ok(permit) = admit(&request.body).await else {
            return Error::<C>::invalid(TooManyValues::MESSAGE).respond();
        };
        let work = move || {
            let _permit = permit;
            let operation = request.target().map_or("", |(_, operation)| operation);
            answered(run(&request, operation))
        };
        blocking(work, |message| Error::<C>::internal(message).respond()).await
    }
    .boxed()
}

/// Changes tags by `change`, which blocks, as [`crate::service::Service::change_tags`] does.
pub(crate) fn change_tags<C: Codes>(
    change: impl FnOnce() -> Result<(), Error<C>> + Send + 'static,
) -> BoxFuture<'static, Result<(), (String, String)>> {
    async move {
        let work = move || change().map_err(|error| (error.code.to_owned(), error.message));
        let changed = tokio::task::spawn_blocking(work).await;
        changed.unwrap_or_else(|error| Err((C::INTERNAL.to_owned(), error.to_string())))
    }
    .boxed()
}
