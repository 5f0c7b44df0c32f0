//! What the handlers ask of AWS: small traits, so that the logic is tested without it. [`crate::aws`] implements them.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;

/// An item of a table.
pub type Item = HashMap<String, AttributeValue>;

/// Why a call did nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// What to do about it.
    pub kind: FaultKind,
    /// In words, with the service's error code.
    pub message: String,
}

/// What to do about a fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FaultKind {
    /// Too fast, or out of order for a moment: the same call may succeed later.
    Passing,
    /// What was sent is refused: the same call never succeeds.
    Rejected,
    /// Not allowed, no such table or bucket or queue: nothing succeeds until someone sees to it.
    Refused,
    /// The invocation ran out of time.
    Late,
}

impl Fault {
    /// A fault of this kind.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The invocation ran out of time.
    pub fn late() -> Self {
        Self::new(FaultKind::Late, "the function ran out of time")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Plain writes to a table.
pub trait Table {
    /// Puts up to 25 items of different keys, up to 16 MB. Gives back those that the table did not take.
    fn put_items(&self, items: Vec<Item>) -> impl Future<Output = Result<Vec<Item>, Fault>>;
}

/// What became of a price.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PriceUpdate {
    /// It is stored.
    Stored,
    /// The product's price is of the same record or a later one.
    Older,
    /// There is no such product.
    UnknownProduct,
}

/// The prices of products.
pub trait Products {
    /// Sets the price of an existing product, unless its price is of this record or a later one. `price` is a DynamoDB
    /// number, `position` sorts as the records of the stream do.
    fn set_price(
        &self,
        id: &str,
        price: &str,
        position: &str,
    ) -> impl Future<Output = Result<PriceUpdate, Fault>>;
}

/// The primary key of an aggregate: partition key and start of the window.
pub type AggregateKey = (String, String);

/// Aggregates that several writers update.
pub trait Aggregates {
    /// Reads up to 100 items, consistently. Gives also the keys that were not read for now.
    fn read(
        &self,
        keys: Vec<AggregateKey>,
    ) -> impl Future<Output = Result<(Vec<Item>, Vec<AggregateKey>), Fault>>;

    /// Puts `item` if the stored one still is of `revision` (`None`: is absent, or has none). Says whether it did.
    fn replace(&self, item: Item, revision: Option<u64>) -> impl Future<Output = Result<bool, Fault>>;
}

/// An object for a bucket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Object {
    /// The object's key.
    pub key: String,
    /// The content.
    pub body: Bytes,
    /// The media type of the content.
    pub content_type: &'static str,
}

/// A bucket.
pub trait Bucket {
    /// Puts one object.
    fn put(&self, object: &Object) -> impl Future<Output = Result<(), Fault>>;
}

/// A queue.
pub trait Queue {
    /// Sends up to 10 messages of up to 256 KiB together. Gives the places of those that the queue did not take.
    fn send(&self, bodies: Vec<String>) -> impl Future<Output = Result<Vec<(usize, Fault)>, Fault>>;
}
