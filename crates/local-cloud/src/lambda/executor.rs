//! Runs functions: their real `bootstrap` as a native process that speaks the Lambda Runtime API.
//!
//! An [`instance`] is one process with a Runtime API of its own. It is owned by one invocation at a time and waits in the
//! [`pool`] between them. What a function prints goes through its [`log`] to the [`shipper`]. A [`guardian`] sees to it
//! that no process outlives this one.

mod environment;
mod failure;
mod guardian;
mod instance;
mod limits;
mod log;
mod output;
mod pool;
mod report;
mod runtime_api;
mod shipper;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
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
use failure::Failure;
use guardian::Guardian;
use instance::{Instance, Start};
use limits::{Admitted, Limits};
use log::InstanceLog;
use pool::Pool;
use report::Report;
use shipper::Shipper;

pub(super) use limits::{ACCOUNT_CONCURRENCY, Admitted as Admission};
pub(super) use report::Report as Reported;

/// How long the runtime has to ask for its first invocation. Source: "Init phase", Lambda developer guide.
pub(super) const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Processes at work for each core: more wait for their turn.
const RUNNING_PER_CORE: usize = 16;
/// Processes being started for each core.
const STARTING_PER_CORE: usize = 4;
/// How long the caller of a function that has answered waits for it to be ready again.
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
    /// Whether the last of the log is wanted.
    pub tail: bool,
}

/// How a call came out.
#[derive(Debug)]
pub(super) struct Run {
    pub outcome: InvokeResult,
    /// The last 4 KiB of the log, if wanted.
    pub tail: Option<Vec<u8>>,
    /// AWS's reason, of a throttled call.
    pub throttle: Option<&'static str>,
}

/// What the executor needs of the rest.
pub(super) struct Parts {
    pub code: Arc<CodeStore>,
    pub endpoint: String,
    pub init_timeout: Duration,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<dyn MetricSink>,
    pub logs: Arc<dyn LogSink>,
    pub roles: Option<Arc<dyn RoleLookup>>,
}

pub(super) struct Executor {
    code: Arc<CodeStore>,
    endpoint: String,
    init_timeout: Duration,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn MetricSink>,
    shipper: Arc<Shipper>,
    guardian: Arc<Guardian>,
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
            init_timeout: parts.init_timeout,
            clock: parts.clock,
            metrics: parts.metrics,
            shipper: Shipper::start(parts.logs, parts.roles),
            guardian: Arc::default(),
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

    /// Runs the function to its end, also when the caller does not wait for it.
    pub async fn run(self: &Arc<Self>, call: Call) -> Run {
        let (reply, answer) = oneshot::channel();
        tokio::spawn(Arc::clone(self).execute(call, reply));
        answer.await.unwrap_or_else(|_| Run {
            outcome: stopping(),
            tail: None,
            throttle: None,
        })
    }

    /// Lets no further call have an instance of this version of the function: idle ones end now, others when they have
    /// done what they do.
    pub fn retire(&self, function_arn: &str, version: &Version) {
        self.pool.retire(&pool_key(function_arn, version));
    }

    /// Kills all processes, and hands over what they said. Blocks for two seconds at most.
    pub fn shutdown(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.running.close();
        self.starting.close();
        self.pool.clear();
        self.guardian.kill_all();
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
        let patience = Duration::from_secs(u64::from(call.version.timeout_seconds));
        let turn = match tokio::time::timeout(patience, self.running.acquire()).await {
            Ok(Ok(turn)) => turn,
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
                self.invoke(instance, &call, report, (admitted, turn, measure), reply)
                    .await
            }
            Err((failure, mut log)) => {
                report.failed(&failure, &mut log, &*self.clock);
                let tail = log.take_tail();
                log.flush().await;
                measure.invoked(&report, true, &admitted);
                drop((admitted, turn));
                answer(reply, self.error(&failure), tail, None);
            }
        }
    }

    /// Hands the call to the instance, answers as soon as there is an answer, and gives the instance back once it is
    /// ready again.
    async fn invoke(
        &self,
        mut instance: Instance,
        call: &Call,
        mut report: Report,
        (admitted, turn, measure): (Admitted<'_>, SemaphorePermit<'_>, Measure<'_>),
        reply: oneshot::Sender<Run>,
    ) {
        let deadline = report.start(&mut instance.log, &*self.clock);
        let outcome = instance.answer_of(call, deadline, &*self.clock).await;
        report.answered();
        let (outcome, failure) = match outcome {
            Ok(body) => (InvokeResult::Returned(body), None),
            Err(failure) => (self.error(&failure), Some(failure)),
        };
        let mut reply = Some(reply);
        let mut is_ready = false;
        if failure.as_ref().is_none_or(|failure| failure.goes_on) {
            is_ready = instance.ready(deadline.min(Instant::now() + READY_WAIT)).await;
            if !is_ready && !call.tail {
                // It takes its time, and the answer is there.
                if let Some(reply) = reply.take() {
                    answer(reply, outcome.clone(), None, None);
                }
            }
            if !is_ready {
                is_ready = instance.ready(deadline).await;
            }
        }
        instance.measure_memory(failure.is_some());
        report.memory(instance.peak());
        match &failure {
            Some(failure) => report.failed(failure, &mut instance.log, &*self.clock),
            None => report.succeeded(&mut instance.log, &*self.clock),
        }
        let tail = instance.log.take_tail();
        // Before the answer: the caller's next call is to find it.
        instance.log.flush().await;
        if is_ready && !self.closed.load(Ordering::SeqCst) {
            self.pool.give_back(instance);
        } else {
            self.pool.discard(instance);
        }
        let failed = matches!(outcome, InvokeResult::FunctionError { .. });
        measure.invoked(&report, failed, &admitted);
        drop((admitted, turn));
        if let Some(reply) = reply {
            answer(reply, outcome, tail, None);
        }
    }

    /// An instance that waits for an invocation: a warm one, or else a new one.
    ///
    /// A new one that fails to start is started again, now on the function's own time.
    /// Source: "Failures during the Init phase", Lambda developer guide.
    async fn ready_instance(
        &self,
        call: &Call,
        report: &mut Report,
    ) -> Result<Instance, (Failure, InstanceLog)> {
        let key = pool_key(&call.function_arn, &call.version);
        if let Some(mut instance) = self.pool.take(&key) {
            instance.log.begin(call.tail);
            return Ok(instance);
        }
        let mut log = InstanceLog::new(call, &self.shipper, &self.metrics, &self.clock);
        log.begin(call.tail);
        let Ok(_turn) = self.starting.acquire().await else {
            return Err((
                Failure::service(&call.request_id, "the local cloud is stopping"),
                log,
            ));
        };
        let dir = match self.code_dir(&call.version).await {
            Ok(dir) => dir,
            Err(error) => {
                let message = format!("the code cannot be read: {error}");
                return Err((Failure::service(&call.request_id, &message), log));
            }
        };
        log.system_line(&format!("INIT_START Runtime Version: {}", call.version.runtime));
        let start = Start {
            call,
            key: &key,
            dir: &dir,
            endpoint: &self.endpoint,
            guardian: &self.guardian,
        };
        let began = Instant::now();
        let (first, log) = match self.start(&start, log, began + self.init_timeout).await {
            Ok(mut instance) => {
                report.initialised(began.elapsed());
                instance.measure_memory(false);
                return Ok(instance);
            }
            Err(failed) => failed,
        };
        let mut log = log;
        report::init_failed(&first, began.elapsed(), &mut log);
        if first.is_final {
            return Err((first, log));
        }
        report.restarted();
        let timeout = Duration::from_secs(u64::from(call.version.timeout_seconds));
        self.start(&start, log, Instant::now() + timeout).await
    }

    async fn start(
        &self,
        start: &Start<'_>,
        log: InstanceLog,
        deadline: Instant,
    ) -> Result<Instance, (Failure, InstanceLog)> {
        // Counted from now on, so that a change of the function in the meantime finds it.
        self.pool.count(start.key);
        let (failure, log) = match Instance::start(start, log).await {
            Ok(mut instance) => match instance.initialise(start.call, deadline).await {
                Ok(()) => return Ok(instance),
                Err(failure) => (failure, instance.into_log()),
            },
            Err(failed) => failed,
        };
        self.pool.uncount(start.key);
        Err((failure, log))
    }

    async fn code_dir(&self, version: &Arc<Version>) -> std::io::Result<std::path::PathBuf> {
        let (code, version) = (Arc::clone(&self.code), Arc::clone(version));
        tokio::task::spawn_blocking(move || code.laid_out(&version.code_sha256))
            .await
            .map_err(std::io::Error::other)?
    }

    /// What the caller is told of a failure. One of this process is not the function's.
    fn error(&self, failure: &Failure) -> InvokeResult {
        if self.closed.load(Ordering::SeqCst) {
            return stopping();
        }
        failure.outcome()
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
    // No one may be waiting any more.
    let _ = reply.send(Run {
        outcome,
        tail,
        throttle,
    });
}
