//! Connects a handler to Lambda: init, the loop of invocations, and the response.
//!
//! Init creates the clients, checks the environment, and reports errors to Lambda. A handler gets the payload as the
//! original bytes: deserialising it in the runtime would copy all of it.
//!
//! The loop knows a function as [`Answering`], without its type, and is compiled once for all functions.

use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use lambda_runtime::tower::Layer;
use lambda_runtime::{LambdaEvent, LambdaInvocation, Runtime, Service, service_fn};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;

use crate::aws::Clients;
use crate::clock::{Clock, SystemClock};
use crate::environment::{Environment, InvalidVariable};
use crate::event::Event;
use crate::failures::{Failures, Response};
use crate::log::{Level, Log, Stdout};

pub use lambda_runtime::Diagnostic;

/// Time reserved at the end of an invocation to return the response.
const MARGIN: Duration = Duration::from_millis(500);

/// Processes batches.
pub trait Handler {
    /// Processes the records of one batch, each independently.
    fn handle(&self, event: &Event<'_>, invocation: &Invocation) -> impl Future<Output = Done>;
}

/// Answers invocations whose payload is not a batch of records.
pub trait Function {
    type Answer: Serialize;

    /// # Errors
    /// Fail the invocation. What invoked the function decides whether it tries again.
    fn answer(
        &self,
        payload: &[u8],
        invocation: &Invocation,
    ) -> impl Future<Output = Result<Self::Answer, Diagnostic>>;
}

/// The function that a handler of batches is.
struct Batches<H>(H);

impl<H: Handler> Function for Batches<H> {
    type Answer = Response;

    async fn answer(&self, payload: &[u8], invocation: &Invocation) -> Result<Response, Diagnostic> {
        answer(&self.0, payload, invocation).await
    }
}

pub struct Invocation {
    /// When all calls must have ended.
    pub deadline: Instant,
    pub log: Log,
}

/// Result of a batch.
#[derive(Debug)]
pub struct Done {
    /// The records that Lambda is to deliver again.
    pub failures: Failures,
    /// Number of entries. More than the records if these are aggregated.
    pub total: usize,
    /// Number of entries that could not be processed, whether or not they are retried.
    pub failed: usize,
}

/// Answers an invocation with a payload.
type Answering = Rc<dyn Fn(Bytes, Invocation) -> Answer>;
type Answer = Pin<Box<dyn Future<Output = Result<Box<RawValue>, Diagnostic>>>>;

/// Runs a handler of batches until Lambda ends it. `build` creates it from its environment.
pub fn run<H: Handler + 'static>(
    build: impl FnOnce(&Environment, &Clients) -> Result<H, InvalidVariable>,
) -> ExitCode {
    run_function(|environment, clients| build(environment, clients).map(Batches))
}

/// Runs a function until Lambda ends it. `build` creates it from its environment.
pub fn run_function<F: Function + 'static>(
    build: impl FnOnce(&Environment, &Clients) -> Result<F, InvalidVariable>,
) -> ExitCode {
    let environment = Environment::of_process();
    let Some(api) = environment.optional("AWS_LAMBDA_RUNTIME_API") else {
        complain(
            "this is the bootstrap of a Lambda function: it runs in AWS Lambda, or in streamctl's local cloud",
        );
        return ExitCode::FAILURE;
    };
    let prepared = prepare(&environment, |environment, clients| {
        build(environment, clients).map(answering)
    });
    match prepared
        .map_err(|error| error.0)
        .and_then(|(function, log)| serve(function, log))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            report_init_error(api, &message);
            ExitCode::FAILURE
        }
    }
}

fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}

fn prepare<H>(
    environment: &Environment,
    build: impl FnOnce(&Environment, &Clients) -> Result<H, InvalidVariable>,
) -> Result<(H, Log), InvalidVariable> {
    let log = Log::new(Level::from_environment(environment)?, Arc::new(Stdout));
    let clients = Clients::from_environment(environment)?;
    Ok((build(environment, &clients)?, log))
}

fn answering<F: Function + 'static>(function: F) -> Answering {
    let function = Rc::new(function);
    Rc::new(move |payload, invocation| {
        let function = Rc::clone(&function);
        Box::pin(async move {
            let answer = function.answer(&payload, &invocation).await?;
            to_raw_value(&answer).map_err(|error| Diagnostic {
                error_type: "InvalidAnswer".to_owned(),
                error_message: error.to_string(),
            })
        })
    })
}

fn serve(function: Answering, log: Log) -> Result<(), String> {
    // The runtime panics without these variables.
    for name in [
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
    ] {
        if std::env::var(name).is_err() {
            return Err(format!(
                "the environment variable {name} is not set: Lambda sets it for every function"
            ));
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("could not start: {error}"))?;
    let payload = Slot::default();
    let taken = payload.clone();
    let service = service_fn(move |event: LambdaEvent<()>| {
        let invocation = Invocation {
            deadline: deadline(event.context.deadline, SystemClock.now_ms()),
            log: log.of_request(&event.context.request_id),
        };
        function(taken.take(), invocation)
    });
    let served = runtime.block_on(Runtime::new(service).layer(TakePayload(payload)).run());
    served.map_err(|error| error.to_string())
}

/// Processes one payload.
///
/// # Errors
/// It is not a Kinesis event.
pub async fn answer<H: Handler>(
    handler: &H,
    payload: &[u8],
    invocation: &Invocation,
) -> Result<Response, Diagnostic> {
    let started = Instant::now();
    let event = Event::parse(payload).map_err(|error| Diagnostic {
        error_type: "InvalidEvent".to_owned(),
        error_message: error.to_string(),
    })?;
    let done = handler.handle(&event, invocation).await;
    let again = done.failures.count();
    let level = if again > 0 { Level::Error } else { Level::Info };
    invocation.log.write(level, "batch done", || {
        serde_json::json!({
            "total": done.total,
            "processed": done.total - done.failed.min(done.total),
            "failed": done.failed,
            "records": event.records.len(),
            "recordsToRetry": again,
            "durationMs": started.elapsed().as_millis() as u64,
        })
    });
    Ok(done.failures.response(&event))
}

fn deadline(deadline_ms: u64, now_ms: i64) -> Instant {
    let left = Duration::from_millis(deadline_ms.saturating_sub(u64::try_from(now_ms).unwrap_or(0)));
    // With a short timeout, reserve a fifth of it.
    Instant::now() + left - MARGIN.min(left / 5)
}

/// The payload of the current invocation. There is only one at a time.
#[derive(Clone, Default)]
struct Slot(Arc<Mutex<Bytes>>);

impl Slot {
    fn put(&self, payload: Bytes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = payload;
    }

    fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Stores the payload before the runtime deserialises it.
struct TakePayload(Slot);

impl<S> Layer<S> for TakePayload {
    type Service = TakingPayload<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TakingPayload {
            inner,
            slot: self.0.clone(),
        }
    }
}

struct TakingPayload<S> {
    inner: S,
    slot: Slot,
}

impl<S: Service<LambdaInvocation>> Service<LambdaInvocation> for TakingPayload<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> Self::Future {
        self.slot.put(std::mem::replace(
            &mut invocation.body,
            Bytes::from_static(b"null"),
        ));
        self.inner.call(invocation)
    }
}

/// Reports an init error to Lambda, which returns it to the invoker. If that fails, the error is only in the log.
fn report_init_error(api: &str, message: &str) {
    let body = serde_json::json!({"errorType": "Runtime.InitError", "errorMessage": message}).to_string();
    let request = format!(
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\n\
         Lambda-Runtime-Function-Error-Type: Runtime.InitError\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let report = || {
        let mut stream = TcpStream::connect(api)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(request.as_bytes())?;
        stream.read(&mut [0; 64])
    };
    let _: std::io::Result<usize> = report();
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_init_error_reaches_lambda() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 2048];
            let length = stream.read(&mut request).unwrap();
            stream
                .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        report_init_error(&api, "TABLE_NAME is not set");
        let request = server.join().unwrap();
        assert!(
            request.starts_with("POST /2018-06-01/runtime/init/error HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.ends_with(r#"{"errorMessage":"TABLE_NAME is not set","errorType":"Runtime.InitError"}"#),
            "{request}"
        );
    }

    struct Untouched;

    impl Handler for Untouched {
        async fn handle(&self, _event: &Event<'_>, _invocation: &Invocation) -> Done {
            panic!("it got something that is not an event");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_an_event_is_an_error_with_a_type() {
        let invocation = Invocation {
            deadline: Instant::now() + Duration::from_secs(1),
            log: Log::new(Level::Error, Arc::new(Stdout)),
        };
        let error = answer(&Untouched, b"{\"test\":true}", &invocation)
            .await
            .unwrap_err();
        assert_eq!(error.error_type, "InvalidEvent");
        assert!(
            error.error_message.contains("not an event of a Kinesis stream"),
            "{error:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_leaves_time_to_answer() {
        let now = Instant::now();
        assert_eq!(deadline(70_000, 10_000) - now, Duration::from_millis(59_500));
        assert_eq!(deadline(11_000, 10_000) - now, Duration::from_millis(800));
        assert_eq!(deadline(0, 10_000), now);
    }
}
