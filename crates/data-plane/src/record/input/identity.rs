//! What tells whether an input is still the same: the name, size, beginning and end of each file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Inputs, Part};
use ground::error::{Error, Result};

/// How much of the beginning and of the end is compared. Reading all of a large file would take as long as sending it.
const COMPARED: u64 = 64 * 1024;

/// The files of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputIdentity {
    files: Vec<FileIdentity>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileIdentity {
    path: String,
    size: u64,
    /// SHA-256 of the beginning and of the end, in hexadecimal.
    sha256: String,
}

impl InputIdentity {
    /// What is no longer as in `earlier`, in a few words; `None` if nothing has changed.
    pub fn changed_since(&self, earlier: &Self) -> Option<String> {
        if self.files.len() != earlier.files.len() {
            return Some(format!(
                "the input had {} files and now has {}",
                earlier.files.len(),
                self.files.len()
            ));
        }
        let pairs = self.files.iter().zip(&earlier.files);
        let (now, then) = pairs.into_iter().find(|(now, then)| now != then)?;
        Some(if now.path != then.path {
            format!("the input was {} and now is {}", then.path, now.path)
        } else if now.size != then.size {
            format!("{} had {} bytes and now has {}", now.path, then.size, now.size)
        } else {
            format!("the content of {} has changed", now.path)
        })
    }
}

impl Inputs {
    /// Looks at the files of the input. Blocks.
    ///
    /// # Errors
    /// Exit 2 for an input that can be read only once, and for a file that cannot be read.
    pub fn identity(&self) -> Result<InputIdentity> {
        let identity = |part: &Part| match part {
            Part::File(path) => of_file(path)
                .map_err(|error| Error::usage(format!("{} could not be read", path.display())).cause(error)),
            _ => Err(Error::usage(format!("{} can be read only once", part.name()))
                .hint("only files can be resumed: write the records to a file first")),
        };
        Ok(InputIdentity {
            files: self.parts.iter().map(identity).collect::<Result<_>>()?,
        })
    }
}

fn of_file(path: &Path) -> io::Result<FileIdentity> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut hash = Sha256::new();
    let mut part = Vec::new();
    for start in [0, size.saturating_sub(COMPARED)] {
        file.seek(SeekFrom::Start(start))?;
        part.clear();
        (&mut file).take(COMPARED).read_to_end(&mut part)?;
        hash.update(&part);
    }
    let hex = |byte: &u8| format!("{byte:02x}");
    Ok(FileIdentity {
        path: std::path::absolute(path)?.display().to_string(),
        size,
        sha256: hash.finalize().iter().map(hex).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_noticed_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.ndjson");
        let name = path.display().to_string();
        let inputs = |name: &str| Inputs::choose(&[name.to_owned()], None, true).unwrap();
        std::fs::write(&path, vec![b'1'; 300_000]).unwrap();
        let first = inputs(&name).identity().unwrap();
        assert_eq!(inputs(&name).identity().unwrap().changed_since(&first), None);
        let mut text = vec![b'1'; 300_000];
        text[299_999] = b'2';
        std::fs::write(&path, text).unwrap();
        let changed = inputs(&name).identity().unwrap().changed_since(&first).unwrap();
        assert!(changed.ends_with("in.ndjson has changed"), "{changed}");
        std::fs::write(&path, "1").unwrap();
        let changed = inputs(&name).identity().unwrap().changed_since(&first).unwrap();
        assert!(changed.ends_with("had 300000 bytes and now has 1"), "{changed}");
        let pipe = Inputs::choose(&["-".to_owned()], None, false).unwrap();
        assert!(pipe.identity().unwrap_err().to_string().contains("only once"));
    }
}
