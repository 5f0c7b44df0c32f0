//! The AWS operations that handlers need, as small traits, so that tests run without AWS. [`crate::aws`] implements
//! them.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;

pub type Item = HashMap<String, AttributeValue>;

/// Why a call failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallError {
    pub kind: CallErrorKind,
    /// Includes the service's error code.
    pub message: String,
}

/// How to handle a error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CallErrorKind {
    /// Throttled, or a temporary error: the same call may succeed later.
    Transient,
    /// The request is invalid: the same call never succeeds.
    Rejected,
    /// No permission, or no such table, bucket or queue: no call succeeds until someone fixes it.
    Refused,
    /// The invocation ran out of time.
    Timeout,
}

impl CallError {
    pub fn new(kind: CallErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The invocation ran out of time.
    pub fn timeout() -> Self {
        Self::new(CallErrorKind::Timeout, "the function ran out of time")
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Writes items to a table.
pub trait Table {
    /// Puts up to 25 items of different keys, up to 16 MB. Returns those that the table did not process.
    fn put_items(&self, items: Vec<Item>) -> impl Future<Output = Result<Vec<Item>, CallError>>;
}

/// Result of a price update.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PriceUpdate {
    Stored,
    /// The stored price is from the same record or a later one.
    Older,
    /// The product does not exist.
    UnknownProduct,
}

pub trait Products {
    /// Sets the price of an existing product, unless the stored price is from this record or a later one. `price` is a
    /// DynamoDB number. `position` sorts in the order of the stream.
    fn set_price(
        &self,
        id: &str,
        price: &str,
        position: &str,
    ) -> impl Future<Output = Result<PriceUpdate, CallError>>;
}

/// The primary key of an aggregate: partition key and start of the window.
pub type AggregateKey = (String, String);

/// Aggregates with several concurrent writers.
pub trait Aggregates {
    /// Reads up to 100 items with strong consistency. Also returns the keys that were not processed.
    fn read(
        &self,
        keys: Vec<AggregateKey>,
    ) -> impl Future<Output = Result<(Vec<Item>, Vec<AggregateKey>), CallError>>;

    /// Puts `item` if the stored item still has `revision` (`None`: no item, or no revision). Returns whether it did.
    fn replace(&self, item: Item, revision: Option<u64>) -> impl Future<Output = Result<bool, CallError>>;
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Object {
    pub key: String,
    pub body: Bytes,
    /// The media type of the content.
    pub content_type: &'static str,
}

pub trait Bucket {
    fn put(&self, object: &Object) -> impl Future<Output = Result<(), CallError>>;
}

/// Reads objects of a bucket.
pub trait Objects {
    /// The object `key`. `None` if there is none. One of more than `max` bytes is an error of the kind `Rejected`.
    fn read(&self, key: &str, max: usize) -> impl Future<Output = Result<Option<Bytes>, CallError>>;
}

pub trait Queue {
    /// Sends up to 10 messages with up to 256 KiB in total. Returns the indexes of those that failed.
    fn send(&self, bodies: Vec<String>) -> impl Future<Output = Result<Vec<(usize, CallError)>, CallError>>;
}
