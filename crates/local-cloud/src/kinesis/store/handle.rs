//! Files kept open between calls, few enough in all that thousands of shards do not use up the process's files.
//! A file that finds no room is opened for each call, some microseconds each.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files kept open in all; systems allow a process 256 and more.
const KEPT: usize = 128;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// A file that is kept open.
#[derive(Debug)]
pub(super) struct Handle(Arc<File>);

impl Handle {
    /// Keeps `file` open if there is room.
    pub fn keep(file: &Arc<File>) -> Option<Self> {
        if OPEN.fetch_add(1, Ordering::Relaxed) < KEPT {
            return Some(Self(Arc::clone(file)));
        }
        OPEN.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// Keeps `file` open whether there is room or not.
    #[cfg(test)]
    pub fn force(file: File) -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(file))
    }

    /// The file.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.0)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}
