//! A service of awsim that is opened on first use and whose state survives the end of the process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use awsim_core::{AwsError, Protocol, RequestContext, ServiceHandler};
use serde_json::Value;

use ground::platform;

/// What an operation does to the state of its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// Saved before the caller is answered.
    Now,
}

type Classify = fn(&str, &Value) -> Change;

/// Cheap to clone; all clones are the same service.
pub(super) struct Stored<H>(Arc<Inner<H>>);

struct Inner<H> {
    name: &'static str,
    protocol: Protocol,
    file: PathBuf,
    classify: Classify,
    make: Box<dyn Fn() -> H + Send + Sync>,
    handler: OnceLock<H>,
    opening: Mutex<()>,
    saving: Mutex<()>,
    unsaved: AtomicBool,
}

impl<H> Clone for Stored<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The part of [`Stored`] that does not depend on the service.
pub(super) trait Save: Send + Sync {
    fn save_if_changed(&self);
}

impl<H: ServiceHandler> Stored<H> {
    /// The service `name` made by `make`, with its state in a file in `dir`.
    pub fn new(
        dir: &Path,
        name: &'static str,
        protocol: Protocol,
        classify: Classify,
        make: impl Fn() -> H + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            name,
            protocol,
            file: dir.join(format!("{name}.json")),
            classify,
            make: Box::new(make),
            handler: OnceLock::new(),
            opening: Mutex::new(()),
            saving: Mutex::new(()),
            unsaved: AtomicBool::new(false),
        }))
    }

    /// The service, made and restored on the first call.
    ///
    /// # Errors
    /// While its saved state cannot be read: starting anew would overwrite it.
    pub fn get(&self) -> io::Result<&H> {
        let inner = &*self.0;
        if let Some(handler) = inner.handler.get() {
            return Ok(handler);
        }
        let _opening = lock(&inner.opening);
        if let Some(handler) = inner.handler.get() {
            return Ok(handler);
        }
        let handler = (inner.make)();
        match std::fs::read(&inner.file) {
            Ok(bytes) => handler.restore(&bytes).map_err(|error| {
                let name = inner.name;
                io::Error::other(format!(
                    "the saved state of {name} in {} cannot be read: {error}",
                    inner.file.display()
                ))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(inner.handler.get_or_init(|| handler))
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
        platform::replace_private_file(&inner.file, &bytes)
            .inspect_err(|_| inner.unsaved.store(true, Ordering::SeqCst))
    }
}

impl<H: ServiceHandler> Save for Stored<H> {
    fn save_if_changed(&self) {
        if self.0.unsaved.load(Ordering::SeqCst)
            && let Err(error) = self.save()
        {
            tracing::warn!(%error, service = self.0.name, "could not save the state");
        }
    }
}

#[async_trait]
impl<H: ServiceHandler + 'static> ServiceHandler for Stored<H> {
    fn service_name(&self) -> &str {
        self.0.name
    }

    fn protocol(&self) -> Protocol {
        self.0.protocol
    }

    async fn handle(&self, operation: &str, input: Value, ctx: &RequestContext) -> Result<Value, AwsError> {
        let handler = self
            .get()
            .map_err(|error| AwsError::internal(error.to_string()))?;
        let change = (self.0.classify)(operation, &input);
        let outcome = handler.handle(operation, input, ctx).await;
        match (change, &outcome) {
            (Change::None, _) => {}
            // A refused operation may have done a part of its work.
            (Change::Now, Err(_)) => self.0.unsaved.store(true, Ordering::SeqCst),
            (Change::Now, Ok(_)) => {
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
        outcome
    }
}

fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
