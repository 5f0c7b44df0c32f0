//! The embedded local cloud: AWS's services in one process, on this machine.
//!
//! Knows nothing of commands, and is reached only over HTTP. [`run()`] serves a [`Cloud`] behind its [`front`] door, with
//! its files in the home that the crate `daemon` owns. The
//! cloud is the [`kinesis`] engine, the functions of [`lambda`] and the [`mappings`] that feed them, the metrics and
//! alarms of [`cloudwatch`], and the side [`services`].

mod answer;
mod authorise;
pub mod clock;
pub mod cloudwatch;
pub mod deliver;
pub mod front;
pub mod invoke;
pub mod kinesis;
pub mod lambda;
pub mod mappings;
pub mod metrics;
mod query;
mod run;
pub mod services;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use serde_json::Value;

use clock::{Clock, SystemClock};
use cloudwatch::CloudWatch;
use deliver::{Deliver, LogSink};
use front::{Backends, Kinesis, Rest};
use invoke::Invoke;
use kinesis::operation::Operation;
use kinesis::service::{KeyLookup, Request, Service, ServiceConfig};
use lambda::{Lambda, LambdaConfig, Pace, RoleLookup};
use mappings::{Mappings, MappingsConfig};
use metrics::MetricSink;
use services::{Services, TagSource, Tags};

use daemon::Options;
pub use run::run;

/// The body of every answer: whole or streamed.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The account of everything in the local cloud: what AWS's own documentation and emulators use.
pub const ACCOUNT: &str = "000000000000";

/// Who asks, as far as the local cloud tells callers apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// 12-digit account id.
    pub account: String,
    /// Region of the request's signature.
    pub region: String,
}

impl Default for Caller {
    fn default() -> Self {
        Self {
            account: ACCOUNT.to_owned(),
            region: "us-east-1".to_owned(),
        }
    }
}

/// The ARN partition of a region. Source: "Amazon Resource Names (ARNs)", AWS general reference.
fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// What a service that wants to encrypt needs to know of a KMS key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Ready for use.
    Enabled,
    /// There, but disabled.
    Disabled,
    /// There, but to be deleted or without key material.
    Unusable,
    /// Not there.
    Missing,
}

/// All services of the local cloud on one data directory.
pub struct Cloud {
    kinesis: Arc<Service>,
    cloudwatch: Arc<CloudWatch>,
    lambda: Arc<Lambda>,
    mappings: Arc<Mappings>,
    services: Arc<Services>,
    /// The watchman of the alarms.
    watch: tokio::task::JoinHandle<()>,
}

impl Cloud {
    /// Opens the services whose files are in `data`, recovering what a killed process left. `endpoint` is the URL where
    /// functions will find them. Blocks; call it inside a tokio runtime.
    ///
    /// # Errors
    /// When files cannot be made or read.
    pub fn open(data: &Path, options: Options, endpoint: &str) -> io::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let cloudwatch = CloudWatch::open(&data.join("cloudwatch"), Arc::clone(&clock))?;
        let services = Services::open(&data.join("services"))?;
        let kinesis = Service::open(ServiceConfig {
            data_dir: data.join("kinesis"),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&cloudwatch) as Arc<dyn MetricSink>,
            kms: Arc::clone(&services) as Arc<dyn KeyLookup>,
            options,
        })?;
        let weak = Arc::downgrade(&kinesis);
        services.set_tag_source(weak);
        let metrics = || Arc::clone(&cloudwatch) as Arc<dyn MetricSink>;
        let deliver = || Arc::clone(&services) as Arc<dyn Deliver>;
        let lambda = Lambda::open(LambdaConfig {
            data_dir: data.join("lambda"),
            endpoint: endpoint.to_owned(),
            clock: Arc::clone(&clock),
            metrics: metrics(),
            logs: Arc::clone(&services) as Arc<dyn LogSink>,
            deliver: deliver(),
            roles: Some(Arc::clone(&services) as Arc<dyn RoleLookup>),
            pace: Pace::default(),
        })?;
        let mappings = Mappings::open(MappingsConfig {
            data_dir: data.join("mappings"),
            clock,
            kinesis: Arc::clone(&kinesis),
            invoke: Arc::clone(&lambda) as Arc<dyn Invoke>,
            deliver: deliver(),
            metrics: metrics(),
        })?;
        lambda.resume();
        let watch = tokio::spawn(cloudwatch::watch::run(Arc::clone(&cloudwatch), deliver()));
        Ok(Self {
            kinesis,
            cloudwatch,
            lambda,
            mappings,
            services,
            watch,
        })
    }

    /// The services, for the front door.
    pub fn backends(&self) -> Backends {
        Backends {
            kinesis: Arc::new(Engine(Arc::clone(&self.kinesis))),
            cloudwatch: Arc::clone(&self.cloudwatch),
            lambda: vec![
                Arc::new(Functions(Arc::clone(&self.lambda))),
                Arc::new(Feeders(Arc::clone(&self.mappings))),
            ],
            services: Arc::clone(&self.services),
        }
    }

    /// Housekeeping, once a minute. Blocks.
    pub fn tick(&self) {
        self.kinesis.sweep();
        self.services.measure(&*self.cloudwatch);
        self.cloudwatch.tick();
        self.services.save();
    }

    /// Writes everything that is not written yet. Blocks; nothing may be called after it.
    pub fn shutdown(&self) {
        self.watch.abort();
        // Before the functions, whose end would count as a failure; and these before what they write to.
        self.mappings.shutdown();
        self.lambda.shutdown();
        self.kinesis.shutdown();
        self.cloudwatch.shutdown();
        self.services.save();
    }
}

/// The engine, as the front door sees it.
struct Engine(Arc<Service>);

impl Kinesis for Engine {
    fn call(&self, caller: Caller, request: Request) -> BoxFuture<'_, http::Response<Body>> {
        let service = Arc::clone(&self.0);
        let long = Operation::parse(&request.target).is_some_and(Operation::may_take_long);
        async move {
            if !long {
                return service.call(caller, request);
            }
            let answered = tokio::task::spawn_blocking(move || service.call(caller, request)).await;
            // A panic there is one here: the front door answers for it.
            answered.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        }
        .boxed()
    }

    fn stream_count(&self) -> u64 {
        self.0.stream_count()
    }

    fn end_subscriptions(&self) {
        self.0.end_subscriptions();
    }
}

/// The engine, as the side services see it.
impl TagSource for Service {
    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        self.tagged_streams(caller)
    }

    fn change(
        &self,
        caller: &Caller,
        operation: &'static str,
        input: Value,
    ) -> BoxFuture<'_, Result<(), (String, String)>> {
        let request = Request {
            target: operation.to_owned(),
            content_type: "application/x-amz-json-1.1".to_owned(),
            body: input.to_string().into(),
        };
        let caller = caller.clone();
        async move {
            let response = self.call(caller, request);
            if response.status().is_success() {
                return Ok(());
            }
            let body = response.into_body().collect().await.map(|body| body.to_bytes());
            let error: Value = body
                .ok()
                .and_then(|body| serde_json::from_slice(&body).ok())
                .unwrap_or_default();
            let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
            Err((text("__type"), text("message")))
        }
        .boxed()
    }
}

/// Lambda, as the front door sees it.
struct Functions(Arc<Lambda>);

impl Rest for Functions {
    fn handle<'a>(
        &'a self,
        caller: &'a Caller,
        parts: &'a http::request::Parts,
        body: Bytes,
    ) -> BoxFuture<'a, Option<http::Response<Body>>> {
        self.0.handle(caller, parts, body).boxed()
    }

    fn user_of(&self, key: &str) -> Option<authorise::User> {
        self.0
            .user_of_access_key(key)
            .map(|(role, function)| authorise::User { role, function })
    }
}

/// The event source mappings, as the front door sees them.
struct Feeders(Arc<Mappings>);

impl Rest for Feeders {
    fn handle<'a>(
        &'a self,
        caller: &'a Caller,
        parts: &'a http::request::Parts,
        body: Bytes,
    ) -> BoxFuture<'a, Option<http::Response<Body>>> {
        async move { self.0.handle(caller, parts, &body).await }.boxed()
    }
}

/// The IAM of the side services, as Lambda sees it.
impl RoleLookup for Services {
    fn exists<'a>(&'a self, caller: &'a Caller, arn: &'a str) -> BoxFuture<'a, bool> {
        async move {
            let name = arn.rsplit('/').next().unwrap_or_default();
            // Of the characters of a role's name, a form takes these two for others.
            let name = name.replace('+', "%2B").replace('=', "%3D");
            let form = format!("Action=GetRole&Version=2010-05-08&RoleName={name}");
            let authorization = format!(
                "AWS4-HMAC-SHA256 Credential=local/20260101/{}/iam/aws4_request",
                caller.region
            );
            let request = http::Request::post("/")
                .header("content-type", "application/x-www-form-urlencoded")
                .header("authorization", authorization)
                .body(());
            let Ok(request) = request else { return false };
            let (parts, ()) = request.into_parts();
            self.call(caller, "iam", &parts, form.into())
                .await
                .status()
                .is_success()
        }
        .boxed()
    }

    fn allows(&self, arn: &str, action: &str, resource: &str) -> bool {
        self.decide(arn, action, resource) == authorise::Verdict::Allowed
    }
}

/// The KMS of the side services, as the engine sees it.
impl KeyLookup for Services {
    fn exists(&self, caller: &Caller, key_id: &str) -> KeyState {
        self.key_state(caller, key_id)
    }
}
