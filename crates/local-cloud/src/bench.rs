//! What the benchmarks measure: the storage of Kinesis, and services without HTTP.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::request::Parts;

use crate::cloud::Cloud;
use crate::service::Request;

pub use crate::deliver::{Deliver, LogSink};
pub use crate::kinesis::hash_key::HashKey;
pub use crate::kinesis::store::{Ends, NewRecord, Position, ShardStore, StoredRecord};
pub use crate::kinesis::wire::fast;
pub use crate::types::{Body, Caller};

pub struct Services(Cloud);

impl Services {
    /// # Errors
    /// When files cannot be made or read.
    pub fn open(dir: &Path) -> io::Result<Self> {
        Cloud::open(dir, daemon::Options::default(), "http://127.0.0.1:1").map(Self)
    }

    /// # Errors
    /// When there is no service with this signing name.
    pub async fn call(&self, signing_name: &str, parts: &Parts, body: Bytes) -> io::Result<Response<Body>> {
        let entry = self
            .0
            .services
            .signed(signing_name)
            .ok_or(io::ErrorKind::NotFound)?;
        let request = Request {
            caller: Caller::default(),
            parts: parts.clone(),
            body,
        };
        Ok(Arc::clone(&entry.service).call(request).await)
    }

    pub fn deliver(&self) -> &impl Deliver {
        &*self.0.deliveries
    }

    pub fn logs(&self) -> &impl LogSink {
        &*self.0.logs
    }
}
