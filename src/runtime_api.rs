//! Lambda's Runtime API, as the process of one function sees it: an HTTP/1.1 server on the loopback interface that hands
//! out invocations and takes their answers.
//!
//! Source: "Using the Lambda runtime API for custom runtimes", Lambda developer guide. Knows nothing of processes, logs,
//! clients or the local cloud, and needs no crate for HTTP: the protocol has four paths.

mod http;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use http::{Connection, Received, Reply};

/// The largest answer of a function, in bytes. Source: "Lambda quotas", Lambda developer guide; the number is that of the
/// error message of `Function.ResponseSizeTooLarge`.
pub const MAX_ANSWER: usize = 6_291_556;

const PREFIX: &str = "/2018-06-01/runtime/";

/// One invocation, as the runtime is told of it.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// A UUID.
    pub request_id: String,
    /// The function, for the runtime's context.
    pub function_arn: String,
    /// When the invocation times out, in milliseconds since the Unix epoch.
    pub deadline_ms: i64,
    /// The X-Ray trace header, if the invocation is traced.
    pub trace_id: Option<String>,
    /// The event.
    pub payload: Bytes,
}

/// What the runtime made of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What the function returned.
    Returned(Bytes),
    /// The function reported an error.
    Failed {
        /// The type of the error, as the header `Lambda-Runtime-Function-Error-Type` names it.
        kind: Option<String>,
        /// The error object.
        payload: Bytes,
    },
}

/// The server for one process. Ends when dropped.
pub struct RuntimeApi {
    address: SocketAddr,
    jobs: mpsc::UnboundedSender<Job>,
    init: watch::Receiver<Init>,
    server: JoinHandle<()>,
}

/// How far the process has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Init {
    /// It has not asked for an invocation yet.
    #[default]
    Starting,
    /// It has.
    Ready,
    /// It said that it cannot start.
    Failed(Bytes),
}

struct Job {
    invocation: Invocation,
    answer: oneshot::Sender<Answer>,
}

struct Shared {
    jobs: tokio::sync::Mutex<mpsc::UnboundedReceiver<Job>>,
    /// Invocations that were handed out, by request id.
    open: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    init: watch::Sender<Init>,
}

impl RuntimeApi {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (jobs, receiver) = mpsc::unbounded_channel();
        let (sender, init) = watch::channel(Init::Starting);
        let shared = Arc::new(Shared {
            jobs: tokio::sync::Mutex::new(receiver),
            open: Mutex::default(),
            init: sender,
        });
        let server = tokio::spawn(serve(listener, shared));
        Ok(Self {
            address,
            jobs,
            init,
            server,
        })
    }

    /// What the process is to find in `AWS_LAMBDA_RUNTIME_API`: host and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hands `invocation` to the process and waits for its answer; `None` when the server has ended. The process may end
    /// without one: whoever calls watches it too.
    pub async fn invoke(&self, invocation: Invocation) -> Option<Answer> {
        let (answer, receiver) = oneshot::channel();
        self.jobs.send(Job { invocation, answer }).ok()?;
        receiver.await.ok()
    }

    /// Waits until the process asks for its first invocation.
    ///
    /// # Errors
    /// The error object, where the process says that it cannot start.
    pub async fn ready(&self) -> Result<(), Bytes> {
        let mut init = self.init.clone();
        let state = init.wait_for(|state| *state != Init::Starting).await;
        match state.as_deref() {
            Ok(Init::Failed(payload)) => Err(payload.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(Bytes::new()),
        }
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with the server, which ends every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                // Small answers are not to wait for company.
                let _ = stream.set_nodelay(true);
                connections.spawn(converse(stream, Arc::clone(&shared)));
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let mut connection = Connection::new(stream);
    // A connection that breaks is the process's business: it connects again, or has ended.
    while let Ok(Some(request)) = connection.receive(MAX_ANSWER).await {
        let reply = shared.reply(request).await;
        if connection.send(reply).await.is_err() {
            return;
        }
    }
}

impl Shared {
    async fn reply(&self, request: Received) -> Reply {
        let Some(path) = request.path.strip_prefix(PREFIX) else {
            return Reply::error(404, "NotFound", "there is no such path");
        };
        match (request.method.as_str(), path) {
            ("GET", "invocation/next") => self.next().await,
            ("POST", "init/error") => {
                self.init.send_replace(Init::Failed(request.body));
                Reply::accepted()
            }
            ("POST", path) => {
                let parts = path
                    .strip_prefix("invocation/")
                    .and_then(|rest| rest.split_once('/'));
                match parts {
                    Some((id, kind @ ("response" | "error"))) => {
                        let id = id.to_owned();
                        let failed = kind == "error";
                        self.answer(&id, failed, request)
                    }
                    _ => Reply::error(404, "NotFound", "there is no such path"),
                }
            }
            _ => Reply::error(405, "MethodNotAllowed", "this path takes another method"),
        }
    }

    async fn next(&self) -> Reply {
        self.init.send_replace(Init::Ready);
        let mut jobs = self.jobs.lock().await;
        loop {
            let Some(job) = jobs.recv().await else {
                return Reply::error(410, "Gone", "there are no more invocations");
            };
            // Nobody waits for an invocation that timed out before it was handed out.
            if job.answer.is_closed() {
                continue;
            }
            let reply = Reply::invocation(&job.invocation);
            self.open().insert(job.invocation.request_id, job.answer);
            return reply;
        }
    }

    fn answer(&self, id: &str, failed: bool, request: Received) -> Reply {
        let Some(answer) = self.open().remove(id) else {
            return Reply::error(400, "InvalidRequestID", "Invalid request ID");
        };
        if request.too_large {
            let text =
                format!("Response payload size exceeded maximum allowed payload size ({MAX_ANSWER} bytes).");
            let reply = Reply::error(413, "RequestEntityTooLarge", &text);
            let payload = error_object(&text, "Function.ResponseSizeTooLarge");
            let kind = Some("Function.ResponseSizeTooLarge".to_owned());
            // Fails where the invocation has timed out: then nobody wants to know.
            let _ = answer.send(Answer::Failed { kind, payload });
            return reply;
        }
        let answered = match (failed, request.error_body) {
            (false, None) => Answer::Returned(request.body),
            (_, Some(payload)) => Answer::Failed {
                kind: request.error_kind,
                payload,
            },
            (true, None) => Answer::Failed {
                kind: request.error_kind,
                payload: request.body,
            },
        };
        let _ = answer.send(answered);
        Reply::accepted()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Answer>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error as Lambda writes it.
pub fn error_object(message: &str, kind: &str) -> Bytes {
    Bytes::from(serde_json::json!({"errorMessage": message, "errorType": kind}).to_string())
}

#[cfg(test)]
mod tests;
