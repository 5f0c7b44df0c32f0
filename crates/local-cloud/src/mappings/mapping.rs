//! A mapping: the state shared by its workers, and the task that starts and stops them.
//!
//! A shard has a worker from the time its parents are drained until it is drained itself. This keeps the order within a
//! key across splits and merges.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use lambda_host::filter::Filters;
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};

use super::budget::Budget;
use super::files::{Checkpoint, Checkpoints, Files};
use super::settings::Settings;
use super::worker::{End, Worker};
use super::{Mappings, NOTHING_YET};
use crate::clock::Clock;
use crate::deliver::Deliver;
use crate::invoke::Invoke;
use crate::kinesis::engine::Engine;
use crate::kinesis::store::{PositionError, Start};
use crate::kinesis::stream::meta::Status as StreamStatus;
use crate::kinesis::stream::{Stream, View, locked};
use crate::metrics::MetricSink;

/// How often a missing stream is looked up.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The desired state of a mapping.
#[derive(Debug)]
pub(super) struct Control {
    pub settings: Arc<Settings>,
    pub filters: Arc<Filters>,
    pub run: bool,
    pub deleted: bool,
}

impl Control {
    pub(super) fn of(settings: Settings) -> Arc<Self> {
        // They were checked when they were set.
        let filters = Filters::compile(&settings.filters).unwrap_or_default();
        Arc::new(Self {
            run: settings.enabled,
            settings: Arc::new(settings),
            filters: Arc::new(filters),
            deleted: false,
        })
    }
}

#[derive(Debug)]
struct Status {
    state: &'static str,
    result: String,
}

/// State shared by the workers of a mapping.
pub(super) struct Shared {
    pub control: watch::Sender<Arc<Control>>,
    pub clock: Arc<dyn Clock>,
    pub invoke: Arc<dyn Invoke>,
    pub deliver: Arc<dyn Deliver>,
    pub metrics: Arc<dyn MetricSink>,
    pub budget: Budget,
    kinesis: Arc<Engine>,
    checkpoints: Mutex<Checkpoints>,
    status: Mutex<Status>,
}

impl Shared {
    fn checkpoint(&self, shard: u32) -> Checkpoint {
        locked(&self.checkpoints).get(shard).cloned().unwrap_or_default()
    }

    /// Writes a checkpoint. If that fails, it stays in memory, and a restart delivers again from the old one.
    pub(super) fn save(&self, shard: u32, checkpoint: &Checkpoint) {
        if let Err(error) = locked(&self.checkpoints).set(shard, checkpoint.clone()) {
            tracing::warn!(%error, "a mapping cannot save its checkpoint");
        }
    }

    /// Sets the last processing result.
    pub(super) fn report(&self, result: &str) {
        let mut status = locked(&self.status);
        if status.result != result {
            result.clone_into(&mut status.result);
        }
    }

    fn set_state(&self, state: &'static str) {
        locked(&self.status).state = state;
    }
}

pub(super) struct Mapping {
    pub shared: Arc<Shared>,
    pub files: Files,
    task: Mutex<Option<AbortHandle>>,
}

impl Mapping {
    /// A mapping whose files exist. It does nothing before [`Mapping::start`].
    pub(super) fn new(
        owner: &Mappings,
        settings: Settings,
        files: Files,
        checkpoints: Checkpoints,
        state: &'static str,
    ) -> Self {
        let config = &owner.config;
        let shared = Shared {
            control: watch::Sender::new(Control::of(settings)),
            clock: Arc::clone(&config.clock),
            invoke: Arc::clone(&config.invoke),
            deliver: Arc::clone(&config.deliver),
            metrics: Arc::clone(&config.metrics),
            budget: owner.budget.clone(),
            kinesis: Arc::clone(&config.kinesis),
            checkpoints: Mutex::new(checkpoints),
            status: Mutex::new(Status {
                state,
                result: NOTHING_YET.to_owned(),
            }),
        };
        Self {
            shared: Arc::new(shared),
            files,
            task: Mutex::new(None),
        }
    }

    /// Starts the task. Call it inside a tokio runtime.
    pub(super) fn start(self: &Arc<Self>, owner: Weak<Mappings>) {
        let task = tokio::spawn(supervise(Arc::clone(self), owner));
        *locked(&self.task) = Some(task.abort_handle());
    }

    /// Aborts the task. Batches in progress are delivered again after a restart.
    pub(super) fn abort(&self) {
        if let Some(task) = locked(&self.task).take() {
            task.abort();
        }
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.shared.control.borrow().settings)
    }

    /// State and last processing result.
    pub(super) fn status(&self) -> (&'static str, String) {
        let status = locked(&self.shared.status);
        (status.state, status.result.clone())
    }

    /// Applies new settings, which are already saved.
    pub(super) fn change(&self, settings: Settings) {
        let state = match (self.settings().enabled, settings.enabled) {
            (false, true) => "Enabling",
            (true, false) => "Disabling",
            _ => "Updating",
        };
        self.shared.set_state(state);
        self.shared.control.send_replace(Control::of(settings));
    }

    /// Applies settings that differ only in what is returned to callers.
    pub(super) fn retag(&self, settings: Settings) {
        let deleted = self.is_deleted();
        let mut control = Control::of(settings);
        if let Some(control) = Arc::get_mut(&mut control) {
            control.deleted = deleted;
            control.run &= !deleted;
        }
        self.shared.control.send_replace(control);
    }

    /// Stops the mapping, and deletes it when nothing is in progress.
    pub(super) fn delete(&self) {
        self.shared.set_state("Deleting");
        self.shared.control.send_modify(|control| {
            *control = Arc::new(Control {
                settings: Arc::clone(&control.settings),
                filters: Arc::clone(&control.filters),
                run: false,
                deleted: true,
            });
        });
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.shared.control.borrow().deleted
    }
}

/// The checkpoints of a new mapping in each existing shard. Later shards are read from their beginning.
///
/// # Errors
/// If a log cannot be read.
pub(super) fn initial_checkpoints(
    view: &View,
    settings: &Settings,
) -> std::io::Result<Vec<(u32, Checkpoint)>> {
    let mut checkpoints = Vec::new();
    for (meta, shard) in view.meta.shards.iter().zip(&view.shards) {
        let start = match (
            settings.starting_position.as_str(),
            settings.starting_timestamp_ms,
        ) {
            ("LATEST", _) => Start::Latest,
            ("AT_TIMESTAMP", Some(ms)) => Start::Timestamp(ms),
            _ => continue,
        };
        let position = shard.store.position(start).map_err(|error| match error {
            PositionError::Io(error) => error,
            other => std::io::Error::other(other),
        })?;
        let checkpoint = Checkpoint {
            next: position.index,
            ended: start == Start::Latest && meta.closed_ms.is_some(),
            window: None,
        };
        checkpoints.push((shard.index, checkpoint));
    }
    Ok(checkpoints)
}

/// Task of a mapping.
async fn supervise(mapping: Arc<Mapping>, owner: Weak<Mappings>) {
    let shared = &mapping.shared;
    let mut control = shared.control.subscribe();
    loop {
        let current = Arc::clone(&control.borrow_and_update());
        if current.deleted {
            mapping.files.remove();
            if let Some(owner) = owner.upgrade() {
                owner.forget(&current.settings.uuid);
            }
            return;
        }
        if !current.run {
            shared.set_state("Disabled");
            // Cannot fail: the sender is in `shared`.
            let _ = control.changed().await;
            continue;
        }
        shared.set_state("Enabled");
        let settings = &current.settings;
        match shared
            .kinesis
            .stream_of_arn(&settings.caller(), &settings.event_source_arn)
        {
            Some(stream) => read_stream(shared, &stream, &mut control).await,
            None => {
                shared.report(&format!(
                    "PROBLEM: Stream not found: {}",
                    settings.event_source_arn
                ));
                tokio::select! {
                    () = tokio::time::sleep(RETRY_INTERVAL) => {}
                    _ = control.changed() => {}
                }
            }
        }
    }
}

/// Runs a worker for each shard with records to read, until the mapping is stopped or the stream is deleted.
async fn read_stream(
    shared: &Arc<Shared>,
    stream: &Arc<Stream>,
    control: &mut watch::Receiver<Arc<Control>>,
) {
    let (stop_workers, stop) = watch::channel(false);
    let mut workers = JoinSet::new();
    let mut running: HashMap<Id, u32> = HashMap::new();
    let mut changed = stream.changed();
    if locked(&shared.checkpoints).stream() != Some(stream.id)
        && let Err(error) = locked(&shared.checkpoints).reset(stream.id, [])
    {
        tracing::warn!(%error, "a mapping cannot save its checkpoint");
    }
    loop {
        changed.mark_unchanged();
        let view = stream.view(shared.clock.now_ms());
        if view.meta.status == StreamStatus::Deleting {
            break;
        }
        for shard in startable(shared, &view, &running) {
            let Some(handle) = view.shards.get(shard as usize) else {
                continue;
            };
            let checkpoint = shared.checkpoint(shard);
            let worker = Worker::new(
                Arc::clone(shared),
                stop.clone(),
                Arc::clone(stream),
                Arc::clone(handle),
                checkpoint,
            );
            running.insert(workers.spawn(worker.run()).id(), shard);
        }
        tokio::select! {
            Some(ended) = workers.join_next_with_id(), if !workers.is_empty() => match ended {
                Ok((id, End::Drained)) => {
                    running.remove(&id);
                    // Its children are in the newest snapshot.
                    stream.after_change(shared.clock.now_ms());
                }
                Ok((id, End::Stopped)) => drop(running.remove(&id)),
                Err(error) => {
                    tracing::error!(%error, "a mapping's worker failed and is restarted");
                    running.remove(&error.id());
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            },
            _ = changed.changed() => {}
            _ = control.changed() => {
                if !control.borrow_and_update().run {
                    break;
                }
                shared.set_state("Enabled");
            }
        }
    }
    stop_workers.send_replace(true);
    while workers.join_next().await.is_some() {}
}

/// The shards without a worker that may be read now: those whose parents are drained or gone.
fn startable(shared: &Shared, view: &View, running: &HashMap<Id, u32>) -> Vec<u32> {
    let horizon = view.meta.horizon_ms(shared.clock.now_ms());
    let checkpoints = locked(&shared.checkpoints);
    let over = |index: u32| {
        checkpoints.get(index).is_some_and(|checkpoint| checkpoint.ended)
            || view
                .meta
                .shards
                .get(index as usize)
                .is_none_or(|shard| shard.expired(horizon))
    };
    let busy: std::collections::HashSet<u32> = running.values().copied().collect();
    let shards = view.meta.shards.iter().filter(|shard| {
        let parents = [shard.parent, shard.adjacent_parent];
        !busy.contains(&shard.index)
            && !over(shard.index)
            // A worker may still be processing records of an expired shard.
            && parents.into_iter().flatten().all(|parent| over(parent) && !busy.contains(&parent))
    });
    shards.map(|shard| shard.index).collect()
}
