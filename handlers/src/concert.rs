//! `concert-stream-processor`: stores data of concert APIs, raw and normalised.
//!
//! Each record gets an object with the raw data. Each batch gets one object with normalised records for each type and
//! day. Keys are derived from the records, so a batch that is delivered again overwrites its own objects.

mod normalise;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::process::ExitCode;

use bytes::Bytes;
use md5::{Digest, Md5};

use crate::aws::{Clients, S3Bucket};
use crate::clock::day_path;
use crate::deliver;
use crate::environment::{Environment, InvalidVariable};
use crate::event::{Entry, Event, span};
use crate::failures::Failures;
use crate::invalid::Invalid;
use crate::json::{Json, Object};
use crate::log::Level;
use crate::runtime::{self, Done, Handler, Invocation};
use crate::store::{self, Bucket};

/// Runs the function until Lambda ends it.
pub fn main() -> ExitCode {
    runtime::run(ConcertProcessor::from_environment)
}

const JSON: &str = "application/json";
/// Maximum length of a record's id in an object key, in characters.
const MAX_ID: usize = 200;

pub struct ConcertProcessor<B> {
    bucket: B,
}

impl ConcertProcessor<S3Bucket> {
    /// Reads `BUCKET_NAME`.
    ///
    /// # Errors
    /// The variable is missing.
    fn from_environment(environment: &Environment, clients: &Clients) -> Result<Self, InvalidVariable> {
        let bucket = environment.required("BUCKET_NAME", "the bucket that concert data is stored in")?;
        Ok(Self::new(clients.bucket(bucket)))
    }
}

/// Type of a record.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum DataType {
    Artists,
    Venues,
    Concerts,
    TicketSales,
}

impl DataType {
    fn named(name: &str) -> Result<Self, Invalid> {
        match name {
            "artists" => Ok(Self::Artists),
            "venues" => Ok(Self::Venues),
            "concerts" | "events" => Ok(Self::Concerts),
            "ticket_sales" => Ok(Self::TicketSales),
            _ => Err(Invalid::field(
                "data_type",
                "is not one of artists, venues, concerts, events and ticket_sales",
            )),
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Artists => "artists",
            Self::Venues => "venues",
            Self::Concerts => "concerts",
            Self::TicketSales => "ticket_sales",
        }
    }
}

/// A valid record.
struct Envelope<'a> {
    entry: &'a Entry<'a>,
    data_type: DataType,
    record_id: Cow<'a, str>,
    /// The normalised record, as JSON.
    processed: String,
}

/// An object to write, and the indexes of its records in the batch.
#[derive(Default)]
struct Planned {
    objects: Vec<store::Object>,
    records: Vec<Vec<usize>>,
}

impl Planned {
    fn add(&mut self, key: String, body: Bytes, records: Vec<usize>) {
        self.records.push(records);
        self.objects.push(store::Object {
            key,
            body,
            content_type: JSON,
        });
    }
}

impl<B: Bucket> ConcertProcessor<B> {
    pub fn new(bucket: B) -> Self {
        Self { bucket }
    }
}

impl<B: Bucket> Handler for ConcertProcessor<B> {
    async fn handle(&self, event: &Event<'_>, invocation: &Invocation) -> Done {
        let mut failures = Failures::none_of(event);
        let entries = event.entries();
        let (mut valid, mut rejected) = (Vec::with_capacity(entries.len()), Vec::new());
        for entry in &entries {
            match envelope(entry) {
                Ok(envelope) => valid.push(envelope),
                Err(invalid) => rejected.push((entry, invalid)),
            }
        }
        invocation.log.rejected(&rejected);
        rejected.iter().for_each(|(entry, _)| failures.add(entry.index));
        let mut planned = raw(&valid);
        processed(&valid, &mut planned);
        let results = deliver::put_objects(&self.bucket, &planned.objects, invocation.deadline).await;
        for ((object, records), result) in planned.objects.iter().zip(&planned.records).zip(results) {
            if let Err(error) = result {
                records.iter().for_each(|index| failures.add(*index));
                let fields = || serde_json::json!({"error": error.message, "key": object.key});
                invocation.log.write(Level::Error, "object not stored", fields);
            }
        }
        Done {
            total: entries.len(),
            failed: failures.count(),
            failures,
        }
    }
}

/// Raw objects, one for each record. If several have the same id, the last one is stored.
fn raw(envelopes: &[Envelope<'_>]) -> Planned {
    let mut by_key = BTreeMap::<String, (Bytes, Vec<usize>)>::new();
    for envelope in envelopes {
        let day = day_path(envelope.entry.record.arrival_ms);
        let key = format!(
            "raw/{}/{day}/{}.json",
            envelope.data_type.folder(),
            envelope.record_id
        );
        let (body, records) = by_key.entry(key).or_default();
        *body = Bytes::copy_from_slice(envelope.entry.bytes().unwrap_or_default());
        records.push(envelope.entry.index);
    }
    let mut planned = Planned::default();
    for (key, (body, records)) in by_key {
        planned.add(key, body, records);
    }
    planned
}

/// Adds the normalised objects, one for each type and day.
fn processed(envelopes: &[Envelope<'_>], planned: &mut Planned) {
    let mut batches = BTreeMap::<(DataType, String), Vec<&Envelope<'_>>>::new();
    for envelope in envelopes {
        let day = day_path(envelope.entry.record.arrival_ms);
        batches
            .entry((envelope.data_type, day))
            .or_default()
            .push(envelope);
    }
    for ((data_type, day), envelopes) in batches {
        let entries: Vec<_> = envelopes.iter().map(|envelope| envelope.entry).collect();
        let texts: Vec<_> = envelopes
            .iter()
            .map(|envelope| envelope.processed.as_str())
            .collect();
        planned.add(
            format!(
                "processed/{}/{day}/batch_{}.json",
                data_type.folder(),
                span(&entries)
            ),
            Bytes::from(format!("[{}]", texts.join(",\n"))),
            entries.iter().map(|entry| entry.index).collect(),
        );
    }
}

fn envelope<'a>(entry: &'a Entry<'a>) -> Result<Envelope<'a>, Invalid> {
    let object = entry.object()?;
    let required = |name: &str| object.get(name).cloned().ok_or_else(|| Invalid::missing(name));
    let source = required("source")?;
    let data_type = required("data_type")?;
    let time = required("ingestion_timestamp")?;
    let payload = required("payload")?;
    let is_text = |value: &Json<'_>| matches!(value, Json::Text(text) if !text.trim().is_empty());
    if !is_text(&source) {
        return Err(Invalid::field("source", "is empty or not a string"));
    }
    if !is_text(&time) && !matches!(time, Json::Number(_)) {
        return Err(Invalid::field(
            "ingestion_timestamp",
            "is neither a string nor a number",
        ));
    }
    let Json::Text(type_name) = &data_type else {
        return Err(Invalid::field("data_type", "is not a string"));
    };
    let Json::Object(payload) = &payload else {
        return Err(Invalid::field("payload", "is not an object"));
    };
    let data_type = DataType::named(type_name)?;
    let record_id = match object.get("record_id") {
        Some(Json::Text(id)) if !id.is_empty() => id.clone().into_owned(),
        Some(Json::Number(id)) => (*id).to_owned(),
        _ => entry.id().replace([':', '/'], "-"),
    };
    let text = |text: &str| Json::Text(Cow::Owned(text.to_owned()));
    let mut members = vec![
        (Cow::Borrowed("record_id"), text(&record_id)),
        (Cow::Borrowed("source"), source.clone()),
        (Cow::Borrowed("data_type"), text(data_type.folder())),
        (Cow::Borrowed("ingestion_timestamp"), time.clone()),
    ];
    normalise::into(&mut members, data_type, payload);
    let mut processed = String::with_capacity(256);
    Object(members).write(&mut processed);
    Ok(Envelope {
        entry,
        data_type,
        record_id: Cow::Owned(key_part(&record_id)),
        processed,
    })
}

/// Converts an id for use in an object key. Characters that are special in paths or shells are replaced; a digest keeps
/// changed ids unique.
fn key_part(id: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '=' | '.');
    if id.len() <= MAX_ID && id.chars().all(is_plain) && !id.starts_with('.') {
        return id.to_owned();
    }
    let plain = id
        .chars()
        .take(MAX_ID)
        .map(|character| if is_plain(character) { character } else { '_' });
    let digest: [u8; 16] = Md5::digest(id.as_bytes()).into();
    let mut part: String = plain.collect::<String>().trim_start_matches('.').to_owned();
    part.push_str(&format!("-{:012x}", u128::from_be_bytes(digest) >> 80));
    part
}

#[cfg(test)]
mod tests;
