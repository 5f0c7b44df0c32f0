//! Accepted events that are not finished: one file each, so that a restart continues with them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::name::FunctionName;
use crate::Caller;
use daemon::protocol::Damage;
use ground::platform::{create_private_dir, remove_unfinished, replace_private_file};

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
    /// Of the payload. Earlier versions wrote none.
    #[serde(default)]
    crc32: Option<u32>,
}

pub(super) struct Spool {
    dir: PathBuf,
    /// Files of events that cannot be read.
    damaged: Mutex<Vec<PathBuf>>,
}

/// Extension of a damaged file.
const DAMAGED: &str = "damaged";

impl Spool {
    pub fn open(dir: &Path) -> io::Result<Self> {
        create_private_dir(dir)?;
        remove_unfinished(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            damaged: Mutex::default(),
        })
    }

    /// Stores the event. After it returns, the event survives the end of the process.
    pub fn keep(&self, event: &QueuedEvent) -> io::Result<()> {
        let header = Header {
            account: event.name.caller.account.clone(),
            region: event.name.caller.region.clone(),
            function: event.name.name.clone(),
            qualifier: event.name.qualifier.clone(),
            accepted_ms: event.accepted_ms,
            crc32: Some(crc32fast::hash(&event.payload)),
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

    /// Keeps the file of an event that cannot be read, and reports it.
    pub fn set_aside(&self, request_id: &str) {
        let path = self.dir.join(request_id);
        let aside = path.with_extension(DAMAGED);
        tracing::error!(path = %aside.display(), "an accepted event is damaged and is not run");
        if let Err(error) = std::fs::rename(&path, &aside) {
            tracing::warn!(path = %path.display(), %error, "a damaged event could not be renamed");
        }
        self.damaged().push(aside);
    }

    fn damaged(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The events that cannot be read.
    pub fn damage(&self) -> Vec<Damage> {
        let damaged = self.damaged();
        let all = damaged.iter().map(|path| Damage {
            file: path.display().to_string(),
            resource: None,
            records: 0,
            message: "an accepted event of a function cannot be read and is not run".to_owned(),
        });
        all.collect()
    }

    /// The ids of all events, unordered.
    pub fn ids(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.dir)?.map(|entry| {
            let entry = entry?;
            if entry
                .path()
                .extension()
                .is_some_and(|extension| extension == DAMAGED)
            {
                self.damaged().push(entry.path());
            }
            Ok(entry.file_name().into_string().ok())
        });
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
        let payload = bytes.slice(end + 1..);
        if header
            .crc32
            .is_some_and(|crc32| crc32 != crc32fast::hash(&payload))
        {
            return Ok(None);
        }
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
            payload,
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
        // A damaged one is kept and reported, also at the next start.
        let path = dir.path().join(&event.request_id);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(spool.load(&event.request_id).unwrap(), None);
        spool.set_aside(&event.request_id);
        assert_eq!(spool.damage().len(), 1);
        assert_eq!(std::fs::read(path.with_extension(DAMAGED)).unwrap(), bytes);
        let spool = Spool::open(dir.path()).unwrap();
        spool.ids().unwrap();
        assert_eq!(spool.damage().len(), 1);
        spool.remove(&event.request_id);
        spool.remove(&event.request_id);
        assert!(!spool.ids().unwrap().contains(&event.request_id));
    }
}
