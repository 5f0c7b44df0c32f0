//! Events that were accepted and are not done with: a file each, so that a restart goes on with them.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::name::FunctionName;
use crate::Caller;
use ground::platform::{create_private_dir, replace_private_file};

/// Characters of a request id, which is what a file is called.
const ID_LENGTH: usize = 36;

/// An event that waits for its function, or for its function's next try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    pub name: FunctionName,
    pub request_id: String,
    /// When it was accepted.
    pub born_ms: i64,
    pub payload: Bytes,
}

/// The first line of a file; the payload follows as it came.
#[derive(Serialize, Deserialize)]
struct Head {
    account: String,
    region: String,
    function: String,
    qualifier: Option<String>,
    born_ms: i64,
}

pub(super) struct Spool {
    dir: PathBuf,
}

impl Spool {
    pub fn open(dir: &Path) -> io::Result<Self> {
        create_private_dir(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Once this returns, the event survives the end of the process.
    pub fn keep(&self, event: &Waiting) -> io::Result<()> {
        let head = Head {
            account: event.name.caller.account.clone(),
            region: event.name.caller.region.clone(),
            function: event.name.name.clone(),
            qualifier: event.name.qualifier.clone(),
            born_ms: event.born_ms,
        };
        let mut bytes = serde_json::to_vec(&head)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&event.payload);
        replace_private_file(&self.dir.join(&event.request_id), &bytes)
    }

    /// The event is done with.
    pub fn remove(&self, request_id: &str) {
        let path = self.dir.join(request_id);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "an event that is done with could not be forgotten");
        }
    }

    /// The ids of all events, in no order.
    pub fn ids(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.dir)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        let names: io::Result<Vec<Option<String>>> = names.collect();
        // Others are what a write that was cut off has left.
        Ok(names?
            .into_iter()
            .flatten()
            .filter(|name| name.len() == ID_LENGTH)
            .collect())
    }

    /// The event `request_id`; `None` where its file holds none.
    pub fn load(&self, request_id: &str) -> io::Result<Option<Waiting>> {
        let bytes = Bytes::from(std::fs::read(self.dir.join(request_id))?);
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let Ok(head) = serde_json::from_slice::<Head>(&bytes[..end]) else {
            return Ok(None);
        };
        Ok(Some(Waiting {
            name: FunctionName {
                caller: Caller {
                    account: head.account,
                    region: head.region,
                },
                name: head.function,
                qualifier: head.qualifier,
            },
            request_id: request_id.to_owned(),
            born_ms: head.born_ms,
            payload: bytes.slice(end + 1..),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_there_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let event = Waiting {
            name: FunctionName {
                caller: Caller::default(),
                name: "scorer".to_owned(),
                qualifier: Some("live".to_owned()),
            },
            request_id: crate::answer::request_id(),
            born_ms: 5,
            payload: Bytes::from_static(b"{\"line\":\n1}"),
        };
        Spool::open(dir.path()).unwrap().keep(&event).unwrap();
        std::fs::write(dir.path().join("half.tmp"), "{").unwrap();
        std::fs::write(dir.path().join("r".repeat(ID_LENGTH)), "rubbish").unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        let found: Vec<Waiting> = spool
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
