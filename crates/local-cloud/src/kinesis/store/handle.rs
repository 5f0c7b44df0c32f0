//! Open files, limited in number so that thousands of shards do not exhaust the process's file descriptors. Files above
//! the limit are opened for each call, which takes some microseconds.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Open files in total. Systems allow a process 256 or more.
const KEPT: usize = 128;

static OPEN: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
pub(super) struct Handle(Arc<File>);

impl Handle {
    /// Keeps `file` open if the limit allows.
    pub fn keep(file: &Arc<File>) -> Option<Self> {
        if OPEN.fetch_add(1, Ordering::Relaxed) < KEPT {
            return Some(Self(Arc::clone(file)));
        }
        OPEN.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// Keeps `file` open regardless of the limit.
    #[cfg(test)]
    pub fn force(file: File) -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(file))
    }

    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.0)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}
