//! A directory of files that a manifest refers to, such as those of a web site.
//!
//! A manifest may come from anybody, and what it refers to is sent to AWS and shown to everyone: the directory is that of the
//! manifest or below it, and only plain files in it count. Their number and their size are bounded.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{BUNDLED, Bundled};
use ground::file;

/// Files of a directory.
const MOST_FILES: usize = 1_000;
/// Bytes of a file, and of all files.
pub(crate) const MOST_BYTES: u64 = 16 << 20;
const MOST_BYTES_OF_ALL: u64 = 256 << 20;
/// Levels of directories.
const MOST_LEVELS: usize = 16;
/// Bytes of the path of a file. S3 has 1,024 for a key.
const MOST_NAME: usize = 900;
/// The only hidden directory whose files count. Source: RFC 8615.
const WELL_KNOWN: &str = ".well-known";

/// A directory, by where the manifest is and the path from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Directory {
    base: Base,
    /// In the manifest, such as `web`.
    path: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Base {
    /// The name of a bundled template.
    Template(String),
    /// The directory of a manifest file.
    Beside(PathBuf),
}

impl Directory {
    /// The directory `path` of a bundled template.
    pub(super) fn bundled(template: &Bundled, path: &str) -> Self {
        Self {
            base: Base::Template(template.name.to_owned()),
            path: path.to_owned(),
        }
    }

    /// The directory `path` below `dir`, which is that of a manifest.
    pub(super) fn beside(dir: &Path, path: &str) -> Self {
        Self {
            base: Base::Beside(dir.to_owned()),
            path: path.to_owned(),
        }
    }

    /// In the manifest, such as `web`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The paths of all files, from the directory on and with slashes, in order. Hidden files are left out.
    ///
    /// # Errors
    /// The problem, as a sentence: no such directory, none or too many files, or one that is not a plain file.
    pub(crate) fn names(&self) -> Result<Vec<String>, String> {
        let mut names = match &self.base {
            Base::Template(template) => bundled_names(template, &self.path),
            Base::Beside(dir) => found_names(&real(dir, &self.path)?)?,
        };
        names.sort();
        match names.len() {
            0 => Err(format!("there are no files in {}", self.path)),
            _ => Ok(names),
        }
    }

    /// The content of the file `name`, which is one of [`Directory::names`].
    ///
    /// # Errors
    /// The problem, as a sentence.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let missing = || format!("there is no file {name} in {}", self.path);
        match &self.base {
            Base::Template(template) => {
                let path = format!("{}/{name}", self.path);
                let files = BUNDLED.iter().find(|one| one.name == *template);
                let mut files = files.into_iter().flat_map(|one| one.files);
                let found = files.find(|(file, _)| *file == path);
                found
                    .map(|(_, text)| text.as_bytes().to_vec())
                    .ok_or_else(missing)
            }
            Base::Beside(dir) => {
                if !Path::new(name)
                    .components()
                    .all(|part| matches!(part, Component::Normal(_)))
                {
                    return Err(missing());
                }
                let path = real(dir, &self.path)?.join(name);
                let kind = path.symlink_metadata().map_err(|_| missing())?;
                if !kind.is_file() {
                    return Err(missing());
                }
                file::read(&path, MOST_BYTES).map_err(|error| format!("could not read {name}: {error}"))
            }
        }
    }
}

fn bundled_names(template: &str, path: &str) -> Vec<String> {
    let template = BUNDLED.iter().find(|one| one.name == template);
    let files = template.into_iter().flat_map(|one| one.files);
    let below = files.filter_map(|(file, _)| file.strip_prefix(path)?.strip_prefix('/'));
    below.map(str::to_owned).collect()
}

/// The real path of the directory `path` below `dir`.
fn real(dir: &Path, path: &str) -> Result<PathBuf, String> {
    let outside = || format!("{path} is not in the directory of the manifest");
    let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if path.is_empty() || !Path::new(path).components().all(plain) {
        return Err(outside());
    }
    let unreadable = |error: std::io::Error| format!("could not read the directory {path}: {error}");
    let (root, real) = (
        dir.canonicalize().map_err(unreadable)?,
        dir.join(path).canonicalize().map_err(unreadable)?,
    );
    // A symbolic link may lead out of the directory.
    match real.starts_with(&root) {
        true if real.is_dir() => Ok(real),
        true => Err(format!("{path} is not a directory")),
        false => Err(outside()),
    }
}

/// The files below `root`.
fn found_names(root: &Path) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let mut bytes: u64 = 0;
    let mut open = vec![(root.to_owned(), String::new(), 0)];
    while let Some((dir, prefix, level)) = open.pop() {
        if level > MOST_LEVELS {
            return Err(format!(
                "{prefix} has more than {MOST_LEVELS} directories above it"
            ));
        }
        let shown = if prefix.is_empty() { "." } else { &prefix };
        let unreadable = |error: std::io::Error| format!("could not read the directory {shown}: {error}");
        for entry in std::fs::read_dir(&dir).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let Some(part) = name_of(&entry.file_name(), shown)? else {
                continue;
            };
            let name = format!("{prefix}{part}");
            if name.len() > MOST_NAME {
                return Err(format!("the path {name} is longer than {MOST_NAME} bytes"));
            }
            // Of the entry itself: a symbolic link may lead anywhere.
            let metadata = entry.metadata().map_err(unreadable)?;
            if metadata.is_dir() {
                open.push((entry.path(), format!("{name}/"), level + 1));
                continue;
            }
            if !metadata.is_file() {
                return Err(format!("{name} is not a plain file"));
            }
            if metadata.len() > MOST_BYTES {
                return Err(format!("{name} is larger than {} MiB", MOST_BYTES >> 20));
            }
            bytes = bytes.saturating_add(metadata.len());
            names.push(name);
            if names.len() > MOST_FILES || bytes > MOST_BYTES_OF_ALL {
                return Err(format!(
                    "there are more than {MOST_FILES} files or {} MiB",
                    MOST_BYTES_OF_ALL >> 20
                ));
            }
        }
    }
    Ok(names)
}

/// The name of an entry; `None` for a hidden one.
fn name_of(name: &OsStr, dir: &str) -> Result<Option<String>, String> {
    let Some(name) = name.to_str() else {
        return Err(format!("{dir} has a file whose name is not UTF-8"));
    };
    if name.starts_with('.') && name != WELL_KNOWN {
        return Ok(None);
    }
    // A backslash is a separator on other systems; browsers turn it into a slash.
    match name.chars().any(|c| c.is_control() || c == '\\') {
        true => Err(format!("{name:?} is not a name for a file of a site")),
        false => Ok(Some(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        dir
    }

    #[test]
    fn plain_files_in_order_without_hidden_ones() {
        let dir = files(&[
            "web/index.html",
            "web/a/b.js",
            "web/.git/config",
            "web/.DS_Store",
            "web/.well-known/x",
            "other",
        ]);
        let web = Directory::beside(dir.path(), "./web");
        assert_eq!(web.names().unwrap(), [".well-known/x", "a/b.js", "index.html"]);
        assert_eq!(web.read("a/b.js").unwrap(), b"web/a/b.js");
        assert!(web.read("../other").is_err() && web.read("none").is_err());
    }

    #[test]
    fn directories_outside_and_without_files_are_refused() {
        let dir = files(&["web/index.html", "file"]);
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        let refused = |path: &str| Directory::beside(dir.path(), path).names().unwrap_err();
        for path in ["..", "web/../..", "/etc", ""] {
            assert!(refused(path).contains("is not in the directory"), "{path}");
        }
        assert!(refused("none").contains("could not read"));
        assert_eq!(refused("file"), "file is not a directory");
        assert_eq!(refused("empty"), "there are no files in empty");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_hostile_names_are_refused() {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;

        let dir = files(&["web/index.html"]);
        let web = || Directory::beside(dir.path(), "web");
        symlink("/etc/passwd", dir.path().join("web/leak")).unwrap();
        assert_eq!(web().names().unwrap_err(), "leak is not a plain file");
        assert!(web().read("leak").is_err());
        std::fs::remove_file(dir.path().join("web/leak")).unwrap();
        symlink("/etc", dir.path().join("outside")).unwrap();
        let outside = Directory::beside(dir.path(), "outside");
        assert!(outside.names().unwrap_err().contains("is not in the directory"));
        for name in [&b"a\nb"[..], b"a\\b", b"\xff"] {
            let path = dir.path().join("web").join(OsStr::from_bytes(name));
            std::fs::write(&path, "").unwrap();
            assert!(web().names().is_err(), "{name:?}");
            std::fs::remove_file(path).unwrap();
        }
        assert!(web().names().is_ok());
    }

    #[test]
    fn numbers_and_sizes_are_bounded() {
        let dir = files(&["web/index.html"]);
        let web = || Directory::beside(dir.path(), "web");
        let large = std::fs::File::create(dir.path().join("web/large")).unwrap();
        large.set_len(MOST_BYTES + 1).unwrap();
        assert_eq!(web().names().unwrap_err(), "large is larger than 16 MiB");
        std::fs::remove_file(dir.path().join("web/large")).unwrap();
        for at in 0..MOST_FILES {
            std::fs::write(dir.path().join(format!("web/{at}")), "").unwrap();
        }
        assert!(web().names().unwrap_err().contains("more than 1000 files"));
        let deep = format!("deep/{}index.html", "a/".repeat(MOST_LEVELS + 1));
        let dir = files(&[&deep]);
        let deep = Directory::beside(dir.path(), "deep").names().unwrap_err();
        assert!(deep.contains("more than 16 directories"), "{deep}");
    }
}
