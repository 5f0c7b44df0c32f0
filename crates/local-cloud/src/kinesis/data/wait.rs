//! Waiting for records of any shard of a stream: what AWS does not have, and an idle reader of many shards needs.
//!
//! A request for DescribeStreamSummary with the header `x-streamctl-wait-after` is answered once a shard has records that it
//! had not at that mark, once the stream changes, or after some seconds. The body is that of DescribeStreamSummary. Two
//! headers tell the next mark, and the numbers of the shards with new records (`*` if it can be any). Without the header,
//! nothing differs from AWS.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{HeaderName, HeaderValue};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::model::input;
use crate::kinesis::service::Request;
use crate::kinesis::stream::Stream;
use crate::kinesis::wire::Format;
use crate::types::{Body, Caller};

/// The mark of the last answer; empty in the first request.
pub const WAIT: &str = "x-streamctl-wait-after";
const MARK: HeaderName = HeaderName::from_static("x-streamctl-mark");
const APPENDED: HeaderName = HeaderName::from_static("x-streamctl-appended");

/// The SDK's limit for the time to a response is 30 seconds.
const LONGEST: Duration = Duration::from_secs(20);
/// Appends that follow one another at once are told together.
const GATHER: Duration = Duration::from_millis(2);
/// More shards than this are told as any shard: headers are bounded.
const MOST_SHARDS: usize = 500;

/// Answers DescribeStreamSummary after waiting.
pub async fn describe(
    engine: Arc<Engine>,
    caller: Caller,
    request: Request,
    after: String,
) -> Response<Body> {
    let now_ms = engine.clock.now_ms();
    let context = Context {
        caller: caller.clone(),
        now_ms,
        format: Format::of(&request.content_type),
    };
    let told = match stream(&engine, &context, &request.body) {
        Some(stream) => Some(wait(&engine, &stream, &after).await),
        None => None,
    };
    let mut response = engine.call(caller, request);
    if let Some((mark, shards)) = told
        && response.status().is_success()
    {
        let headers = response.headers_mut();
        headers.extend(HeaderValue::from_str(&mark).ok().map(|mark| (MARK, mark)));
        headers.extend(
            HeaderValue::from_str(&shards)
                .ok()
                .map(|shards| (APPENDED, shards)),
        );
    }
    response
}

fn stream(engine: &Engine, context: &Context, body: &Bytes) -> Option<Arc<Stream>> {
    let input: input::DescribeStreamSummary = context.format.read(body).ok()?;
    engine.find(context, &input).ok()
}

/// The next mark, and the shards with new records.
async fn wait(engine: &Engine, stream: &Stream, after: &str) -> (String, String) {
    let mut appends = stream.appends();
    let mut changed = stream.changed();
    let mut closing = engine.closing.subscribe();
    let known = parse(after, stream.id).filter(|(count, _)| *count <= *appends.borrow());
    let Some((count, changes)) = known else {
        // The first request, or a mark of another process.
        return (mark(stream, *appends.borrow(), *changed.borrow()), "*".to_owned());
    };
    let deadline = Instant::now() + LONGEST;
    let is_closing = *closing.borrow();
    if !is_closing && *appends.borrow_and_update() == count && *changed.borrow_and_update() == changes {
        let woken = async {
            tokio::select! {
                _ = appends.changed() => {}
                _ = changed.changed() => {}
                _ = closing.changed() => {}
            }
        };
        if timeout_at(deadline, woken).await.is_ok() {
            sleep_until(Instant::now() + GATHER).await;
        }
    }
    let (next, next_changes) = (*appends.borrow(), *changed.borrow());
    let shards = match next_changes == changes {
        true => appended(engine, stream, count),
        false => "*".to_owned(),
    };
    (mark(stream, next, next_changes), shards)
}

/// The numbers of the shards with records after the append number `count`.
fn appended(engine: &Engine, stream: &Stream, count: u64) -> String {
    let view = stream.view(engine.clock.now_ms());
    let new = view.shards.iter().filter(|shard| shard.appended_after(count));
    let numbers: Vec<String> = new
        .take(MOST_SHARDS + 1)
        .map(|shard| shard.index.to_string())
        .collect();
    match numbers.len() > MOST_SHARDS {
        true => "*".to_owned(),
        false => numbers.join(","),
    }
}

/// Counts begin again with each process, so a mark names its process.
fn mark(stream: &Stream, count: u64, changes: u64) -> String {
    format!("{}-{}-{count}-{changes}", std::process::id(), stream.id)
}

fn parse(mark: &str, id: u64) -> Option<(u64, u64)> {
    let numbers = mark.split('-').map(str::parse);
    let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().ok()?;
    match numbers.as_slice() {
        [process, of, count, changes] if *process == u64::from(std::process::id()) && *of == id => {
            Some((*count, *changes))
        }
        _ => None,
    }
}
