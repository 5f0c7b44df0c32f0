//! Accepted events that are not finished: one file each, so that a restart continues with them.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::name::FunctionName;
use crate::Caller;
use ground::platform::{create_private_dir, replace_private_file};

/// Length of a request id, which is the file's name.
const ID_LENGTH: usize = 36;

/// An event that waits for its invocation or next retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueuedEvent {
    pub name: FunctionName,
    pub request_id: String,
    pub accepted_ms: i64,
    pub payload: Bytes,
}

/// The first line of a file. The payload follows unchanged.
#[derive(Serialize, Deserialize)]
struct Header {
    account: String,
    region: String,
    function: String,
    qualifier: Option<String>,
    #[serde(rename = "born_ms")]
    accepted_ms: i64,
}

pub(super) struct Spool {
    dir: PathBuf,
}

impl Spool {
    pub fn open(dir: &Path) -> io::Result<Self> {
        create_private_dir(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Stores the event. After it returns, the event survives the end of the process.
    pub fn keep(&self, event: &QueuedEvent) -> io::Result<()> {
        let header = Header {
            account: event.name.caller.account.clone(),
            region: event.name.caller.region.clone(),
            function: event.name.name.clone(),
            qualifier: event.name.qualifier.clone(),
            accepted_ms: event.accepted_ms,
        };
        let mut bytes = serde_json::to_vec(&header)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&event.payload);
        replace_private_file(&self.dir.join(&event.request_id), &bytes)
    }

    /// Removes a finished event.
    pub fn remove(&self, request_id: &str) {
        let path = self.dir.join(request_id);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "could not delete a finished event");
        }
    }

    /// The ids of all events, unordered.
    pub fn ids(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.dir)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        let names: io::Result<Vec<Option<String>>> = names.collect();
        // Other files are remains of interrupted writes.
        Ok(names?
            .into_iter()
            .flatten()
            .filter(|name| name.len() == ID_LENGTH)
            .collect())
    }

    /// The event `request_id`. `None` if its file is invalid or missing.
    pub fn load(&self, request_id: &str) -> io::Result<Option<QueuedEvent>> {
        let bytes = Bytes::from(std::fs::read(self.dir.join(request_id))?);
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let Ok(header) = serde_json::from_slice::<Header>(&bytes[..end]) else {
            return Ok(None);
        };
        Ok(Some(QueuedEvent {
            name: FunctionName {
                caller: Caller {
                    account: header.account,
                    region: header.region,
                },
                name: header.function,
                qualifier: header.qualifier,
            },
            request_id: request_id.to_owned(),
            accepted_ms: header.accepted_ms,
            payload: bytes.slice(end + 1..),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_stored_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let event = QueuedEvent {
            name: FunctionName {
                caller: Caller::default(),
                name: "scorer".to_owned(),
                qualifier: Some("live".to_owned()),
            },
            request_id: crate::answer::request_id(),
            accepted_ms: 5,
            payload: Bytes::from_static(b"{\"line\":\n1}"),
        };
        Spool::open(dir.path()).unwrap().keep(&event).unwrap();
        std::fs::write(dir.path().join("half.tmp"), "{").unwrap();
        std::fs::write(dir.path().join("r".repeat(ID_LENGTH)), "not an event").unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        let found: Vec<QueuedEvent> = spool
            .ids()
            .unwrap()
            .iter()
            .filter_map(|id| spool.load(id).unwrap())
            .collect();
        assert_eq!(found, std::slice::from_ref(&event));
        spool.remove(&event.request_id);
        spool.remove(&event.request_id);
        assert!(!spool.ids().unwrap().contains(&event.request_id));
    }
}
