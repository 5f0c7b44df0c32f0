//! One process of a function, from its start to its end.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::Call;
use super::environment::environment;
use super::failure::Failure;
use super::guardian::{Group, Guardian};
use super::log::InstanceLog;
use super::output::Output;
use super::runtime_api::{Event, Invocation, RuntimeApi};
use crate::clock::Clock;
use ground::platform;

/// How often a working process's memory is looked at, and what it printed is handed on.
const LOOK: Duration = Duration::from_millis(50);
/// How old a look at the memory of a process that only takes moments may be.
const FRESH: Duration = Duration::from_millis(500);
/// How often a `bootstrap` that is being written elsewhere is tried.
const BUSY_TRIES: u32 = 100;

pub(super) struct Instance {
    /// What it is an instance of.
    pub key: String,
    pub log: InstanceLog,
    // Killed first when this is dropped; the process is then waited for.
    group: Group,
    child: Child,
    output: Option<Output>,
    api: RuntimeApi,
    idle_since: Instant,
    limit: u64,
    peak: u64,
    looked: Option<Instant>,
}

/// What an instance is made of.
pub(super) struct Start<'a> {
    pub call: &'a Call,
    pub key: &'a str,
    pub dir: &'a Path,
    pub endpoint: &'a str,
    pub guardian: &'a Arc<Guardian>,
}

/// What can come next.
enum Happened {
    Event(Event),
    Exited(ExitStatus),
    OutOfMemory,
    Deadline,
}

impl Instance {
    /// Starts the process.
    pub async fn start(start: &Start<'_>, log: InstanceLog) -> Result<Self, (Failure, InstanceLog)> {
        match Self::spawn(start, log.stream()).await {
            Ok((child, output, api)) => {
                // Without an id it has ended already, which shows at the first wait.
                let group = start.guardian.watch(child.id().unwrap_or(0));
                Ok(Self {
                    key: start.key.to_owned(),
                    log,
                    group,
                    child,
                    output: Some(output),
                    api,
                    idle_since: Instant::now(),
                    limit: u64::from(start.call.version.memory_mb) << 20,
                    peak: 0,
                    looked: None,
                })
            }
            Err(failure) => Err((failure, log)),
        }
    }

    async fn spawn(start: &Start<'_>, stream: &str) -> Result<(Child, Output, RuntimeApi), Failure> {
        let id = &start.call.request_id;
        let ours =
            |error: std::io::Error| Failure::service(id, &format!("could not start a process: {error}"));
        let bootstrap = start.dir.join("bootstrap");
        if !bootstrap.is_file() {
            return Err(Failure::no_bootstrap(id));
        }
        let api = RuntimeApi::start().await.map_err(ours)?;
        let variables = environment(start.call, start.dir, start.endpoint, &api.address, stream);
        let mut tries = 0;
        loop {
            let (output, stdout, stderr) = Output::new().map_err(ours)?;
            let mut command = Command::new(&bootstrap);
            command
                .env_clear()
                .envs(&variables)
                .current_dir(start.dir)
                .stdin(Stdio::null())
                .stdout(stdout)
                .stderr(stderr)
                .kill_on_drop(true);
            #[cfg(unix)]
            command.process_group(0);
            match command.spawn() {
                Ok(child) => return Ok((child, output, api)),
                // A process that is just being forked holds the file open for writing for a moment.
                Err(error)
                    if error.kind() == std::io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES =>
                {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Err(error) => return Err(Failure::not_started(id, &error)),
            }
        }
    }

    /// Waits until the runtime asks for its first invocation.
    pub async fn initialise(&mut self, call: &Call, deadline: Instant) -> Result<(), Failure> {
        let id = &call.request_id;
        let outcome = match self.wait(deadline).await {
            Happened::Event(Event::Next) => Ok(()),
            Happened::Event(Event::InitError(kind, body)) => Err(Failure::reported(kind.as_deref(), body)),
            Happened::Event(_) => Err(Failure::reported(
                Some("Runtime.InvalidState"),
                Bytes::from_static(b"{}"),
            )),
            Happened::Exited(status) => Err(Failure::exited(id, status)),
            Happened::OutOfMemory => Err(Failure::out_of_memory(id)),
            Happened::Deadline => Err(timed_out(call)),
        };
        self.drain();
        outcome
    }

    /// Hands the call to the runtime and waits for its answer.
    pub async fn answer_of(
        &mut self,
        call: &Call,
        deadline: Instant,
        clock: &dyn Clock,
    ) -> Result<Bytes, Failure> {
        let id = &call.request_id;
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        let invocation = Invocation {
            request_id: id.clone(),
            deadline_ms: clock.now_ms().saturating_add(i64::try_from(left).unwrap_or(0)),
            arn: call.invoked_arn.clone(),
            client_context: call.client_context.clone(),
            payload: call.payload.clone(),
        };
        // The server's end of it lives as long as this.
        let _ = self.api.invocations.send(invocation).await;
        let outcome = loop {
            break match self.wait(deadline).await {
                Happened::Event(Event::Next) => continue,
                Happened::Event(Event::Response(body)) => Ok(body),
                Happened::Event(Event::TooLarge) => Err(Failure::response_too_large()),
                Happened::Event(Event::Error(kind, body) | Event::InitError(kind, body)) => {
                    Err(Failure::reported(kind.as_deref(), body))
                }
                Happened::Exited(status) => Err(Failure::exited(id, status)),
                Happened::OutOfMemory => Err(Failure::out_of_memory(id)),
                Happened::Deadline => Err(Failure::timed_out(
                    id,
                    Duration::from_secs(u64::from(call.version.timeout_seconds)),
                    clock.now_ms(),
                )),
            };
        };
        self.drain();
        outcome
    }

    /// Waits until the runtime asks for its next invocation. Whether it did.
    pub async fn ready(&mut self, deadline: Instant) -> bool {
        let is_ready = matches!(self.wait(deadline).await, Happened::Event(Event::Next));
        self.drain();
        is_ready
    }

    async fn wait(&mut self, deadline: Instant) -> Happened {
        let mut buffer = [0; 8192];
        let mut look = Instant::now() + LOOK;
        loop {
            tokio::select! {
                biased;
                Some(event) = self.api.events.recv() => return Happened::Event(event),
                read = read(self.output.as_ref(), &mut buffer) => {
                    if read == 0 {
                        // Closed: nothing more to be read.
                        self.output = None;
                    }
                    self.log.feed(&buffer[..read]);
                    if self.log.is_full() {
                        self.log.flush().await;
                    }
                }
                status = self.child.wait() => {
                    // What it said before it ended may not have been taken from the socket yet.
                    if let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(1), self.api.events.recv()).await {
                        return Happened::Event(event);
                    }
                    return Happened::Exited(status.unwrap_or_default());
                }
                () = tokio::time::sleep_until(look) => {
                    look = Instant::now() + LOOK;
                    if self.exceeds_memory() {
                        return Happened::OutOfMemory;
                    }
                    self.log.flush().await;
                }
                () = tokio::time::sleep_until(deadline) => return Happened::Deadline,
            }
        }
    }

    /// Takes what was printed and is still in the pipe.
    fn drain(&mut self) {
        let mut buffer = [0; 8192];
        // A process that goes on printing is not waited for.
        for _ in 0..64 {
            let read = self
                .output
                .as_ref()
                .map_or(0, |output| output.read_now(&mut buffer));
            if read == 0 {
                break;
            }
            self.log.feed(&buffer[..read]);
        }
        self.log.end_line();
    }

    fn exceeds_memory(&mut self) -> bool {
        self.look().is_some_and(|resident| resident > self.limit)
    }

    fn look(&mut self) -> Option<u64> {
        let (resident, peak) = platform::memory_of(self.child.id()?)?;
        self.looked = Some(Instant::now());
        self.peak = self.peak.max(peak).max(resident);
        Some(resident)
    }

    /// Learns how much memory the process takes, unless that is known well enough.
    pub fn measure_memory(&mut self, anyway: bool) {
        if anyway || self.looked.is_none_or(|looked| looked.elapsed() > FRESH) {
            self.look();
        }
    }

    /// The most memory it ever had, in bytes, as far as is known. Never more than it may have.
    pub fn peak(&self) -> u64 {
        self.peak.min(self.limit)
    }

    /// Its memory now, in bytes.
    pub fn resident(&mut self) -> u64 {
        self.look().unwrap_or(0)
    }

    /// Whether the process has not ended.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// It has nothing to do from now on.
    pub fn rest(&mut self) {
        self.idle_since = Instant::now();
    }

    /// How long it has had nothing to do.
    pub fn idle_for(&self) -> Duration {
        self.idle_since.elapsed()
    }

    /// Ends it, and returns its log.
    pub fn into_log(self) -> InstanceLog {
        drop(self.group);
        self.log
    }
}

/// Reads what the function prints; for ever without output.
async fn read(output: Option<&Output>, buffer: &mut [u8]) -> usize {
    match output {
        Some(output) => output.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

fn timed_out(call: &Call) -> Failure {
    let timeout = Duration::from_secs(u64::from(call.version.timeout_seconds));
    Failure::timed_out(&call.request_id, timeout, jiff::Timestamp::now().as_millisecond())
}
