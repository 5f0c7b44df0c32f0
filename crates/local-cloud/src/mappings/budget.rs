//! Memory limit for the records that all mappings read ahead.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of events that all shards of all mappings may hold at the same time.
const BYTES: usize = 256 << 20;
/// Reservation before a read: a page in base64, with the event's members for each record.
const PAGE: usize = 2 << 20;
const UNIT: usize = 1024;

/// The bytes shared by all shards.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BYTES / UNIT)))
    }
}

/// Part of the budget that a shard holds.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    permit: Option<OwnedSemaphorePermit>,
}

impl Share {
    pub(super) fn of(budget: &Budget) -> Self {
        Self {
            budget: budget.clone(),
            permit: None,
        }
    }

    fn held(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn take(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.permit {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
    }

    /// Reserves another page besides the `bytes` already held. Returns whether there was room.
    pub(super) fn reserve(&mut self, bytes: usize) -> bool {
        let missing = units(bytes + PAGE).saturating_sub(self.held());
        let Ok(missing) = u32::try_from(missing) else {
            return false;
        };
        if missing == 0 {
            return true;
        }
        match Arc::clone(&self.budget.0).try_acquire_many_owned(missing) {
            Ok(permit) => {
                self.take(permit);
                true
            }
            Err(_) => false,
        }
    }

    /// Waits until there is room for a page.
    pub(super) async fn wait(&mut self) {
        let missing = units(PAGE).saturating_sub(self.held());
        let budget = Arc::clone(&self.budget.0);
        // The semaphore is never closed.
        if let Ok(permit) = budget
            .acquire_many_owned(u32::try_from(missing).unwrap_or(1))
            .await
        {
            self.take(permit);
        }
    }

    /// Returns everything above `bytes`.
    pub(super) fn keep(&mut self, bytes: usize) {
        let surplus = self.held().saturating_sub(units(bytes));
        if surplus > 0
            && let Some(permit) = &mut self.permit
        {
            drop(permit.split(surplus));
        }
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT)
}
