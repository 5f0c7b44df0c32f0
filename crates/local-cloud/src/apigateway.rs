//! API Gateway: HTTP APIs whose routes invoke Lambda functions.
//!
//! [`control`] manages the [`model`]s of APIs in the [`store`]; [`serve`] answers requests to APIs with the route that
//! [`select`] finds, within the limits of [`throttle`]. This module knows functions by [`crate::invoke`] only.
//!
//! Source: "Amazon API Gateway Version 2 API reference"; "Working with HTTP APIs", API Gateway developer guide.

mod control;
mod error;
mod input;
mod model;
mod operation;
mod select;
mod serve;
mod store;
#[cfg(test)]
mod tests;
mod throttle;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use serde_json::Value;

use crate::clock::Clock;
use crate::invoke::Invoke;
use crate::metrics::MetricSink;
use crate::service::{Permission, Protocol, Request, Service};
use crate::types::{Body, Caller, Tags, partition};
use daemon::protocol::Damage;
use operation::Route;
use store::Store;
use throttle::Throttles;

pub(crate) struct ApiGateway {
    store: Store,
    throttles: Throttles,
    /// The origin of the front door, such as `http://127.0.0.1:4566`.
    origin: String,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn MetricSink>,
    functions: Arc<dyn Invoke>,
}

impl ApiGateway {
    /// Opens the APIs in `dir`. Blocks.
    ///
    /// # Errors
    /// If files cannot be created or read.
    pub fn open(
        dir: &Path,
        origin: &str,
        clock: Arc<dyn Clock>,
        metrics: Arc<dyn MetricSink>,
        functions: Arc<dyn Invoke>,
    ) -> io::Result<Self> {
        Ok(Self {
            store: Store::open(dir)?,
            throttles: Throttles::default(),
            origin: origin.to_owned(),
            clock,
            metrics,
            functions,
        })
    }
}

impl Service for ApiGateway {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response<Body>> {
        async move {
            let answered = tokio::task::spawn_blocking(move || control::answer(&self, &request));
            // Pass on a panic: the front handles it.
            answered
                .await
                .unwrap_or_else(|error| match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => error::Error::internal("The local cloud is stopping.").respond(),
                })
        }
        .boxed()
    }

    /// The method of a request is its action. Source: "Actions, resources, and condition keys for Amazon API Gateway
    /// Management V2", Service Authorization Reference.
    fn permissions(&self, request: &Request) -> Vec<Permission> {
        let Some(route) = Route::of(&request.parts) else {
            return Vec::new();
        };
        let Caller { region, .. } = &request.caller;
        let path = route.resource();
        let resource = format!("arn:{}:apigateway:{region}::{path}", partition(region));
        vec![Permission::new(
            "apigateway",
            request.parts.method.as_str(),
            Some(resource),
        )]
    }

    fn access_denied(&self) -> (u16, &'static str) {
        (403, "AccessDeniedException")
    }

    fn protocol(&self) -> Protocol {
        Protocol::RestJson
    }

    fn max_body(&self) -> usize {
        1 << 20
    }

    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        control::tagged(self, caller)
    }

    fn change_tags(
        self: Arc<Self>,
        caller: Caller,
        operation: &'static str,
        input: Value,
    ) -> BoxFuture<'static, Result<(), (String, String)>> {
        async move {
            let changed = tokio::task::spawn_blocking(move || {
                control::change_tags(&self, &caller, operation, &input)
                    .map_err(|error| (error.code.to_owned(), error.message))
            });
            changed
                .await
                .unwrap_or_else(|error| Err(("InternalFailure".to_owned(), error.to_string())))
        }
        .boxed()
    }

    fn damage(&self) -> Vec<Damage> {
        self.store.damage()
    }
}
