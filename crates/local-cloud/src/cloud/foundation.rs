//! What the services share, and how each one that calls others is opened with it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::actions::KinesisActions;
use super::deliveries::Deliveries;
use super::site_buckets::SiteBuckets;
use super::{AccessPolicies, Stores};
use crate::apigateway::ApiGateway;
use crate::authorise::Policies;
use crate::clock::{Clock, CloudClock};
use crate::cloudfront::CloudFront;
use crate::cloudwatch::CloudWatch;
use crate::deliver::{Deliver, LogSink};
use crate::firehose::{Firehose, FirehoseConfig};
use crate::invoke::Invoke;
use crate::kinesis::engine::{Engine, EngineConfig, KeyLookup};
use crate::lambda::{Lambda, LambdaConfig, RoleLookup, Timings};
use crate::mappings::{Mappings, MappingsConfig};
use crate::metrics::MetricSink;
use crate::web::Web;
use crate::web::function_url::{FunctionUrls, Urls};
use daemon::Options;
use daemon::secret::Secret;

/// What the services that call others are opened with.
pub(super) struct Foundation<'a> {
    data: &'a Path,
    /// The URL that functions get.
    endpoint: &'a str,
    secret: &'a Secret,
    options: Options,
    pub(super) clock: Arc<CloudClock>,
    pub(super) cloudwatch: Arc<CloudWatch>,
    pub(super) stores: Stores,
    pub(super) deliveries: Arc<Deliveries>,
}

impl<'a> Foundation<'a> {
    pub(super) fn open(
        data: &'a Path,
        options: Options,
        endpoint: &'a str,
        secret: &'a Secret,
    ) -> io::Result<Self> {
        let dir = services_dir(data);
        let clock = Arc::new(CloudClock::open(data, options.clock_behind, dir.exists())?);
        let shared_clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let cloudwatch = CloudWatch::open(&data.join("cloudwatch"), Arc::clone(&shared_clock))?;
        let metrics = Arc::clone(&cloudwatch) as Arc<dyn MetricSink>;
        ground::platform::create_private_dir(&dir)?;
        ground::platform::remove_unfinished(&dir)?;
        let stores = Stores::new(&dir, &shared_clock, &metrics)?;
        Ok(Self {
            data,
            endpoint,
            secret,
            options,
            clock,
            cloudwatch,
            deliveries: stores.deliveries(),
            stores,
        })
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }

    pub(super) fn metrics(&self) -> Arc<dyn MetricSink> {
        Arc::clone(&self.cloudwatch) as Arc<dyn MetricSink>
    }

    pub(super) fn deliver(&self) -> Arc<dyn Deliver> {
        Arc::clone(&self.deliveries) as Arc<dyn Deliver>
    }

    pub(super) fn kinesis(&self) -> io::Result<Arc<Engine>> {
        Engine::open(EngineConfig {
            data_dir: self.data.join("kinesis"),
            clock: self.clock(),
            metrics: self.metrics(),
            kms: Arc::new(self.stores.kms.clone()) as Arc<dyn KeyLookup>,
            destination: Arc::new(self.stores.channel_destination()),
            options: self.options.clone(),
        })
    }

    pub(super) fn lambda(&self) -> io::Result<Arc<Lambda>> {
        Lambda::open(LambdaConfig {
            data_dir: self.data.join("lambda"),
            endpoint: self.endpoint.to_owned(),
            secret: self.secret.clone(),
            clock: self.clock(),
            metrics: self.metrics(),
            logs: Arc::clone(&self.stores.logs) as Arc<dyn LogSink>,
            deliver: self.deliver(),
            roles: Some(Arc::new(self.stores.iam.clone()) as Arc<dyn RoleLookup>),
            timings: Timings::default(),
        })
    }

    pub(super) fn mappings(&self, kinesis: &Arc<Engine>, lambda: &Arc<Lambda>) -> io::Result<Arc<Mappings>> {
        Mappings::open(MappingsConfig {
            data_dir: self.data.join("mappings"),
            clock: self.clock(),
            kinesis: Arc::clone(kinesis),
            invoke: Arc::clone(lambda) as Arc<dyn Invoke>,
            deliver: self.deliver(),
            metrics: self.metrics(),
            max_filters: usize::from(self.options.event_filters),
        })
    }

    pub(super) fn firehose(&self, kinesis: &Arc<Engine>, lambda: &Arc<Lambda>) -> io::Result<Arc<Firehose>> {
        let opened = Firehose::open(FirehoseConfig {
            data_dir: self.data.join("firehose"),
            clock: self.clock(),
            kinesis: Arc::clone(kinesis),
            kms: Arc::new(self.stores.kms.clone()) as Arc<dyn KeyLookup>,
            destination: Arc::new(self.stores.channel_destination()),
            functions: Arc::clone(lambda) as Arc<dyn Invoke>,
            metrics: self.metrics(),
            options: self.options.clone(),
        });
        opened.map(Arc::new)
    }

    pub(super) fn http_apis(
        &self,
        kinesis: &Arc<Engine>,
        lambda: &Arc<Lambda>,
    ) -> io::Result<Arc<ApiGateway>> {
        let opened = ApiGateway::open(
            &self.data.join("apigateway"),
            self.endpoint,
            self.clock(),
            self.metrics(),
            Arc::clone(lambda) as Arc<dyn Invoke>,
            Arc::new(KinesisActions {
                engine: Arc::clone(kinesis),
                iam: self.stores.iam.clone(),
            }),
            Arc::clone(&self.stores.logs) as Arc<dyn LogSink>,
        );
        opened.map(Arc::new)
    }

    pub(super) fn cloudfront(&self) -> io::Result<Arc<CloudFront>> {
        let opened = CloudFront::open(
            &self.data.join("cloudfront"),
            self.endpoint,
            self.options.status_delay,
            self.clock(),
            self.metrics(),
            Arc::new(SiteBuckets(Arc::clone(&self.stores.s3))),
        );
        opened.map(Arc::new)
    }

    pub(super) fn function_urls(&self, lambda: &Arc<Lambda>, policies: &Arc<AccessPolicies>) -> Arc<dyn Web> {
        Arc::new(FunctionUrls {
            urls: Arc::clone(lambda) as Arc<dyn Urls>,
            functions: Arc::clone(lambda) as Arc<dyn Invoke>,
            policies: Arc::clone(policies) as Arc<dyn Policies>,
            clock: self.clock(),
        })
    }
}

/// The files of the services that only store.
pub(super) fn services_dir(data: &Path) -> PathBuf {
    data.join("services")
}
