//! Configuration files of directories that the user trusts.
//!
//! A trust is a file in `$STREAMCTL_HOME/trust`, named by a hash of the path and the content of the trusted file. A file
//! that is changed or moved is not trusted any more, as with `direnv allow`.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use ground::error::{Error, Result};
use ground::{file, platform};

/// Entries are a path and a line end.
const MOST_BYTES: u64 = 64 * 1024;

/// The trusted files of a home.
#[derive(Debug, Clone)]
pub struct Trust {
    dir: PathBuf,
}

impl Trust {
    /// The trusted files of `home` (`STREAMCTL_HOME`). Accesses no file.
    pub fn new(home: &Path) -> Self {
        Self {
            dir: home.join("trust"),
        }
    }

    /// Whether the user trusts the file `path` with this content.
    pub fn has(&self, path: &Path, content: &str) -> bool {
        let path = canonical(path);
        let entry = self.dir.join(hash(&path, content));
        // The entry must be about this path: its name alone could be a copy.
        file::read(&entry, MOST_BYTES).is_ok_and(|found| found == line(&path))
    }

    /// Trusts the file `path` with this content, and no longer with an earlier one.
    ///
    /// # Errors
    /// Exit 1 if the home cannot be written.
    pub fn add(&self, path: &Path, content: &str) -> Result<()> {
        self.remove(path)?;
        let path = canonical(path);
        platform::create_private_dir(&self.dir)
            .and_then(|()| platform::replace_private_file(&self.dir.join(hash(&path, content)), &line(&path)))
            .map_err(|error| self.failed(error))
    }

    /// Stops trusting the file `path`, whatever its content. Returns whether it was trusted with any.
    ///
    /// # Errors
    /// Exit 1 if the home cannot be read or written.
    pub fn remove(&self, path: &Path) -> Result<bool> {
        let expected = line(&canonical(path));
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(self.failed(error)),
        };
        let mut removed = false;
        for entry in entries {
            let entry = entry.map_err(|error| self.failed(error))?.path();
            if file::read(&entry, MOST_BYTES).is_ok_and(|found| found == expected) {
                std::fs::remove_file(&entry).map_err(|error| self.failed(error))?;
                removed = true;
            }
        }
        Ok(removed)
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::failed(format!(
            "the trusted files in {} cannot be changed",
            self.dir.display()
        ))
        .cause(error)
        .hint("set STREAMCTL_HOME to a directory that can be written")
    }
}

/// The path without symbolic links, or the absolute path of a file that does not exist.
fn canonical(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let parent = absolute.parent().and_then(|dir| dir.canonicalize().ok());
    match (absolute.canonicalize(), parent, absolute.file_name()) {
        (Ok(path), _, _) => path,
        // A deleted file can still be removed from the trusted ones.
        (Err(_), Some(parent), Some(name)) => parent.join(name),
        _ => absolute,
    }
}

fn hash(path: &Path, content: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(path.as_os_str().as_encoded_bytes());
    // A path contains no zero byte, so no two pairs are written the same.
    hash.update([0]);
    hash.update(content);
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn line(path: &Path) -> Vec<u8> {
    let mut line = path.as_os_str().as_encoded_bytes().to_vec();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trust_is_for_one_path_and_one_content() {
        let dir = tempfile::tempdir().unwrap();
        let trust = Trust::new(&dir.path().join("home"));
        let path = dir.path().join("streamctl.toml");
        let copy = dir.path().join("copy.toml");
        for path in [&path, &copy] {
            std::fs::write(path, "a").unwrap();
        }
        assert!(!trust.has(&path, "a"));
        assert!(!trust.remove(&path).unwrap(), "there is no home yet");

        trust.add(&path, "a").unwrap();
        assert!(trust.has(&path, "a"));
        assert!(!trust.has(&path, "b"), "changed");
        assert!(!trust.has(&copy, "a"), "moved");

        trust.add(&path, "b").unwrap();
        assert!(!trust.has(&path, "a"), "an earlier content is not trusted again");
        trust.add(&copy, "a").unwrap();
        assert!(trust.remove(&path).unwrap());
        assert!(!trust.has(&path, "b"));
        assert!(trust.has(&copy, "a"));
    }

    #[test]
    #[cfg(unix)]
    fn a_file_is_known_by_its_real_path_and_entries_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let trust = Trust::new(&home);
        std::fs::create_dir(dir.path().join("real")).unwrap();
        let path = dir.path().join("real/streamctl.toml");
        std::fs::write(&path, "a").unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        trust.add(&dir.path().join("link/streamctl.toml"), "a").unwrap();
        assert!(trust.has(&path, "a"));
        let mode = std::fs::metadata(home.join("trust"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::remove_file(&path).unwrap();
        assert!(trust.remove(&path).unwrap());
    }
}
