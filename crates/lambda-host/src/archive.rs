//! What the zip of a function may contain. It is checked from the directory of the zip, before anything is unpacked.
//!
//! Lambda publishes one limit, the unpacked size. The others are far above real code. They keep a small zip from making
//! a large number of files: one entry can name thousands of directories.

use std::collections::HashMap;
use std::fmt;
use std::io::{Cursor, Read, Seek};
use std::path::{Component, Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

/// Maximum bytes of unpacked code. Source: "Lambda quotas", Lambda developer guide: 250 MB.
pub const MAX_UNPACKED: u64 = 262_144_000;
/// Maximum entries of a zip, as in the zip format without extensions.
const MAX_ENTRIES: usize = 65_535;
/// Maximum directories, named or implied.
const MAX_DIRECTORIES: usize = 10_000;
/// Maximum components of a path.
const MAX_DEPTH: usize = 64;
/// Maximum bytes of a path. Linux allows 4,096 with the directory that the code is in.
const MAX_PATH: usize = 1024;
/// Maximum bytes of a file name on Linux.
const MAX_NAME: usize = 255;
/// Maximum bytes of the target of a symbolic link.
const MAX_TARGET: u64 = 1024;

/// Why a zip is refused. Completes a sentence that begins with the name of the zip.
#[derive(Debug)]
pub enum Unfit {
    NotAZip(ZipError),
    Empty,
    /// Its unpacked size, as far as it is known.
    TooLarge(u64),
    TooManyEntries,
    TooManyDirectories,
    /// An entry with this name, and what is wrong with it.
    Entry(String, &'static str),
    /// Entries share bytes of the zip.
    Overlaps,
    /// Several entries have the same name.
    Duplicates,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAZip(_) => f.write_str("is not a zip that can be read"),
            Self::Empty => f.write_str("has no entries"),
            Self::TooLarge(bytes) => write!(
                f,
                "unpacks to {} MB; Lambda takes {} MB at most",
                bytes.div_ceil(1 << 20),
                MAX_UNPACKED >> 20
            ),
            Self::TooManyEntries => write!(f, "has more than {MAX_ENTRIES} entries"),
            Self::TooManyDirectories => write!(f, "has more than {MAX_DIRECTORIES} directories"),
            Self::Entry(name, problem) => {
                let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
                let rest = if shown.len() < name.len() { "…" } else { "" };
                write!(f, "has the entry `{shown}{rest}`, which {problem}")
            }
            Self::Overlaps => f.write_str("has entries that overlap"),
            Self::Duplicates => f.write_str("has several entries of the same name"),
        }
    }
}

impl std::error::Error for Unfit {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotAZip(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ZipError> for Unfit {
    fn from(error: ZipError) -> Self {
        Self::NotAZip(error)
    }
}

/// What a path of the zip is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Directory,
    File,
}

/// Checks a zip. Returns its unpacked size as its directory states it, in bytes. An entry may unpack to more than it
/// states, so whoever unpacks it must count.
///
/// # Errors
/// If Lambda would refuse it, or it is built to do harm.
pub fn check(bytes: &[u8]) -> Result<u64, Unfit> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))?;
    if archive.is_empty() {
        return Err(Unfit::Empty);
    }
    if archive.len() > MAX_ENTRIES {
        return Err(Unfit::TooManyEntries);
    }
    if archive.has_duplicate_names() {
        return Err(Unfit::Duplicates);
    }
    let mut nodes: HashMap<PathBuf, Node> = HashMap::new();
    let mut directories = 0;
    let mut unpacked = 0_u64;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index)?;
        let name = entry.name()?.into_owned();
        let path = path_of(&name).map_err(|problem| Unfit::Entry(name.clone(), problem))?;
        unpacked = unpacked.saturating_add(entry.size());
        let node = if entry.is_dir() {
            Node::Directory
        } else {
            Node::File
        };
        drop(entry);
        directories += add(&mut nodes, &path, node).map_err(|problem| Unfit::Entry(name, problem))?;
        if directories > MAX_DIRECTORIES {
            return Err(Unfit::TooManyDirectories);
        }
    }
    if unpacked > MAX_UNPACKED {
        return Err(Unfit::TooLarge(unpacked));
    }
    if archive.has_overlapping_entries()? {
        return Err(Unfit::Overlaps);
    }
    check_links(&mut archive)?;
    Ok(unpacked)
}

/// Adds a path with its parents. Returns the number of directories that are new.
fn add(nodes: &mut HashMap<PathBuf, Node>, path: &Path, node: Node) -> Result<usize, &'static str> {
    let mut added = 0;
    let parents = path.ancestors().skip(1);
    for parent in parents.take_while(|parent| !parent.as_os_str().is_empty()) {
        match nodes.get(parent) {
            // Its own parents are there too.
            Some(Node::Directory) => break,
            Some(Node::File) => return Err("is inside another entry that is a file"),
            None => nodes.insert(parent.to_owned(), Node::Directory),
        };
        added += 1;
    }
    match (nodes.insert(path.to_owned(), node), node) {
        (None, Node::Directory) => Ok(added + 1),
        (None, Node::File) | (Some(Node::Directory), Node::Directory) => Ok(added),
        _ => Err("is both a file and a directory, or occurs twice"),
    }
}

/// The path of an entry, relative to the directory of the code.
///
/// # Errors
/// What is wrong with it.
pub fn path_of(name: &str) -> Result<PathBuf, &'static str> {
    if name.contains(['\0', '\\']) {
        return Err("has a character that no path may have");
    }
    if name.len() > MAX_PATH {
        return Err("has a path that is too long");
    }
    let mut path = PathBuf::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) if part.len() > MAX_NAME => return Err("has a name that is too long"),
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return Err("leads out of the archive"),
        }
    }
    match path.components().count() {
        0 => Err("has no name"),
        1..=MAX_DEPTH => Ok(path),
        _ => Err("is too deep"),
    }
}

/// Checks the targets of all symbolic links.
fn check_links<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Result<(), Unfit> {
    for index in 0..archive.len() {
        if !archive.by_index_raw(index)?.is_symlink() {
            continue;
        }
        let mut entry = archive.by_index(index)?;
        let name = entry.name()?.into_owned();
        let refused = |problem| Unfit::Entry(name.clone(), problem);
        let mut target = String::new();
        let read = entry.by_ref().take(MAX_TARGET + 1).read_to_string(&mut target);
        if read.is_err() || target.len() as u64 > MAX_TARGET {
            return Err(refused("is a link without a valid target"));
        }
        let path = path_of(&name).map_err(refused)?;
        if !stays_inside(&path, &target) {
            return Err(refused("is a link that leads out of the archive"));
        }
    }
    Ok(())
}

/// Whether the symbolic link `link` stays inside the archive. `..` is allowed only at the start of the target and only up
/// to the root: after another link it could lead elsewhere.
pub fn stays_inside(link: &Path, target: &str) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    let mut going_up = true;
    !target.is_empty()
        && Path::new(target).components().all(|component| match component {
            Component::ParentDir if going_up && depth > 0 => {
                depth -= 1;
                true
            }
            Component::CurDir => true,
            Component::Normal(_) => {
                going_up = false;
                true
            }
            _ => false,
        })
}

#[cfg(test)]
mod tests;
