//! Metadata on disk: written to a temporary file, which then replaces the old one.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::meta::StreamMeta;
use ground::platform;

pub const FILE: &str = "stream.json";

/// # Errors
/// If the file cannot be written. The old one is then intact.
pub fn save(dir: &Path, meta: &StreamMeta) -> io::Result<()> {
    platform::create_private_dir(dir)?;
    save_json(&dir.join(FILE), meta)
}

/// Loads a stream's metadata from `dir`. `None` if there is none.
///
/// # Errors
/// If it cannot be read or parsed. The error names the file.
pub fn load(dir: &Path) -> io::Result<Option<StreamMeta>> {
    let path = dir.join(FILE);
    let Some(meta) = load_json::<StreamMeta>(&path)? else {
        return Ok(None);
    };
    let named =
        |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
    if meta.version != StreamMeta::VERSION {
        return Err(named(&format!(
            "is of version {}, this program reads version {}",
            meta.version,
            StreamMeta::VERSION
        )));
    }
    let in_order = meta
        .shards
        .iter()
        .enumerate()
        .all(|(index, shard)| shard.index as usize == index);
    if !in_order || meta.open_shards().next().is_none() {
        return Err(named("its list of shards is damaged"));
    }
    Ok(Some(meta))
}

/// Saves a value as JSON, atomically.
///
/// # Errors
/// If the file cannot be written. The old one is then intact.
pub fn save_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    platform::replace_private_file(path, &serde_json::to_vec_pretty(value)?)
}

/// Loads a JSON value. `None` if the file does not exist.
///
/// # Errors
/// If it cannot be read or parsed. The error names the file.
pub fn load_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let named = |kind, what: String| io::Error::new(kind, format!("{}: {what}", path.display()));
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| named(io::ErrorKind::InvalidData, format!("is damaged: {e}"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(named(error.kind(), error.to_string())),
    }
}
