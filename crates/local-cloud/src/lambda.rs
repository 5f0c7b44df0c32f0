//! AWS Lambda: the control plane with AWS's shapes, and an executor that runs the same `bootstrap` as AWS would.
//!
//! [`control`] keeps [`model`]s of functions in the [`registry`] and their [`code`]; [`invocation`] answers Invoke;
//! [`asynchronous`] retries events, which wait in the [`spool`], and hands their outcome on; [`executor`] runs processes.
//! It knows no other service: logs, metrics, deliveries and roles are handed in.

mod asynchronous;
mod code;
mod control;
mod credentials;
mod emf;
mod executor;
mod fault;
mod invocation;
mod measure;
mod model;
mod name;
mod registry;
mod route;
mod settings;
mod spool;

#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use http::request::Parts;
use tokio::sync::Semaphore;

use super::clock::Clock;
use super::deliver::{Deliver, LogSink};
use super::invoke::{Invocation, Invoke, Outcome};
use super::metrics::MetricSink;
use super::{Body, Caller};
use code::CodeStore;
use executor::Executor;
use name::FunctionName;
use registry::Registry;
use route::{Operation, Route};
use spool::Spool;

pub(super) use credentials::account_of_access_key;

/// Knows the roles of IAM.
pub trait RoleLookup: Send + Sync + 'static {
    /// Whether there is the role `arn`, which belongs to `caller`'s account.
    fn exists<'a>(&'a self, caller: &'a Caller, arn: &'a str) -> BoxFuture<'a, bool>;

    /// Whether the policies of the role `arn` allow `action` on `resource`. A role that is not there allows all.
    fn allows(&self, _arn: &str, _action: &str, _resource: &str) -> bool {
        true
    }
}

/// How long things take. The default is AWS's pace, except for changes of functions, which need no time here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// How long a function is Pending, or its update in progress.
    pub status_delay: Duration,
    /// How long a runtime may take to start. 10 seconds on AWS.
    pub init_timeout: Duration,
    /// How long a failed asynchronous invocation waits for its first and its second retry. 1 and 2 minutes on AWS.
    pub retry_delays: [Duration; 2],
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            status_delay: Duration::from_millis(20),
            init_timeout: lambda_host::INIT_TIMEOUT,
            retry_delays: [Duration::from_secs(60), Duration::from_secs(120)],
        }
    }
}

impl Pace {
    fn status_delay_ms(&self) -> i64 {
        i64::try_from(self.status_delay.as_millis()).unwrap_or(i64::MAX / 2)
    }
}

/// What [`Lambda`] needs.
pub struct LambdaConfig {
    /// Where it keeps functions and their code.
    pub data_dir: PathBuf,
    /// The URL that functions get as AWS_ENDPOINT_URL.
    pub endpoint: String,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Takes AWS/Lambda metrics, and those in logs.
    pub metrics: Arc<dyn MetricSink>,
    /// Takes logs.
    pub logs: Arc<dyn LogSink>,
    /// Takes what goes to destinations.
    pub deliver: Arc<dyn Deliver>,
    /// Knows roles; without it any role will do.
    pub roles: Option<Arc<dyn RoleLookup>>,
    /// How long things take.
    pub pace: Pace,
}

/// AWS Lambda.
pub struct Lambda {
    me: Weak<Self>,
    registry: Registry,
    code: Arc<CodeStore>,
    executor: Arc<Executor>,
    clock: Arc<dyn Clock>,
    deliver: Arc<dyn Deliver>,
    roles: Option<Arc<dyn RoleLookup>>,
    pace: Pace,
    endpoint: String,
    /// KiB of events that wait for their invocation.
    events: Arc<Semaphore>,
    spool: Spool,
}

impl Lambda {
    /// Opens the functions in `config.data_dir`. Blocks; must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When files cannot be made or read.
    pub fn open(config: LambdaConfig) -> io::Result<Arc<Self>> {
        ground::platform::create_private_dir(&config.data_dir)?;
        let registry = Registry::open(&config.data_dir.join("functions"))?;
        let code = Arc::new(CodeStore::open(&config.data_dir)?);
        let spool = Spool::open(&config.data_dir.join("events"))?;
        let executor = Executor::new(executor::Parts {
            code: Arc::clone(&code),
            endpoint: config.endpoint.clone(),
            init_timeout: config.pace.init_timeout,
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
            pace: config.pace,
            endpoint: config.endpoint,
            events: Arc::new(Semaphore::new(asynchronous::ROOM_KIB as usize)),
            spool,
        }))
    }

    /// Answers a request to Lambda's API; `None` for a path it does not know.
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
                let answered = tokio::task::spawn_blocking(move || {
                    let request = control::Request {
                        lambda: &this,
                        caller: &caller,
                        route: &route,
                        body: &body,
                    };
                    request.answer()
                });
                // A panic there is one here: the front door answers for it.
                Some(
                    answered
                        .await
                        .unwrap_or_else(|error| match error.try_into_panic() {
                            Ok(panic) => std::panic::resume_unwind(panic),
                            Err(_) => fault::Fault::service("The local cloud is stopping.").answer(),
                        }),
                )
            }
        }
    }

    /// The role whose functions have the access key `key`.
    pub fn role_of_access_key(&self, key: &str) -> Option<String> {
        self.user_of_access_key(key).map(|(role, _)| role)
    }

    /// The same, with the name of the first such function.
    pub fn user_of_access_key(&self, key: &str) -> Option<(String, String)> {
        let account = account_of_access_key(key)?;
        let mut found = None;
        self.registry.any(|caller, function| {
            let mut roles = function.all().map(|version| &version.role);
            let role = roles.find(|role| credentials::access_key(account, role) == key);
            if let Some(role) = role.filter(|_| caller.account == account) {
                found = Some((role.clone(), function.name.clone()));
            }
            found.is_some()
        });
        found
    }

    /// Kills all instances and hands their logs on. Blocks for some seconds at most; nothing runs after it.
    pub fn shutdown(&self) {
        self.executor.shutdown();
    }
}

impl Invoke for Lambda {
    fn invoke<'a>(&'a self, arn: &'a str, payload: Bytes) -> BoxFuture<'a, Invocation> {
        async move {
            let request_id = super::answer::request_id();
            let refused = |fault: fault::Fault| Outcome::Refused {
                code: fault.code.to_owned(),
                message: fault.message,
            };
            let called = FunctionName::of_arn(arn)
                .ok_or_else(|| fault::Fault::not_found(format!("Function not found: {arn}")))
                .and_then(|name| self.call(&name, &request_id, payload, invocation::MAX_SYNCHRONOUS));
            let outcome = match called {
                Ok(call) => self.executor.run(call).await.outcome,
                Err(fault) => refused(fault),
            };
            Invocation { request_id, outcome }
        }
        .boxed()
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

    fn role(&self, arn: &str) -> Option<String> {
        let name = FunctionName::of_arn(arn)?;
        let function = self.registry.get(&name.caller, &name.name)?;
        Some(function.version(name.qualifier.as_deref())?.role.clone())
    }
}
