//! A function's `bootstrap` run here, as a native process that speaks Lambda's Runtime API: started when it is first
//! needed, kept for the next invocation, and started again after a crash or a timeout.
//!
//! Memory is not limited; everything else is as in Lambda as far as the handler can tell.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::answer::FunctionError;
use crate::runtime_api::{Answer, Invocation, RuntimeApi};
use ground::error::{Error, Result};

/// How long a process may take to ask for its first invocation. Source: "Init phase", Lambda developer guide.
const INIT_TIME: Duration = Duration::from_secs(10);

/// Code and how it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCode {
    /// The executable.
    pub bootstrap: PathBuf,
    /// The function's name, as the code is told.
    pub name: String,
    /// Lambda's setting `Handler`.
    pub handler: String,
    /// The function's ARN, as the code is told.
    pub arn: String,
    /// In MiB, as the code is told.
    pub memory_mb: u32,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
}

/// What came back of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// What the function returned.
    Returned(Bytes),
    /// The function reported an error, crashed, timed out or did not start.
    Failed(FunctionError),
}

/// Where the lines go that the code writes to its stdout and stderr. Must not block.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// The function. Its process ends with it.
pub struct LocalFunction {
    code: LocalCode,
    log: Log,
    running: Option<Running>,
}

struct Running {
    api: RuntimeApi,
    child: Child,
    ready: bool,
}

impl LocalFunction {
    /// The function made of `code`; no process is started yet.
    pub fn new(code: LocalCode, log: Log) -> Self {
        Self {
            code,
            log,
            running: None,
        }
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.code.name
    }

    /// Runs the function on `payload`.
    ///
    /// # Errors
    /// When the process cannot be started at all.
    pub async fn invoke(&mut self, payload: Bytes) -> Result<Outcome> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start().await?,
        };
        if !running.ready {
            if let Some(error) = running.first_breath().await {
                return Ok(Outcome::Failed(error));
            }
            running.ready = true;
        }
        let request_id = request_id();
        let now = Timestamp::now().as_millisecond();
        let time = i64::try_from(self.code.timeout.as_millis()).unwrap_or(i64::MAX);
        let invocation = Invocation {
            request_id: request_id.clone(),
            function_arn: self.code.arn.clone(),
            deadline_ms: now.saturating_add(time),
            trace_id: None,
            payload,
        };
        let answer = tokio::select! {
            biased;
            answer = timeout(self.code.timeout, running.api.invoke(invocation)) => answer,
            status = running.child.wait() => {
                let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                return Ok(Outcome::Failed(FunctionError {
                    error_type: "Runtime.ExitError".to_owned(),
                    error_message: format!("RequestId: {request_id} Error: Runtime exited with error: {how}"),
                }));
            }
        };
        match answer {
            Ok(Some(answer)) => {
                self.running = Some(running);
                Ok(match answer {
                    Answer::Returned(payload) => Outcome::Returned(payload),
                    Answer::Failed { payload, kind } => {
                        let mut error = FunctionError::parse(&payload);
                        if error.error_type.is_empty() {
                            error.error_type = kind.unwrap_or_default();
                        }
                        Outcome::Failed(error)
                    }
                })
            }
            Ok(None) => Err(Error::failed(
                "the Runtime API of the function ended unexpectedly",
            )),
            // The process is in the middle of something: the next invocation gets a new one.
            Err(_) => Ok(Outcome::Failed(FunctionError {
                error_type: "Sandbox.Timedout".to_owned(),
                error_message: format!(
                    "RequestId: {request_id} Error: Task timed out after {:.2} seconds",
                    self.code.timeout.as_secs_f64()
                ),
            })),
        }
    }

    async fn start(&self) -> Result<Running> {
        let api = RuntimeApi::start()
            .await
            .map_err(|e| Error::failed("could not listen for the function's process").cause(e))?;
        let mut command = Command::new(&self.code.bootstrap);
        command
            .env_clear()
            .envs(base_environment(&self.code))
            .envs(&self.code.environment)
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-C is for streamctl, which ends the process once its batch is answered for.
        #[cfg(unix)]
        command.process_group(0);
        let shown = self.code.bootstrap.display();
        let mut child = command.spawn().map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::PermissionDenied => format!("make it executable: `chmod +x {shown}`"),
                std::io::ErrorKind::NotFound => "check the path".to_owned(),
                _ => "the code must be built for this machine; Lambda's own builds run on Linux only"
                    .to_owned(),
            };
            Error::failed(format!("could not start {shown}"))
                .cause(error)
                .hint(hint)
        })?;
        if let Some(stdout) = child.stdout.take() {
            pass_on(stdout, &self.log);
        }
        if let Some(stderr) = child.stderr.take() {
            pass_on(stderr, &self.log);
        }
        Ok(Running {
            api,
            child,
            ready: false,
        })
    }
}

impl Running {
    /// Waits until the process is ready; why it is not.
    async fn first_breath(&mut self) -> Option<FunctionError> {
        tokio::select! {
            biased;
            ready = timeout(INIT_TIME, self.api.ready()) => match ready {
                Ok(Ok(())) => None,
                Ok(Err(payload)) => Some(FunctionError::parse(&payload)),
                Err(_) => Some(FunctionError {
                    error_type: "Sandbox.Timedout".to_owned(),
                    error_message: format!("the function was not ready after {} s", INIT_TIME.as_secs()),
                }),
            },
            status = self.child.wait() => {
                let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                Some(FunctionError {
                    error_type: "Runtime.ExitError".to_owned(),
                    error_message: format!("the process ended before its first invocation: {how}"),
                })
            }
        }
    }
}

/// Source: "Defined runtime environment variables", Lambda developer guide.
fn base_environment(code: &LocalCode) -> Vec<(String, String)> {
    let root = code.bootstrap.parent().unwrap_or(Path::new("."));
    let mut variables: Vec<(String, String)> = ["PATH", "HOME", "TMPDIR"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect();
    let set = [
        ("AWS_LAMBDA_FUNCTION_NAME", code.name.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", code.memory_mb.to_string()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", code.name)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "local".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("LAMBDA_TASK_ROOT", root.display().to_string()),
        ("_HANDLER", code.handler.clone()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
    ];
    variables.extend(set.map(|(name, value)| (name.to_owned(), value)));
    variables
}

fn pass_on(output: impl AsyncRead + Send + Unpin + 'static, log: &Log) {
    let log = Arc::clone(log);
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            log(String::from_utf8_lossy(&line).trim_end());
        }
    });
}

/// A random UUID.
fn request_id() -> String {
    let bits = rand::random::<u128>() & !(0xf000 << 64) & !(0xc000 << 48) | (0x4000 << 64) | (0x8000 << 48);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Mutex;

    use super::*;

    /// A function whose bootstrap is a shell script that speaks HTTP through bash's `/dev/tcp`.
    fn function(dir: &Path, script: &str, timeout: Duration) -> (LocalFunction, Arc<Mutex<Vec<String>>>) {
        let bootstrap = dir.join("bootstrap");
        let common = r#"#!/usr/bin/env bash
host=${AWS_LAMBDA_RUNTIME_API%:*} port=${AWS_LAMBDA_RUNTIME_API#*:}
next() {
  exec 3<>/dev/tcp/$host/$port
  printf 'GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n' >&3
  length=0
  while IFS= read -r line <&3; do
    line=${line%$'\r'}
    case $line in
      Lambda-Runtime-Aws-Request-Id:*) id=${line#*: } ;;
      Content-Length:*) length=${line#*: } ;;
      '') break ;;
    esac
  done
  IFS= read -r -N "$length" body <&3
  exec 3>&-
}
post() {
  exec 3<>/dev/tcp/$host/$port
  printf 'POST /2018-06-01/runtime/invocation/%s/%s HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s' "$id" "$1" "${#2}" "$2" >&3
  IFS= read -r line <&3
  exec 3>&-
}
"#;
        std::fs::write(&bootstrap, format!("{common}{script}")).unwrap();
        std::fs::set_permissions(&bootstrap, std::fs::Permissions::from_mode(0o755)).unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&lines);
        let code = LocalCode {
            bootstrap,
            name: "echo".to_owned(),
            handler: "bootstrap".to_owned(),
            arn: "arn:aws:lambda:us-east-1:000000000000:function:echo".to_owned(),
            memory_mb: 128,
            timeout,
            environment: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
        };
        let log: Log = Arc::new(move |line| kept.lock().unwrap().push(line.to_owned()));
        (LocalFunction::new(code, log), lines)
    }

    fn failure(outcome: Outcome) -> String {
        match outcome {
            Outcome::Failed(error) => error.error_type,
            Outcome::Returned(payload) => panic!("returned {payload:?}"),
        }
    }

    #[tokio::test]
    async fn one_process_answers_one_invocation_after_another() {
        let dir = tempfile::tempdir().unwrap();
        let script = r#"echo "$GREETING $AWS_LAMBDA_FUNCTION_NAME"
while next; do post response "[$$,$body]"; done"#;
        let (mut function, lines) = function(dir.path(), script, Duration::from_secs(20));
        let first = function.invoke(Bytes::from_static(b"1")).await.unwrap();
        let second = function.invoke(Bytes::from_static(b"2")).await.unwrap();
        let (Outcome::Returned(first), Outcome::Returned(second)) = (first, second) else {
            panic!("failed");
        };
        let read = |bytes: &[u8]| serde_json::from_slice::<(u32, u32)>(bytes).unwrap();
        let ((process, one), (same, two)) = (read(&first), read(&second));
        assert_eq!((one, two, process), (1, 2, same));
        assert_eq!(
            lines.lock().unwrap().first().map(String::as_str),
            Some("hello echo")
        );
    }

    #[tokio::test]
    async fn errors_crashes_and_timeouts_are_told_apart_and_the_next_invocation_runs() {
        let dir = tempfile::tempdir().unwrap();
        let script = r#"while next; do
  case $body in
    1) post error '{"errorType":"Broken","errorMessage":"no"}' ;;
    2) exit 7 ;;
    3) sleep 60 ;;
    *) post response true ;;
  esac
done"#;
        let (mut function, _) = function(dir.path(), script, Duration::from_secs(2));
        for (payload, expected) in [
            ("1", "Broken"),
            ("2", "Runtime.ExitError"),
            ("3", "Sandbox.Timedout"),
        ] {
            let outcome = function
                .invoke(Bytes::from_static(payload.as_bytes()))
                .await
                .unwrap();
            assert_eq!(failure(outcome), expected);
        }
        let last = function.invoke(Bytes::from_static(b"4")).await.unwrap();
        assert_eq!(last, Outcome::Returned(Bytes::from_static(b"true")));
    }

    #[tokio::test]
    async fn a_process_that_ends_at_once_is_a_failure_of_the_function() {
        let dir = tempfile::tempdir().unwrap();
        let (mut function, _) = function(dir.path(), "exit 1", Duration::from_secs(5));
        let outcome = function.invoke(Bytes::from_static(b"1")).await.unwrap();
        assert_eq!(failure(outcome), "Runtime.ExitError");
    }

    #[test]
    fn request_ids_are_random_uuids() {
        let id = request_id();
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_ne!(id, request_id());
    }
}
