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

/// One thing that happened to one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What the manifest calls the resource.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Something begins.
    Doing(String),
    /// It takes its time.
    Waiting(String),
    /// The resource is done with.
    Finished(ResourceResult, String),
}

/// What became of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceResult {
    /// It was made.
    Created,
    /// It was changed.
    Updated,
    /// It was as it is to be.
    Unchanged,
    /// It was deleted.
    Deleted,
    /// There was nothing to delete.
    Absent,
    /// It was left alone, not being ours.
    Kept,
    /// It could not be changed or deleted.
    Failed,
    /// It was begun and is not finished, since the user stopped the run.
    Stopped,
    /// Nothing was done, since something that comes first failed or the user stopped the run.
    Skipped,
}

impl ResourceResult {
    /// In a word.
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

    /// Whether something was changed.
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

    /// Says that something begins.
    pub fn doing(&self, what: impl Into<String>) {
        self.say(What::Doing(what.into()));
    }

    /// Reports that a step takes time.
    pub fn waiting(&self, what: impl Into<String>) {
        self.say(What::Waiting(what.into()));
    }

    pub(super) fn finished(&self, outcome: ResourceResult, detail: &str) {
        self.say(What::Finished(outcome, detail.to_owned()));
    }

    fn say(&self, what: What) {
        (self.events)(Event {
            id: self.id.to_owned(),
            kind: self.kind.to_owned(),
            name: self.name.clone(),
            what,
        });
    }

    /// Fails once the user has stopped the run, before a new change begins.
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

    /// Whether the user wants to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    /// Runs a change that announces on `pause` when it only waits. A stop cancels it only there, so that no changing
    /// call is cut off.
    ///
    /// # Errors
    /// As the change; exit 130 when stopped.
    pub async fn pausable<T>(&self, pause: &Notify, change: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::pin!(change);
        loop {
            tokio::select! {
                biased;
                outcome = &mut change => return outcome,
                () = pause.notified() => self.go_on()?,
            }
        }
    }
}

/// The run was stopped by the user (exit 130).
pub(super) fn stopped() -> Error {
    Error::new(Exit::Interrupted, "stopped").hint("run the same command again to go on from here")
}
