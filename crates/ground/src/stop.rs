//! The wish to stop, heard by whatever works in steps.

use std::sync::Arc;

use tokio::sync::watch;

/// The user's wish to stop. Clones share it.
#[derive(Debug, Clone)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    /// Asks to stop: what runs is finished, nothing more is begun.
    pub fn set(&self) {
        self.0.send_replace(true);
    }

    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once it is set.
    pub async fn wait(&self) {
        let mut receiver = self.0.subscribe();
        if receiver.wait_for(|set| *set).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
