//! Puts the event, waits for it in all places in parallel, and deletes what it left.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::super::event::{Event, Events, ResourceResult, What};
use super::super::resource::{Check, CheckState};
use super::super::verify::VerifiedResource;
use super::{Attribute, Awaited, CLEAN_UP, Expectation, Follow, Item, Listed, Marked, Services};
use ground::backoff::Backoff;
use ground::duration;
use ground::error::Result;
use ground::stop::Stop;

pub(super) const BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(50), Duration::from_secs(2)).factor(1.6);

/// Limit of an object's size in bytes. Larger objects are not read.
const MAX_OBJECT_BYTES: u64 = 32 << 20;

/// Allowed difference between the clocks of a service and this machine.
const SKEW_MS: i64 = 5 * 60 * 1000;

/// As [`SKEW_MS`], for lines that do not contain the marker: an earlier event may have caused an older line.
const LOG_SKEW_MS: i64 = 2000;

/// What the event left, to be deleted.
#[derive(Debug, Clone, PartialEq)]
enum Trace {
    Item {
        table: String,
        item: Item,
    },
    Object {
        bucket: String,
        key: String,
        version: Option<String>,
    },
    /// Kept, because it also contains other events. Described in words.
    Kept(String),
}

/// The event, found in one place.
struct Found {
    detail: String,
    traces: Vec<Trace>,
}

/// The objects of a bucket that were read.
#[derive(Default)]
struct Read {
    /// Those without the event, by key.
    others: BTreeMap<String, Listed>,
    /// Those with it, and the number of their lines that have it.
    found: BTreeMap<String, (usize, Trace)>,
}

impl Follow {
    /// Puts the event, follows it and sends the requests. Errors become checks. After a stop it waits no longer, and deletes
    /// what is there.
    pub async fn run(&self, services: &dyn Services, events: Events<'_>, stop: &Stop) -> VerifiedResource {
        let mut checks = Vec::new();
        let report = |what| {
            events(Event {
                id: "event".to_owned(),
                kind: "event".to_owned(),
                name: self.marker.clone(),
                what,
            });
        };
        let mut traces = Vec::new();
        if self.put.is_some() {
            report(What::Doing("putting a marked event".to_owned()));
        }
        match self.begin(services, &mut traces).await {
            Err(error) => checks.push(Check::of("put", Err(error))),
            Ok(detail) => {
                checks.extend(detail.map(|detail| Check::of("put", Ok(detail))));
                report(What::Waiting(self.awaited()));
                for (check, left) in self.wait_for_all(services, &report, stop).await {
                    checks.push(check);
                    traces.extend(left);
                }
            }
        }
        report(What::Doing("deleting what the event left".to_owned()));
        checks.extend(clean_up(services, traces, &self.clean).await);
        report(What::Finished(ResourceResult::Unchanged, "followed".to_owned()));
        VerifiedResource {
            id: "event".to_owned(),
            kind: "event".to_owned(),
            name: self.marker.clone(),
            checks,
        }
    }

    pub(super) fn awaited(&self) -> String {
        let mut places = format!(
            "waiting for the event in {}",
            match self.expect.len() {
                1 => "1 place".to_owned(),
                n => format!("{n} places"),
            }
        );
        let delay = self.expect.iter().map(|one| one.delay).max().unwrap_or_default();
        if !delay.is_zero() {
            places += &format!(", where it is held back for up to {}", duration::format(delay));
        }
        match self.http.as_slice() {
            [] => places,
            sequences => {
                let names: Vec<&str> = sequences.iter().map(|one| one.name.as_str()).collect();
                format!("{places}, trying {}", names.join(" and "))
            }
        }
    }

    /// Waits for the event in all places, and sends the requests meanwhile. After a stop, only a request that was sent is
    /// waited for: what it makes must be there when it is deleted.
    async fn wait_for_all(
        &self,
        services: &dyn Services,
        report: &(dyn Fn(What) + Sync),
        stop: &Stop,
    ) -> Vec<(Check, Vec<Trace>)> {
        let begun = Instant::now();
        let told = |check: &Check| report(What::Waiting(format!("{}: {}", check.check, check.detail)));
        let waits = self.expect.iter().map(|one| async {
            tokio::select! {
                (check, traces) = self.wait_for(one, services, begun) => {
                    told(&check);
                    Some((check, traces))
                }
                () = stop.wait() => None,
            }
        });
        let requests = self.http.iter().map(|sequence| async {
            let check = sequence.run(services, self.timeout, stop).await;
            told(&check);
            Some((check, Vec::new()))
        });
        if self.put.is_some() {
            let (found, answered) = tokio::join!(join_all(waits), join_all(requests));
            return found.into_iter().chain(answered).flatten().collect();
        }
        // A request brings the event. If it failed, there is nothing to wait for.
        let answered = join_all(requests).await;
        let failed = |(check, _): &(Check, Vec<Trace>)| check.state == CheckState::Fault;
        let found = match answered.iter().flatten().any(failed) {
            true => Vec::new(),
            false => join_all(waits).await,
        };
        answered.into_iter().chain(found).flatten().collect()
    }

    /// Says where the event was put, if it was.
    async fn begin(&self, services: &dyn Services, traces: &mut Vec<Trace>) -> Result<Option<String>> {
        for (table, item) in &self.prepare {
            services.put_item(table, item).await?;
            traces.push(Trace::Item {
                table: table.clone(),
                item: item.clone(),
            });
        }
        let Some(put) = &self.put else {
            return Ok(None);
        };
        let shard = services.put(&put.stream, &put.partition_key, &put.data).await?;
        Ok(Some(format!(
            "put to {shard}, partition key {}",
            put.partition_key
        )))
    }

    async fn wait_for(
        &self,
        awaited: &Awaited,
        services: &dyn Services,
        begun: Instant,
    ) -> (Check, Vec<Trace>) {
        let (one, limit) = (&awaited.place, self.timeout + awaited.delay);
        let mut pauses = BACKOFF.pauses();
        let mut read = Read::default();
        loop {
            match self.look(one, services, &mut read).await {
                Ok(Some(found)) => {
                    let detail = format!("{}, after {}", found.detail, duration::measured(begun.elapsed()));
                    return (Check::new(CheckState::Good, &one.title(), detail), found.traces);
                }
                Ok(None) => {
                    if let Some(pause) = pauses.advance_until(begun + limit) {
                        sleep(pause).await;
                        continue;
                    }
                    let detail = format!(
                        "the event was not found within {}; a new mapping may not be reading yet: verify again later; \
                         `streamctl logs FUNCTION` and `streamctl dlq list FUNCTION` may show the cause",
                        duration::format(limit)
                    );
                    return (Check::new(CheckState::Fault, &one.title(), detail), read.traces());
                }
                Err(error) => return (Check::of(&one.title(), Err(error)), read.traces()),
            }
        }
    }

    async fn look(
        &self,
        one: &Expectation,
        services: &dyn Services,
        read: &mut Read,
    ) -> Result<Option<Found>> {
        match one {
            Expectation::Item {
                table,
                key,
                attributes,
            } => {
                let items = services.items(table, None, key).await?;
                Ok(items
                    .into_iter()
                    .find(|item| has_attributes(item, attributes))
                    .map(|item| Found {
                        detail: match attributes.len() {
                            0 => format!("item {} = {}", key.0, plain(&key.1)),
                            _ => format!("item {} = {} with {}", key.0, plain(&key.1), list(attributes)),
                        },
                        traces: vec![Trace::Item {
                            table: table.clone(),
                            item,
                        }],
                    }))
            }
            Expectation::Object {
                bucket,
                prefixes,
                contains,
                lines,
            } => {
                let found = self.look_at_objects(bucket, prefixes, contains, *lines, services, read);
                found.await
            }
            Expectation::Log { group, contains } => {
                let earlier = match contains.contains(&self.marker) {
                    true => SKEW_MS,
                    false => LOG_SKEW_MS,
                };
                let line = services.log_line(group, contains, self.at_ms - earlier).await?;
                Ok(line.map(|_| Found {
                    detail: format!("a line contains {contains}"),
                    traces: Vec::new(),
                }))
            }
        }
    }

    /// Reads the objects that may have the event, until as many lines have it as are expected.
    async fn look_at_objects(
        &self,
        bucket: &str,
        prefixes: &[String],
        text: &str,
        lines: usize,
        services: &dyn Services,
        read: &mut Read,
    ) -> Result<Option<Found>> {
        for prefix in prefixes {
            for listed in services.objects(bucket, prefix).await? {
                let old = listed.modified_ms < self.at_ms - SKEW_MS;
                if old || listed.size > MAX_OBJECT_BYTES || read.has(&listed) {
                    continue;
                }
                match search_object(services, bucket, &listed.key, text).await? {
                    Some(found) => drop(read.found.insert(listed.key, found)),
                    None => drop(read.others.insert(listed.key.clone(), listed)),
                }
                if read.lines() >= lines {
                    return Ok(Some(read.everything()));
                }
            }
        }
        Ok(None)
    }
}

impl Read {
    fn has(&self, listed: &Listed) -> bool {
        self.others.get(&listed.key) == Some(listed) || self.found.contains_key(&listed.key)
    }

    /// Lines with the event.
    fn lines(&self) -> usize {
        self.found.values().map(|(lines, _)| lines).sum()
    }

    fn traces(&self) -> Vec<Trace> {
        self.found.values().map(|(_, trace)| trace.clone()).collect()
    }

    fn everything(&self) -> Found {
        let keys: Vec<&str> = self.found.keys().map(String::as_str).collect();
        let word = if keys.len() == 1 { "object" } else { "objects" };
        Found {
            detail: format!("{word} {}", keys.join(", ")),
            traces: self.traces(),
        }
    }
}

/// The object `key`, if it contains `text`, and the number of its lines that do.
async fn search_object(
    services: &dyn Services,
    bucket: &str,
    key: &str,
    text: &str,
) -> Result<Option<(usize, Trace)>> {
    let Some(object) = services.read_object(bucket, key).await? else {
        return Ok(None);
    };
    let content = decompressed(&object.bytes);
    if !content.contains(text) {
        return Ok(None);
    }
    let trace = if is_only_event(&content, text) {
        Trace::Object {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version: object.version,
        }
    } else {
        Trace::Kept(format!("object {key}, which also contains other events"))
    };
    let lines = content.lines().filter(|line| line.contains(text)).count();
    Ok(Some((lines, trace)))
}

/// Whether `item` has all attributes of `expected`.
fn has_attributes(item: &Item, expected: &Item) -> bool {
    expected
        .iter()
        .all(|(name, value)| item.get(name).is_some_and(|actual| actual.matches(value)))
}

fn plain(value: &Attribute) -> String {
    match value {
        Attribute::Text(text) | Attribute::Number(text) => text.clone(),
        Attribute::Bool(value) => value.to_string(),
        Attribute::Other => "…".to_owned(),
    }
}

fn list(item: &Item) -> String {
    let pairs = item
        .iter()
        .map(|(name, value)| format!("{name} = {}", plain(value)));
    pairs.collect::<Vec<_>>().join(", ")
}

/// The text of an object, decompressed if it is gzip.
fn decompressed(bytes: &[u8]) -> String {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut text = Vec::new();
    // Keeps what precedes a damaged end. The limit protects against decompression bombs.
    let mut reader = MultiGzDecoder::new(bytes).take(8 * MAX_OBJECT_BYTES);
    let _damaged = reader.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Whether every record of an object contains `text`: then the object belongs to this event only.
fn is_only_event(content: &str, text: &str) -> bool {
    match serde_json::from_str::<Vec<serde_json::Value>>(content) {
        Ok(records) => records.iter().all(|record| record.to_string().contains(text)),
        Err(_) if serde_json::from_str::<serde_json::Value>(content).is_ok() => true,
        Err(_) => content
            .lines()
            .filter(|line| !line.trim().is_empty())
            .all(|line| line.contains(text)),
    }
}

/// Deletes what the event left (`traces`) and what has its mark (`marked`).
async fn clean_up(services: &dyn Services, traces: Vec<Trace>, marked: &[Marked]) -> Option<Check> {
    let mut deleted = false;
    let mut left = Vec::new();
    // An item that was put before the event may be found again. Deleting it twice is harmless.
    for trace in traces {
        let (what, result) = match &trace {
            Trace::Kept(what) => {
                left.push(what.clone());
                continue;
            }
            Trace::Item { table, item } => (
                format!("an item in {table}"),
                services.delete_item(table, item).await,
            ),
            Trace::Object { bucket, key, version } => {
                let result = services.delete_object(bucket, key, version.as_deref()).await;
                (format!("object {key}"), result)
            }
        };
        match result {
            Ok(()) => deleted = true,
            Err(error) => left.push(format!("{what} ({})", error.chain().join(": "))),
        }
    }
    // After the items above: a function that looks for its item writes nothing more.
    for one in marked {
        match one.delete(services).await {
            Ok(count) => deleted |= count > 0,
            Err(error) => left.push(format!("{} ({})", one.title(), error.chain().join(": "))),
        }
    }
    if !left.is_empty() {
        let detail = format!("not deleted: {}", left.join("; "));
        return Some(Check::new(CheckState::Caution, CLEAN_UP, detail));
    }
    deleted.then(|| Check::new(CheckState::Good, CLEAN_UP, "the data of the event is deleted"))
}
