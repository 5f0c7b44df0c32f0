//! The composition root: opens the services, connects them and lists them in the table.
//!
//! The only module that knows all services. They reach each other through interfaces: [`crate::deliver`],
//! [`crate::invoke`], [`crate::metrics`], [`KeyLookup`] and [`RoleLookup`].

mod actions;
mod channels;
mod deliveries;
mod foundation;
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
use crate::deliver::Deliver;
use crate::dynamodb::DynamoDb;
use crate::firehose::{self, Firehose};
use crate::front::Backends;
use crate::glue::Glue;
use crate::invoke::{Functions, Invoke};
use crate::kinesis::channels as delivery;
use crate::kinesis::engine::{Engine, KeyLookup};
use crate::kinesis::service::Kinesis;
use crate::lambda::{self, Lambda, RoleLookup};
use crate::logs::Logs;
use crate::metrics::MetricSink;
use crate::s3::{S3, Targets};
use crate::service::Permission;
use crate::services::{Entry, Services};
use crate::sqs::Sqs;
use crate::types::{Caller, KeyState};
use crate::web::{Endpoints, Web};
use channels::ChannelDestination;
use daemon::Options;
use daemon::secret::Secret;
pub(crate) use deliveries::Deliveries;
use foundation::{Foundation, services_dir};
use lambda_api::LambdaApi;

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
        let foundation = Foundation::open(data, options, endpoint, secret)?;
        let stores = &foundation.stores;
        let kinesis = foundation.kinesis()?;
        let lambda = foundation.lambda()?;
        let firehose = foundation.firehose(&kinesis, &lambda)?;
        let mappings = foundation.mappings(&kinesis, &lambda)?;
        lambda.resume();
        stores.connect(&lambda, &foundation.deliver());
        let policies = Arc::new(AccessPolicies {
            lambda: Arc::clone(&lambda),
            iam: stores.iam.clone(),
            sessions: Arc::default(),
            secret: secret.clone(),
        });
        let http_apis = foundation.http_apis(&kinesis, &lambda)?;
        let cloudfront = foundation.cloudfront()?;
        let web = Endpoints {
            function_urls: foundation.function_urls(&lambda, &policies),
            http_apis: Arc::clone(&http_apis) as Arc<dyn Web>,
            distributions: Arc::clone(&cloudfront) as Arc<dyn Web>,
        };
        let alarms = cloudwatch::watch::run(
            Arc::clone(&foundation.cloudwatch),
            foundation.deliver(),
            Arc::clone(&lambda) as Arc<dyn Invoke>,
        );
        let alarms = tokio::spawn(alarms);
        let channels = tokio::spawn(delivery::task::run(Arc::clone(&kinesis)));
        let delivering = tokio::spawn(firehose::task::run(Arc::clone(&firehose)));
        let first = FirstServices {
            lambda: LambdaApi { lambda, mappings },
            http_apis,
            firehose,
            cloudfront,
            kinesis: Kinesis(Arc::clone(&kinesis)),
        };
        let Foundation {
            clock,
            cloudwatch,
            stores,
            deliveries,
            ..
        } = foundation;
        let logs = Arc::clone(&stores.logs);
        let services = stores.table(&services_dir(data), first, cloudwatch, &policies);
        services.open();
        Ok(Self {
            services,
            deliveries,
            logs,
            policies,
            web: Arc::new(web),
            kinesis,
            clock,
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
