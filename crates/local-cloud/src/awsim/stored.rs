//! A service of awsim that is opened on first use and whose state survives the end of the process.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use awsim_core::{AwsError, Protocol, RequestContext, ServiceHandler};
use bytes::Bytes;
use serde_json::Value;

use crate::service::Permission;
use crate::service::Request;
use crate::state_file;
use crate::types::{Caller, Tags};
use daemon::protocol::Damage;

/// A service whose state is saved as a whole after each change, and what the contract of services asks of it.
pub(crate) trait Handler: ServiceHandler + Sized + 'static {
    /// Signing name, and name of the file.
    const NAME: &'static str;
    const PROTOCOL: Protocol;
    const ACCESS_DENIED: (u16, &'static str) = (400, "AccessDeniedException");

    /// The largest request body, in bytes: policies and tags are small.
    const MAX_BODY: usize = 2 << 20;

    /// Whether an operation changes the state.
    fn changes(operation: &str, _input: &Value) -> bool {
        !is_read(operation)
    }

    fn permissions(request: &Request) -> Vec<Permission>;

    fn accepts_unsigned(_body: &Bytes) -> bool {
        false
    }

    /// The tagged resources of `caller`, by ARN.
    fn tagged(&self, _caller: &Caller) -> BTreeMap<String, Tags> {
        BTreeMap::new()
    }
}

/// AWS's verbs for operations that only read.
const READING: &[&str] = &[
    "Get", "List", "Describe", "Simulate", "Filter", "Test", "Search", "Lookup", "Estimate",
];

pub(super) fn is_read(operation: &str) -> bool {
    READING.iter().any(|verb| operation.starts_with(verb))
}

/// Cheap to clone; all clones are the same service.
pub(crate) struct Stored<H>(Arc<Inner<H>>);

struct Inner<H> {
    file: PathBuf,
    make: Box<dyn Fn() -> H + Send + Sync>,
    handler: OnceLock<H>,
    opening: Mutex<()>,
    saving: Mutex<()>,
    unsaved: AtomicBool,
    /// Why the saved state cannot be read.
    fault: Mutex<Option<String>>,
}

impl<H> Clone for Stored<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H: Handler> Stored<H> {
    /// The service made by `make`, with its state in a file in `dir`. Opens nothing yet.
    pub fn new(dir: &Path, make: impl Fn() -> H + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            file: dir.join(format!("{}.json", H::NAME)),
            make: Box::new(make),
            handler: OnceLock::new(),
            opening: Mutex::new(()),
            saving: Mutex::new(()),
            unsaved: AtomicBool::new(false),
            fault: Mutex::new(None),
        }))
    }

    /// The service, made and restored on the first call.
    ///
    /// # Errors
    /// When the saved state cannot be read: an empty state would overwrite it.
    pub fn get(&self) -> io::Result<&H> {
        let inner = &*self.0;
        if let Some(handler) = inner.handler.get() {
            return Ok(handler);
        }
        let _opening = lock(&inner.opening);
        if let Some(handler) = inner.handler.get() {
            return Ok(handler);
        }
        let restored = state_file::load(&inner.file, |bytes| {
            let handler = (inner.make)();
            handler
                .restore(bytes)
                .map_err(|error| io::Error::other(error.to_string()))?;
            Ok(handler)
        });
        let restored = restored.map_err(|error| {
            let text = format!("the saved state of {} cannot be read: {error}", H::NAME);
            let mut fault = inner.fault.lock().unwrap_or_else(PoisonError::into_inner);
            if fault.is_none() {
                tracing::warn!("{text}");
                *fault = Some(text.clone());
            }
            io::Error::new(error.kind(), text)
        })?;
        Ok(inner
            .handler
            .get_or_init(|| restored.unwrap_or_else(|| (inner.make)())))
    }

    /// The damage of its file, as far as it is known.
    pub fn damage(&self) -> Vec<Damage> {
        let fault = self.0.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let found = fault.iter().filter(|_| self.0.handler.get().is_none());
        found
            .map(|fault| Damage {
                file: self.0.file.display().to_string(),
                resource: None,
                records: 0,
                message: format!("{fault}; the service refuses requests"),
            })
            .collect()
    }

    /// Saves the state. Blocks.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self) -> io::Result<()> {
        let inner = &*self.0;
        // One at a time: the last to write has the latest state.
        let _saving = lock(&inner.saving);
        inner.unsaved.store(false, Ordering::SeqCst);
        let Some(bytes) = inner.handler.get().and_then(ServiceHandler::snapshot) else {
            return Ok(());
        };
        state_file::save(&inner.file, &bytes).inspect_err(|_| inner.unsaved.store(true, Ordering::SeqCst))
    }

    /// Saves the state if a change has not been saved. Blocks.
    pub fn save_if_changed(&self) {
        if self.0.unsaved.load(Ordering::SeqCst)
            && let Err(error) = self.save()
        {
            tracing::warn!(%error, service = H::NAME, "could not save the state");
        }
    }

    /// The service, if it has been opened. Services with saved state are opened at the start.
    pub fn opened(&self) -> Option<&H> {
        self.0.handler.get()
    }

    /// The service, if it has been opened or has saved state, for what may be left out when there is none.
    pub fn existing(&self) -> Option<&H> {
        let exists = self.0.handler.get().is_some() || state_file::exists(&self.0.file);
        exists.then(|| self.get().ok()).flatten()
    }
}

#[async_trait]
impl<H: Handler> ServiceHandler for Stored<H> {
    fn service_name(&self) -> &str {
        H::NAME
    }

    fn protocol(&self) -> Protocol {
        H::PROTOCOL
    }

    async fn handle(&self, operation: &str, input: Value, ctx: &RequestContext) -> Result<Value, AwsError> {
        let handler = self
            .get()
            .map_err(|error| AwsError::internal(error.to_string()))?;
        let changes = H::changes(operation, &input);
        let result = handler.handle(operation, input, ctx).await;
        match (changes, &result) {
            (false, _) => {}
            // A failed operation may have done a part of its work.
            (true, Err(_)) => self.0.unsaved.store(true, Ordering::SeqCst),
            (true, Ok(_)) => {
                let stored = self.clone();
                let saved = tokio::task::spawn_blocking(move || stored.save()).await;
                saved
                    .unwrap_or_else(|error| Err(io::Error::other(error)))
                    .map_err(|error| {
                        AwsError::internal(format!(
                            "the change was made but could not be saved and will not survive a restart: {error}"
                        ))
                    })?;
            }
        }
        result
    }
}

fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
