//! Trouble of the machine that an emulator of AWS runs on: a full disk, files that cannot be written, no more open files. Its
//! services answer that as an internal failure, with the message of the operating system. AWS sends no such message.

use std::io::{Error, ErrorKind};

const FULL: &str = "free space on the disk of the local cloud (`streamctl local status` shows its directory), then run the \
                    command again";
const UNWRITABLE: &str = "let your user write to the directory of the local cloud (`streamctl local status` shows it), then \
                          run the command again";
const FILES: &str =
    "run `streamctl local stop`, raise the limit of open files (`ulimit -n`), then run the command again";
const MEMORY: &str = "free some memory, then run the command again";
const OTHER: &str = "the log of the local cloud has more (`streamctl local status` shows its directory)";

/// What helps against the trouble that `message` tells of; `None` if it tells of none.
pub fn hint(message: &str) -> Option<&'static str> {
    if let Some(number) = number(message) {
        return Some(match Error::from_raw_os_error(number).kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => FULL,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => UNWRITABLE,
            ErrorKind::OutOfMemory => MEMORY,
            _ if is_out_of_files(message) => FILES,
            _ => OTHER,
        });
    }
    // The messages of SQLite.
    let known = [
        ("database or disk is full", FULL),
        ("attempt to write a readonly database", UNWRITABLE),
        ("unable to open database file", OTHER),
        ("disk I/O error", OTHER),
    ];
    let found = known.iter().find(|(text, _)| message.contains(text));
    found.map(|(_, hint)| *hint)
}

/// Whether `message` tells of trouble that lasts until somebody ends it: a full disk, files that cannot be written, or no more
/// open files.
pub fn lasts(message: &str) -> bool {
    hint(message).is_some_and(|hint| [FULL, UNWRITABLE, FILES].contains(&hint))
}

/// `message` without AWS's words for an internal failure.
pub fn plain(message: &str) -> &str {
    message
        .strip_prefix("Internal service failure: ")
        .unwrap_or(message)
}

/// The number at the end of "No space left on device (os error 28)".
fn number(message: &str) -> Option<i32> {
    let (_, rest) = message.rsplit_once("(os error ")?;
    rest.split(')').next()?.parse().ok()
}

/// Whether the process or the machine has no more open files to give: EMFILE or ENFILE.
pub fn is_out_of_files(message: &str) -> bool {
    cfg!(unix) && matches!(number(message), Some(23 | 24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn trouble_of_the_machine_is_told_from_failures_of_a_service() {
        for (message, word) in [
            (
                "could not write: No space left on device (os error 28)",
                "free space",
            ),
            ("Disk quota exceeded (os error 122).", "free space"),
            ("Permission denied (os error 13)", "let your user write"),
            ("Read-only file system (os error 30)", "let your user write"),
            ("Too many open files (os error 24)", "ulimit"),
            ("Cannot allocate memory (os error 12)", "memory"),
            ("Input/output error (os error 5)", "the log"),
            ("database or disk is full", "free space"),
        ] {
            let found = hint(message).unwrap_or_else(|| panic!("{message}"));
            assert!(found.contains(word), "{message}: {found}");
            assert_eq!(
                lasts(message),
                ["free space", "let your user write", "ulimit"].contains(&word)
            );
        }
        for message in ["", "Internal service failure.", "Rate exceeded", "(os error x)"] {
            assert_eq!(hint(message), None, "{message}");
        }
        assert_eq!(plain("Internal service failure: no disk"), "no disk");
    }
}
