//! What is known of a database from outside: a small file beside it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ground::platform;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// No file: the database was never opened, or by an earlier version.
    None,
    /// It exists.
    Unknown,
    /// It is open, or its process was killed. Its log exists.
    Open,
    /// It was closed, with this length and checksum.
    Closed { length: u64, crc32: u32 },
    /// It was found damaged, for this reason. Reading it may have changed what could be seen of that.
    Damaged(String),
}

impl Record {
    pub fn exists(database: &Path) -> bool {
        path(database).exists()
    }

    /// A damaged record says only that there was one.
    pub fn read(database: &Path) -> Self {
        match std::fs::read_to_string(path(database)) {
            Ok(text) => Self::parse(&text).unwrap_or(Self::Unknown),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::None,
            Err(_) => Self::Unknown,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (content, checksum) = text.trim_end().rsplit_once(' ')?;
        if u32::from_str_radix(checksum, 16).ok()? != crc32fast::hash(content.as_bytes()) {
            return None;
        }
        if let Some(fault) = content.strip_prefix("damaged ") {
            return Some(Self::Damaged(fault.to_owned()));
        }
        match content.split(' ').collect::<Vec<_>>()[..] {
            ["open"] => Some(Self::Open),
            ["closed", length, crc32] => Some(Self::Closed {
                length: length.parse().ok()?,
                crc32: u32::from_str_radix(crc32, 16).ok()?,
            }),
            _ => None,
        }
    }

    /// Without it, the next start notices less. So a failure is only logged. An older record must not stay: it would not
    /// match what the database becomes.
    pub fn write(&self, database: &Path) {
        let content = match self {
            Self::None | Self::Unknown => "exists".to_owned(),
            Self::Open => "open".to_owned(),
            Self::Closed { length, crc32 } => format!("closed {length} {crc32:08x}"),
            Self::Damaged(fault) => format!("damaged {}", fault.replace('\n', " ")),
        };
        let text = format!("{content} {:08x}\n", crc32fast::hash(content.as_bytes()));
        if let Err(error) = platform::replace_private_file_unsynced(&path(database), text.as_bytes()) {
            tracing::warn!(%error, "the state of a database could not be saved");
            let _ = std::fs::remove_file(path(database));
        }
    }
}

/// Length and CRC-32 of a file.
pub(super) fn checksum(file: &Path) -> io::Result<(u64, u32)> {
    let mut file = std::fs::File::open(file)?;
    let (mut hasher, mut length) = (crc32fast::Hasher::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((length, hasher.finalize())),
            read => {
                hasher.update(&buffer[..read]);
                length += read as u64;
            }
        }
    }
}

pub(super) fn path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".record");
    PathBuf::from(name)
}
