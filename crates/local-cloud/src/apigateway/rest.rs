//! REST APIs: methods that call an action of Kinesis directly, or answer by themselves (MOCK).
//!
//! [`control`] manages the [`model`]s of APIs; [`serve`] answers requests to APIs. Mapping templates are those of the crate
//! `mapping_template`. This module reaches Kinesis by [`crate::actions`] only.
//!
//! Source: Amazon API Gateway API reference (version 1); "Working with REST APIs", API Gateway developer guide.

mod check;
mod control;
mod mapping;
pub(super) mod model;
mod operation;
mod patch;
mod respond;
mod select;
mod serve;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use http::Response;
use serde_json::Value;

use super::error::Result;
use super::store::Store;
use super::throttle::Throttles;
use crate::actions::Actions;
use crate::clock::Clock;
use crate::metrics::MetricSink;
use crate::service::Request;
use crate::types::{Body, Caller, Tags};
use daemon::protocol::Damage;
use model::RestApi;

pub(super) struct RestApis {
    store: Store<RestApi>,
    throttles: Throttles,
    /// The origin of the front door.
    origin: String,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn MetricSink>,
    actions: Arc<dyn Actions>,
}

impl RestApis {
    /// Opens the APIs in `dir`. Blocks.
    ///
    /// # Errors
    /// If files cannot be created or read.
    pub fn open(
        dir: &Path,
        origin: &str,
        clock: Arc<dyn Clock>,
        metrics: Arc<dyn MetricSink>,
        actions: Arc<dyn Actions>,
    ) -> io::Result<Self> {
        Ok(Self {
            store: Store::open(dir)?,
            throttles: Throttles::default(),
            origin: origin.to_owned(),
            clock,
            metrics,
            actions,
        })
    }

    /// Answers a request to the control plane. Blocks.
    pub fn answer(&self, request: &Request) -> Response<Body> {
        control::answer(self, request)
    }

    /// The path that policies name; `None` for an unknown operation.
    pub fn resource(request: &Request) -> Option<String> {
        operation::Route::of(&request.parts).map(|route| route.resource().to_owned())
    }

    pub fn damage(&self) -> Vec<Damage> {
        self.store.damage()
    }

    pub fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        control::tagged(self, caller)
    }

    /// A change of tags through resource group tags.
    pub fn change_tags(&self, caller: &Caller, operation: &str, input: &Value) -> Result<()> {
        control::change_tags(self, caller, operation, input)
    }
}
