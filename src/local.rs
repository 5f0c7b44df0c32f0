//! The embedded local cloud. Knows nothing of the rest of the program, and is reached only over HTTP.
//!
//! [`daemon`] runs a [`Cloud`] behind its [`front`] door as a process of its own, with its files in a [`home`]. The
//! cloud is the [`kinesis`] engine, the metrics of [`cloudwatch`] and the side [`services`].

pub mod clock;
pub mod cloudwatch;
pub mod daemon;
pub mod front;
pub mod home;
pub mod kinesis;
pub mod metrics;
pub mod services;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;

use clock::{Clock, SystemClock};
use cloudwatch::CloudWatch;
use front::{Backends, Kinesis, KinesisRequest};
use services::Services;

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

/// How closely the local cloud keeps to the limits and delays of AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Refuse what is over the throughput limits of shards and the rates of operations.
    pub enforce_limits: bool,
    /// How long a shard iterator is good; 5 minutes on AWS.
    pub iterator_lifetime: Duration,
    /// How long a stream stays CREATING, UPDATING or DELETING.
    pub status_delay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            enforce_limits: false,
            iterator_lifetime: Duration::from_secs(300),
            status_delay: Duration::from_millis(20),
        }
    }
}

/// All services of the local cloud on one data directory.
pub struct Cloud {
    backends: Backends,
}

impl Cloud {
    /// Opens the services whose files are in `data`, recovering what a killed process left. Blocks; call it inside a
    /// tokio runtime.
    ///
    /// # Errors
    /// When files cannot be made or read.
    pub fn open(data: &Path, options: Options) -> io::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let cloudwatch = CloudWatch::open(&data.join("cloudwatch"), Arc::clone(&clock))?;
        let services = Services::open(&data.join("services"))?;
        let kinesis = open_kinesis(data, options)?;
        Ok(Self {
            backends: Backends {
                kinesis,
                cloudwatch,
                services,
            },
        })
    }

    /// The services, for the front door.
    pub fn backends(&self) -> Backends {
        self.backends.clone()
    }

    /// Housekeeping, once a minute. Blocks.
    pub fn tick(&self) {
        self.backends.cloudwatch.tick();
        self.backends.services.save();
    }

    /// Writes everything that is not written yet. Blocks; nothing may be called after it.
    pub fn shutdown(&self) {
        self.backends.cloudwatch.shutdown();
        self.backends.services.save();
    }
}

struct NoKinesis;

impl Kinesis for NoKinesis {
    fn call(&self, _: Caller, _: KinesisRequest) -> BoxFuture<'_, http::Response<Body>> {
        async {
            http::Response::default().map(|body: http_body_util::Empty<Bytes>| {
                use http_body_util::BodyExt;
                body.map_err(|never| match never {}).boxed_unsync()
            })
        }
        .boxed()
    }

    fn stream_count(&self) -> u64 {
        0
    }

    fn end_subscriptions(&self) {}
}

fn open_kinesis(_data: &Path, _options: Options) -> io::Result<Arc<dyn Kinesis>> {
    Ok(Arc::new(NoKinesis))
}
