//! Metadata on disk.

use std::io;
use std::path::Path;

use super::meta::StreamMeta;
use crate::state_file;
use ground::platform;

pub const FILE: &str = "stream.json";

/// # Errors
/// If the file cannot be written. The old one is then intact.
pub fn save(dir: &Path, meta: &StreamMeta) -> io::Result<()> {
    platform::create_private_dir(dir).map_err(|error| platform::at_path(error, dir))?;
    state_file::save_json(&dir.join(FILE), meta)
}

/// Saves transitions that came due. A restart would find that they are due, unless the clock is set back.
///
/// # Errors
/// If the file cannot be written. The old one is then intact.
pub fn save_transitions(dir: &Path, meta: &StreamMeta) -> io::Result<()> {
    state_file::save_copy(&dir.join(FILE), &serde_json::to_vec_pretty(meta)?)
}

/// Loads a stream's metadata from `dir`. `None` if there is none.
///
/// # Errors
/// If it cannot be read or parsed. The error names the file.
pub fn load(dir: &Path) -> io::Result<Option<StreamMeta>> {
    state_file::load(&dir.join(FILE), parse)
}

fn parse(bytes: &[u8]) -> io::Result<StreamMeta> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let meta: StreamMeta = serde_json::from_slice(bytes)?;
    if meta.version > StreamMeta::VERSION {
        return Err(invalid(format!(
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
        return Err(invalid("its list of shards is damaged".to_owned()));
    }
    Ok(meta)
}
