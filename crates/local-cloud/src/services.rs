//! The table of services: by signing name, and by the service name in `X-Amz-Target`.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::request::Parts;

use crate::service::{self, Service};
use crate::types::{Caller, Tags};
use daemon::protocol::Damage;

/// A line of the table.
pub(crate) struct Entry {
    /// One of [`daemon::SERVICES`].
    pub name: &'static str,
    /// The name in the credential scope of a signature.
    pub signing_name: &'static str,
    /// The service in `X-Amz-Target` and in Smithy RPC paths; empty where requests have neither.
    pub target: &'static str,
    pub service: Arc<dyn Service>,
}

impl Entry {
    pub fn new(
        name: &'static str,
        signing_name: &'static str,
        target: &'static str,
        service: Arc<impl Service>,
    ) -> Self {
        Self {
            name,
            signing_name,
            target,
            service,
        }
    }
}

/// All services. Housekeeping and shutdown follow the order of the table: a service that writes to another comes before
/// it.
pub(crate) struct Services(Vec<Entry>);

impl Services {
    pub fn new(entries: Vec<Entry>) -> Self {
        Self(entries)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// The service with this signing name.
    pub fn signed(&self, signing_name: &str) -> Option<&Entry> {
        self.iter().find(|entry| entry.signing_name == signing_name)
    }

    /// The service that a request is for: the one it names, or else the one it is signed for.
    pub fn of_request(&self, parts: &Parts, signing_name: Option<&str>) -> Option<&Entry> {
        let target = service::target(parts).map_or("", |(service, _)| service);
        self.iter()
            .find(|entry| !target.is_empty() && entry.target == target)
            .or_else(|| self.signed(signing_name?))
    }

    /// The tagged resources of `caller` in all services, by ARN.
    pub fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        self.iter()
            .flat_map(|entry| entry.service.tagged(caller))
            .collect()
    }

    /// Opens the files of all services. Blocks.
    pub fn open(&self) {
        for entry in self.iter() {
            entry.service.open();
        }
    }

    /// The damaged files of all services.
    pub fn damage(&self) -> Vec<Damage> {
        self.iter().flat_map(|entry| entry.service.damage()).collect()
    }

    /// Housekeeping, once a minute. Blocks.
    pub fn tick(&self) {
        for entry in self.iter() {
            tracing::debug!(service = entry.name, "housekeeping");
            entry.service.tick();
        }
    }

    pub fn end_streams(&self) {
        for entry in self.iter() {
            entry.service.end_streams();
        }
    }

    /// Blocks; no call may follow.
    pub fn shutdown(&self) {
        for entry in self.iter() {
            entry.service.shutdown();
        }
    }
}
