//! Code that runs here in place of a deployed function: `invoke --local` and `attach --local`.
//!
//! Keeps one process of [`lambda_host`] for the next invocation. After a crash or a timeout, the next invocation starts
//! another process. The rules are those of the local cloud's functions.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use lambda_host::{Bootstrap, Failure, Host, Invocation, Process};
use tokio::time::Instant;

use super::answer::FunctionError;
use ground::error::{Error, Result};

/// Code and how it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCode {
    /// The unpacked code, with the executable `bootstrap`.
    pub directory: PathBuf,
    /// The function's name, as the code sees it.
    pub name: String,
    /// Lambda's setting `Handler`.
    pub handler: String,
    /// The function's ARN, as the code sees it.
    pub arn: String,
    /// Memory limit in MiB.
    pub memory_mb: u32,
    /// The longest time for an invocation.
    pub timeout: Duration,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
}

/// Result of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvokeResult {
    /// What the function returned.
    Returned(Bytes),
    /// The function reported an error, crashed, timed out or failed during init.
    Failed(FunctionError),
}

/// Takes the lines that the code writes to its stdout and stderr. Must not block.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

type Sink = Box<dyn FnMut(&str) + Send + Sync>;

/// The function. Its process ends when this is dropped.
pub struct LocalFunction {
    bootstrap: Bootstrap,
    arn: String,
    log: Log,
    host: Host,
    idle: Option<Process<Sink>>,
}

impl LocalFunction {
    /// The function made of `code`; no process is started yet.
    pub fn new(code: LocalCode, log: Log) -> Self {
        // Scripts and SDKs use these variables of the shell. The code's own take precedence.
        let mut environment: BTreeMap<String, String> = ["PATH", "HOME", "TMPDIR"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
            .collect();
        environment.extend(code.environment);
        Self {
            bootstrap: Bootstrap {
                directory: code.directory,
                log_group: format!("/aws/lambda/{}", code.name),
                log_stream: "local".to_owned(),
                function_name: code.name,
                function_version: "$LATEST".to_owned(),
                handler: code.handler,
                memory_mb: code.memory_mb,
                timeout: code.timeout,
                environment,
            },
            arn: code.arn,
            log,
            host: Host::default(),
            idle: None,
        }
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.bootstrap.function_name
    }

    /// Runs the function on `payload`.
    ///
    /// # Errors
    /// When the process cannot be started at all.
    pub async fn invoke(&mut self, payload: Bytes) -> Result<InvokeResult> {
        let request_id = lambda_host::request_id();
        let idle = self.idle.take();
        let mut process = match idle {
            Some(process) => process,
            None => match self.start().await {
                Ok(process) => process,
                Err(failure) => return self.failed(&failure, &request_id),
            },
        };
        let timeout = self.bootstrap.timeout;
        let timeout_ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        let invocation = Invocation {
            request_id: request_id.clone(),
            function_arn: self.arn.clone(),
            deadline_ms: Timestamp::now().as_millisecond().saturating_add(timeout_ms),
            client_context: None,
            payload,
        };
        let deadline = Instant::now() + timeout;
        let result = process.invoke(invocation, deadline).await;
        let keeps_process = result.as_ref().err().is_none_or(Failure::keeps_process);
        if keeps_process && process.ready(deadline).await {
            self.idle = Some(process);
        }
        match result {
            Ok(payload) => Ok(InvokeResult::Returned(payload)),
            Err(failure) => self.failed(&failure, &request_id),
        }
    }

    async fn start(&self) -> Result<Process<Sink>, Failure> {
        let log = Arc::clone(&self.log);
        let sink: Sink = Box::new(move |line: &str| log(line));
        let started = self.host.start(&self.bootstrap, sink, |_, _, _| ()).await;
        started.map_err(|(failure, _)| failure)
    }

    /// A failure of the function is an outcome; code that cannot be started is an error.
    fn failed(&self, failure: &Failure, request_id: &str) -> Result<InvokeResult> {
        if !failure.is_final() {
            let mut error = FunctionError::parse(&failure.payload(request_id));
            if error.error_type.is_empty() {
                failure.error_type().clone_into(&mut error.error_type);
            }
            return Ok(InvokeResult::Failed(error));
        }
        let hint = match failure {
            Failure::NotStarted(error) if error.kind() == ErrorKind::PermissionDenied => {
                "make it executable: `chmod +x bootstrap`"
            }
            Failure::NotStarted(_) => {
                "the code must be built for this machine; Lambda's own builds run on Linux only"
            }
            Failure::NoBootstrap => "the code needs an executable file `bootstrap` at its root",
            _ => return Err(Error::failed(failure.reason())),
        };
        Err(Error::failed(format!("could not start {}: {}", self.name(), failure.reason())).hint(hint))
    }
}
