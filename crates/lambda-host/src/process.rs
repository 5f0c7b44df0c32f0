//! One process of a function, from its start to its end.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::bootstrap::Bootstrap;
use crate::failure::Failure;
use crate::guardian::{Group, Guardian};
use crate::output::{Lines, Output, OutputSink};
use crate::runtime_api::{Invocation, RuntimeApi, RuntimeEvent};
use ground::platform;

/// How often the memory of a running process is read and its output is flushed.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// How old a reading of the memory may be after a short invocation.
const MEMORY_AGE: Duration = Duration::from_millis(500);
/// How often a `bootstrap` that is open for writing is tried again, each time after a millisecond.
const BUSY_TRIES: u32 = 100;

/// A process that runs one invocation at a time. It and its children are killed when this is dropped.
pub struct Process<S> {
    pub sink: S,
    // First of what follows: the group is killed before tokio waits for the process.
    group: Group,
    child: Child,
    output: Option<Output>,
    lines: Lines,
    api: RuntimeApi,
    timeout: Duration,
    memory_limit: u64,
    memory_peak: u64,
    memory_read: Option<Instant>,
}

/// What a process can do next.
enum Event {
    Runtime(RuntimeEvent),
    Exited(ExitStatus),
    OutOfMemory,
    Deadline,
}

impl<S: OutputSink> Process<S> {
    /// Starts a process and waits until its runtime asks for the first invocation.
    pub(crate) async fn start(
        bootstrap: &Bootstrap,
        guardian: &Arc<Guardian>,
        sink: S,
        deadline: Instant,
    ) -> Result<Self, (Failure, S)> {
        let (child, output, api) = match spawn(bootstrap, guardian).await {
            Ok(spawned) => spawned,
            Err(failure) => return Err((failure, sink)),
        };
        let mut process = Self {
            sink,
            // A process without an id has ended already; the first wait reports it.
            group: guardian.watch(child.id().unwrap_or(0)),
            child,
            output: Some(output),
            lines: Lines::default(),
            api,
            timeout: bootstrap.timeout,
            memory_limit: u64::from(bootstrap.memory_mb) << 20,
            memory_peak: 0,
            memory_read: None,
        };
        match process.initialise(deadline).await {
            Ok(()) => Ok(process),
            Err(failure) => {
                drop(process.group);
                Err((failure, process.sink))
            }
        }
    }

    async fn initialise(&mut self, deadline: Instant) -> Result<(), Failure> {
        match self.wait(deadline).await? {
            RuntimeEvent::Next => Ok(()),
            RuntimeEvent::InitError(error_type, payload) => Err(Failure::reported(error_type, payload)),
            _ => Err(Failure::Reported {
                error_type: "Runtime.InvalidState".to_owned(),
                payload: Bytes::from_static(b"{}"),
            }),
        }
    }

    /// Passes the invocation to the runtime and returns its response.
    ///
    /// # Errors
    /// The function failed. Unless [`Failure::keeps_process`], the process is of no further use.
    pub async fn invoke(&mut self, invocation: Invocation, deadline: Instant) -> Result<Bytes, Failure> {
        // The receiver belongs to the server, which lives as long as this.
        let _ = self.api.invocations.send(invocation).await;
        loop {
            return match self.wait(deadline).await? {
                RuntimeEvent::Next => continue,
                RuntimeEvent::Response(body) => Ok(body),
                RuntimeEvent::TooLarge => Err(Failure::ResponseTooLarge),
                RuntimeEvent::Error(error_type, payload) | RuntimeEvent::InitError(error_type, payload) => {
                    Err(Failure::reported(error_type, payload))
                }
            };
        }
    }

    /// Waits until the runtime asks for the next invocation. `false` if it does not.
    pub async fn ready(&mut self, deadline: Instant) -> bool {
        matches!(self.wait(deadline).await, Ok(RuntimeEvent::Next))
    }

    /// The next event of the runtime, with the output until then passed on.
    async fn wait(&mut self, deadline: Instant) -> Result<RuntimeEvent, Failure> {
        let event = self.next_event(deadline).await;
        self.drain();
        match event {
            Event::Runtime(event) => Ok(event),
            Event::Exited(status) => Err(Failure::Exited(status)),
            Event::OutOfMemory => Err(Failure::OutOfMemory),
            Event::Deadline => Err(Failure::TimedOut(self.timeout)),
        }
    }

    async fn next_event(&mut self, deadline: Instant) -> Event {
        let mut buffer = [0; 8192];
        let mut check = Instant::now() + CHECK_INTERVAL;
        loop {
            tokio::select! {
                biased;
                Some(event) = self.api.events.recv() => return Event::Runtime(event),
                read = read(self.output.as_ref(), &mut buffer) => {
                    if read == 0 {
                        // The process closed it.
                        self.output = None;
                    }
                    self.lines.feed(&buffer[..read], &mut self.sink);
                    if self.sink.is_full() {
                        self.sink.flush().await;
                    }
                }
                status = self.child.wait() => {
                    // Its last request may still be in the socket.
                    let last = tokio::time::timeout(Duration::from_millis(1), self.api.events.recv());
                    return match last.await {
                        Ok(Some(event)) => Event::Runtime(event),
                        _ => Event::Exited(status.unwrap_or_default()),
                    };
                }
                () = tokio::time::sleep_until(check) => {
                    check = Instant::now() + CHECK_INTERVAL;
                    if self.read_memory().is_some_and(|resident| resident > self.memory_limit) {
                        return Event::OutOfMemory;
                    }
                    self.sink.flush().await;
                }
                () = tokio::time::sleep_until(deadline) => return Event::Deadline,
            }
        }
    }

    /// Passes on what was printed and is still in the pipe.
    fn drain(&mut self) {
        let mut buffer = [0; 8192];
        // Limited, since the process may go on printing.
        for _ in 0..64 {
            let output = self.output.as_ref();
            let read = output.map_or(0, |output| output.read_now(&mut buffer));
            if read == 0 {
                break;
            }
            self.lines.feed(&buffer[..read], &mut self.sink);
        }
        self.lines.end_line(&mut self.sink);
    }

    fn read_memory(&mut self) -> Option<u64> {
        let (resident, peak) = platform::memory_of(self.child.id()?)?;
        self.memory_read = Some(Instant::now());
        self.memory_peak = self.memory_peak.max(peak).max(resident);
        Some(resident)
    }

    /// The most memory that the process ever had, in bytes, at most its limit. 0 where the platform does not tell.
    ///
    /// It is read again if the last reading is older than half a second, or if `now`.
    pub fn peak_memory(&mut self, now: bool) -> u64 {
        if now || self.memory_read.is_none_or(|read| read.elapsed() > MEMORY_AGE) {
            self.read_memory();
        }
        self.memory_peak.min(self.memory_limit)
    }

    /// The memory of the process and its children in bytes. 0 where the platform does not tell.
    pub fn resident_memory(&mut self) -> u64 {
        self.read_memory().unwrap_or(0)
    }

    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The process id; `None` once the process has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

async fn spawn(bootstrap: &Bootstrap, guardian: &Guardian) -> Result<(Child, Output, RuntimeApi), Failure> {
    let host = |error: io::Error| Failure::Host(format!("could not start a process: {error}"));
    let executable = bootstrap.executable();
    if !executable.is_file() {
        return Err(Failure::NoBootstrap);
    }
    let api = RuntimeApi::start().await.map_err(host)?;
    let variables = bootstrap.variables(&api.address);
    let (name, value) = guardian.variable();
    let mut tries = 0;
    loop {
        let (output, stdout, stderr) = Output::new().map_err(host)?;
        let mut command = Command::new(&executable);
        command
            .env_clear()
            .envs(&variables)
            .env(name, value)
            .current_dir(&bootstrap.directory)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        match command.spawn() {
            Ok(child) => return Ok((child, output, api)),
            // Another thread may have written the file and forked: its child holds the file open until it executes.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) => return Err(Failure::NotStarted(error)),
        }
    }
}

/// Reads what the process prints. Never returns without output.
async fn read(output: Option<&Output>, buffer: &mut [u8]) -> usize {
    match output {
        Some(output) => output.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}
