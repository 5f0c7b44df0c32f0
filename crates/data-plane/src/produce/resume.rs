//! How far an input was sent, in a file that is replaced as a whole. A later run goes on after it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{NumberRange, Settled};
use crate::record::InputIdentity;
use ground::error::{Error, Result};
use ground::{file, platform};

/// The largest file that is read.
const MOST_BYTES: u64 = 4 << 20;
/// The most ranges of records that are kept: what is not in them is sent again.
const MOST_RANGES: usize = 10_000;
/// How often the file is written while records are sent.
const INTERVAL: Duration = Duration::from_secs(1);

/// What belongs together: an input, how it is read, and where it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeScope {
    pub input: InputIdentity,
    /// How the input is split into records.
    pub format: String,
    pub stream: String,
}

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    scope: ResumeScope,
    /// All records up to this number are acknowledged, or reported as failed.
    through: u64,
    /// So are these: first and last number of each range.
    beyond: Vec<NumberRange>,
}

/// A file that keeps how far an input was sent.
#[derive(Debug)]
pub struct ResumeFile {
    path: PathBuf,
    content: Content,
    written: Option<Instant>,
}

impl ResumeFile {
    /// Opens `path`, which need not exist.
    ///
    /// # Errors
    /// Exit 2 for a file that is no such file, or that of another input, format or stream; exit 1 if it cannot be read.
    pub fn open(path: &Path, scope: ResumeScope) -> Result<Self> {
        let shown = path.display();
        let content = match file::read(path, MOST_BYTES) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Content {
                scope,
                through: 0,
                beyond: Vec::new(),
            },
            Err(error) => return Err(Error::failed(format!("{shown} could not be read")).cause(error)),
            Ok(bytes) => {
                let content: Content = serde_json::from_slice(&bytes).map_err(|error| {
                    Error::usage(format!("{shown} is not a resume file"))
                        .cause(error)
                        .hint("name a file that `streamctl put STREAM --file RECORDS --resume FILE` wrote, or one that does not exist")
                })?;
                check(&shown.to_string(), &content.scope, &scope)?;
                content
            }
        };
        Ok(Self {
            path: path.to_owned(),
            content,
            written: None,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the record up to which all are sent.
    pub fn through(&self) -> u64 {
        self.content.through
    }

    /// Ranges of later records that are sent.
    pub fn beyond(&self) -> &[NumberRange] {
        &self.content.beyond
    }

    /// Keeps how far the input is settled, unless that was done a moment ago.
    ///
    /// # Errors
    /// Exit 1 if the file cannot be written.
    pub fn keep(&mut self, settled: &Settled) -> Result<()> {
        let now = Instant::now();
        if self
            .written
            .is_some_and(|written| now.duration_since(written) < INTERVAL)
        {
            return Ok(());
        }
        self.written = Some(now);
        self.advance(settled);
        self.write(platform::replace_private_file_unsynced)
    }

    /// Keeps how far the input is settled, at the end of a run.
    ///
    /// # Errors
    /// As [`ResumeFile::keep`].
    pub fn finish(&mut self, settled: &Settled) -> Result<()> {
        self.advance(settled);
        self.write(platform::replace_private_file)
    }

    fn advance(&mut self, settled: &Settled) {
        let content = &mut self.content;
        content.through = content.through.max(settled.through());
        let mut ranges = settled.beyond(MOST_RANGES);
        ranges.append(&mut content.beyond);
        ranges.sort_unstable();
        ranges.retain(|(_, last)| *last > content.through);
        ranges.dedup();
        ranges.truncate(MOST_RANGES);
        content.beyond = ranges;
    }

    fn write(&self, replace: impl FnOnce(&Path, &[u8]) -> std::io::Result<()>) -> Result<()> {
        let failed = |cause: String| {
            Error::failed(format!(
                "the resume file {} could not be written",
                self.path.display()
            ))
            .cause(cause)
        };
        let bytes = serde_json::to_vec(&self.content).map_err(|error| failed(error.to_string()))?;
        replace(&self.path, &bytes).map_err(|error| failed(error.to_string()))
    }
}

/// Refuses a file that is not about `now`.
fn check(shown: &str, then: &ResumeScope, now: &ResumeScope) -> Result<()> {
    let problem = if let Some(changed) = now.input.changed_since(&then.input) {
        changed
    } else if then.stream != now.stream {
        format!("it was sent to {}", then.stream)
    } else if then.format != now.format {
        format!("it was read as {}", then.format)
    } else {
        return Ok(());
    };
    Err(
        Error::usage(format!("{shown} belongs to another input: {problem}"))
            .hint("name another file with --resume to send the input from its start"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Inputs;

    fn scope(dir: &Path, text: &str, stream: &str) -> ResumeScope {
        let input = dir.join("in.ndjson");
        std::fs::write(&input, text).unwrap();
        let inputs = Inputs::choose(&[input.display().to_string()], None, true).unwrap();
        ResumeScope {
            input: inputs.identity().unwrap(),
            format: "auto".to_owned(),
            stream: stream.to_owned(),
        }
    }

    #[test]
    fn a_later_run_goes_on_after_what_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resume.json");
        let mut file = ResumeFile::open(&path, scope(dir.path(), "1", "orders")).unwrap();
        assert_eq!((file.through(), file.beyond()), (0, &[][..]));
        let mut settled = Settled::default();
        let places: Vec<u64> = (1..=6).map(|number| settled.read(number)).collect();
        for index in [0, 1, 3, 5] {
            settled.settle(places[index]);
        }
        file.finish(&settled).unwrap();
        let mut file = ResumeFile::open(&path, scope(dir.path(), "1", "orders")).unwrap();
        assert_eq!((file.through(), file.beyond()), (2, &[(4, 4), (6, 6)][..]));
        // The next run reads 3 and 5, and settles 3.
        let mut settled = Settled::default();
        let places = [3, 5].map(|number| settled.read(number));
        settled.settle(places[0]);
        file.finish(&settled).unwrap();
        let file = ResumeFile::open(&path, scope(dir.path(), "1", "orders")).unwrap();
        assert_eq!((file.through(), file.beyond()), (3, &[(4, 4), (6, 6)][..]));
    }

    #[test]
    fn another_input_stream_or_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resume.json");
        let mut file = ResumeFile::open(&path, scope(dir.path(), "1", "orders")).unwrap();
        file.finish(&Settled::default()).unwrap();
        for (text, stream, expected) in [
            ("22", "orders", "had 1 bytes and now has 2"),
            ("1", "other", "it was sent to orders"),
        ] {
            let error = ResumeFile::open(&path, scope(dir.path(), text, stream)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.exit(), ground::exit::Exit::Usage);
        }
        std::fs::write(&path, "{}").unwrap();
        let error = ResumeFile::open(&path, scope(dir.path(), "1", "orders")).unwrap_err();
        assert_eq!(error.exit(), ground::exit::Exit::Usage);
    }
}
