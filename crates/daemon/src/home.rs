//! Where the local cloud of one home keeps its files, and who runs it.
//!
//! ```text
//! $home/local/
//!   daemon.json   the running daemon: process, port, token (private; removed when it stops)
//!   daemon.lock   locked by the daemon for as long as it lives
//!   start.lock    locked by a command while it starts the daemon
//!   daemon.log    what the daemon says
//!   data/         what the cloud keeps; carries a marker, and only a marked directory is ever deleted
//! ```

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use ground::error::{Error, Result};
use ground::platform;

/// Names the directory as ours to delete.
const MARKER: &str = ".streamctl-local-cloud";
const MARKER_TEXT: &str =
    "Data of streamctl's local cloud. `streamctl local reset` deletes this directory and all in it.\n";

/// The part of a home that the local cloud owns.
#[derive(Debug, Clone)]
pub struct LocalHome {
    dir: PathBuf,
}

/// What the running daemon says of itself to other processes of this user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its process id.
    pub pid: u32,
    /// The port it listens on, at 127.0.0.1.
    pub port: u16,
    /// The version of streamctl it runs.
    pub version: String,
    /// When it started, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// What a request to stop must show.
    pub token: String,
}

impl State {
    /// The endpoint SDKs are given.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// A lock on a home, given back when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
}

impl LocalHome {
    /// The local cloud's part of `home` (`STREAMCTL_HOME`). Touches no file.
    pub fn new(home: &Path) -> Self {
        let home = std::path::absolute(home).unwrap_or_else(|_| home.to_path_buf());
        Self {
            dir: home.join("local"),
        }
    }

    /// The home it is a part of, as an absolute path.
    pub fn root(&self) -> &Path {
        self.dir.parent().unwrap_or(&self.dir)
    }

    /// The directory of all that follows.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the cloud keeps.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What the daemon says.
    pub fn log_file(&self) -> PathBuf {
        self.dir.join("daemon.log")
    }

    fn state_file(&self) -> PathBuf {
        self.dir.join("daemon.json")
    }

    /// Makes the directories, private to the user.
    ///
    /// # Errors
    /// Exit 1 when they cannot be made, or when a directory of another origin is in the place of the data.
    pub fn prepare(&self) -> Result<()> {
        let data = self.data_dir();
        let failed = |error| {
            Error::failed(format!("could not make the directory {}", data.display()))
                .cause(error)
                .hint("set STREAMCTL_HOME to a directory that can be written")
        };
        platform::create_private_dir(&data).map_err(failed)?;
        let marker = data.join(MARKER);
        if marker.exists() {
            return Ok(());
        }
        if std::fs::read_dir(&data).map_err(failed)?.next().is_some() {
            return Err(Error::failed(format!(
                "{} holds files that are not of the local cloud",
                data.display()
            ))
            .hint("set STREAMCTL_HOME to another directory"));
        }
        platform::replace_private_file(&marker, MARKER_TEXT.as_bytes()).map_err(failed)
    }

    /// The daemon that last wrote its state; it may be dead. A file that cannot be read counts as none.
    pub fn read_state(&self) -> Option<State> {
        let bytes = std::fs::read(self.state_file()).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Makes this daemon known.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_state(&self, state: &State) -> io::Result<()> {
        platform::replace_private_file(&self.state_file(), &serde_json::to_vec_pretty(state)?)
    }

    /// Forgets the daemon. The holder of the daemon's lock calls it.
    pub fn remove_state(&self) {
        // One that stays behind names a process that no longer answers: the next start ignores it.
        let _ = std::fs::remove_file(self.state_file());
    }

    /// The lock of the one daemon of this home; `None` while another process has it.
    ///
    /// # Errors
    /// Exit 1 when the lock file cannot be made.
    pub fn lock_daemon(&self) -> Result<Option<HomeLock>> {
        self.lock("daemon.lock")
    }

    /// The lock of the one command that starts the daemon; `None` while another process has it.
    ///
    /// # Errors
    /// Exit 1 when the lock file cannot be made.
    pub fn lock_start(&self) -> Result<Option<HomeLock>> {
        self.lock("start.lock")
    }

    fn lock(&self, name: &str) -> Result<Option<HomeLock>> {
        let path = self.dir.join(name);
        let failed = |error: io::Error| {
            Error::failed(format!("could not lock {}", path.display()))
                .cause(error)
                .hint("set STREAMCTL_HOME to a directory that can be written")
        };
        platform::create_private_dir(&self.dir).map_err(failed)?;
        let file = platform::private_file()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(HomeLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Deletes the data; `false` when there is none. The lock proves that no daemon uses it.
    ///
    /// # Errors
    /// Exit 1 when the directory does not carry our marker, or cannot be deleted.
    pub fn delete_data(&self, _lock: &HomeLock) -> Result<bool> {
        let data = self.data_dir();
        if !data.exists() {
            return Ok(false);
        }
        if !data.join(MARKER).is_file() {
            return Err(
                Error::failed(format!("{} was not made by the local cloud", data.display())).hint(
                    "nothing was deleted; look into the directory, and delete it by hand if it is yours",
                ),
            );
        }
        // The marker goes last: a reset that was cut short can be repeated.
        let outcome = std::fs::read_dir(&data).and_then(|entries| {
            for entry in entries {
                let entry = entry?;
                if entry.file_name() == MARKER {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    std::fs::remove_dir_all(entry.path())?;
                } else {
                    std::fs::remove_file(entry.path())?;
                }
            }
            std::fs::remove_dir_all(&data)
        });
        match outcome {
            Ok(()) => Ok(true),
            Err(error) => {
                Err(Error::failed(format!("could not delete all of {}", data.display())).cause(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, LocalHome) {
        let dir = tempfile::tempdir().unwrap();
        let home = LocalHome::new(dir.path());
        (dir, home)
    }

    fn state() -> State {
        State {
            pid: 7,
            port: 4566,
            version: "0.1.0".to_owned(),
            started_ms: 1,
            token: "secret".to_owned(),
        }
    }

    #[test]
    fn state_is_read_back_and_private() {
        let (_dir, home) = home();
        assert_eq!(home.read_state(), None);
        home.prepare().unwrap();
        home.write_state(&state()).unwrap();
        assert_eq!(home.read_state(), Some(state()));
        assert_eq!(state().endpoint(), "http://127.0.0.1:4566");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(home.state_file()), 0o600);
            assert_eq!(mode(home.data_dir()), 0o700);
        }
        home.remove_state();
        assert_eq!(home.read_state(), None);
    }

    #[test]
    fn a_torn_state_file_counts_as_none() {
        let (_dir, home) = home();
        home.prepare().unwrap();
        std::fs::write(home.state_file(), b"{\"pid\": 7,").unwrap();
        assert_eq!(home.read_state(), None);
    }

    #[test]
    fn a_home_has_one_lock() {
        let (_dir, home) = home();
        let lock = home.lock_daemon().unwrap().unwrap();
        assert!(home.lock_daemon().unwrap().is_none());
        assert!(home.lock_start().unwrap().is_some(), "the start lock is another");
        drop(lock);
        assert!(home.lock_daemon().unwrap().is_some());
    }

    #[test]
    fn only_marked_data_is_deleted() {
        let (_dir, home) = home();
        let lock = home.lock_daemon().unwrap().unwrap();
        assert!(!home.delete_data(&lock).unwrap(), "nothing there yet");

        home.prepare().unwrap();
        std::fs::create_dir(home.data_dir().join("kinesis")).unwrap();
        std::fs::write(home.data_dir().join("kinesis/log"), b"x").unwrap();
        home.prepare().unwrap();
        assert!(home.delete_data(&lock).unwrap());
        assert!(!home.data_dir().exists());

        std::fs::create_dir(home.data_dir()).unwrap();
        std::fs::write(home.data_dir().join("thesis.txt"), b"x").unwrap();
        assert!(home.delete_data(&lock).is_err());
        assert!(home.prepare().is_err(), "nor is it used");
        assert!(home.data_dir().join("thesis.txt").exists());
    }
}
