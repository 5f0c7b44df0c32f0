//! The side services: IAM, STS, KMS, S3, SQS, SNS, DynamoDB, Logs, and resource group tags.
//!
//! IAM, STS, KMS, S3 and SNS are awsim's, each opened on its first request, with their faults mended where streamctl
//! meets them ([`iam`], [`kms`], [`s3`], [`sns`], [`tagging`]). What is small is saved as a whole
//! after each change ([`stored`]). What grows is in a database ([`database`]), where a change costs what it changes:
//! objects ([`s3`]), and all of [`dynamodb`], [`sqs`] and [`logs`], which are ours.

mod database;
mod deliver;
mod dynamodb;
mod iam;
mod kms;
mod logs;
mod s3;
mod sns;
mod sqs;
mod stored;
mod tagging;
mod virtual_host;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use awsim_core::{AppState, AuthzEngine, Protocol, RequestDetailStore, ServiceHandler};
use awsim_sts::StsService;
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::BodyExt;

use super::authorise::{self, Verdict};
use super::clock::{Clock, SystemClock};
use super::metrics::MetricSink;
use super::{ACCOUNT, Body, Caller, KeyState, partition};
use dynamodb::DynamoDb;
use iam::Iam;
use kms::Kms;
use logs::Logs;
use s3::S3;
use sns::Sns;
use sqs::Sqs;
use stored::{Change, Save, Stored};
use tagging::{Source, Tagging};

pub use tagging::{TagSource, Tags};

/// All side services.
pub struct Services {
    state: AppState,
    kms: Stored<Kms>,
    sns: Stored<Sns>,
    iam: Stored<Iam>,
    s3: Arc<S3>,
    sqs: Arc<Sqs>,
    dynamodb: Arc<DynamoDb>,
    logs: Logs,
    tagged: Source,
    stored: Vec<Arc<dyn Save>>,
}

impl Services {
    /// The services whose files are in `dir`. Opens none of them yet.
    ///
    /// # Errors
    /// When `dir` cannot be made.
    pub fn open(dir: &Path) -> io::Result<Arc<Self>> {
        Self::open_with_clock(dir, Arc::new(SystemClock))
    }

    /// The same, at the time that `clock` shows.
    ///
    /// # Errors
    /// When `dir` cannot be made.
    pub fn open_with_clock(dir: &Path, clock: Arc<dyn Clock>) -> io::Result<Arc<Self>> {
        ground::platform::create_private_dir(dir)?;
        let kms = Stored::new(dir, "kms", Protocol::AwsJson1_1, kms::change, Kms::default);
        let s3 = Arc::new(S3::new(dir));
        let sqs = Arc::new(Sqs::new(dir, Arc::clone(&clock)));
        let queues = Arc::clone(&sqs);
        let sns = Stored::new(dir, "sns", Protocol::AwsQuery, sns::change, move || {
            Sns::new(Arc::clone(&queues))
        });
        let logs = Logs::new(dir, Arc::clone(&clock));
        let keys = kms.clone();
        let key_arn = move |caller: &Caller, key: &str| key_arn(&keys, caller, key);
        let dynamodb = Arc::new(DynamoDb::new(dir, clock, Box::new(key_arn)));
        let tagged = Source::default();
        let mut all = Registry::default();
        let iam = Stored::new(dir, "iam", Protocol::AwsQuery, change_by_name, Iam::default);
        all.add(iam.clone());
        all.add(Stored::new(
            dir,
            "sts",
            Protocol::AwsQuery,
            |_, _| Change::None,
            StsService::new,
        ));
        all.add(kms.clone());
        all.add(sns.clone());
        let source = Arc::clone(&tagged);
        let tables = Arc::clone(&dynamodb);
        let (buckets, queues, topics, groups) =
            (Arc::clone(&s3), Arc::clone(&sqs), sns.clone(), logs.clone());
        let tagging = move || {
            let (tables, buckets, queues) = (Arc::clone(&tables), Arc::clone(&buckets), Arc::clone(&queues));
            let (topics, groups) = (topics.clone(), groups.clone());
            Tagging {
                source: Arc::clone(&source),
                others: Box::new(move |caller| {
                    let mut all = tables.tagged(caller);
                    all.extend(buckets.tagged(caller));
                    all.extend(queues.tagged(caller));
                    all.extend(groups.tagged(caller));
                    all.extend(
                        topics
                            .get()
                            .map(|topics| topics.tagged(caller))
                            .unwrap_or_default(),
                    );
                    all
                }),
            }
        };
        all.add(Stored::new(
            dir,
            "tagging",
            Protocol::AwsJson1_1,
            |_, _| Change::None,
            tagging,
        ));
        let mut state = AppState::new("us-east-1".to_owned(), ACCOUNT.to_owned());
        // It would be read from the environment.
        state.authz = Arc::new(AuthzEngine::new(false));
        // awsim keeps the bodies of recent requests for its web page: keep one request, and no body.
        state.request_details = RequestDetailStore::new(1, 0);
        for handler in all.handlers {
            state.register(handler, Vec::new());
        }
        let routes = s3.routes();
        state.register(Arc::clone(&s3) as Arc<dyn ServiceHandler>, routes);
        state.register(Arc::new(logs.clone()), Vec::new());
        Ok(Arc::new(Self {
            state,
            kms,
            sns,
            iam,
            s3,
            sqs,
            dynamodb,
            logs,
            tagged,
            stored: all.stored,
        }))
    }

    /// Names the resources that resource group tags are about. Only the first call counts.
    pub fn set_tag_source(&self, source: Weak<dyn TagSource>) {
        let _ = self.tagged.set(source);
    }

    /// Whether there is a service with the signing name `service`.
    pub fn offers(&self, service: &str) -> bool {
        ["dynamodb", "sqs"].contains(&service) || self.state.services.contains_key(service)
    }

    /// Answers a request to any of the services; `service` is the signing name in its signature.
    pub async fn call(&self, caller: &Caller, service: &str, parts: &Parts, body: Bytes) -> Response<Body> {
        let target = parts
            .headers
            .get("x-amz-target")
            .and_then(|target| target.to_str().ok());
        match target.and_then(|target| target.split_once('.')) {
            Some((dynamodb::TARGET, operation)) => {
                return self.dynamodb.call(caller, operation, &body);
            }
            Some((sqs::TARGET, _)) => return self.sqs.call(caller, parts, &body).await,
            _ if service == "sqs" => return self.sqs.call(caller, parts, &body).await,
            _ if service == "dynamodb" => return self.dynamodb.call(caller, "", &body),
            _ => {}
        }
        let mut state = self.state.clone();
        state.default_account_id.clone_from(&caller.account);
        state.default_region.clone_from(&caller.region);
        partition(&caller.region).clone_into(&mut state.default_partition);
        let (method, mut uri, mut headers) = (parts.method.clone(), parts.uri.clone(), parts.headers.clone());
        if service == "s3" {
            uri = virtual_host::path_style(parts);
            virtual_host::sign(&mut headers, caller, &uri);
            virtual_host::hide_type(&mut headers);
        }
        let (response, _id) = awsim_core::gateway::dispatch_request(&state, method, uri, headers, body).await;
        response.map(|body| body.map_err(io::Error::other).boxed_unsync())
    }

    /// What is known of a KMS key, named by id, ARN, alias or alias ARN. `alias/aws/…` always exists: AWS makes those
    /// keys on first use.
    pub fn key_state(&self, caller: &Caller, key_id: &str) -> KeyState {
        key_state(&self.kms, caller, key_id)
    }

    /// What the policies of the role `arn` say of `action` on `resource`.
    pub(super) fn decide(&self, arn: &str, action: &str, resource: &str) -> Verdict {
        match self.iam.get().map(|iam| iam.documents_of_role(arn)) {
            Ok(Some(documents)) => authorise::decide(&documents, arn, action, resource),
            // Nothing that could restrict.
            Ok(None) => Verdict::Allowed,
            Err(error) => {
                tracing::warn!(%error, "the policies of a role cannot be read");
                Verdict::NotAllowed
            }
        }
    }

    /// The URI of a request to S3, with the bucket in its path.
    pub(super) fn s3_uri(parts: &Parts) -> http::Uri {
        virtual_host::path_style(parts)
    }

    /// Hands `sink` what the services measured in the last minute. Blocks.
    pub fn measure(&self, sink: &dyn MetricSink) {
        self.sqs.measure(sink);
    }

    /// Saves what has changed and was not saved at once, and deletes what has expired. Blocks.
    pub fn save(&self) {
        for stored in &self.stored {
            stored.save_if_changed();
        }
        self.dynamodb.sweep();
        self.sqs.sweep();
        self.logs.sweep();
        self.s3.sweep();
    }
}

fn key_state(kms: &Stored<Kms>, caller: &Caller, key_id: &str) -> KeyState {
    let Ok(open) = kms.get() else {
        return KeyState::Missing;
    };
    let (state, made) = open.key_state(caller, key_id);
    if made && let Err(error) = kms.save() {
        tracing::warn!(%error, "could not save the state of kms");
    }
    state
}

/// The ARN of a key that is ready for use.
fn key_arn(kms: &Stored<Kms>, caller: &Caller, key_id: &str) -> Option<String> {
    if key_state(kms, caller, key_id) != KeyState::Enabled {
        return None;
    }
    kms.get().ok()?.key_arn(caller, key_id)
}

#[derive(Default)]
struct Registry {
    handlers: Vec<Arc<dyn ServiceHandler>>,
    stored: Vec<Arc<dyn Save>>,
}

impl Registry {
    fn add<H: ServiceHandler + 'static>(&mut self, stored: Stored<H>) {
        let stored = Arc::new(stored);
        self.handlers.push(Arc::clone(&stored) as Arc<dyn ServiceHandler>);
        self.stored.push(stored);
    }
}

/// AWS's verbs for operations that only read.
const READING: &[&str] = &[
    "Get", "List", "Describe", "Simulate", "Filter", "Test", "Search", "Lookup", "Estimate",
];

fn change_by_name(operation: &str, _input: &serde_json::Value) -> Change {
    if READING.iter().any(|verb| operation.starts_with(verb)) {
        Change::None
    } else {
        Change::Now
    }
}
