//! API Gateway: HTTP APIs whose routes invoke Lambda functions, and REST APIs whose methods call Kinesis ([`rest`]).
//!
//! [`control`] manages the [`model`]s of APIs in the [`store`]; [`serve`] answers requests to APIs with the route that
//! [`select`] finds, within the limits of [`throttle`]. This module knows functions by [`crate::invoke`] only.
//!
//! Source: "Amazon API Gateway Version 2 API reference"; "Working with HTTP APIs", API Gateway developer guide.

mod access_log;
mod control;
mod error;
mod input;
mod model;
mod operation;
mod rest;
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

use crate::actions::Actions;
use crate::answer::blocking;
use crate::clock::Clock;
use crate::deliver::LogSink;
use crate::invoke::Invoke;
use crate::metrics::MetricSink;
use crate::service::{Permission, Protocol, Request, Service};
use crate::types::{Body, Caller, Tags, partition};
use daemon::protocol::Damage;
use operation::Route;
use rest::RestApis;
use store::Store;
use throttle::Throttles;

pub(crate) struct ApiGateway {
    store: Store<model::Api>,
    rest: RestApis,
    throttles: Throttles,
    /// The origin of the front door, such as `http://127.0.0.1:4566`.
    origin: String,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn MetricSink>,
    functions: Arc<dyn Invoke>,
    logs: Arc<dyn LogSink>,
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
        actions: Arc<dyn Actions>,
        logs: Arc<dyn LogSink>,
    ) -> io::Result<Self> {
        let (of_rest, to_rest) = (Arc::clone(&clock), Arc::clone(&metrics));
        Ok(Self {
            store: Store::open(dir)?,
            rest: RestApis::open(&dir.join("rest"), origin, of_rest, to_rest, actions)?,
            throttles: Throttles::default(),
            origin: origin.to_owned(),
            clock,
            metrics,
            functions,
            logs,
        })
    }
}

/// Version 2 of the API is for HTTP APIs.
fn is_http_api(request: &Request) -> bool {
    request.parts.uri.path().starts_with("/v2/")
}

impl Service for ApiGateway {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response<Body>> {
        async move {
            let work = move || {
                if is_http_api(&request) {
                    control::answer(&self, &request)
                } else {
                    self.rest.answer(&request)
                }
            };
            blocking(work, |message| error::Error::internal(message).respond()).await
        }
        .boxed()
    }

    /// The method of a request is its action. Source: "Actions, resources, and condition keys for Amazon API Gateway
    /// Management" and "… Management V2", Service Authorization Reference.
    fn permissions(&self, request: &Request) -> Vec<Permission> {
        let path = match is_http_api(request) {
            true => Route::of(&request.parts).map(|route| route.resource().to_owned()),
            false => RestApis::resource(request),
        };
        let Some(path) = path else {
            return Vec::new();
        };
        let Caller { region, .. } = &request.caller;
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
        let mut all = control::tagged(self, caller);
        all.extend(self.rest.tagged(caller));
        all
    }

    fn change_tags(
        self: Arc<Self>,
        caller: Caller,
        operation: &'static str,
        input: Value,
    ) -> BoxFuture<'static, Result<(), (String, String)>> {
        async move {
            let changed = tokio::task::spawn_blocking(move || {
                let arn = input["ResourceARN"].as_str().unwrap_or_default();
                let changed = if arn.contains("::/restapis/") {
                    self.rest.change_tags(&caller, operation, &input)
                } else {
                    control::change_tags(&self, &caller, operation, &input)
                };
                changed.map_err(|error| (error.code.to_owned(), error.message))
            });
            changed
                .await
                .unwrap_or_else(|error| Err(("InternalFailure".to_owned(), error.to_string())))
        }
        .boxed()
    }

    fn damage(&self) -> Vec<Damage> {
        let mut damage = self.store.damage();
        damage.extend(self.rest.damage());
        damage
    }
}
