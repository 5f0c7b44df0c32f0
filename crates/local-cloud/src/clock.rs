//! The clock of the services: that of the machine, or a time apart from it. Tests of a user let time pass with it.
//!
//! It only goes forward. The offset is kept with the data, since times in the data come from it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::state_file;

pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;

    /// Completes when the clock is advanced after this call.
    fn advanced(&self) -> BoxFuture<'static, ()> {
        std::future::pending().boxed()
    }
}

/// Waits until `ms` on `clock`, however it gets there.
pub(crate) async fn until(clock: &dyn Clock, ms: i64) {
    loop {
        let advanced = clock.advanced();
        let left = u64::try_from(ms.saturating_sub(clock.now_ms())).unwrap_or(0);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(left)) => return,
            () = advanced => {}
        }
    }
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    }
}

/// The clock of a local cloud: the machine's, with an offset that commands may raise.
#[derive(Debug)]
pub(crate) struct CloudClock {
    file: PathBuf,
    offset_ms: AtomicI64,
    /// Held while the offset changes.
    changing: Mutex<()>,
    advanced: watch::Sender<()>,
}

/// The content of the file. Without a file, the offset is 0.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    offset_ms: i64,
}

/// Why the clock was not set.
#[derive(Debug)]
pub(crate) enum NotSet {
    /// It would go back.
    Earlier,
    Io(io::Error),
}

impl CloudClock {
    /// The clock of the data in `dir`. `behind` is how far behind the machine's clock a new local cloud begins.
    ///
    /// # Errors
    /// When the file cannot be read or written, and `InvalidInput` if `behind` would set the clock of existing data back.
    pub(crate) fn open(dir: &Path, behind: Option<Duration>, has_data: bool) -> io::Result<Self> {
        let file = dir.join("clock.json");
        let stored: Option<Stored> = state_file::load_json(&file)?;
        let clock = Self {
            file,
            offset_ms: AtomicI64::new(stored.unwrap_or_default().offset_ms),
            changing: Mutex::default(),
            advanced: watch::channel(()).0,
        };
        let Some(behind) = behind else {
            return Ok(clock);
        };
        let wanted = i64::try_from(behind.as_millis()).map_or(i64::MIN, |ms| -ms);
        if !has_data {
            clock.save(wanted)?;
        } else if let Err(NotSet::Earlier) = clock.set_offset(wanted) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the clock of a local cloud that has data cannot be set back",
            ));
        }
        Ok(clock)
    }

    /// Milliseconds that this clock is ahead of the machine's.
    pub(crate) fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// Sets [`CloudClock::offset_ms`], and wakes what waits for a time.
    ///
    /// # Errors
    /// When the clock would go back, or the offset cannot be written.
    pub(crate) fn set_offset(&self, offset_ms: i64) -> Result<(), NotSet> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if offset_ms < self.offset_ms() {
            return Err(NotSet::Earlier);
        }
        self.save(offset_ms).map_err(NotSet::Io)
    }

    fn save(&self, offset_ms: i64) -> io::Result<()> {
        state_file::save_json(&self.file, &Stored { offset_ms })?;
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
        self.advanced.send_replace(());
        Ok(())
    }
}

impl Clock for CloudClock {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms().saturating_add(self.offset_ms())
    }

    fn advanced(&self) -> BoxFuture<'static, ()> {
        let mut advanced = self.advanced.subscribe();
        async move {
            // The clock lives as long as the process.
            let _ = advanced.changed().await;
        }
        .boxed()
    }
}

/// A time in UTC, in a format of `strftime`. A time outside the calendar is the epoch.
pub(crate) fn utc(ms: i64, format: &str) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime(format).to_string()
}

/// A clock that stands still between calls of `advance`.
#[cfg(test)]
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

#[cfg(test)]
impl ManualClock {
    pub fn new(now_ms: i64) -> Self {
        Self(AtomicI64::new(now_ms))
    }

    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

#[cfg(test)]
impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const DAY_MS: i64 = 86_400_000;

    #[test]
    fn the_offset_is_kept_and_only_grows() {
        let dir = tempfile::tempdir().unwrap();
        let open = |behind, has_data| CloudClock::open(dir.path(), behind, has_data);
        let clock = open(Some(DAY), false).unwrap();
        assert_eq!(clock.offset_ms(), -DAY_MS);
        let apart = SystemClock.now_ms() - clock.now_ms();
        assert!((DAY_MS..DAY_MS + 60_000).contains(&apart), "{apart}");
        clock.set_offset(-5).unwrap();
        assert!(matches!(clock.set_offset(-6), Err(NotSet::Earlier)));
        // It goes on after a restart, and cannot be set back.
        assert_eq!(open(None, true).unwrap().offset_ms(), -5);
        let refused = open(Some(DAY), true).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(open(Some(Duration::ZERO), true).unwrap().offset_ms(), 0);
        // Data without the file has the machine's time.
        let other = tempfile::tempdir().unwrap();
        assert!(CloudClock::open(other.path(), Some(DAY), true).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_when_the_clock_gets_there() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(CloudClock::open(dir.path(), None, false).unwrap());
        let due = clock.now_ms() + 10 * DAY_MS;
        let waiting = Arc::clone(&clock);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let task = tokio::spawn(async move {
            until(&*waiting, due).await;
            over.store(true, Ordering::SeqCst);
        });
        tokio::task::yield_now().await;
        clock.set_offset(5 * DAY_MS).unwrap();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!is_over.load(Ordering::SeqCst), "half the way");
        clock.set_offset(11 * DAY_MS).unwrap();
        task.await.unwrap();
    }
}
