//! Progress of changes to a pipeline, for display.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tokio::sync::Notify;

use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::stop::Stop;

/// Receives events. Called from async code: must not block.
pub type Events<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// Progress of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The name of the resource in the manifest.
    pub id: String,
    pub kind: String,
    /// Its name at the service.
    pub name: String,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A step starts.
    Doing(String),
    /// A step waits.
    Waiting(String),
    /// The resource is finished; with details.
    Finished(ResourceResult, String),
}

/// The result of a run for one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ResourceResult {
    Created,
    Updated,
    /// It already matched its declaration.
    Unchanged,
    Deleted,
    /// It did not exist, so there was nothing to delete.
    Absent,
    /// It was not deleted, because this pipeline did not create it.
    Kept,
    Failed,
    /// It is unfinished, because the user stopped the run.
    Stopped,
    /// It was not started, because a resource that it needs failed, or the user stopped the run.
    Skipped,
}

impl ResourceResult {
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::Absent => "absent",
            Self::Kept => "kept",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Skipped => "skipped",
        }
    }

    pub fn is_change(self) -> bool {
        matches!(self, Self::Created | Self::Updated | Self::Deleted)
    }
}

/// One resource's part of a run: reports events, and checks whether the user stopped the run.
pub struct Step<'a> {
    id: &'a str,
    kind: &'a str,
    name: String,
    events: Events<'a>,
    stop: &'a Stop,
    touched: AtomicBool,
}

impl<'a> Step<'a> {
    pub(super) fn new(id: &'a str, kind: &'a str, name: String, events: Events<'a>, stop: &'a Stop) -> Self {
        Self {
            id,
            kind,
            name,
            events,
            stop,
            touched: AtomicBool::new(false),
        }
    }

    /// Records that a call was made that may have taken effect, even if the change fails later.
    pub fn touched(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }

    pub(super) fn was_touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed)
    }

    /// Reports that a step starts.
    pub fn doing(&self, what: impl Into<String>) {
        self.report(What::Doing(what.into()));
    }

    /// Reports that a step waits.
    pub fn waiting(&self, what: impl Into<String>) {
        self.report(What::Waiting(what.into()));
    }

    pub(super) fn finished(&self, result: ResourceResult, detail: &str) {
        self.report(What::Finished(result, detail.to_owned()));
    }

    fn report(&self, what: What) {
        (self.events)(Event {
            id: self.id.to_owned(),
            kind: self.kind.to_owned(),
            name: self.name.clone(),
            what,
        });
    }

    /// Fails if the user has stopped the run. Called before each change.
    ///
    /// # Errors
    /// Exit 130.
    pub fn go_on(&self) -> Result<()> {
        if self.stop.is_set() {
            Err(stopped())
        } else {
            Ok(())
        }
    }

    /// Whether the user has stopped the run.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    /// Runs a change that notifies `pause` while it only waits. A stop cancels it only then, so that no changing call is
    /// interrupted.
    ///
    /// # Errors
    /// As the change; exit 130 when stopped.
    pub async fn pausable<T>(&self, pause: &Notify, change: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::pin!(change);
        loop {
            tokio::select! {
                biased;
                result = &mut change => return result,
                () = pause.notified() => self.go_on()?,
            }
        }
    }
}

/// The run was stopped by the user (exit 130).
pub(super) fn stopped() -> Error {
    Error::new(Exit::Interrupted, "stopped").hint("run the same command again to continue")
}
