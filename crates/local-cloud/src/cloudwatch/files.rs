//! Metrics on disk: one file per day, replaced as a whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::store::DaySeries;
use daemon::protocol::Damage;

const VERSION: u32 = 1;
/// Extension of a damaged file.
const UNREADABLE: &str = "unreadable";

#[derive(Serialize, Deserialize)]
struct DayFile {
    version: u32,
    series: Vec<DaySeries>,
}

/// All data in `dir`, and the damaged files. A damaged file is renamed, so that it is neither replaced nor read again.
///
/// # Errors
/// If `dir` cannot be listed.
pub(super) fn read_all(dir: &Path) -> io::Result<(Vec<DaySeries>, Vec<Damage>)> {
    let (mut all, mut damage) = (Vec::new(), Vec::new());
    let unreadable = |path: &Path| Damage {
        file: path.display().to_string(),
        resource: None,
        records: 0,
        message: "the metrics of a day cannot be read".to_owned(),
    };
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == UNREADABLE) {
            damage.push(unreadable(&path));
        }
        if path.extension().is_some_and(|extension| extension == "cbor") {
            match read(&path) {
                Ok(series) => all.extend(series),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "unreadable metrics file was renamed");
                    let renamed = path.with_extension(UNREADABLE);
                    fs::rename(&path, &renamed)?;
                    damage.push(unreadable(&renamed));
                }
            }
        }
    }
    Ok((all, damage))
}

fn read(path: &Path) -> io::Result<Vec<DaySeries>> {
    let file: DayFile = ciborium::from_reader(io::BufReader::new(fs::File::open(path)?))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    if file.version != VERSION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "of another version"));
    }
    Ok(file.series)
}

/// Writes one day. Removes its file if it has no data.
///
/// # Errors
/// If the file cannot be written. The old one is then intact.
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
