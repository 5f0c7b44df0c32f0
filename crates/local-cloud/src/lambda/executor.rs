//! Runs invocations of functions, within the limits of concurrency and of this machine.
//!
//! An [`instance`] is one process of [`lambda_host`]. It belongs to one invocation at a time and waits in the [`pool`]
//! between them. What a function prints goes through its [`log`] to the [`shipper`].

mod instance;
mod limits;
mod log;
mod pool;
mod report;
mod shipper;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use daemon::secret::Secret;
use lambda_host::{Failure, Host, OutputSink};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::Instant;

use super::code::CodeStore;
use super::measure::Measure;
use super::model::Version;
use crate::Caller;
use crate::clock::Clock;
use crate::deliver::LogSink;
use crate::invoke::InvokeResult;
use crate::lambda::RoleLookup;
use crate::metrics::MetricSink;
use instance::Instance;
use limits::{Admitted, Limits};
use log::InstanceLog;
use pool::Pool;
use report::Report;
use shipper::Shipper;

pub(super) use limits::{ACCOUNT_CONCURRENCY, Admitted as Admission};
pub(super) use report::Report as Reported;

/// Invocations that run at the same time for each core. Others wait.
const RUNNING_PER_CORE: usize = 16;
/// Processes that start at the same time for each core.
const STARTING_PER_CORE: usize = 4;
/// How long a response is held back until the runtime asks for the next invocation.
const READY_WAIT: Duration = Duration::from_millis(20);

/// One call of one version of a function.
#[derive(Clone)]
pub(super) struct Call {
    pub caller: Caller,
    pub name: String,
    /// The ARN without qualifier.
    pub function_arn: String,
    /// The ARN as called.
    pub invoked_arn: String,
    pub version: Arc<Version>,
    pub reserved: Option<u32>,
    pub request_id: String,
    pub payload: Bytes,
    /// JSON.
    pub client_context: Option<String>,
    /// Whether the end of the log is wanted.
    pub tail: bool,
}

impl Call {
    fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.version.timeout_seconds))
    }
}

/// Result of a call.
#[derive(Debug)]
pub(super) struct Run {
    pub outcome: InvokeResult,
    /// The last 4 KiB of the log, if they are wanted.
    pub tail: Option<Vec<u8>>,
    /// AWS's reason for throttling the call.
    pub throttle: Option<&'static str>,
}

/// What the executor needs.
pub(super) struct Parts {
    pub code: Arc<CodeStore>,
    pub endpoint: String,
    pub secret: Secret,
    pub init_timeout: Duration,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<dyn MetricSink>,
    pub logs: Arc<dyn LogSink>,
    pub roles: Option<Arc<dyn RoleLookup>>,
}

pub(super) struct Executor {
    code: Arc<CodeStore>,
    endpoint: String,
    secret: Secret,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn MetricSink>,
    shipper: Arc<Shipper>,
    host: Host,
    limits: Limits,
    running: Semaphore,
    starting: Semaphore,
    pool: Pool,
    closed: AtomicBool,
}

impl Executor {
    /// Must be called inside a tokio runtime.
    pub fn new(parts: Parts) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let this = Arc::new(Self {
            code: parts.code,
            endpoint: parts.endpoint,
            secret: parts.secret,
            clock: parts.clock,
            metrics: parts.metrics,
            shipper: Shipper::start(parts.logs, parts.roles),
            host: Host::new(parts.init_timeout),
            limits: Limits::default(),
            running: Semaphore::new(RUNNING_PER_CORE * cores),
            starting: Semaphore::new(STARTING_PER_CORE * cores),
            pool: Pool::default(),
            closed: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&this);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pool::REAP_INTERVAL).await;
                match weak.upgrade() {
                    Some(executor) => executor.pool.reap(),
                    None => return,
                }
            }
        });
        this
    }

    /// Runs the function to its end, also if the caller stops waiting.
    pub async fn run(self: &Arc<Self>, call: Call) -> Run {
        let (reply, answer) = oneshot::channel();
        tokio::spawn(Arc::clone(self).execute(call, reply));
        answer.await.unwrap_or_else(|_| Run {
            outcome: stopping(),
            tail: None,
            throttle: None,
        })
    }

    /// Ends the instances of this version of the function: idle ones now, busy ones after their invocation.
    pub fn retire(&self, function_arn: &str, version: &Version) {
        self.pool.retire(&pool_key(function_arn, version));
    }

    /// Kills all processes and sends their logs. Blocks for two seconds at most.
    pub fn shutdown(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.running.close();
        self.starting.close();
        self.pool.clear();
        self.host.kill_all();
        self.shipper.flush(Duration::from_secs(2));
    }

    async fn execute(self: Arc<Self>, call: Call, reply: oneshot::Sender<Run>) {
        let measure = Measure {
            caller: &call.caller,
            name: &call.name,
            invoked_arn: &call.invoked_arn,
            sink: &*self.metrics,
        };
        let admitted = match self.limits.admit(&call.caller, &call.name, call.reserved) {
            Ok(admitted) => admitted,
            Err(reason) => {
                measure.throttled();
                return answer(reply, InvokeResult::Throttled, None, Some(reason));
            }
        };
        let permit = match tokio::time::timeout(call.timeout(), self.running.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return answer(reply, stopping(), None, None),
            Err(_) => {
                measure.throttled();
                return answer(
                    reply,
                    InvokeResult::Throttled,
                    None,
                    Some("ConcurrentInvocationLimitExceeded"),
                );
            }
        };
        let mut report = Report::new(&call);
        match self.ready_instance(&call, &mut report).await {
            Ok(instance) => {
                self.invoke(instance, &call, report, (admitted, permit, measure), reply)
                    .await
            }
            Err((failure, mut log)) => {
                report.failed(&failure, &mut log, &*self.clock);
                let tail = log.take_tail();
                log.flush().await;
                measure.invoked(&report, true, &admitted);
                drop((admitted, permit));
                answer(reply, self.error(&failure, &call), tail, None);
            }
        }
    }

    /// Runs the call on the instance and returns the instance to the pool once its runtime asks for the next invocation.
    async fn invoke(
        &self,
        mut instance: Instance,
        call: &Call,
        mut report: Report,
        (admitted, permit, measure): (Admitted<'_>, SemaphorePermit<'_>, Measure<'_>),
        reply: oneshot::Sender<Run>,
    ) {
        let process = &mut instance.process;
        let deadline = report.start(&mut process.sink, &*self.clock);
        let result = process.invoke(self.invocation(call, deadline), deadline).await;
        report.answered();
        let (outcome, failure) = match result {
            Ok(body) => (InvokeResult::Returned(body), None),
            Err(failure) => (self.error(&failure, call), Some(failure)),
        };
        let mut reply = Some(reply);
        let mut is_ready = false;
        if failure.as_ref().is_none_or(Failure::keeps_process) {
            is_ready = process.ready(deadline.min(Instant::now() + READY_WAIT)).await;
            if !is_ready && !call.tail {
                // The caller does not wait longer for the runtime.
                if let Some(reply) = reply.take() {
                    answer(reply, outcome.clone(), None, None);
                }
            }
            if !is_ready {
                is_ready = process.ready(deadline).await;
            }
        }
        report.memory(process.peak_memory(failure.is_some()));
        let log = &mut process.sink;
        match &failure {
            Some(failure) => report.failed(failure, log, &*self.clock),
            None => report.succeeded(log, &*self.clock),
        }
        let tail = log.take_tail();
        // Before the answer, so that the caller's next call finds the log.
        log.flush().await;
        if is_ready && !self.closed.load(Ordering::SeqCst) {
            self.pool.give_back(instance);
        } else {
            self.pool.discard(instance);
        }
        let failed = matches!(outcome, InvokeResult::FunctionError { .. });
        measure.invoked(&report, failed, &admitted);
        drop((admitted, permit));
        if let Some(reply) = reply {
            answer(reply, outcome, tail, None);
        }
    }

    /// What the runtime gets of the call.
    fn invocation(&self, call: &Call, deadline: Instant) -> lambda_host::Invocation {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        lambda_host::Invocation {
            request_id: call.request_id.clone(),
            function_arn: call.invoked_arn.clone(),
            deadline_ms: self
                .clock
                .now_ms()
                .saturating_add(i64::try_from(left).unwrap_or(0)),
            client_context: call.client_context.clone(),
            payload: call.payload.clone(),
        }
    }

    /// An idle instance, or else a new one.
    async fn ready_instance(
        &self,
        call: &Call,
        report: &mut Report,
    ) -> Result<Instance, (Failure, InstanceLog)> {
        let key = pool_key(&call.function_arn, &call.version);
        if let Some(mut instance) = self.pool.take(&key) {
            instance.process.sink.begin(call.tail);
            return Ok(instance);
        }
        let mut log = InstanceLog::new(call, &self.shipper, &self.metrics, &self.clock);
        log.begin(call.tail);
        let Ok(_permit) = self.starting.acquire().await else {
            return Err((Failure::Host("the local cloud is stopping".to_owned()), log));
        };
        let directory = match self.code_dir(&call.version).await {
            Ok(directory) => directory,
            Err(error) => {
                return Err((Failure::Host(format!("the code cannot be read: {error}")), log));
            }
        };
        log.system_line(&format!("INIT_START Runtime Version: {}", call.version.runtime));
        let bootstrap = instance::bootstrap(call, directory, &self.endpoint, &self.secret, log.stream());
        let began = Instant::now();
        // Counted from now on, so that a change of the function in the meantime retires it.
        self.pool.count(&key);
        let init_failed = |failure: &Failure, took: Duration, log: &mut InstanceLog| {
            report.init_failed(failure, took, log);
        };
        match self.host.start(&bootstrap, log, init_failed).await {
            Ok(mut process) => {
                report.initialised(began.elapsed());
                process.peak_memory(false);
                Ok(Instance {
                    key,
                    process,
                    idle_since: Instant::now(),
                })
            }
            Err(failed) => {
                self.pool.uncount(&key);
                Err(failed)
            }
        }
    }

    async fn code_dir(&self, version: &Arc<Version>) -> std::io::Result<std::path::PathBuf> {
        let (code, version) = (Arc::clone(&self.code), Arc::clone(version));
        tokio::task::spawn_blocking(move || code.laid_out(&version.code_sha256))
            .await
            .map_err(std::io::Error::other)?
    }

    /// What the caller gets for a failure.
    fn error(&self, failure: &Failure, call: &Call) -> InvokeResult {
        if self.closed.load(Ordering::SeqCst) {
            return stopping();
        }
        match failure {
            Failure::Host(_) => InvokeResult::Refused {
                code: failure.error_type().to_owned(),
                message: failure.message(&call.request_id),
            },
            _ => InvokeResult::FunctionError {
                kind: "Unhandled",
                payload: failure.payload(&call.request_id),
            },
        }
    }
}

fn pool_key(function_arn: &str, version: &Version) -> String {
    format!("{function_arn}:{}:{}", version.version, version.generation)
}

fn stopping() -> InvokeResult {
    InvokeResult::Refused {
        code: "ServiceException".to_owned(),
        message: "The local cloud is stopping.".to_owned(),
    }
}

fn answer(
    reply: oneshot::Sender<Run>,
    outcome: InvokeResult,
    tail: Option<Vec<u8>>,
    throttle: Option<&'static str>,
) {
    // The caller may have stopped waiting.
    let _ = reply.send(Run {
        outcome,
        tail,
        throttle,
    });
}
