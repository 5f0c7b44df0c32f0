//! Putting the event, waiting for it everywhere at once, and cleaning up.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::super::event::{Event, Events, ResourceResult, What};
use super::super::resource::{Check, CheckState};
use super::super::verify::VerifiedResource;
use super::{Attribute, Expectation, Follow, Item, Listed, Services};
use ground::backoff::Backoff;
use ground::duration;
use ground::error::Result;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2)).factor(1.6);

/// Larger objects are not looked into.
const LARGEST_OBJECT: u64 = 32 << 20;

/// How far the clock of a service may be behind this machine's.
const SKEW_MS: i64 = 5 * 60 * 1000;

const LOG_SKEW_MS: i64 = 2000;

/// What was found, to be deleted.
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
    /// Something that is not ours alone, or cannot be deleted by itself.
    Stays(String),
    None,
}

/// An event seen somewhere.
struct Seen {
    detail: String,
    trace: Trace,
}

impl Follow {
    /// Puts the event and follows it. Never fails: what goes wrong is a check.
    pub async fn run(&self, services: &dyn Services, events: Events<'_>) -> VerifiedResource {
        let mut checks = Vec::new();
        let tell = |what| {
            events(Event {
                id: "event".to_owned(),
                kind: "event".to_owned(),
                name: self.marker.clone(),
                what,
            });
        };
        let mut traces = Vec::new();
        tell(What::Doing("putting a marked event".to_owned()));
        match self.begin(services, &mut traces).await {
            Err(error) => checks.push(Check::of("put", Err(error))),
            Ok(detail) => {
                checks.push(Check::of("put", Ok(detail)));
                let begun = Instant::now();
                tell(What::Waiting(format!(
                    "waiting for it in {} places",
                    self.expect.len()
                )));
                let waits = self.expect.iter().map(|one| async {
                    let (check, trace) = self.wait_for(one, services, begun).await;
                    tell(What::Waiting(format!("{}: {}", check.check, check.detail)));
                    (check, trace)
                });
                for (check, trace) in join_all(waits).await {
                    checks.push(check);
                    traces.push(trace);
                }
            }
        }
        checks.extend(clean_up(services, traces).await);
        tell(What::Finished(ResourceResult::Unchanged, "followed".to_owned()));
        VerifiedResource {
            id: "event".to_owned(),
            kind: "event".to_owned(),
            name: self.marker.clone(),
            checks,
        }
    }

    async fn begin(&self, services: &dyn Services, traces: &mut Vec<Trace>) -> Result<String> {
        for (table, item) in &self.prepare {
            services.put_item(table, item).await?;
            traces.push(Trace::Item {
                table: table.clone(),
                item: item.clone(),
            });
        }
        let shard = services
            .put(&self.stream, &self.partition_key, &self.data)
            .await?;
        Ok(format!("{shard} took it, partition key {}", self.partition_key))
    }

    async fn wait_for(&self, one: &Expectation, services: &dyn Services, begun: Instant) -> (Check, Trace) {
        let mut pauses = BACKOFF.pauses();
        // Objects that were looked into and do not have it, by what they were then.
        let mut read = BTreeMap::new();
        loop {
            match self.look(one, services, &mut read).await {
                Ok(Some(seen)) => {
                    let detail = format!("{}, after {}", seen.detail, duration::measured(begun.elapsed()));
                    return (Check::new(CheckState::Good, &one.title(), detail), seen.trace);
                }
                Ok(None) => {
                    if let Some(pause) = pauses.advance_until(begun + self.timeout) {
                        sleep(pause).await;
                        continue;
                    }
                    let detail = format!(
                        "the event was not seen within {}; a new mapping may not read yet: then verify again; `streamctl logs` \
                         and `streamctl dlq list` may say why",
                        duration::format(self.timeout)
                    );
                    return (Check::new(CheckState::Fault, &one.title(), detail), Trace::None);
                }
                Err(error) => return (Check::of(&one.title(), Err(error)), Trace::None),
            }
        }
    }

    async fn look(
        &self,
        one: &Expectation,
        services: &dyn Services,
        read: &mut BTreeMap<String, Listed>,
    ) -> Result<Option<Seen>> {
        match one {
            Expectation::Item {
                table,
                key,
                attributes,
            } => {
                let items = services.items(table, key).await?;
                Ok(items
                    .into_iter()
                    .find(|item| holds(item, attributes))
                    .map(|item| Seen {
                        detail: match attributes.len() {
                            0 => format!("item {} = {}", key.0, plain(&key.1)),
                            _ => format!("item {} = {} with {}", key.0, plain(&key.1), list(attributes)),
                        },
                        trace: Trace::Item {
                            table: table.clone(),
                            item,
                        },
                    }))
            }
            Expectation::Object {
                bucket,
                prefixes,
                contains,
            } => {
                for prefix in prefixes {
                    for listed in services.objects(bucket, prefix).await? {
                        let old = listed.modified_ms < self.at_ms - SKEW_MS;
                        if old || listed.size > LARGEST_OBJECT || read.get(&listed.key) == Some(&listed) {
                            continue;
                        }
                        let seen = look_into(services, bucket, &listed.key, contains).await?;
                        if seen.is_some() {
                            return Ok(seen);
                        }
                        read.insert(listed.key.clone(), listed);
                    }
                }
                Ok(None)
            }
            Expectation::Log { group, contains } => {
                // A line that does not name the event may be of an earlier one.
                let marked = contains.contains(&self.marker);
                let earlier = if marked { SKEW_MS } else { LOG_SKEW_MS };
                let line = services.log_line(group, contains, self.at_ms - earlier).await?;
                Ok(line.map(|_| Seen {
                    detail: format!("a line says {contains}"),
                    trace: Trace::None,
                }))
            }
        }
    }
}

/// The object `key`, if it contains `mark`.
async fn look_into(services: &dyn Services, bucket: &str, key: &str, mark: &str) -> Result<Option<Seen>> {
    let Some(object) = services.read_object(bucket, key).await? else {
        return Ok(None);
    };
    let text = unzipped(&object.bytes);
    if !text.contains(mark) {
        return Ok(None);
    }
    let trace = if all_ours(&text, mark) {
        Trace::Object {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version: object.version,
        }
    } else {
        Trace::Stays(format!("object {key}, which holds other events too"))
    };
    Ok(Some(Seen {
        detail: format!("object {key}"),
        trace,
    }))
}

/// Whether `item` has all of `wanted`.
fn holds(item: &Item, wanted: &Item) -> bool {
    wanted
        .iter()
        .all(|(name, value)| item.get(name).is_some_and(|there| there.is(value)))
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

/// What an object says, gzip undone.
fn unzipped(bytes: &[u8]) -> String {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut text = Vec::new();
    // As far as it goes: a damaged end does not hide what comes before. Bounded against what unfolds to gigabytes.
    let mut reader = MultiGzDecoder::new(bytes).take(8 * LARGEST_OBJECT);
    let _damaged = reader.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Whether an object holds nothing but what has the mark: then it is of this event alone.
fn all_ours(text: &str, mark: &str) -> bool {
    match serde_json::from_str::<Vec<serde_json::Value>>(text) {
        Ok(records) => records.iter().all(|record| record.to_string().contains(mark)),
        Err(_) if serde_json::from_str::<serde_json::Value>(text).is_ok() => true,
        Err(_) => text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .all(|line| line.contains(mark)),
    }
}

async fn clean_up(services: &dyn Services, traces: Vec<Trace>) -> Option<Check> {
    let mut deleted = false;
    let mut left = Vec::new();
    // What was made beforehand may be what is found at the end: deleting it twice does no harm.
    for trace in traces {
        let (what, outcome) = match &trace {
            Trace::None => continue,
            Trace::Stays(what) => {
                left.push(what.clone());
                continue;
            }
            Trace::Item { table, item } => (
                format!("an item in {table}"),
                services.delete_item(table, item).await,
            ),
            Trace::Object { bucket, key, version } => {
                let outcome = services.delete_object(bucket, key, version.as_deref()).await;
                (format!("object {key}"), outcome)
            }
        };
        match outcome {
            Ok(()) => deleted = true,
            Err(error) => left.push(format!("{what} ({})", error.chain().join(": "))),
        }
    }
    if !left.is_empty() {
        let detail = format!("left: {}", left.join("; "));
        return Some(Check::new(CheckState::Caution, "clean-up", detail));
    }
    deleted.then(|| Check::new(CheckState::Good, "clean-up", "what the event made is deleted"))
}
