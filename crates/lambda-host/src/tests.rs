//! Runs the scripted bootstrap.

use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;

#[path = "../../../tests/bootstrap/executable.rs"]
mod scripted;

type Sink = Box<dyn FnMut(&str) + Send>;

/// Code in a directory, and what its processes printed.
struct Function {
    host: Host,
    bootstrap: Bootstrap,
    lines: Arc<std::sync::Mutex<Vec<String>>>,
    init_failures: Vec<String>,
    _directory: tempfile::TempDir,
}

impl Function {
    fn new(variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::copy(scripted::executable(), directory.path().join("bootstrap")).unwrap();
        let variables = variables.iter();
        Self {
            host: Host::default(),
            bootstrap: Bootstrap {
                directory: directory.path().to_path_buf(),
                function_name: "echo".to_owned(),
                function_version: "$LATEST".to_owned(),
                handler: "scripted".to_owned(),
                memory_mb: 128,
                timeout: Duration::from_secs(2),
                log_group: "/aws/lambda/echo".to_owned(),
                log_stream: "stream".to_owned(),
                environment: variables
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
            },
            lines: Arc::default(),
            init_failures: Vec::new(),
            _directory: directory,
        }
    }

    async fn start(&mut self) -> Result<Process<Sink>, Failure> {
        let lines = Arc::clone(&self.lines);
        let sink: Sink = Box::new(move |line: &str| lines.lock().unwrap().push(line.to_owned()));
        let failures = &mut self.init_failures;
        let init_failed =
            |failure: &Failure, _: Duration, _: &mut Sink| failures.push(failure.error_type().to_owned());
        let started = self.host.start(&self.bootstrap, sink, init_failed).await;
        started.map_err(|(failure, _)| failure)
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

async fn run(process: &mut Process<Sink>, script: &str) -> Result<Value, Failure> {
    let invocation = Invocation {
        request_id: request_id(),
        function_arn: "arn:aws:lambda:us-east-1:000000000000:function:echo".to_owned(),
        deadline_ms: 0,
        client_context: None,
        payload: Bytes::from(json!({"do": script}).to_string()),
    };
    let body = process
        .invoke(invocation, Instant::now() + Duration::from_secs(2))
        .await?;
    Ok(serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn one_process_answers_one_invocation_after_another() {
    let mut function = Function::new(&[("GREETING", "hello"), ("TZ", "UTC"), ("_HANDLER", "mine")]);
    let mut process = function.start().await.unwrap();
    let id = process.id().unwrap();
    for (script, answer) in [
        ("log one; err two; pid", json!(id)),
        ("print three; pid", json!(id)),
        ("env GREETING", json!("hello")),
        ("env TZ", json!("UTC")),
        ("env LANG", json!("en_US.UTF-8")),
        ("env _HANDLER", json!("scripted")),
        ("env AWS_LAMBDA_LOG_STREAM_NAME", json!("stream")),
        ("env CARGO_MANIFEST_DIR", Value::Null),
    ] {
        assert_eq!(run(&mut process, script).await.unwrap(), answer, "{script}");
    }
    assert_eq!(function.lines(), ["one", "two", "three"]);
    assert!(process.is_alive());
}

#[tokio::test]
async fn failures_are_told_apart_and_another_process_takes_over() {
    let mut function = Function::new(&[]);
    for (script, error_type, keeps_process) in [
        ("throw Broken no", "Broken", true),
        ("break Broken no", "Broken", true),
        ("big 7000000", "Function.ResponseSizeTooLarge", true),
        ("exit 7", "Runtime.ExitError", false),
        ("sleep 60000", "Sandbox.Timedout", false),
    ] {
        let mut process = function.start().await.unwrap();
        let failure = run(&mut process, script).await.unwrap_err();
        assert_eq!(
            (failure.error_type(), failure.keeps_process()),
            (error_type, keeps_process),
            "{script}"
        );
        let deadline = Instant::now() + Duration::from_secs(1);
        assert_eq!(process.ready(deadline).await, keeps_process, "{script}");
    }
    assert!(function.init_failures.is_empty());
}

#[tokio::test]
async fn a_failed_init_is_tried_once_more() {
    for (init, error_type) in [
        ("log init; exit 1", "Runtime.ExitError"),
        ("log init; init-error Config no", "Config"),
    ] {
        let mut function = Function::new(&[("INIT", init)]);
        let failure = function.start().await.err().unwrap();
        assert_eq!(failure.error_type(), error_type);
        assert_eq!(function.init_failures, [error_type]);
        assert_eq!(function.lines(), ["init", "init"]);
    }
    let mut slow = Function::new(&[("INIT", "sleep 300")]);
    slow.host = Host::new(Duration::from_millis(50));
    let mut process = slow.start().await.unwrap();
    assert_eq!(run(&mut process, "return 1").await.unwrap(), 1);
    assert_eq!(slow.init_failures, ["Sandbox.Timedout"]);
}

#[tokio::test]
async fn code_that_cannot_be_executed_is_not_tried_again() {
    let mut function = Function::new(&[]);
    let file = function.bootstrap.executable();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let failure = function.start().await.err().unwrap();
    assert!(matches!(failure, Failure::NotStarted(_)), "{failure:?}");
    std::fs::remove_file(file).unwrap();
    let failure = function.start().await.err().unwrap();
    assert!(matches!(failure, Failure::NoBootstrap), "{failure:?}");
    assert_eq!(function.init_failures, ["Runtime.InvalidEntrypoint"; 2]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_bootstrap_that_is_being_written_is_waited_for() {
    let mut function = Function::new(&[]);
    let file = std::fs::OpenOptions::new()
        .append(true)
        .open(function.bootstrap.executable())
        .unwrap();
    let close = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(file);
    };
    let (started, ()) = tokio::join!(function.start(), close);
    assert!(started.is_ok());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_over_its_memory_limit_fails() {
    let mut function = Function::new(&[]);
    let mut process = function.start().await.unwrap();
    let failure = run(&mut process, "alloc 200; sleep 20000").await.unwrap_err();
    assert_eq!(failure.error_type(), "Runtime.OutOfMemory");
    assert_eq!(process.peak_memory(true), 128 << 20);
}

#[test]
fn request_ids_are_random_uuids() {
    let id = request_id();
    assert_eq!((id.len(), &id[14..15]), (36, "4"));
    assert!("89ab".contains(&id[19..20]), "{id}");
    assert_ne!(id, request_id());
}
