//! Firehose: delivery streams, which collect records and write them to S3.
//!
//! | module | owns |
//! |---|---|
//! | [`input`], [`check`], [`control`], [`put`], [`error`] | operations: parameters and their checks, work, errors |
//! | [`model`], [`files`], [`store`] | settings and progress of delivery streams, in memory and on disk |
//! | [`hose`] | one delivery stream at run time |
//! | [`source`] | the log of direct puts, and the shards of a Kinesis stream |
//! | [`scan`], [`delivery`], [`transform`], [`content`], [`prefix`] | buffers, objects and their keys |
//! | [`partitioning`], [`aggregate`], [`spool`] | dynamic partitioning: keys, records in records, files of partitions |
//! | [`report`] | metrics and errors |
//! | [`task`] | when to look |
//!
//! This module reads Kinesis by [`crate::kinesis::reader`], and knows S3, IAM and CloudWatch Logs as a
//! [`Destination`] and functions as [`Invoke`] only.
//!
//! Source: "Amazon Data Firehose API reference" (2015-08-04); "Amazon Data Firehose developer guide".

mod aggregate;
mod check;
mod content;
mod control;
mod delivery;
mod error;
mod files;
mod hose;
mod input;
mod model;
mod partitioning;
mod prefix;
mod put;
mod report;
mod scan;
mod source;
mod spool;
mod store;
pub(crate) mod task;
#[cfg(test)]
mod tests;
mod transform;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::Response;
use serde_json::Value;

use crate::clock::Clock;
use crate::invoke::Invoke;
use crate::kinesis::channels::Destination;
use crate::kinesis::engine::{Engine, KeyLookup};
use crate::metrics::MetricSink;
use crate::operation::operations;
use crate::service::{Permission, Request, Service, arn};
use crate::types::{Body, Caller, Tags};
use crate::{json, json_api};
use daemon::Options;
use daemon::protocol::Damage;
use error::{Error, Result};
use hose::Shared;
use store::Store;

operations! {
    enum Operation {
        CreateDeliveryStream,
        DeleteDeliveryStream,
        DescribeDeliveryStream,
        ListDeliveryStreams,
        ListTagsForDeliveryStream,
        PutRecord,
        PutRecordBatch,
        StartDeliveryStreamEncryption,
        StopDeliveryStreamEncryption,
        TagDeliveryStream,
        UntagDeliveryStream,
        UpdateDestination,
    }
}

pub(crate) struct FirehoseConfig {
    /// A directory that nothing else uses.
    pub data_dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    /// The streams that are sources.
    pub kinesis: Arc<Engine>,
    pub kms: Arc<dyn KeyLookup>,
    /// Where objects go.
    pub destination: Arc<dyn Destination>,
    /// The functions that transform records.
    pub functions: Arc<dyn Invoke>,
    pub metrics: Arc<dyn MetricSink>,
    pub options: Options,
}

pub(crate) struct Firehose {
    store: Store,
    shared: Shared,
    options: Options,
}

impl Firehose {
    /// Opens the delivery streams. [`task::run`] delivers. Blocks.
    ///
    /// # Errors
    /// If files cannot be made or read.
    pub fn open(config: FirehoseConfig) -> io::Result<Self> {
        Ok(Self {
            store: Store::open(config.data_dir)?,
            shared: Shared {
                clock: config.clock,
                kinesis: config.kinesis,
                kms: config.kms,
                destination: config.destination,
                functions: config.functions,
                metrics: config.metrics,
            },
            options: config.options,
        })
    }

    fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// The end of a transition that begins now.
    fn due_ms(&self) -> i64 {
        let delay = i64::try_from(self.options.status_delay.as_millis()).unwrap_or(i64::MAX);
        self.now_ms().saturating_add(delay)
    }

    fn run(&self, caller: &Caller, operation: &str, body: &[u8]) -> Result<Value> {
        let Some(known) = Operation::parse(operation) else {
            return Err(Error::unknown_operation(operation));
        };
        match known {
            Operation::CreateDeliveryStream => self.create(caller, json::read(body)?),
            Operation::DeleteDeliveryStream => self.delete(caller, json::read(body)?),
            Operation::DescribeDeliveryStream => self.describe(caller, json::read(body)?),
            Operation::ListDeliveryStreams => self.list(caller, &json::read(body)?),
            Operation::ListTagsForDeliveryStream => self.list_tags(caller, json::read(body)?),
            Operation::PutRecord => self.put_record(caller, json::read(body)?),
            Operation::PutRecordBatch => self.put_record_batch(caller, json::read(body)?),
            Operation::StartDeliveryStreamEncryption => self.start_encryption(caller, json::read(body)?),
            Operation::StopDeliveryStreamEncryption => self.stop_encryption(caller, json::read(body)?),
            Operation::TagDeliveryStream => self.tag(caller, json::read(body)?),
            Operation::UntagDeliveryStream => self.untag(caller, json::read(body)?),
            Operation::UpdateDestination => self.update_destination(caller, json::read(body)?),
        }
    }
}

impl Service for Firehose {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response<Body>> {
        json_api::call(request, move |request, operation| {
            self.run(&request.caller, operation, &request.body)
        })
    }

    /// Source: "Actions, resources, and condition keys for Amazon Kinesis Firehose", Service Authorization Reference.
    fn permissions(&self, request: &Request) -> Vec<Permission> {
        Permission::of_operation("firehose", request, |_, input| {
            let name = input["DeliveryStreamName"].as_str()?;
            let resource = format!("deliverystream/{name}");
            Some(arn(&request.caller, "firehose", &resource))
        })
    }

    /// PutRecordBatch takes 4 MiB of data, and four bytes of base64 have three of data.
    fn max_body(&self) -> usize {
        8 << 20
    }

    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        let all = self.store.list(caller, self.now_ms()).into_iter();
        all.filter(|(meta, _)| !meta.tags.is_empty())
            .map(|(meta, _)| (meta.arn(), meta.tags.clone()))
            .collect()
    }

    fn tick(&self) {
        self.store.sweep(self.now_ms());
    }

    fn damage(&self) -> Vec<Damage> {
        self.store.damage()
    }

    /// Completes deletions that have begun. Everything else is on disk already.
    fn shutdown(&self) {
        self.store.sweep(i64::MAX);
    }
}
