//! What the benchmarks measure, and tests from outside attack: the storage of Kinesis, services without HTTP, and the
//! front door without a socket.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::request::Parts;

use crate::cloud::Cloud;
use crate::front::{Front, Identity};
use crate::service::Request;
use daemon::secret::Secret;
use ground::platform::peer::Peer;

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
        let secret = Secret::for_tests();
        Cloud::open(dir, daemon::Options::default(), "http://127.0.0.1:1", &secret).map(Self)
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

/// The front door of a cloud, which takes each request as one of its user.
pub struct Door {
    front: Arc<Front>,
    _cloud: Cloud,
}

impl Door {
    /// # Errors
    /// When files cannot be made or read.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let secret = Secret::for_tests();
        let cloud = Cloud::open(dir, daemon::Options::default(), "http://127.0.0.1:1", &secret)?;
        let identity = Identity {
            home: String::new(),
            port: 1,
            started_ms: 0,
            secret,
        };
        Ok(Self {
            front: Front::new(cloud.backends(), identity),
            _cloud: cloud,
        })
    }

    pub async fn answer<B>(&self, request: http::Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        self.front.answer(request, Peer::Owner).await
    }
}
