//! The task that looks for what is due.

use std::sync::Arc;
use std::time::Duration;

use crate::kinesis::engine::Engine;

/// The longest pause between two looks, while there are channels.
const PAUSE: Duration = Duration::from_secs(5);
/// The shortest.
const LEAST: Duration = Duration::from_millis(100);

/// Delivers what is due, until it is aborted. What it was writing then is written again after a restart.
pub(crate) async fn run(engine: Arc<Engine>) {
    let mut created = engine.channels.created.subscribe();
    loop {
        let working = Arc::clone(&engine);
        let advanced = engine.clock.advanced();
        let next = tokio::task::spawn_blocking(move || {
            let due_ms = working.deliver_channels();
            due_ms.map(|due_ms| due_ms.saturating_sub(working.clock.now_ms()))
        });
        let pause = match next.await {
            Ok(None) => None,
            Ok(Some(ms)) => Some(Duration::from_millis(u64::try_from(ms).unwrap_or_default())),
            Err(error) => {
                tracing::error!(%error, "delivery of channels failed; it is tried again");
                Some(PAUSE)
            }
        };
        // Without channels nothing wakes.
        let woken = created.changed();
        let gone = match pause {
            None => woken.await.is_err(),
            Some(pause) => tokio::select! {
                woken = woken => woken.is_err(),
                () = tokio::time::sleep(pause.clamp(LEAST, PAUSE)) => false,
                () = advanced => false,
            },
        };
        if gone {
            return;
        }
    }
}
