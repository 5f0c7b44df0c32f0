//! Files of state: settings and descriptions that are small and replaced as a whole.
//!
//! Each file has a copy beside it (`.copy`): a line with a checksum, then the same content. The copy is written first, so
//! it has every acknowledged change, and its checksum tells whether it is intact. One damaged or missing file of the two
//! loses nothing. If neither can be read, the state is damaged, which is an error: an empty one must not replace it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use ground::platform;

const COPY: &str = "copy";
/// First word of a copy.
const MAGIC: &str = "crc32:";

/// Replaces the state in `path`.
///
/// # Errors
/// If a file cannot be written. The old state is then intact. The error names the file.
pub(crate) fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    save_copy(path, bytes)?;
    platform::replace_private_file(path, bytes).inspect_err(|_| {
        // It has a change that is refused.
        if let Err(error) = std::fs::remove_file(copy_of(path)) {
            tracing::warn!(path = %path.display(), %error, "the copy of a state file is newer than the file");
        }
    })
}

/// Replaces the copy only. For state that changes by itself and that a restart could derive.
///
/// # Errors
/// As [`save`].
pub(crate) fn save_copy(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut content = format!("{MAGIC}{:08x}\n", crc32fast::hash(bytes)).into_bytes();
    content.extend_from_slice(bytes);
    platform::replace_private_file_unsynced(&copy_of(path), &content)
}

/// Reads the state in `path` with `parse`. `None` if nothing was ever saved. A damaged file is renamed and replaced by its
/// copy.
///
/// # Errors
/// If neither the file nor its copy can be read. The error names the file.
pub(crate) fn load<T>(path: &Path, parse: impl Fn(&[u8]) -> io::Result<T>) -> io::Result<Option<T>> {
    let copy = read(&copy_of(path))?.and_then(|bytes| checked(&bytes).map(<[u8]>::to_vec));
    let file = read(path)?;
    let Some(copy) = copy else {
        let damaged = |error: io::Error| {
            let text = format!("{}: is damaged: {error}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        return match file {
            Some(bytes) => parse(&bytes).map(Some).map_err(damaged),
            None if copy_of(path).exists() => Err(damaged(io::ErrorKind::NotFound.into())),
            None => Ok(None),
        };
    };
    let value = parse(&copy).map_err(|error| platform::at_path(error, path))?;
    let is_damaged = file.as_deref().is_none_or(|bytes| parse(bytes).is_err());
    if is_damaged {
        if file.is_some() {
            tracing::warn!(path = %path.display(), "a state file is damaged; it was renamed, and its copy replaces it");
            let mut aside = path.as_os_str().to_owned();
            aside.push(".damaged");
            let _ = std::fs::rename(path, aside);
        }
        if let Err(error) = platform::replace_private_file(path, &copy) {
            tracing::warn!(%error, "a state file could not be replaced by its copy");
        }
    }
    Ok(Some(value))
}

/// Whether a state was ever saved in `path`.
pub(crate) fn exists(path: &Path) -> bool {
    path.exists() || copy_of(path).exists()
}

/// [`save`], as JSON.
///
/// # Errors
/// As [`save`].
pub(crate) fn save_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    save(path, &serde_json::to_vec_pretty(value)?)
}

/// [`load`], from JSON.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    load(path, |bytes| Ok(serde_json::from_slice(bytes)?))
}

/// Deletes the state in `path`.
///
/// # Errors
/// If a file cannot be deleted.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    for path in [copy_of(path), path.to_owned()] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(platform::at_path(error, &path));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The state files with this extension in `dir`, also those of which only the copy is left.
///
/// # Errors
/// If `dir` cannot be read.
pub(crate) fn list(dir: &Path, extension: &str) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).map_err(|error| platform::at_path(error, dir))? {
        let mut path = entry?.path();
        if path.extension() == Some(OsStr::new(COPY)) {
            path.set_extension("");
        }
        if path.extension() == Some(OsStr::new(extension)) {
            found.insert(path);
        }
    }
    Ok(found)
}

fn copy_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(COPY);
    PathBuf::from(name)
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(platform::at_path(error, path)),
    }
}

/// The content of a copy, if it is intact.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&bytes[..end]).ok()?;
    let checksum = u32::from_str_radix(line.strip_prefix(MAGIC)?, 16).ok()?;
    let content = &bytes[end + 1..];
    (crc32fast::hash(content) == checksum).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    type State = Vec<(String, u32)>;

    fn state() -> State {
        vec![("orders".to_owned(), 7), ("clicks".to_owned(), 40)]
    }

    #[test]
    fn one_damaged_or_missing_file_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        assert_eq!(load_json::<State>(&path).unwrap(), None);
        save_json(&path, &vec![("older", 1)]).unwrap();
        for damaged in [path.clone(), copy_of(&path)] {
            save_json(&path, &state()).unwrap();
            let whole = std::fs::read(&damaged).unwrap();
            for at in 0..whole.len() {
                save_json(&path, &state()).unwrap();
                let mut bytes = whole.clone();
                bytes[at] ^= 4;
                std::fs::write(&damaged, bytes).unwrap();
                assert_eq!(
                    load_json(&path).unwrap(),
                    Some(state()),
                    "byte {at} of {damaged:?}"
                );
            }
            for length in [0, 1, whole.len() / 2, whole.len() - 1] {
                save_json(&path, &state()).unwrap();
                std::fs::write(&damaged, &whole[..length]).unwrap();
                assert_eq!(load_json(&path).unwrap(), Some(state()));
            }
            save_json(&path, &state()).unwrap();
            std::fs::remove_file(&damaged).unwrap();
            assert_eq!(load_json(&path).unwrap(), Some(state()));
            assert_eq!(list(dir.path(), "json").unwrap(), BTreeSet::from([path.clone()]));
        }
    }

    #[test]
    fn two_damaged_files_are_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        save_json(&path, &state()).unwrap();
        std::fs::write(copy_of(&path), "").unwrap();
        for content in [Some(""), Some("{"), None] {
            match content {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let error = load_json::<State>(&path).unwrap_err().to_string();
            assert!(error.contains("state.json"), "{error}");
        }
        remove(&path).unwrap();
        assert_eq!(load_json::<State>(&path).unwrap(), None);
    }

    #[test]
    fn files_of_earlier_versions_have_no_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        std::fs::write(&path, r#"[["orders", 7], ["clicks", 40]]"#).unwrap();
        assert_eq!(load_json(&path).unwrap(), Some(state()));
    }

    #[test]
    fn a_refused_change_is_not_read_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        save_json(&path, &state()).unwrap();
        // What stands in the way of the file, but not of its copy.
        let blocked = dir.path().join(format!("state.json.new-{}", std::process::id()));
        std::fs::create_dir(&blocked).unwrap();
        let error = save_json(&path, &vec![("refused", 1)]).unwrap_err();
        assert!(error.to_string().contains("state.json"), "{error}");
        assert_eq!(load_json(&path).unwrap(), Some(state()));
    }
}
