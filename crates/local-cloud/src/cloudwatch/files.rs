//! Metrics on disk: one file a day, replaced whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::store::DaySeries;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct DayFile {
    version: u32,
    series: Vec<DaySeries>,
}

/// Everything in `dir`. A file that cannot be read is put aside, so that it is neither lost nor in the way.
///
/// # Errors
/// When `dir` cannot be listed.
pub(super) fn read_all(dir: &Path) -> io::Result<Vec<DaySeries>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cbor") {
            match read(&path) {
                Ok(series) => all.extend(series),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "metrics that cannot be read are put aside");
                    fs::rename(&path, path.with_extension("unreadable"))?;
                }
            }
        }
    }
    Ok(all)
}

fn read(path: &Path) -> io::Result<Vec<DaySeries>> {
    let file: DayFile = ciborium::from_reader(io::BufReader::new(fs::File::open(path)?))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    if file.version != VERSION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "of another version"));
    }
    Ok(file.series)
}

/// Writes one day, or removes its file where nothing is left of it.
///
/// # Errors
/// When the file cannot be written; the one before is then still there.
pub(super) fn write(dir: &Path, day: i64, series: Vec<DaySeries>) -> io::Result<()> {
    let path = path(dir, day);
    if series.is_empty() {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let mut bytes = Vec::with_capacity(64 * 1024);
    let file = DayFile {
        version: VERSION,
        series,
    };
    ciborium::into_writer(&file, &mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    ground::platform::replace_private_file(&path, &bytes)
}

fn path(dir: &Path, day: i64) -> PathBuf {
    dir.join(format!("day-{day}.cbor"))
}
