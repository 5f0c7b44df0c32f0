//! The files of the local cloud in a home, and the process that runs it.
//!
//! ```text
//! $home/local/
//!   secret        the secret of this home, which daemon and commands prove to know
//!   control.sock  where the daemon takes requests of commands
//!   daemon.json   the running daemon: process and port (removed when it stops)
//!   daemon.lock   locked by the daemon while it runs
//!   start.lock    locked by a command while it starts the daemon
//!   daemon.log    output of the daemon
//!   data/         data of the cloud; contains a marker, and only a marked directory is ever deleted
//! ```
//!
//! The directory is of the user alone. One that other users could have prepared or could change is refused, since they
//! could have it contain a function, a secret or a link.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::control::ControlSocket;
use crate::protocol;
use crate::secret::Secret;
use ground::error::{Error, Result, machine};
use ground::platform;

/// Marks a directory that may be deleted.
const MARKER: &str = ".streamctl-local-cloud";
const MARKER_TEXT: &str =
    "Data of streamctl's local cloud. `streamctl local reset` deletes this directory and everything in it.\n";

/// The local cloud's part of a home.
#[derive(Debug, Clone)]
pub struct LocalHome {
    dir: PathBuf,
}

/// State file of the running daemon. The next daemon takes its port, and commands that have no control socket use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub pid: u32,
    /// The port at 127.0.0.1.
    pub port: u16,
    /// Version of streamctl.
    pub version: String,
    /// Start time, milliseconds since the Unix epoch.
    pub started_ms: i64,
}

impl State {
    pub fn endpoint(&self) -> String {
        protocol::endpoint(self.port)
    }
}

/// A lock on a home. It is released when it is dropped or the process ends.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
}

impl LocalHome {
    /// The local cloud's part of `home` (`STREAMCTL_HOME`). Accesses no file.
    pub fn new(home: &Path) -> Self {
        let home = std::path::absolute(home).unwrap_or_else(|_| home.to_path_buf());
        Self {
            dir: home.join("local"),
        }
    }

    /// The absolute path of the home.
    pub fn root(&self) -> &Path {
        self.dir.parent().unwrap_or(&self.dir)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn log_file(&self) -> PathBuf {
        self.dir.join("daemon.log")
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.dir.join("daemon.json")
    }

    fn secret_file(&self) -> PathBuf {
        self.dir.join("secret")
    }

    /// Where the daemon takes requests of commands. `None` if it takes them on its port.
    pub fn control_socket(&self) -> Option<ControlSocket> {
        ControlSocket::in_dir(&self.dir)
    }

    /// Checks that no other user could have prepared or can change the directory, if there is one. Every access to the
    /// files in it begins with this.
    ///
    /// # Errors
    /// Exit 1 if another user could.
    pub fn check(&self) -> Result<()> {
        let dir = self.dir.display();
        let shared = platform::shared_with_others(&self.dir)
            .map_err(|error| Error::failed(format!("could not inspect {dir}")).cause(error))?;
        match shared {
            None => Ok(()),
            Some(why) => Err(Error::failed(format!(
                "{dir} is not safe to use as the home of the local cloud"
            ))
            .cause(why)
            .hint(format!(
                "set STREAMCTL_HOME to a directory of your own; if nobody else has used this one, run `chmod \
                         go-w {dir}`"
            ))),
        }
    }

    /// The secret of this home. `None` before the first start of its daemon.
    pub fn secret(&self) -> Option<Secret> {
        let bytes = platform::read_private(&self.secret_file()).ok()?;
        Secret::parse(std::str::from_utf8(&bytes).ok()?)
    }

    /// The secret of this home, which is made if there is none. The lock is that of the daemon.
    ///
    /// # Errors
    /// Exit 1 if the file cannot be written.
    pub fn secret_or_new(&self, _lock: &HomeLock) -> Result<Secret> {
        if let Some(secret) = self.secret() {
            return Ok(secret);
        }
        let secret = Secret::generate();
        let path = self.secret_file();
        platform::replace_private_file(&path, secret.as_str().as_bytes())
            .map_err(|error| cannot_write(&path, error))?;
        Ok(secret)
    }

    /// Creates the directories, private to the user.
    ///
    /// # Errors
    /// Exit 1 if they cannot be created, or if the data directory contains files of another origin.
    pub fn prepare(&self) -> Result<()> {
        self.check()?;
        let data = self.data_dir();
        let failed = |error| {
            let failed = Error::failed(format!("could not create the directory {}", data.display()));
            with_hint(failed, error)
        };
        platform::create_private_dir(&data).map_err(failed)?;
        let marker = data.join(MARKER);
        if marker.exists() {
            return Ok(());
        }
        if std::fs::read_dir(&data).map_err(failed)?.next().is_some() {
            return Err(Error::failed(format!(
                "{} holds files that do not belong to the local cloud",
                data.display()
            ))
            .hint("set STREAMCTL_HOME to another directory"));
        }
        platform::replace_private_file(&marker, MARKER_TEXT.as_bytes())
            .map_err(|error| cannot_write(&marker, error))
    }

    /// The last daemon that wrote its state. It may have ended. `None` if the file cannot be read.
    pub fn read_state(&self) -> Option<State> {
        let bytes = platform::read_private(&self.state_file()).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// # Errors
    /// Exit 1 if the file cannot be written.
    pub fn write_state(&self, state: &State) -> Result<()> {
        let path = self.state_file();
        serde_json::to_vec_pretty(state)
            .map_err(io::Error::from)
            .and_then(|bytes| platform::replace_private_file(&path, &bytes))
            .map_err(|error| cannot_write(&path, error))
    }

    /// Call it only with the daemon's lock.
    pub fn remove_state(&self) {
        // A remaining file names a process that does not answer. The next start ignores it.
        let _ = std::fs::remove_file(self.state_file());
    }

    /// The lock of the home's daemon. `None` while another process holds it.
    ///
    /// # Errors
    /// Exit 1 if the lock file cannot be created.
    pub fn lock_daemon(&self) -> Result<Option<HomeLock>> {
        self.lock("daemon.lock")
    }

    /// The lock of the command that starts the daemon. `None` while another process holds it.
    ///
    /// # Errors
    /// Exit 1 if the lock file cannot be created.
    pub fn lock_start(&self) -> Result<Option<HomeLock>> {
        self.lock("start.lock")
    }

    fn lock(&self, name: &str) -> Result<Option<HomeLock>> {
        let path = self.dir.join(name);
        let failed =
            |error: io::Error| with_hint(Error::failed(format!("could not lock {}", path.display())), error);
        self.check()?;
        platform::create_private_dir(&self.dir).map_err(failed)?;
        let mut options = platform::private_file();
        options.write(true).create(true).truncate(false);
        let file = platform::open_private(&options, &path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(HomeLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Deletes the data. `false` if there is none. The lock proves that no daemon uses it.
    ///
    /// # Errors
    /// Exit 1 if the directory has no marker or cannot be deleted.
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
        // Delete the marker last: an interrupted reset can then be repeated.
        let result = std::fs::read_dir(&data).and_then(|entries| {
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
        match result {
            Ok(()) => Ok(true),
            Err(error) => {
                Err(Error::failed(format!("could not delete all of {}", data.display())).cause(error))
            }
        }
    }
}

fn cannot_write(path: &Path, error: io::Error) -> Error {
    with_hint(
        Error::failed(format!("could not write {}", path.display())),
        error,
    )
}

/// Adds the cause, and what can be done about it.
pub(crate) fn with_hint(failed: Error, cause: io::Error) -> Error {
    let hint = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space on the disk, or set STREAMCTL_HOME to a directory on another one"
        }
        _ if machine::is_out_of_files(&cause.to_string()) => {
            "raise the limit of open files with `ulimit -n 1024`, then run the command again"
        }
        _ => "set STREAMCTL_HOME to a directory that can be written",
    };
    failed.cause(cause).hint(hint)
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
        }
    }

    #[test]
    fn state_is_saved_and_private() {
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
    fn an_incomplete_state_file_is_ignored() {
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

    #[test]
    fn a_home_keeps_its_secret() {
        let (_dir, home) = home();
        assert_eq!(home.secret(), None);
        let lock = home.lock_daemon().unwrap().unwrap();
        let secret = home.secret_or_new(&lock).unwrap();
        assert_eq!(home.secret(), Some(secret.clone()));
        assert_eq!(home.secret_or_new(&lock).unwrap(), secret);
        std::fs::write(home.secret_file(), "torn").unwrap();
        assert_ne!(home.secret_or_new(&lock).unwrap(), secret);
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_others_can_change_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, home) = home();
        home.check().unwrap();
        home.prepare().unwrap();
        home.check().unwrap();
        for mode in [0o770, 0o707, 0o777] {
            std::fs::set_permissions(home.dir(), PermissionsExt::from_mode(mode)).unwrap();
            for refused in [home.check(), home.prepare(), home.lock_daemon().map(drop)] {
                let error = refused.unwrap_err();
                assert!(error.to_string().contains("is not safe to use"), "{error}");
                assert!(
                    error.chain()[1].contains("other users can write to it"),
                    "{error:?}"
                );
                assert!(error.hint_text().unwrap().contains("chmod go-w"), "{error:?}");
            }
        }
        std::fs::set_permissions(home.dir(), PermissionsExt::from_mode(0o700)).unwrap();
        // As root, a directory of another user is known by its owner.
        if std::os::unix::fs::chown(home.dir(), Some(65534), None).is_ok() {
            let error = home.check().unwrap_err();
            assert!(
                error.chain()[1].contains("belongs to another user (user id 65534"),
                "{error:?}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_in_place_of_files_are_refused() {
        let (dir, home) = home();
        home.prepare().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        std::fs::write(&elsewhere, "precious").unwrap();
        for name in ["daemon.lock", "start.lock", "daemon.json", "secret"] {
            std::os::unix::fs::symlink(&elsewhere, home.dir().join(name)).unwrap();
        }
        for refused in [home.lock_daemon(), home.lock_start()] {
            let error = refused.unwrap_err();
            assert!(error.chain()[1].contains("symbolic link"), "{error:?}");
        }
        assert_eq!((home.read_state(), home.secret()), (None, None));
        home.write_state(&state()).unwrap();
        assert_eq!(home.read_state(), Some(state()), "the link was replaced");
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "precious");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_of_the_user_may_lead_to_another_disk() {
        let (dir, home) = home();
        let elsewhere = dir.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, home.dir()).unwrap();
        home.prepare().unwrap();
        assert!(elsewhere.join("data").is_dir());
    }
}
