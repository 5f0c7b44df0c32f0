//! AWS Lambda: the control plane with AWS's shapes, and an executor that runs the same `bootstrap` as AWS.
//!
//! [`control`] manages the [`model`]s of functions in the [`registry`] and their [`code`]. [`invocation`] handles
//! Invoke. [`asynchronous`] runs and retries events, which are stored in the [`spool`], and sends results to
//! destinations. [`executor`] runs processes. This module knows no other service: logs, metrics, deliveries and roles
//! are passed in.

mod asynchronous;
mod code;
mod control;
mod credentials;
mod emf;
mod error;
mod executor;
mod invocation;
mod measure;
mod model;
mod name;
mod permit;
mod registry;
mod route;
mod settings;
mod spool;
mod url;

#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use daemon::secret::Secret;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use http::request::Parts;
use tokio::sync::Semaphore;

use super::answer::blocking;
use super::clock::Clock;
use super::deliver::{Deliver, LogSink, Undelivered};
use super::invoke::{Access, Invocation, Invoke, InvokeResult};
use super::metrics::MetricSink;
use super::{Body, Caller};
use code::CodeStore;
use daemon::protocol::Damage;
use executor::Executor;
use name::FunctionName;
use registry::Registry;
use route::{Operation, Route};
use spool::Spool;

pub(crate) use credentials::{account_of_access_key, secret_key};

/// Access to IAM roles.
pub trait RoleLookup: Send + Sync + 'static {
    /// Whether the role `arn` exists. It belongs to `caller`'s account.
    fn exists<'a>(&'a self, caller: &'a Caller, arn: &'a str) -> BoxFuture<'a, bool>;

    /// Whether the policies of the role `arn` allow `action` on `resource`. True if the role does not exist.
    fn allows(&self, _arn: &str, _action: &str, _resource: &str) -> bool {
        true
    }
}

/// Delays and timeouts. The defaults are AWS's, except that changes of functions take no time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timings {
    /// How long a function is Pending, or its update in progress.
    pub status_delay: Duration,
    /// Maximum time for a runtime to start. 10 seconds on AWS.
    pub init_timeout: Duration,
    /// Delays before the first and second retry of an asynchronous invocation. 1 and 2 minutes on AWS.
    pub retry_delays: [Duration; 2],
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            status_delay: Duration::from_millis(20),
            init_timeout: lambda_host::INIT_TIMEOUT,
            retry_delays: [Duration::from_secs(60), Duration::from_secs(120)],
        }
    }
}

impl Timings {
    fn status_delay_ms(&self) -> i64 {
        i64::try_from(self.status_delay.as_millis()).unwrap_or(i64::MAX / 2)
    }
}

pub struct LambdaConfig {
    /// Directory of functions and their code.
    pub data_dir: PathBuf,
    /// The value of AWS_ENDPOINT_URL for functions.
    pub endpoint: String,
    /// The secret of the home, from which the credentials of functions are derived.
    pub secret: Secret,
    pub clock: Arc<dyn Clock>,
    /// Receives AWS/Lambda metrics, and metrics in logs.
    pub metrics: Arc<dyn MetricSink>,
    pub logs: Arc<dyn LogSink>,
    /// Sends to destinations.
    pub deliver: Arc<dyn Deliver>,
    /// Without it, every role is accepted.
    pub roles: Option<Arc<dyn RoleLookup>>,
    pub timings: Timings,
}

pub struct Lambda {
    me: Weak<Self>,
    registry: Registry,
    code: Arc<CodeStore>,
    executor: Arc<Executor>,
    clock: Arc<dyn Clock>,
    deliver: Arc<dyn Deliver>,
    roles: Option<Arc<dyn RoleLookup>>,
    timings: Timings,
    endpoint: String,
    secret: Secret,
    /// Permits for stored events, in KiB.
    events: Arc<Semaphore>,
    spool: Spool,
}

impl Lambda {
    /// Opens the functions in `config.data_dir`. Blocks. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If files cannot be created or read.
    pub fn open(config: LambdaConfig) -> io::Result<Arc<Self>> {
        ground::platform::create_private_dir(&config.data_dir)?;
        let registry = Registry::open(&config.data_dir.join("functions"))?;
        let code = Arc::new(CodeStore::open(&config.data_dir)?);
        let spool = Spool::open(&config.data_dir.join("events"))?;
        let executor = Executor::new(executor::Parts {
            code: Arc::clone(&code),
            endpoint: config.endpoint.clone(),
            secret: config.secret.clone(),
            init_timeout: config.timings.init_timeout,
            clock: Arc::clone(&config.clock),
            metrics: config.metrics,
            logs: config.logs,
            roles: config.roles.clone(),
        });
        Ok(Arc::new_cyclic(|me| Self {
            me: me.clone(),
            registry,
            code,
            executor,
            clock: config.clock,
            deliver: config.deliver,
            roles: config.roles,
            timings: config.timings,
            endpoint: config.endpoint,
            secret: config.secret,
            events: Arc::new(Semaphore::new(asynchronous::MAX_QUEUED_KIB as usize)),
            spool,
        }))
    }

    /// Handles a request to Lambda's API. `None` for an unknown path.
    pub async fn handle(
        self: &Arc<Self>,
        caller: &Caller,
        parts: &Parts,
        body: Bytes,
    ) -> Option<Response<Body>> {
        let route = Route::of(parts)?;
        match &route.operation {
            Operation::Invoke(name) => Some(self.answer_invoke(caller, name, &route, parts, body).await),
            Operation::InvokeAsync(name) => Some(self.answer_invoke_async(caller, name, body)),
            _ => {
                let (this, caller) = (Arc::clone(self), caller.clone());
                let work = move || {
                    let request = control::Request {
                        lambda: &this,
                        caller: &caller,
                        route: &route,
                        body: &body,
                    };
                    request.answer()
                };
                let stopping = |message| error::ApiError::service(message).answer();
                Some(blocking(work, stopping).await)
            }
        }
    }

    /// The ARN of the role whose functions have this access key, and the name of the first such function.
    pub fn role_of_access_key(&self, key: &str) -> Option<(String, String)> {
        let account = account_of_access_key(key)?;
        let mut found = None;
        self.registry.any(|caller, function| {
            let mut roles = function.all().map(|version| &version.role);
            let role = roles.find(|role| credentials::access_key(&self.secret, account, role) == key);
            if let Some(role) = role.filter(|_| caller.account == account) {
                found = Some((role.clone(), function.name.clone()));
            }
            found.is_some()
        });
        found
    }

    /// The damaged files of functions and events.
    pub fn damage(&self) -> Vec<Damage> {
        let mut all = self.registry.damage();
        all.extend(self.spool.damage());
        all
    }

    /// Stops all instances and writes their logs. Blocks for some seconds at most. Nothing runs afterwards.
    pub fn shutdown(&self) {
        self.executor.shutdown();
    }
}

impl Invoke for Lambda {
    fn invoke<'a>(&'a self, arn: &'a str, payload: Bytes) -> BoxFuture<'a, Invocation> {
        async move {
            let request_id = super::answer::request_id();
            let refused = |error: error::ApiError| InvokeResult::Refused {
                code: error.code.to_owned(),
                message: error.message,
            };
            let called = FunctionName::of_arn(arn)
                .ok_or_else(|| error::ApiError::not_found(format!("Function not found: {arn}")))
                .and_then(|name| self.call(&name, &request_id, payload, invocation::MAX_SYNCHRONOUS));
            let executed_version = called.as_ref().ok().map(|call| call.version.version.clone());
            let result = match called {
                Ok(call) => self.executor.run(call).await.outcome,
                Err(error) => refused(error),
            };
            Invocation {
                request_id,
                executed_version,
                result,
            }
        }
        .boxed()
    }

    fn invoke_async(&self, arn: &str, event: Bytes) -> Result<(), Undelivered> {
        FunctionName::of_arn(arn)
            .ok_or_else(|| error::ApiError::not_found(format!("Function not found: {arn}")))
            .and_then(|name| {
                let request_id = super::answer::request_id();
                let call = self.call(&name, &request_id, event, invocation::MAX_ASYNCHRONOUS)?;
                self.enqueue(&name, call)
            })
            .map_err(|error| Undelivered {
                code: error.code.to_owned(),
                message: error.message,
            })
    }

    fn exists(&self, arn: &str) -> bool {
        self.timeout_seconds(arn).is_some()
    }

    fn timeout_seconds(&self, arn: &str) -> Option<u32> {
        let name = FunctionName::of_arn(arn)?;
        let function = self.registry.get(&name.caller, &name.name)?;
        Some(function.version(name.qualifier.as_deref())?.timeout_seconds)
    }

    fn may(&self, arn: &str, action: &str, resource: &str) -> bool {
        let (Some(roles), Some(role)) = (&self.roles, self.role(arn)) else {
            return true;
        };
        roles.allows(&role, action, resource)
    }

    fn permits(&self, arn: &str, access: &Access<'_>) -> bool {
        self.policy_allows(arn, access)
    }

    fn role(&self, arn: &str) -> Option<String> {
        let name = FunctionName::of_arn(arn)?;
        let function = self.registry.get(&name.caller, &name.name)?;
        Some(function.version(name.qualifier.as_deref())?.role.clone())
    }
}
