//! The side services: IAM, STS, KMS, Logs, and resource group tags.
//!
//! They are awsim's, each opened on its first request, with its state saved after each change ([`stored`]) and its
//! faults mended where streamctl meets them ([`iam`], [`kms`], [`tagging`]).

mod iam;
mod kms;
mod stored;
mod tagging;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use awsim_cloudwatch_logs::CloudWatchLogsService;
use awsim_core::{AppState, AuthzEngine, Protocol, RequestDetailStore, ServiceHandler};
use awsim_sts::StsService;
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::BodyExt;

use super::{ACCOUNT, Body, Caller, KeyState, partition};
use iam::Iam;
use kms::Kms;
use stored::{Change, Save, Stored};
use tagging::{Source, Tagging};

pub use tagging::{TagSource, Tags};

/// All side services.
pub struct Services {
    state: AppState,
    kms: Stored<Kms>,
    tagged: Source,
    stored: Vec<Arc<dyn Save>>,
}

impl Services {
    /// The services whose files are in `dir`. Opens none of them yet.
    ///
    /// # Errors
    /// When `dir` cannot be made.
    pub fn open(dir: &Path) -> io::Result<Arc<Self>> {
        crate::platform::create_private_dir(dir)?;
        let logs_dir = dir.to_path_buf();
        let kms = Stored::new(dir, "kms", Protocol::AwsJson1_1, kms::change, Kms::default);
        let mut all = Registry::default();
        all.add(Stored::new(
            dir,
            "iam",
            Protocol::AwsQuery,
            change_by_name,
            Iam::default,
        ));
        all.add(Stored::new(
            dir,
            "sts",
            Protocol::AwsQuery,
            |_, _| Change::None,
            StsService::new,
        ));
        all.add(kms.clone());
        all.add(Stored::new(
            dir,
            "logs",
            Protocol::AwsJson1_1,
            logs_change,
            move || CloudWatchLogsService::with_data_dir(&logs_dir),
        ));
        let tagged = Source::default();
        let source = Arc::clone(&tagged);
        let tagging = move || Tagging(Arc::clone(&source));
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
        Ok(Arc::new(Self {
            state,
            kms,
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
        self.state.services.contains_key(service)
    }

    /// Answers a request to any of the services.
    pub async fn call(&self, caller: &Caller, parts: &Parts, body: Bytes) -> Response<Body> {
        let mut state = self.state.clone();
        state.default_account_id.clone_from(&caller.account);
        state.default_region.clone_from(&caller.region);
        partition(&caller.region).clone_into(&mut state.default_partition);
        let (method, uri, headers) = (parts.method.clone(), parts.uri.clone(), parts.headers.clone());
        let (response, _id) = awsim_core::gateway::dispatch_request(&state, method, uri, headers, body).await;
        response.map(|body| body.map_err(io::Error::other).boxed_unsync())
    }

    /// What is known of a KMS key, named by id, ARN, alias or alias ARN. `alias/aws/…` always exists: AWS makes those
    /// keys on first use.
    pub fn key_state(&self, caller: &Caller, key_id: &str) -> KeyState {
        let Ok(kms) = self.kms.get() else {
            return KeyState::Missing;
        };
        let (state, made) = kms.key_state(caller, key_id);
        if made && let Err(error) = self.kms.save() {
            tracing::warn!(%error, "could not save the state of kms");
        }
        state
    }

    /// Saves what has changed and was not saved at once. Blocks.
    pub fn save(&self) {
        for stored in &self.stored {
            stored.save_if_changed();
        }
    }
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

fn logs_change(operation: &str, input: &serde_json::Value) -> Change {
    match operation {
        // The events themselves are in a database at once.
        "PutLogEvents" => Change::Later,
        "StartQuery" | "StopQuery" => Change::None,
        _ => change_by_name(operation, input),
    }
}
