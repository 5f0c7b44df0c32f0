//! Invokes a function again with records that it could not process.
//!
//! The events are those that the mapping sent: the records have their event ids, sequence numbers and arrival times. So a
//! function that recognises a record which is delivered twice also recognises one that is replayed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use lambda_host::filter::Filters;

use super::records::PageSink;
use super::{DeadLetter, KeptRecord};
use crate::consume::TailRecord;
use crate::context::Context;
use crate::functions::answer::{BatchResult, batch_result};
use crate::functions::event::{EventRecord, MAX_PAYLOAD, Source, event, metadata, weight};
use crate::functions::invoke::{Request, deployed, invoke};
use crate::functions::mapping::{self, resource_name};
use ground::error::{Error, Result};

/// Minimum of the maximum number of records in an event. The range of a small batch may have many records of other
/// batches.
const MIN_RECORDS: usize = 100;
/// Maximum number of records in a batch. Source: CreateEventSourceMapping, `BatchSize`, Lambda API reference.
const MAX_RECORDS: u64 = 10_000;

/// A function whose records are replayed.
#[derive(Debug)]
pub(super) struct Function {
    /// Name or ARN, with version or alias if the message has one.
    name: String,
    role_arn: String,
    /// The filters of its mapping of the stream. A range of the stream may have records that they leave out.
    filters: Filters,
}

/// The functions of a run, each looked up once.
pub(super) struct Functions<'a> {
    context: &'a Context,
    known: BTreeMap<(String, String), Arc<Function>>,
}

impl<'a> Functions<'a> {
    pub(super) fn of(context: &'a Context) -> Self {
        Self {
            context,
            known: BTreeMap::new(),
        }
    }

    /// The function that failed to process the records of `letter`.
    ///
    /// # Errors
    /// If the message names none, or one that cannot be invoked.
    pub(super) async fn find(&mut self, letter: &DeadLetter) -> Result<Arc<Function>> {
        let key = (letter.function.clone(), letter.stream_arn.clone());
        if let Some(known) = self.known.get(&key) {
            return Ok(Arc::clone(known));
        }
        let name = letter.function.as_str();
        self.check(name).await?;
        let deployed = deployed(self.context, name).await?.ok_or_else(|| {
            Error::failed(format!(
                "its function {name} does not exist: put its records into a stream with --to"
            ))
        })?;
        // With its alias: mappings of another alias are others.
        let mappings = mapping::list(self.context, Some(name), None).await?;
        let stream = resource_name(&letter.stream_arn);
        let mappings = mappings.iter().filter(|mapping| mapping.stream() == stream);
        let patterns = mappings.map(|mapping| mapping.settings.filters.as_deref().unwrap_or_default());
        let patterns: Vec<&[String]> = patterns.collect();
        // A mapping without filters passes all records.
        let filters = match patterns.iter().any(|patterns| patterns.is_empty()) {
            true => Ok(Filters::default()),
            false => Filters::compile(&patterns.concat()),
        };
        let filters = filters.map_err(|problem| {
            Error::failed(format!("the filters of its mapping cannot be read: {problem}"))
        })?;
        let function = Arc::new(Function {
            name: name.to_owned(),
            role_arn: deployed.role,
            filters,
        });
        self.known.insert(key, Arc::clone(&function));
        Ok(function)
    }

    /// Refuses a message without a function, or with one of another account or region.
    async fn check(&self, function: &str) -> Result<()> {
        if function.is_empty() {
            return Err(Error::failed(
                "it does not say which function failed: put its records into a stream with --to",
            ));
        }
        let parts: Vec<&str> = function.splitn(6, ':').collect();
        let ["arn", _, "lambda", region, owner, _] = parts.as_slice() else {
            return Ok(());
        };
        let account = self.context.account().await?;
        if *region == self.context.region() && *owner == account {
            return Ok(());
        }
        Err(Error::failed(format!(
            "its function {function} is in another account or region: put its records into a stream with --to"
        )))
    }
}

/// Collects the records of one message into events, and invokes the function with each event.
pub(super) struct Invoker<'a> {
    context: &'a Context,
    function: &'a Function,
    source: Source,
    shard_id: &'a str,
    /// Maximum number of records in an event.
    most: usize,
    collected: Vec<KeptRecord>,
    bytes: usize,
    processed: u64,
    error: Option<Error>,
}

impl<'a> Invoker<'a> {
    pub(super) fn new(context: &'a Context, function: &'a Function, letter: &'a DeadLetter) -> Self {
        let batch = usize::try_from(letter.count().min(MAX_RECORDS)).unwrap_or(MIN_RECORDS);
        Self {
            context,
            function,
            source: Source {
                stream_arn: letter.stream_arn.clone(),
                role_arn: function.role_arn.clone(),
                region: context.region().to_owned(),
            },
            shard_id: &letter.shard_id,
            most: batch.max(MIN_RECORDS),
            collected: Vec::new(),
            bytes: 0,
            processed: 0,
            error: None,
        }
    }

    /// Adds records, and invokes the function when an event is full. Returns `false` once an invocation has failed.
    pub(super) async fn add(&mut self, records: impl IntoIterator<Item = KeptRecord>) -> bool {
        for record in records {
            let weight = weight(&self.source, record.data.len(), record.partition_key.len());
            let is_full = self.collected.len() >= self.most || self.bytes + weight > MAX_PAYLOAD;
            if is_full && !self.collected.is_empty() {
                self.flush().await;
            }
            if self.error.is_some() {
                return false;
            }
            self.bytes += weight;
            self.collected.push(record);
        }
        true
    }

    /// Invokes the function with the rest. Returns the number of records that it processed.
    ///
    /// # Errors
    /// If an invocation failed, or the function reported a record as failed.
    pub(super) async fn end(mut self) -> Result<u64> {
        if self.error.is_none() && !self.collected.is_empty() {
            self.flush().await;
        }
        self.error.map_or(Ok(self.processed), Err)
    }

    /// Whether the mapping passes a record to the function.
    fn passes(&self, record: &TailRecord) -> bool {
        let metadata = || {
            let record = EventRecord {
                shard_id: self.shard_id,
                sequence_number: &record.sequence_number,
                sub_sequence: None,
                partition_key: &record.partition_key,
                arrival_ms: record.arrival_ms.unwrap_or_default(),
                data: &record.data,
            };
            metadata(&self.source, &record).unwrap_or_default()
        };
        self.function.filters.matches(&record.data, metadata)
    }

    async fn flush(&mut self) {
        self.bytes = 0;
        let records = std::mem::take(&mut self.collected);
        match self.invoke(&records).await {
            Ok(()) => self.processed += records.len() as u64,
            Err(error) => self.error = Some(error),
        }
    }

    async fn invoke(&self, records: &[KeptRecord]) -> Result<()> {
        if records.iter().any(|record| record.sequence_number.is_empty()) {
            return Err(Error::failed(
                "it does not say which records of the stream it has: put them into a stream with --to",
            ));
        }
        let wired = records.iter().map(|record| EventRecord {
            shard_id: self.shard_id,
            sequence_number: &record.sequence_number,
            sub_sequence: record.sub_sequence,
            partition_key: &record.partition_key,
            arrival_ms: record.arrival_ms,
            data: &record.data,
        });
        let request = Request {
            function: self.function.name.clone(),
            payload: Bytes::from(event(&self.source, wired)?),
            asynchronous: false,
            log: false,
        };
        let invoked = invoke(self.context, &request).await?;
        if let Some(error) = invoked.error {
            return Err(Error::failed(format!("the function failed again: {error}")));
        }
        let numbers: Vec<&str> = records
            .iter()
            .map(|record| record.sequence_number.as_str())
            .collect();
        match batch_result(&invoked.payload, &numbers) {
            BatchResult::Success => Ok(()),
            BatchResult::From(_) | BatchResult::Failure => {
                Err(Error::failed("the function reported records as failed again"))
            }
        }
    }
}

impl PageSink for Invoker<'_> {
    async fn take(&mut self, records: Vec<TailRecord>) -> bool {
        let records = records.into_iter().filter(|record| self.passes(record));
        let kept: Vec<KeptRecord> = records
            .map(|record| KeptRecord {
                partition_key: record.partition_key,
                data: record.data,
                sequence_number: record.sequence_number,
                sub_sequence: None,
                arrival_ms: record.arrival_ms.unwrap_or_default(),
            })
            .collect();
        self.add(kept).await
    }
}
