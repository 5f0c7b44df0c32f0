//! Connections: how many there are, which of them are idle, and those whose client does not read.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use super::budget::Budget;

/// How long a connection stays open without a request, also with a part of one. Longer than the SDKs keep unused
/// connections (90 seconds), so that a client does not send a request into a connection that is closing.
pub(super) const IDLE_TIME: Duration = Duration::from_secs(120);
/// How often a client that does not read is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// All open connections.
pub(super) struct Connections {
    begun: Instant,
    open: Mutex<HashMap<u64, Arc<Activity>>>,
    next: AtomicU64,
}

struct Activity {
    /// Requests under way.
    requests: AtomicUsize,
    /// When it was opened, or its last request ended, in milliseconds.
    idle_since: AtomicU64,
    end: Notify,
}

impl Connections {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            open: Mutex::default(),
            next: AtomicU64::new(0),
        })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Activity>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn add(self: &Arc<Self>) -> Connection {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let activity = Arc::new(Activity {
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(self.now_ms()),
            end: Notify::new(),
        });
        self.open().insert(id, Arc::clone(&activity));
        Connection {
            id,
            activity,
            all: Arc::clone(self),
        }
    }

    /// Ends the connection that has been idle for the longest time, if one is.
    pub fn end_idle(&self) {
        let open = self.open();
        let idle = open
            .values()
            .filter(|one| one.requests.load(Ordering::Relaxed) == 0)
            .min_by_key(|one| one.idle_since.load(Ordering::Relaxed));
        if let Some(longest) = idle {
            longest.end.notify_one();
        }
    }
}

/// An open connection.
pub(super) struct Connection {
    id: u64,
    activity: Arc<Activity>,
    all: Arc<Connections>,
}

impl Connection {
    /// A request that is under way until this is dropped.
    pub fn request(&self) -> Busy {
        self.activity.requests.fetch_add(1, Ordering::Relaxed);
        Busy {
            activity: Arc::clone(&self.activity),
            all: Arc::clone(&self.all),
        }
    }

    /// Completes when the connection is to end because it is idle.
    pub async fn ended(&self) {
        let idle = async {
            loop {
                let since = self.activity.idle_since.load(Ordering::Relaxed);
                let is_busy = self.activity.requests.load(Ordering::Relaxed) > 0;
                let idle = Duration::from_millis(self.all.now_ms().saturating_sub(since));
                match IDLE_TIME.checked_sub(idle).filter(|left| !left.is_zero()) {
                    None if !is_busy => return,
                    None => tokio::time::sleep(IDLE_TIME).await,
                    Some(left) => tokio::time::sleep(left).await,
                }
            }
        };
        tokio::select! {
            () = idle => {}
            () = self.activity.end.notified() => {}
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.open().remove(&self.id);
    }
}

/// See [`Connection::request`].
pub(super) struct Busy {
    activity: Arc<Activity>,
    all: Arc<Connections>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.activity
            .idle_since
            .store(self.all.now_ms(), Ordering::Relaxed);
        self.activity.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The stream of a connection. Writing fails when the client has not read for too long.
pub(super) struct Watched {
    stream: TokioIo<TcpStream>,
    budget: Arc<Budget>,
    stalled: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Watched {
    /// `budget` is that of the responses.
    pub fn new(stream: TcpStream, budget: Arc<Budget>) -> Self {
        Self {
            stream: TokioIo::new(stream),
            budget,
            stalled: None,
        }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let (since, look) = self
            .stalled
            .get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(LOOK))));
        while look.as_mut().poll(cx).is_ready() {
            if since.elapsed() >= self.budget.patience() {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client does not read",
                )));
            }
            look.as_mut().reset(Instant::now() + LOOK);
        }
        Poll::Pending
    }
}

impl Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
