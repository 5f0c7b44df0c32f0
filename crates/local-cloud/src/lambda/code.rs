//! Code of functions: zips by hash, and their unpacked content.
//!
//! ```text
//! code/<sha256>.zip   as uploaded
//! run/<sha256>/       unpacked
//! ```
//! A zip is not trusted: nothing is written outside its directory or above Lambda's size limit.

use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use lambda_host::archive::{self, MAX_UNPACKED, Unfit};
use sha2::{Digest, Sha256};
use zip::ZipArchive;

use super::error::{ApiError, Result};
use ground::platform;

pub(super) struct CodeStore {
    code: PathBuf,
    run: PathBuf,
}

/// Hash and size of stored code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// SHA-256, base64.
    pub sha256: String,
    pub size: u64,
}

impl CodeStore {
    /// Opens the store in `dir`.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let this = Self {
            code: dir.join("code"),
            run: dir.join("run"),
        };
        platform::create_private_dir(&this.code)?;
        platform::create_private_dir(&this.run)?;
        platform::remove_unfinished(&this.code)?;
        Ok(this)
    }

    /// Checks that `zip` is valid, without storing it.
    pub fn check(zip: &[u8]) -> Result<Stored> {
        archive::check(zip).map_err(|unfit| refused(&unfit))?;
        Ok(Stored {
            sha256: base64_simd::STANDARD.encode_to_string(sha256(zip)),
            size: zip.len() as u64,
        })
    }

    /// Stores and unpacks `zip`. Blocks.
    pub fn put(&self, zip: &[u8]) -> Result<Stored> {
        let stored = Self::check(zip)?;
        let hex = hex(&stored.sha256).ok_or_else(not_a_zip)?;
        self.unpack(&hex, zip)?;
        let path = self.code.join(format!("{hex}.zip"));
        // Also one that is damaged is replaced.
        if self.zip(&hex).is_none() {
            platform::replace_private_file(&path, zip).map_err(|error| failed(&error))?;
        }
        Ok(stored)
    }

    /// The zip with the hash `hex`. `None` if it is missing or damaged.
    pub fn zip(&self, hex: &str) -> Option<Vec<u8>> {
        let is_hash = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        let path = self.code.join(format!("{hex}.zip"));
        let bytes = is_hash.then(|| std::fs::read(&path).ok()).flatten()?;
        if hex::encode(sha256(&bytes)) != hex {
            tracing::error!(path = %path.display(), "the code of a function is damaged; deploy it again");
            return None;
        }
        Some(bytes)
    }

    /// Directory of the code with the hash `sha256` (base64). Unpacks it if necessary. Blocks.
    pub fn laid_out(&self, sha256: &str) -> io::Result<PathBuf> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the code is missing or damaged");
        let hex = hex(sha256).ok_or_else(gone)?;
        let dir = self.run.join(&hex);
        if !dir.is_dir() {
            let zip = self.zip(&hex).ok_or_else(gone)?;
            self.unpack(&hex, &zip)
                .map_err(|error| io::Error::other(error.message))?;
        }
        Ok(dir)
    }

    /// Deletes the code with the hash `sha256` (base64). Blocks.
    pub fn remove(&self, sha256: &str) {
        let Some(hex) = hex(sha256) else { return };
        // Remaining files do no harm.
        let _ = std::fs::remove_file(self.code.join(format!("{hex}.zip")));
        let _ = std::fs::remove_dir_all(self.run.join(hex));
    }

    fn unpack(&self, hex: &str, zip: &[u8]) -> Result<()> {
        let dir = self.run.join(hex);
        if dir.is_dir() {
            return Ok(());
        }
        // Under a temporary name until it is complete.
        let fresh = self.run.join(format!(".{hex}-{:016x}", rand::random::<u64>()));
        let result = platform::create_private_dir(&fresh)
            .map_err(|error| failed(&error))
            .and_then(|()| extract(zip, &fresh))
            .and_then(|()| match std::fs::rename(&fresh, &dir) {
                // Another request unpacked the same code.
                Err(_) if dir.is_dir() => Ok(()),
                other => other.map_err(|error| failed(&error)),
            });
        let _ = std::fs::remove_dir_all(&fresh);
        result
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// File name for the code with the hash `sha256` (base64).
pub(super) fn hex(sha256: &str) -> Option<String> {
    let bytes = base64_simd::STANDARD.decode_to_vec(sha256).ok()?;
    (bytes.len() == 32).then(|| hex::encode(bytes))
}

fn extract(zip: &[u8], dir: &Path) -> Result<()> {
    let mut archive = ZipArchive::new(Cursor::new(zip)).map_err(|_| not_a_zip())?;
    let mut left = MAX_UNPACKED;
    let mut links = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|_| not_a_zip())?;
        let name = entry.name().map_err(|_| not_a_zip())?.into_owned();
        let inside = archive::path_of(&name).map_err(|_| not_a_zip())?;
        let path = dir.join(&inside);
        if entry.is_dir() {
            std::fs::create_dir_all(&path).map_err(|error| unusable(&error))?;
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| unusable(&error))?;
        }
        if entry.is_symlink() {
            let mut target = String::new();
            (&mut entry)
                .take(4096)
                .read_to_string(&mut target)
                .map_err(|_| not_a_zip())?;
            links.push((inside, target));
            continue;
        }
        let mode = entry.unix_mode();
        left = write_entry(&mut entry, &path, mode, left)?;
    }
    // Links last, so that no file is written through a link.
    for (inside, target) in links {
        link(dir, &inside, &target)?;
    }
    Ok(())
}

/// Writes one file of at most `left` bytes. Returns the remaining limit.
fn write_entry(entry: &mut impl Read, path: &Path, mode: Option<u32>, left: u64) -> Result<u64> {
    let mut file = platform::private_file()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|error| unusable(&error))?;
    let written = io::copy(&mut entry.take(left + 1), &mut file).map_err(|error| unusable(&error))?;
    let left = left.checked_sub(written).ok_or_else(too_large)?;
    file.flush().map_err(|error| failed(&error))?;
    // Always readable for the owner: some zips contain no modes.
    platform::set_mode(&file, mode.unwrap_or(0o644) & 0o755 | 0o400).map_err(|error| failed(&error))?;
    Ok(left)
}

/// Creates the symbolic link `inside`.
fn link(dir: &Path, inside: &Path, target: &str) -> Result<()> {
    if !archive::stays_inside(inside, target) {
        return Err(not_a_zip());
    }
    platform::symlink(target, &dir.join(inside)).map_err(|error| unusable(&error))
}

/// The error for a zip that is refused. Lambda names the reason only for empty and large ones.
fn refused(unfit: &Unfit) -> ApiError {
    match unfit {
        Unfit::Empty => ApiError::invalid("Uploaded file must be a non-empty zip"),
        Unfit::TooLarge(_) => too_large(),
        Unfit::NotAZip(_) => not_a_zip(),
        _ => ApiError::invalid(format!("Could not unzip uploaded file. It {unfit}.")),
    }
}

/// The error for an entry that cannot be written. Entries that exclude each other and bad names are the fault of the zip, and
/// so is what has no number of the operating system: it comes from the decompression.
fn unusable(error: &io::Error) -> ApiError {
    use io::ErrorKind as K;
    let is_of_the_zip = matches!(
        error.kind(),
        K::AlreadyExists
            | K::InvalidFilename
            | K::InvalidInput
            | K::IsADirectory
            | K::NotADirectory
            | K::NotFound
    );
    match error.raw_os_error() {
        Some(_) if !is_of_the_zip => failed(error),
        _ => not_a_zip(),
    }
}

fn not_a_zip() -> ApiError {
    ApiError::invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
}

fn too_large() -> ApiError {
    ApiError::invalid(format!("Unzipped size must be smaller than {MAX_UNPACKED} bytes"))
}

fn failed(error: &io::Error) -> ApiError {
    ApiError::service(format!("The code could not be stored: {error}."))
}

#[cfg(test)]
mod tests {
    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;

    fn zip(entries: &[(&str, &[u8], u32)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes, mode) in entries {
            let options = SimpleFileOptions::default().unix_permissions(*mode);
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn zip_with_link(name: &str, target: &str) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        writer.start_file("lib/real", options).unwrap();
        writer.add_symlink(name, target, options).unwrap();
        writer.finish().unwrap().into_inner()
    }

    #[cfg(unix)]
    #[test]
    fn code_is_unpacked_with_its_modes_and_again_when_lost() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let store = CodeStore::open(dir.path()).unwrap();
        let bytes = zip(&[("bootstrap", b"#!/bin/sh\n", 0o755), ("conf/a.txt", b"a", 0o600)]);
        let stored = store.put(&bytes).unwrap();
        assert_eq!(store.put(&bytes).unwrap(), stored);
        for _ in 0..2 {
            let out = store.laid_out(&stored.sha256).unwrap();
            let mode = out.join("bootstrap").metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o755);
            assert_eq!(std::fs::read(out.join("conf/a.txt")).unwrap(), b"a");
            std::fs::remove_dir_all(out).unwrap();
        }
        let hex = hex(&stored.sha256).unwrap();
        assert_eq!(store.zip(&hex).unwrap(), bytes);
        assert!(store.zip("../x").is_none());
        // A damaged zip is not used, and the next upload replaces it.
        let zip_file = dir.path().join("code").join(format!("{hex}.zip"));
        let mut damaged = bytes.clone();
        damaged[20] ^= 1;
        std::fs::write(&zip_file, damaged).unwrap();
        assert_eq!(store.zip(&hex), None);
        store.put(&bytes).unwrap();
        assert_eq!(store.zip(&hex).unwrap(), bytes);
        store.remove(&stored.sha256);
        assert!(store.laid_out(&stored.sha256).is_err());
    }

    #[test]
    fn nothing_is_written_outside_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let store = CodeStore::open(&dir.path().join("store")).unwrap();
        for name in ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", "..", "."] {
            let error = store.put(&zip(&[(name, b"x", 0o644)])).unwrap_err();
            assert_eq!(error.code, "InvalidParameterValueException", "{name}");
        }
        for (name, target) in [
            ("out", "/etc/passwd"),
            ("out", "../up"),
            ("a/out", "../../up"),
            ("a/out", "x/../../up"),
        ] {
            let error = store.put(&zip_with_link(name, target)).unwrap_err();
            assert!(
                error.message.contains("leads out"),
                "{name} {target}: {}",
                error.message
            );
        }
        assert!(!dir.path().join("evil").exists());
        let left: Vec<_> = std::fs::read_dir(dir.path().join("store/run")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[cfg(unix)]
    #[test]
    fn links_within_the_directory_are_created() {
        let dir = tempfile::tempdir().unwrap();
        let store = CodeStore::open(dir.path()).unwrap();
        let stored = store.put(&zip_with_link("bin/link", "../lib/real")).unwrap();
        let out = store.laid_out(&stored.sha256).unwrap();
        assert!(out.join("bin/link").is_file());
    }

    #[test]
    fn invalid_zips_are_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let store = CodeStore::open(dir.path()).unwrap();
        let whole = zip(&[("bootstrap", &[7; 1000], 0o755)]);
        let mut torn = whole.clone();
        torn[60] ^= 0xff;
        for bytes in [&b""[..], b"PK", &whole[..whole.len() / 2], &zip(&[]), &torn] {
            assert_eq!(
                store.put(bytes).unwrap_err().code,
                "InvalidParameterValueException"
            );
        }
    }

    #[test]
    fn a_zip_bomb_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bomb");
        let error = write_entry(&mut io::repeat(0), &path, None, 1 << 20).unwrap_err();
        assert_eq!(
            error.message,
            "Unzipped size must be smaller than 262144000 bytes"
        );
        assert!(path.metadata().unwrap().len() <= (1 << 20) + 1);
    }
}
