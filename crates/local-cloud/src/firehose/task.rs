//! The tasks that deliver: one for each delivery stream.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select_all;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};

use super::Firehose;
use super::delivery::{Look, PAGE_BYTES, RECORD_BYTES};
use super::hose::Hose;

/// Bytes of records that all deliveries may hold at the same time.
const MEMORY: usize = 256 << 20;
const UNIT: usize = 1 << 10;
/// The shortest pause between two looks: arriving records wake the task only so often.
const LEAST: Duration = Duration::from_millis(50);
/// The longest.
const MOST: Duration = Duration::from_secs(60);
/// The pause after a panic.
const RECOVERY: Duration = Duration::from_secs(5);

/// Delivers what is due, until it is aborted. What it was writing then is written again after a restart.
pub(crate) async fn run(firehose: Arc<Firehose>) {
    let mut created = firehose.store.created();
    let memory = Arc::new(Semaphore::new(MEMORY / UNIT));
    let mut tasks = JoinSet::new();
    let mut running = BTreeSet::new();
    loop {
        created.mark_unchanged();
        for hose in firehose.store.every() {
            let id = hose.meta().id.clone();
            if running.insert(id.clone()) {
                let (firehose, memory) = (Arc::clone(&firehose), Arc::clone(&memory));
                tasks.spawn(async move {
                    let mut gone = hose.gone();
                    tokio::select! {
                        _ = gone.wait_for(|gone| *gone) => {}
                        () = deliver(firehose, hose, memory) => {}
                    }
                    id
                });
            }
        }
        tokio::select! {
            changed = created.changed() => if changed.is_err() {
                return;
            },
            Some(ended) = tasks.join_next() => if let Ok(id) = ended {
                running.remove(&id);
            },
        }
    }
}

/// Delivers one delivery stream, without end.
async fn deliver(firehose: Arc<Firehose>, hose: Arc<Hose>, memory: Arc<Semaphore>) {
    loop {
        let advanced = firehose.shared.clock.advanced();
        let permit = acquire(&memory, PAGE_BYTES + RECORD_BYTES).await;
        let (looking, at) = (Arc::clone(&firehose), Arc::clone(&hose));
        let looked = spawn_blocking(move || at.look(&looking.shared, looking.now_ms())).await;
        drop(permit);
        let (pause, news) = match looked {
            Ok(Look::Due(bytes)) => {
                let bytes = usize::try_from(bytes).unwrap_or(MEMORY);
                let needed = bytes.saturating_add(PAGE_BYTES + RECORD_BYTES);
                let permit = acquire(&memory, needed).await;
                let (delivering, at) = (Arc::clone(&firehose), Arc::clone(&hose));
                let delivered = spawn_blocking(move || {
                    // Held until the end, also when this task is aborted.
                    let _permit = permit;
                    at.deliver(&delivering.shared, delivering.now_ms());
                });
                match delivered.await {
                    Ok(()) => continue,
                    Err(error) => {
                        tracing::error!(%error, "a delivery failed; it is tried again");
                        (RECOVERY, Vec::new())
                    }
                }
            }
            Ok(Look::Idle(until_ms, news)) => {
                let ms = until_ms.saturating_sub(firehose.now_ms());
                let pause = Duration::from_millis(u64::try_from(ms).unwrap_or_default());
                (pause.clamp(LEAST, MOST), news)
            }
            Err(error) => {
                tracing::error!(%error, "a delivery failed; it is tried again");
                (RECOVERY, Vec::new())
            }
        };
        let arrived = async move {
            if news.is_empty() {
                return std::future::pending().await;
            }
            let changes = news
                .into_iter()
                .map(|mut one| async move { one.changed().await.is_ok() }.boxed());
            let _ = select_all(changes).await;
            tokio::time::sleep(LEAST).await;
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = arrived => {}
            () = advanced => {}
        }
    }
}

/// Waits for memory; a delivery that needs more than there is waits for all of it.
async fn acquire(memory: &Arc<Semaphore>, bytes: usize) -> Option<tokio::sync::OwnedSemaphorePermit> {
    let units = u32::try_from((bytes.min(MEMORY)).div_ceil(UNIT)).unwrap_or(u32::MAX);
    Arc::clone(memory).acquire_many_owned(units).await.ok()
}
