//! Bodies of requests and responses, within the memory that all of them together may take.
//!
//! A request holds memory for what has arrived of its body, a response for what its client has not read: neither a client
//! that sends slowly nor one that does not read holds a place that others need.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::budget::{Budget, Exhausted, Held};
use crate::error::ApiError;
use crate::service::header;
use crate::types::Body;

/// A body that is too large is read up to this size, so that the client gets the error.
const MAX_DISCARDED: usize = 96 << 20;
/// A body up to this many bytes is not counted.
const SMALL: usize = 8 << 10;
/// Bytes that a growing body takes at once, and that a short one does.
const STEP: usize = 256 << 10;
const SHORT_STEP: usize = 16 << 10;
/// The rate below which a sender counts as stalled, in bytes per second. Over the loopback interface it is hundreds of
/// times as high.
const MIN_RATE: usize = 4 << 20;
/// How often a sender is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The whole body of a request.
#[derive(Debug)]
pub(super) struct Received {
    pub bytes: Bytes,
    /// The memory for it.
    pub held: Option<Held>,
}

/// The whole body, in one buffer.
pub(super) async fn read<B>(
    parts: &Parts,
    body: B,
    limit: usize,
    budget: &Arc<Budget>,
) -> Result<Received, ApiError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let announced: Option<usize> = header(parts, CONTENT_LENGTH.as_str()).parse().ok();
    if announced.is_some_and(|announced| announced > MAX_DISCARDED) {
        return Err(too_large(limit));
    }
    let mut body = pin!(body);
    let mut collected = Collected::new(announced.unwrap_or(0).min(limit), limit);
    let mut progress = Progress::new(budget);
    while let Some(frame) = progress.watch(body.frame()).await? {
        let frame = frame.map_err(|error| {
            ApiError::new(400, "IncompleteBody", format!("The body ended early: {error}."))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if !collected.add(data) {
            return Err(too_large(limit));
        }
        progress.received = collected.length;
        if let Some(missing) = collected.missing() {
            let begun = Instant::now();
            let more = Arc::clone(budget)
                .take(missing)
                .await
                .map_err(|Exhausted| busy())?;
            collected.hold(more);
            // It waited for others, not for its sender.
            progress.begun += begun.elapsed();
        }
    }
    collected.finish()
}

/// What has arrived of a body.
struct Collected {
    announced: usize,
    limit: usize,
    length: usize,
    /// Most bodies arrive in one piece, which is not copied.
    first: Bytes,
    rest: BytesMut,
    held: Option<Held>,
}

impl Collected {
    fn new(announced: usize, limit: usize) -> Self {
        Self {
            announced,
            limit,
            length: 0,
            first: Bytes::new(),
            rest: BytesMut::new(),
            held: None,
        }
    }

    /// `false` once the body is too large even to read it to its end.
    fn add(&mut self, data: Bytes) -> bool {
        self.length = self.length.saturating_add(data.len());
        if self.length > self.limit {
            (self.first, self.rest, self.held) = (Bytes::new(), BytesMut::new(), None);
        } else if self.first.is_empty() && self.rest.is_empty() {
            self.first = data;
        } else {
            if self.rest.is_empty() {
                self.rest.reserve(self.announced.max(self.length));
                self.rest.extend_from_slice(&self.first);
                self.first = Bytes::new();
            }
            self.rest.extend_from_slice(&data);
        }
        self.length <= MAX_DISCARDED
    }

    /// Bytes that it has to take of the budget before it may grow on.
    fn missing(&self) -> Option<usize> {
        let held = self.held.as_ref().map_or(0, Held::bytes);
        let counts = self.length > SMALL && self.length <= self.limit;
        let step = if self.length < STEP { SHORT_STEP } else { STEP };
        (counts && self.length > held).then(|| (self.length - held).next_multiple_of(step))
    }

    fn hold(&mut self, more: Held) {
        match &mut self.held {
            Some(held) => held.add(more),
            None => self.held = Some(more),
        }
    }

    fn finish(self) -> Result<Received, ApiError> {
        let bytes = match self.length {
            length if length > self.limit => return Err(too_large(self.limit)),
            _ if self.rest.is_empty() => self.first,
            _ => self.rest.freeze(),
        };
        Ok(Received {
            bytes,
            held: self.held,
        })
    }
}

/// Ends the wait for a sender that has stalled.
struct Progress<'a> {
    budget: &'a Budget,
    begun: Instant,
    received: usize,
}

impl<'a> Progress<'a> {
    fn new(budget: &'a Budget) -> Self {
        Self {
            budget,
            begun: Instant::now(),
            received: 0,
        }
    }

    async fn watch<T>(&self, arrival: impl Future<Output = T>) -> Result<T, ApiError> {
        let mut arrival = pin!(arrival);
        loop {
            if let Ok(arrived) = tokio::time::timeout(LOOK, arrival.as_mut()).await {
                return Ok(arrived);
            }
            let sending = Duration::from_secs((self.received / MIN_RATE) as u64);
            if self.begun.elapsed() >= self.budget.patience() + sending {
                return Err(ApiError::new(
                    408,
                    "RequestTimeout",
                    "The body did not arrive in time.",
                ));
            }
        }
    }
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        413,
        "RequestEntityTooLargeException",
        format!("The request body is larger than {} MiB.", limit.div_ceil(1 << 20)),
    )
}

/// What the parameters in a body take in memory at most once they are parsed into a tree of values: their text, and a value
/// with its name for each separator. A body that is not counted itself counts as nothing here too.
pub(super) fn parsed_bytes(body: &[u8]) -> usize {
    /// Bytes of a value of `serde_json` with a name, in an object that may have grown to twice its size.
    const VALUE: usize = 256;
    if body.len() <= SMALL {
        return 0;
    }
    let separators = body
        .iter()
        .filter(|byte| matches!(**byte, b',' | b'[' | b'{' | b'&'))
        .count();
    body.len().saturating_add(separators.saturating_mul(VALUE))
}

/// SDKs try again after a while.
pub(super) fn busy() -> ApiError {
    ApiError::new(
        503,
        "ServiceUnavailable",
        "The local cloud holds as many requests and responses as its memory allows. Try again later.",
    )
}

/// The response, which takes memory of `budget` until its client has read it. `reserved` is what the request has taken
/// for it already.
pub(super) fn counted(
    response: Response<Body>,
    reserved: Option<Held>,
    budget: &Arc<Budget>,
) -> Response<Body> {
    if is_small(&response) {
        return response;
    }
    response.map(|inner| {
        let counted = Counted {
            inner,
            reserved,
            budget: Arc::clone(budget),
            waiting: None,
        };
        counted.boxed_unsync()
    })
}

/// The response, with `held` until it is complete.
pub(super) fn with<T: Send + Unpin + 'static>(held: T, response: Response<Body>) -> Response<Body> {
    if is_small(&response) {
        return response;
    }
    response.map(|inner| Holding { inner, _held: held }.boxed_unsync())
}

/// Whether the response is written at once.
fn is_small(response: &Response<Body>) -> bool {
    let most = response.body().size_hint().upper();
    most.is_some_and(|most| most <= SMALL as u64)
}

/// A body that holds something to its end. It knows its length, so that the response has a Content-Length as AWS's have.
struct Holding<T> {
    inner: Body,
    _held: T,
}

impl<T: Send + Unpin> http_body::Body for Holding<T> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

struct Counted {
    inner: Body,
    reserved: Option<Held>,
    budget: Arc<Budget>,
    /// A frame, until there is memory for it.
    waiting: Option<(Bytes, BoxFuture<'static, Result<Held, Exhausted>>)>,
}

impl Counted {
    /// Memory for a frame; the rest of what was reserved goes back with the last one.
    fn take(&mut self, bytes: usize) -> Option<Held> {
        let reserved = self.reserved.as_mut().and_then(|reserved| reserved.split(bytes));
        if self.inner.is_end_stream() {
            self.reserved = None;
        }
        reserved.or_else(|| self.budget.try_take(bytes))
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if this.waiting.is_none() {
            let frame = match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            };
            let data = match frame.into_data() {
                Ok(data) if data.len() > SMALL => data,
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            };
            if let Some(held) = this.take(data.len()) {
                return Poll::Ready(Some(Ok(Frame::data(owned(data, held)))));
            }
            let held = Arc::clone(&this.budget).take(data.len()).boxed();
            this.waiting = Some((data, held));
        }
        let Some((_, taken)) = &mut this.waiting else {
            return Poll::Ready(None);
        };
        let held = ready!(taken.poll_unpin(cx));
        let data = this.waiting.take().map(|(data, _)| data).unwrap_or_default();
        Poll::Ready(Some(match held {
            Ok(held) => Ok(Frame::data(owned(data, held))),
            Err(Exhausted) => Err(io::ErrorKind::TimedOut.into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Bytes that hold the memory for them: HTTP keeps them until they are written to the connection.
fn owned(bytes: Bytes, held: Held) -> Bytes {
    struct Owner {
        bytes: Bytes,
        _held: Held,
    }

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }

    Bytes::from_owner(Owner { bytes, _held: held })
}
