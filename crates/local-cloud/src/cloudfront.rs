//! CloudFront: distributions in front of private buckets, with origin access control.
//!
//! [`control`] manages what is in the [`store`]; [`serve`] answers requests to distributions with the objects of their
//! [`Buckets`], if the [`bucket_policy`] allows it. Nothing is cached. This module knows S3 by [`Buckets`] only.
//!
//! Source: "Amazon CloudFront API reference", version 2020-05-31; "Restrict access to an Amazon S3 origin", CloudFront
//! developer guide.

mod bucket_policy;
mod control;
mod error;
mod model;
mod operation;
mod policies;
mod read;
mod serve;
mod store;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use http::request::Parts;
use serde_json::Value;

use crate::answer::blocking;
use crate::clock::Clock;
use crate::metrics::MetricSink;
use crate::service::{Permission, Protocol, Request, Service};
use crate::types::{Body, Caller, Tags, partition};
use crate::web::address::{self, Kind};
use daemon::protocol::Damage;
use operation::{Operation, Route};
use store::Store;

/// The buckets behind distributions.
pub(crate) trait Buckets: Send + Sync + 'static {
    /// The policy of a bucket of `account` in JSON, if it has one. Blocks.
    fn policy(&self, account: &str, bucket: &str) -> Option<String>;

    /// Answers a request to S3, whatever policies say. Blocks.
    fn answer(&self, caller: Caller, parts: Parts) -> Response<Body>;
}

pub(crate) struct CloudFront {
    store: Store,
    /// The origin of the front door, such as `http://127.0.0.1:4566`.
    origin: String,
    /// How long a change is in progress.
    status_delay_ms: i64,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn MetricSink>,
    buckets: Arc<dyn Buckets>,
}

impl CloudFront {
    /// Opens the distributions in `dir`. Blocks.
    ///
    /// # Errors
    /// If files cannot be created or read.
    pub fn open(
        dir: &Path,
        origin: &str,
        status_delay: Duration,
        clock: Arc<dyn Clock>,
        metrics: Arc<dyn MetricSink>,
        buckets: Arc<dyn Buckets>,
    ) -> io::Result<Self> {
        Ok(Self {
            store: Store::open(dir)?,
            origin: origin.to_owned(),
            status_delay_ms: i64::try_from(status_delay.as_millis()).unwrap_or(i64::MAX),
            clock,
            metrics,
            buckets,
        })
    }

    /// The host of a distribution, with the port of the front door.
    fn domain(&self, id: &str) -> String {
        let port = self.origin.rsplit_once(':').map_or("", |(_, port)| port);
        let host = address::domain(Kind::Distribution, &id.to_ascii_lowercase(), "");
        format!("{host}:{port}")
    }
}

impl Service for CloudFront {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response<Body>> {
        async move {
            let work = move || control::answer(&self, &request);
            blocking(work, |message| error::Error::internal(message).respond()).await
        }
        .boxed()
    }

    /// Source: "Actions, resources, and condition keys for Amazon CloudFront", Service Authorization Reference.
    fn permissions(&self, request: &Request) -> Vec<Permission> {
        use Operation as O;
        let Some(route) = Route::of(&request.parts) else {
            return Vec::new();
        };
        let Caller { account, region } = &request.caller;
        let partition = partition(region);
        let arn = |kind: &str| {
            let id = if route.id.is_empty() { "*" } else { &route.id };
            format!("arn:{partition}:cloudfront::{account}:{kind}/{id}")
        };
        let resource = match route.operation {
            O::ListDistributions | O::ListOriginAccessControls => None,
            O::ListTagsForResource | O::TagResource | O::UntagResource => Some(route.id.clone()),
            O::CreateOriginAccessControl
            | O::DeleteOriginAccessControl
            | O::GetOriginAccessControl
            | O::GetOriginAccessControlConfig
            | O::UpdateOriginAccessControl => Some(arn("origin-access-control")),
            O::CreateDistribution
            | O::CreateDistributionWithTags
            | O::CreateInvalidation
            | O::DeleteDistribution
            | O::GetDistribution
            | O::GetDistributionConfig
            | O::GetInvalidation
            | O::ListInvalidations
            | O::UpdateDistribution => Some(arn("distribution")),
        };
        let needs = |action: &str| Permission::new("cloudfront", action, resource.clone());
        match route.operation {
            // Source: CreateDistributionWithTags, CloudFront API reference.
            O::CreateDistributionWithTags => vec![needs("CreateDistribution"), needs("TagResource")],
            operation => vec![needs(operation.as_str())],
        }
    }

    fn access_denied(&self) -> (u16, &'static str) {
        (403, "AccessDenied")
    }

    fn protocol(&self) -> Protocol {
        Protocol::RestXmlEnvelope
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
