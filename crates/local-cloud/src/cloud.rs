//! The composition root: opens the services, connects them and lists them in the table.
//!
//! The only module that knows all services. They reach each other through interfaces: [`crate::deliver`],
//! [`crate::invoke`], [`crate::metrics`], [`KeyLookup`] and [`RoleLookup`].

mod actions;
mod channels;
mod deliveries;
mod lambda_api;
mod site_buckets;

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use awsim_sts::StsSessionStore;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::apigateway::ApiGateway;
use crate::athena::Athena;
use crate::authorise::{self, Decision, Policies, Principal};
use crate::awsim::{Awsim, Iam, Kms, Sns, Stored, Sts, Tagging};
use crate::clock::{Clock, CloudClock};
use crate::cloudfront::CloudFront;
use crate::cloudwatch::{self, CloudWatch};
use crate::deliver::{Deliver, LogSink};
use crate::dynamodb::DynamoDb;
use crate::firehose::{self, Firehose, FirehoseConfig};
use crate::front::Backends;
use crate::glue::Glue;
use crate::invoke::{Functions, Invoke};
use crate::kinesis::channels as delivery;
use crate::kinesis::engine::{Engine, EngineConfig, KeyLookup};
use crate::kinesis::service::Kinesis;
use crate::lambda::{self, Lambda, LambdaConfig, RoleLookup, Timings};
use crate::logs::Logs;
use crate::mappings::{Mappings, MappingsConfig};
use crate::metrics::MetricSink;
use crate::s3::{S3, Targets};
use crate::service::Permission;
use crate::services::{Entry, Services};
use crate::sqs::Sqs;
use crate::types::{Caller, KeyState};
use crate::web::function_url::{FunctionUrls, Urls};
use crate::web::{Endpoints, Web};
use actions::KinesisActions;
use channels::ChannelDestination;
use daemon::Options;
use daemon::secret::Secret;
pub(crate) use deliveries::Deliveries;
use lambda_api::LambdaApi;
use site_buckets::SiteBuckets;

/// All services of the local cloud on one data directory.
pub struct Cloud {
    pub(crate) services: Arc<Services>,
    pub(crate) deliveries: Arc<Deliveries>,
    pub(crate) logs: Arc<Logs>,
    policies: Arc<AccessPolicies>,
    web: Arc<Endpoints>,
    kinesis: Arc<Engine>,
    clock: Arc<CloudClock>,
    /// The task that evaluates alarms.
    alarms: tokio::task::JoinHandle<()>,
    /// The task that delivers channels.
    channels: tokio::task::JoinHandle<()>,
    /// The task that delivers Firehose's delivery streams.
    firehose: tokio::task::JoinHandle<()>,
}

impl Cloud {
    /// Opens the services whose files are in `data`, and recovers what a killed process left. `endpoint` is the URL
    /// that functions get; their credentials are derived from `secret`. Blocks; must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When files cannot be made or read.
    pub fn open(data: &Path, options: Options, endpoint: &str, secret: &Secret) -> io::Result<Self> {
        let max_filters = usize::from(options.event_filters);
        let firehose_options = options.clone();
        let dir = data.join("services");
        let adjustable = Arc::new(CloudClock::open(data, options.clock_behind, dir.exists())?);
        let clock = Arc::clone(&adjustable) as Arc<dyn Clock>;
        let status_delay = options.status_delay;
        let cloudwatch = CloudWatch::open(&data.join("cloudwatch"), Arc::clone(&clock))?;
        let metrics = Arc::clone(&cloudwatch) as Arc<dyn MetricSink>;
        ground::platform::create_private_dir(&dir)?;
        ground::platform::remove_unfinished(&dir)?;
        let stores = Stores::new(&dir, &clock, &metrics)?;
        let deliveries = stores.deliveries();
        let deliver = || Arc::clone(&deliveries) as Arc<dyn Deliver>;
        let kinesis = Engine::open(EngineConfig {
            data_dir: data.join("kinesis"),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            kms: Arc::new(stores.kms.clone()) as Arc<dyn KeyLookup>,
            destination: Arc::new(stores.channel_destination()),
            options,
        })?;
        let lambda = Lambda::open(LambdaConfig {
            data_dir: data.join("lambda"),
            endpoint: endpoint.to_owned(),
            secret: secret.clone(),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            logs: Arc::clone(&stores.logs) as Arc<dyn LogSink>,
            deliver: deliver(),
            roles: Some(Arc::new(stores.iam.clone()) as Arc<dyn RoleLookup>),
            timings: Timings::default(),
        })?;
        let firehose = stores.firehose(data, (&clock, &metrics), &kinesis, &lambda, firehose_options)?;
        let mappings = Mappings::open(MappingsConfig {
            data_dir: data.join("mappings"),
            clock,
            kinesis: Arc::clone(&kinesis),
            invoke: Arc::clone(&lambda) as Arc<dyn Invoke>,
            deliver: deliver(),
            metrics,
            max_filters,
        })?;
        lambda.resume();
        stores.connect(&lambda, &deliver());
        let functions = Arc::clone(&lambda) as Arc<dyn Invoke>;
        let alarms = tokio::spawn(cloudwatch::watch::run(
            Arc::clone(&cloudwatch),
            deliver(),
            functions,
        ));
        let channels = tokio::spawn(delivery::task::run(Arc::clone(&kinesis)));
        let delivering = tokio::spawn(firehose::task::run(Arc::clone(&firehose)));
        let policies = Arc::new(AccessPolicies {
            lambda: Arc::clone(&lambda),
            iam: stores.iam.clone(),
            sessions: Arc::default(),
            secret: secret.clone(),
        });
        let actions = KinesisActions {
            engine: Arc::clone(&kinesis),
            iam: stores.iam.clone(),
        };
        let http_apis = http_apis(data, endpoint, (&adjustable, &cloudwatch), &lambda, actions)?;
        let metrics = Arc::clone(&cloudwatch) as Arc<dyn MetricSink>;
        let cloudfront = Arc::new(CloudFront::open(
            &data.join("cloudfront"),
            endpoint,
            status_delay,
            Arc::clone(&adjustable) as Arc<dyn Clock>,
            metrics,
            Arc::new(SiteBuckets(Arc::clone(&stores.s3))),
        )?);
        let web = Arc::new(Endpoints {
            function_urls: function_urls(&lambda, &policies, &adjustable),
            http_apis: Arc::clone(&http_apis) as Arc<dyn Web>,
            distributions: Arc::clone(&cloudfront) as Arc<dyn Web>,
        });
        let logs = Arc::clone(&stores.logs);
        let lambda = LambdaApi { lambda, mappings };
        let engine = Kinesis(Arc::clone(&kinesis));
        let first = FirstServices {
            lambda,
            http_apis,
            firehose,
            cloudfront,
            kinesis: engine,
        };
        let services = stores.table(&dir, first, cloudwatch, &policies);
        services.open();
        Ok(Self {
            services,
            deliveries,
            logs,
            policies,
            web,
            kinesis,
            clock: adjustable,
            alarms,
            channels,
            firehose: delivering,
        })
    }

    /// For the front door.
    pub(crate) fn backends(&self) -> Backends {
        let kinesis = Arc::clone(&self.kinesis);
        Backends {
            services: Arc::clone(&self.services),
            policies: Arc::clone(&self.policies) as Arc<dyn Policies>,
            web: Arc::clone(&self.web) as Arc<dyn Web>,
            stream_count: Box::new(move || kinesis.stream_count()),
            clock: Arc::clone(&self.clock),
        }
    }

    /// The clock of all services.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Housekeeping, once a minute. Blocks.
    pub(crate) fn tick(&self) {
        self.services.tick();
    }

    /// Writes everything that is not written yet. Blocks; no call may follow.
    pub(crate) fn shutdown(&self) {
        self.alarms.abort();
        self.channels.abort();
        self.firehose.abort();
        self.services.shutdown();
    }
}

fn http_apis(
    data: &Path,
    endpoint: &str,
    (clock, metrics): (&Arc<CloudClock>, &Arc<CloudWatch>),
    lambda: &Arc<Lambda>,
    actions: KinesisActions,
) -> io::Result<Arc<ApiGateway>> {
    let opened = ApiGateway::open(
        &data.join("apigateway"),
        endpoint,
        Arc::clone(clock) as Arc<dyn Clock>,
        Arc::clone(metrics) as Arc<dyn MetricSink>,
        Arc::clone(lambda) as Arc<dyn Invoke>,
        Arc::new(actions),
    );
    opened.map(Arc::new)
}

fn function_urls(
    lambda: &Arc<Lambda>,
    policies: &Arc<AccessPolicies>,
    clock: &Arc<CloudClock>,
) -> Arc<dyn Web> {
    Arc::new(FunctionUrls {
        urls: Arc::clone(lambda) as Arc<dyn Urls>,
        functions: Arc::clone(lambda) as Arc<dyn Invoke>,
        policies: Arc::clone(policies) as Arc<dyn Policies>,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
    })
}

/// The services that call others.
struct FirstServices {
    lambda: LambdaApi,
    http_apis: Arc<ApiGateway>,
    firehose: Arc<Firehose>,
    cloudfront: Arc<CloudFront>,
    kinesis: Kinesis,
}

/// The services that only store.
struct Stores {
    iam: Stored<Iam>,
    kms: Stored<Kms>,
    sns: Stored<Sns>,
    s3: Arc<S3>,
    sqs: Arc<Sqs>,
    /// Connected when Lambda is open.
    functions: Functions,
    dynamodb: Arc<DynamoDb>,
    logs: Arc<Logs>,
    glue: Arc<Glue>,
    athena: Arc<Athena>,
}

impl Stores {
    /// The services with files in `dir`. Opens none of them yet.
    fn new(dir: &Path, clock: &Arc<dyn Clock>, metrics: &Arc<dyn MetricSink>) -> io::Result<Self> {
        ground::platform::create_private_dir(dir)?;
        let kms = Stored::new(dir, Kms::default);
        let sqs = Arc::new(Sqs::new(dir, Arc::clone(clock), Arc::clone(metrics)));
        let (keys, queues) = (kms.clone(), Arc::clone(&sqs));
        let functions = Functions::default();
        let called = functions.clone();
        let key_arn = move |caller: &Caller, key: &str| keys.key_arn(caller, key);
        Ok(Self {
            iam: Stored::new(dir, Iam::default),
            kms,
            sns: Stored::new(dir, move || Sns::new(Arc::clone(&queues), called.clone())),
            s3: Arc::new(S3::new(dir, Arc::clone(clock))),
            sqs,
            functions,
            dynamodb: Arc::new(DynamoDb::new(
                dir,
                Arc::clone(clock),
                Arc::clone(metrics),
                Box::new(key_arn),
            )),
            logs: Arc::new(Logs::new(dir, Arc::clone(clock))),
            glue: Arc::new(Glue::new(dir, Arc::clone(clock))),
            athena: Arc::new(Athena::new(dir, Arc::clone(clock))),
        })
    }

    fn deliveries(&self) -> Arc<Deliveries> {
        Arc::new(Deliveries {
            sqs: Arc::clone(&self.sqs),
            sns: self.sns.clone(),
            s3: Arc::clone(&self.s3),
        })
    }

    fn channel_destination(&self) -> ChannelDestination {
        ChannelDestination {
            s3: Arc::clone(&self.s3),
            iam: self.iam.clone(),
            logs: Arc::clone(&self.logs),
        }
    }

    /// Firehose, which writes to buckets.
    fn firehose(
        &self,
        data: &Path,
        (clock, metrics): (&Arc<dyn Clock>, &Arc<dyn MetricSink>),
        kinesis: &Arc<Engine>,
        lambda: &Arc<Lambda>,
        options: Options,
    ) -> io::Result<Arc<Firehose>> {
        let opened = Firehose::open(FirehoseConfig {
            data_dir: data.join("firehose"),
            clock: Arc::clone(clock),
            kinesis: Arc::clone(kinesis),
            kms: Arc::new(self.kms.clone()) as Arc<dyn KeyLookup>,
            destination: Arc::new(self.channel_destination()),
            functions: Arc::clone(lambda) as Arc<dyn Invoke>,
            metrics: Arc::clone(metrics),
            options,
        });
        opened.map(Arc::new)
    }

    /// Lets topics and buckets reach functions, and buckets send what was not sent before the last stop.
    fn connect(&self, lambda: &Arc<Lambda>, deliver: &Arc<dyn Deliver>) {
        self.functions.connect(&(Arc::clone(lambda) as Arc<dyn Invoke>));
        self.s3.connect(Targets {
            deliver: Arc::downgrade(deliver),
            functions: self.functions.clone(),
        });
    }

    /// The table of all services.
    fn table(
        self,
        dir: &Path,
        first: FirstServices,
        cloudwatch: Arc<CloudWatch>,
        policies: &Arc<AccessPolicies>,
    ) -> Arc<Services> {
        let policies = Arc::clone(policies);
        let sts = Stored::new(dir, move || {
            let sessions = Arc::clone(&policies.sessions);
            Sts::new(sessions, Arc::clone(&policies) as Arc<dyn Policies>)
        });
        // CloudFront, API Gateway, Firehose and Lambda first: at shutdown functions still write to the others. CloudWatch last:
        // it takes metrics of all.
        let entries = |tagging| {
            vec![
                Entry::new("CloudFront", "cloudfront", "", first.cloudfront),
                Entry::new("API Gateway", "apigateway", "", first.http_apis),
                Entry::new("Firehose", "firehose", "Firehose_20150804", first.firehose),
                Entry::new("Lambda", "lambda", "", Arc::new(first.lambda)),
                Entry::new("Kinesis", "kinesis", "Kinesis_20131202", Arc::new(first.kinesis)),
                Entry::new("DynamoDB", "dynamodb", "DynamoDB_20120810", self.dynamodb),
                Entry::new("SQS", "sqs", "AmazonSQS", self.sqs),
                Entry::new("SNS", "sns", "", Arc::new(Awsim::new(self.sns))),
                Entry::new("S3", "s3", "", self.s3),
                Entry::new("CloudWatch Logs", "logs", "Logs_20140328", self.logs),
                Entry::new("Glue", "glue", "AWSGlue", self.glue),
                Entry::new("Athena", "athena", "AmazonAthena", self.athena),
                Entry::new("IAM", "iam", "", Arc::new(Awsim::new(self.iam))),
                Entry::new("STS", "sts", "", Arc::new(Awsim::new(sts))),
                Entry::new("KMS", "kms", "TrentService", Arc::new(Awsim::new(self.kms))),
                Entry::new(
                    "Resource Groups Tagging",
                    "tagging",
                    "ResourceGroupsTaggingAPI_20170126",
                    Arc::new(Awsim::new(tagging)),
                ),
                Entry::new(
                    "CloudWatch",
                    "monitoring",
                    "GraniteServiceVersion20100801",
                    cloudwatch,
                ),
            ]
        };
        Arc::new_cyclic(|table: &Weak<Services>| {
            let table = table.clone();
            Services::new(entries(Stored::new(dir, move || Tagging::new(table.clone()))))
        })
    }
}

/// Whose access keys are restricted by which policies.
struct AccessPolicies {
    lambda: Arc<Lambda>,
    iam: Stored<Iam>,
    sessions: Arc<StsSessionStore>,
    secret: Secret,
}

impl AccessPolicies {
    /// IAM, for an access key that may be of a user: other keys need no look at the users.
    fn users(&self, access_key: &str) -> Option<&Iam> {
        self.iam.opened().filter(|_| access_key.starts_with("AKIA"))
    }
}

impl Policies for AccessPolicies {
    fn account<'a>(&self, access_key: &'a str) -> Option<Cow<'a, str>> {
        if let Some(account) = lambda::account_of_access_key(access_key) {
            return Some(Cow::Borrowed(account));
        }
        let arn = self.principal(access_key)?.arn;
        arn.split(':')
            .nth(4)
            .map(|account| Cow::Owned(account.to_owned()))
    }

    /// Functions and users have keys of their own; every other access key has the secret of the home.
    fn secret_key(&self, access_key: &str) -> String {
        if lambda::account_of_access_key(access_key).is_some() {
            return lambda::secret_key(&self.secret, access_key);
        }
        let of_user = self
            .users(access_key)
            .and_then(|iam| iam.secret_of_key(access_key));
        of_user.unwrap_or_else(|| self.secret.as_str().to_owned())
    }

    fn principal(&self, access_key: &str) -> Option<Principal> {
        if let Some((arn, name)) = self.lambda.role_of_access_key(access_key) {
            let session = Some(name);
            return Some(Principal { arn, session });
        }
        if access_key.starts_with("ASIA") {
            let session = self.sessions.lookup(access_key)?;
            return Some(Principal {
                arn: session.role_arn,
                session: Some(session.session_name),
            });
        }
        let arn = self.users(access_key)?.user_with_key(access_key)?;
        Some(Principal { arn, session: None })
    }

    fn decide(&self, arn: &str, permission: &Permission) -> Decision {
        decide(&self.iam, arn, permission)
    }
}

fn decide(iam: &Stored<Iam>, arn: &str, permission: &Permission) -> Decision {
    match iam.get().map(|iam| iam.policies_of(arn)) {
        Ok(Some(policies)) => authorise::decide(&policies, arn, permission),
        // No policy is known that could restrict.
        Ok(None) => Decision::Allow,
        Err(error) => {
            tracing::warn!(%error, "the policies of a principal cannot be read");
            Decision::ImplicitDeny
        }
    }
}

impl RoleLookup for Stored<Iam> {
    fn exists<'a>(&'a self, caller: &'a Caller, arn: &'a str) -> BoxFuture<'a, bool> {
        async move { self.get().is_ok_and(|iam| iam.has_role(caller, arn)) }.boxed()
    }

    fn allows(&self, arn: &str, action: &str, resource: &str) -> bool {
        let permission = Permission {
            action: action.to_owned(),
            resource: resource.to_owned(),
        };
        decide(self, arn, &permission) == Decision::Allow
    }
}

impl KeyLookup for Stored<Kms> {
    fn exists(&self, caller: &Caller, key_id: &str) -> KeyState {
        self.key_state(caller, key_id)
    }
}
