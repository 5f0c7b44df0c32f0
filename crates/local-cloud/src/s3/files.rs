//! The data of objects: one file for each object that was put as a whole, and for each part of an upload.
//!
//! A file gets a random name, never one that a client chose. It is written completely before the database names it, and
//! deleted only after the database has forgotten it. What is not as it was stored is never passed on as data: a range of a
//! file is read only once all of the file has been compared with its checksum since the start.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use md5::Digest as _;

use super::checksum::{Algorithm, Hasher, encode};
use super::object::Part;
use crate::answer::{request_id, whole};
use crate::types::Body;
use daemon::protocol::Damage;
use ground::platform;

/// Bytes read from a file at once.
const BLOCK: usize = 256 << 10;

/// Files known to be intact. When there are more, all are forgotten: they are compared again.
const MAX_INTACT: usize = 10_000;

pub(super) struct Files {
    place: Arc<Place>,
    /// Each request, and each response that is being sent, holds a clone.
    reading: Arc<()>,
}

/// A range of the data of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub first: u64,
    pub length: u64,
}

/// The directory of the files, and what has been found out about them.
struct Place {
    dir: PathBuf,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// Files that are as they were stored.
    intact: HashSet<String>,
    /// Files that are not, and what is wrong with them.
    damaged: BTreeMap<String, String>,
}

impl Place {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_intact(&self, file: &str) -> bool {
        self.found().intact.contains(file)
    }

    fn note_intact(&self, file: &str) {
        let mut found = self.found();
        found.damaged.remove(file);
        if found.intact.len() >= MAX_INTACT {
            found.intact.clear();
        }
        found.intact.insert(file.to_owned());
    }

    /// Notes an error that is about the file, and not about this process.
    fn note_damaged(&self, file: &str, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) {
            let mut found = self.found();
            found.intact.remove(file);
            found.damaged.insert(file.to_owned(), error.to_string());
        }
    }
}

impl Files {
    pub fn new(dir: PathBuf) -> Self {
        Self {
            place: Arc::new(Place {
                dir,
                found: Mutex::default(),
            }),
            reading: Arc::new(()),
        }
    }

    pub fn dir(&self) -> &Path {
        &self.place.dir
    }

    /// Notes that a file of an object is not there.
    pub fn note_missing(&self, name: &str) {
        let path = self.dir().join(name);
        self.place
            .note_damaged(name, &at(&path, &io::ErrorKind::NotFound.into()));
    }

    /// Damaged files that have been noticed since the start.
    pub fn damage(&self) -> Vec<Damage> {
        let found = self.place.found();
        let damaged = found.damaged.iter();
        damaged
            .map(|(file, message)| Damage {
                file: self.dir().join(file).display().to_string(),
                resource: None,
                records: 0,
                message: format!("the object cannot be read: {message}"),
            })
            .collect()
    }

    /// Keeps files that are discarded from now on, until it is dropped.
    pub fn lease(&self) -> Arc<()> {
        Arc::clone(&self.reading)
    }

    /// Whether somebody may be reading files that have been discarded.
    pub fn are_read(&self) -> bool {
        Arc::strong_count(&self.reading) > 1
    }

    pub fn remove(&self, name: &str) {
        let _ = std::fs::remove_file(self.dir().join(name));
        let mut found = self.place.found();
        found.intact.remove(name);
        found.damaged.remove(name);
    }

    /// A new file. It is removed unless it is finished.
    pub fn create(&self, checksums: &[Algorithm]) -> io::Result<Writer> {
        let name = request_id();
        let path = self.dir().join(&name);
        let file = platform::private_file()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| at(&path, &error))?;
        let mut wanted = vec![Algorithm::Crc64Nvme];
        wanted.extend(checksums.iter().filter(|one| **one != Algorithm::Crc64Nvme));
        wanted.dedup();
        Ok(Writer {
            guard: Guard { path, is_kept: false },
            name,
            file,
            size: 0,
            md5: md5::Md5::new(),
            checksums: wanted
                .into_iter()
                .map(|algorithm| (algorithm, Hasher::new(algorithm)))
                .collect(),
        })
    }

    /// Reads `span` of the data in `parts` and passes it on in blocks.
    ///
    /// # Errors
    /// If a file is missing, shorter than it was, or damaged.
    pub fn read(
        &self,
        parts: &[Part],
        span: Span,
        mut pass: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut pieces = pieces(parts, span);
        let size = usize::try_from(span.length).unwrap_or(BLOCK).clamp(1, BLOCK);
        let mut block = vec![0; size];
        while let Some(piece) = pieces.pop_front() {
            let mut reader = PieceReader::open(&self.place, piece)?;
            loop {
                match reader.next(&mut block)? {
                    0 => break,
                    length => pass(&block[..length])?,
                }
            }
        }
        Ok(())
    }

    /// A body that streams `span` of the data in `parts`. A small one is read, and checked, at once.
    ///
    /// # Errors
    /// If a file cannot be opened.
    pub fn body(&self, parts: &[Part], span: Span) -> io::Result<Body> {
        if span.length <= BLOCK as u64 {
            let mut bytes = Vec::with_capacity(usize::try_from(span.length).unwrap_or(0));
            self.read(parts, span, |block| {
                bytes.extend_from_slice(block);
                Ok(())
            })?;
            return Ok(whole(bytes));
        }
        let mut pieces = pieces(parts, span);
        let open = match pieces.pop_front() {
            Some(first) => Some(PieceReader::open(&self.place, first)?),
            None => None,
        };
        let streaming = Streaming {
            place: Arc::clone(&self.place),
            open,
            pieces,
            _reading: self.lease(),
        };
        let blocks = stream::try_unfold(streaming, |streaming| async {
            let read = tokio::task::spawn_blocking(move || streaming.next()).await;
            match read.map_err(io::Error::other)? {
                Ok(Some((block, streaming))) => Ok(Some((Frame::data(block), streaming))),
                Ok(None) => Ok(None),
                Err(error) => {
                    // The response breaks off: its status has been sent.
                    tracing::error!(%error, "could not read the data of an object");
                    Err(error)
                }
            }
        });
        Ok(StreamBody::new(blocks).boxed_unsync())
    }
}

/// Names the file in an error.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The state of a body while it is sent.
struct Streaming {
    place: Arc<Place>,
    open: Option<PieceReader>,
    pieces: VecDeque<Piece>,
    _reading: Arc<()>,
}

impl Streaming {
    fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let mut block = vec![0; BLOCK];
        loop {
            let Some(reader) = &mut self.open else {
                let Some(piece) = self.pieces.pop_front() else {
                    return Ok(None);
                };
                self.open = Some(PieceReader::open(&self.place, piece)?);
                continue;
            };
            match reader.next(&mut block)? {
                0 => self.open = None,
                length => {
                    block.truncate(length);
                    return Ok(Some((block.into(), self)));
                }
            }
        }
    }
}

/// A range of one file.
struct Piece {
    part: Part,
    span: Span,
}

impl Piece {
    fn is_whole(&self) -> bool {
        self.span.length == self.part.size
    }
}

/// The pieces of files that make up `span`.
fn pieces(parts: &[Part], span: Span) -> VecDeque<Piece> {
    let mut pieces = VecDeque::new();
    let end = span.first + span.length;
    let mut begin = 0;
    for part in parts {
        let first = span.first.max(begin);
        let last = end.min(begin + part.size);
        if first < last {
            let span = Span {
                first: first - begin,
                length: last - first,
            };
            pieces.push_back(Piece {
                part: part.clone(),
                span,
            });
        }
        begin += part.size;
    }
    pieces
}

struct PieceReader {
    place: Arc<Place>,
    name: String,
    file: File,
    left: u64,
    /// The checksum of the file, if all of it is read.
    check: Option<(String, Hasher)>,
}

impl PieceReader {
    fn open(place: &Arc<Place>, piece: Piece) -> io::Result<Self> {
        let opened = Self::open_at(place, &piece);
        opened.inspect_err(|error| place.note_damaged(&piece.part.file, error))
    }

    fn open_at(place: &Arc<Place>, piece: &Piece) -> io::Result<Self> {
        let path = place.dir.join(&piece.part.file);
        let file = File::open(&path).map_err(|error| at(&path, &error))?;
        let mut reader = Self {
            place: Arc::clone(place),
            name: piece.part.file.clone(),
            file,
            left: piece.part.size,
            check: piece
                .part
                .crc
                .clone()
                .map(|crc| (crc, Hasher::new(Algorithm::Crc64Nvme))),
        };
        if !piece.is_whole() {
            if reader.check.is_some() && !place.is_intact(&reader.name) {
                let mut block = vec![0; BLOCK];
                while reader.read(&mut block)? > 0 {}
            }
            reader.file.seek(SeekFrom::Start(piece.span.first))?;
            reader.left = piece.span.length;
            reader.check = None;
        }
        Ok(reader)
    }

    /// Reads the next block; 0 at the end.
    fn next(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let read = self.read(block);
        read.inspect_err(|error| self.place.note_damaged(&self.name, error))
    }

    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(block.len());
        if wanted == 0 {
            return self.compare().map(|()| 0);
        }
        let read = self.file.read(&mut block[..wanted]);
        let read = read.map_err(|error| self.damaged(&format!("cannot be read: {error}")))?;
        if read == 0 {
            return Err(self.damaged("is shorter than it was"));
        }
        if let Some((_, hasher)) = &mut self.check {
            hasher.update(&block[..read]);
        }
        self.left -= read as u64;
        if self.left == 0 {
            self.compare()?;
        }
        Ok(read)
    }

    /// Compares what was read with the checksum, once it is all of the file.
    fn compare(&mut self) -> io::Result<()> {
        let Some((expected, hasher)) = self.check.take() else {
            return Ok(());
        };
        if encode(&hasher.finish()) != expected {
            return Err(self.damaged("is not what was stored"));
        }
        self.place.note_intact(&self.name);
        Ok(())
    }

    fn damaged(&self, how: &str) -> io::Error {
        let path = self.place.dir.join(&self.name);
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the data of the object in {} {how}", path.display()),
        )
    }
}

/// Removes the file when dropped, unless it is kept.
struct Guard {
    path: PathBuf,
    is_kept: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A file that is being written.
pub(super) struct Writer {
    guard: Guard,
    name: String,
    file: File,
    size: u64,
    md5: md5::Md5,
    checksums: Vec<(Algorithm, Hasher)>,
}

impl Writer {
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|error| at(&self.guard.path, &error))?;
        self.size += bytes.len() as u64;
        self.md5.update(bytes);
        self.checksums
            .iter_mut()
            .for_each(|(_, hasher)| hasher.update(bytes));
        Ok(())
    }

    pub fn finish(self) -> Written {
        let checksums: Vec<(Algorithm, String)> = self
            .checksums
            .into_iter()
            .map(|(algorithm, hasher)| (algorithm, encode(&hasher.finish())))
            .collect();
        Written {
            guard: self.guard,
            part: Part {
                file: self.name,
                size: self.size,
                crc: checksums.first().map(|(_, crc)| crc.clone()),
                number: None,
                checksum: None,
            },
            md5: self.md5.finalize().into(),
            checksums,
        }
    }
}

/// A complete file. It is removed when dropped, unless it is kept.
pub(super) struct Written {
    guard: Guard,
    pub part: Part,
    pub md5: [u8; 16],
    checksums: Vec<(Algorithm, String)>,
}

impl Written {
    /// The checksum in Base64, if it was calculated.
    pub fn checksum(&self, algorithm: Algorithm) -> Option<&str> {
        let found = self.checksums.iter().find(|(known, _)| *known == algorithm)?;
        Some(&found.1)
    }

    pub fn etag(&self) -> String {
        format!("\"{}\"", hex::encode(self.md5))
    }

    /// Keeps the file: the database names it.
    pub fn keep(mut self) {
        self.guard.is_kept = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(files: &Files, bytes: &[u8]) -> Part {
        let mut writer = files.create(&[]).unwrap();
        writer.write(bytes).unwrap();
        let written = writer.finish();
        let part = written.part.clone();
        written.keep();
        part
    }

    fn collect(files: &Files, parts: &[Part], span: Span) -> io::Result<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let body = files.body(parts, span)?;
            Ok(body.collect().await?.to_bytes().to_vec())
        })
    }

    #[test]
    fn a_file_that_is_not_kept_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path().to_owned());
        drop(files.create(&[]).unwrap());
        drop(files.create(&[]).unwrap().finish());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        part(&files, b"x");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn damage_is_not_passed_on_as_data() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path().to_owned());
        for size in [1000, 3 * BLOCK] {
            let bytes = vec![7; size];
            let part = part(&files, &bytes);
            let all = Span {
                first: 0,
                length: size as u64,
            };
            let path = dir.path().join(&part.file);
            let some = Span { first: 1, length: 10 };
            assert_eq!(collect(&files, std::slice::from_ref(&part), all).unwrap(), bytes);
            let mut flipped = bytes.clone();
            flipped[size / 2] ^= 1;
            std::fs::write(&path, &flipped).unwrap();
            assert!(collect(&files, std::slice::from_ref(&part), all).is_err());
            assert!(collect(&files, std::slice::from_ref(&part), some).is_err());
            assert!(files.damage()[0].message.contains("is not what was stored"));
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(
                collect(&files, std::slice::from_ref(&part), some).unwrap(),
                [7; 10]
            );
            assert_eq!(files.damage(), [], "it is repaired");
            std::fs::write(&path, &bytes[1..]).unwrap();
            assert!(collect(&files, std::slice::from_ref(&part), all).is_err());
            std::fs::remove_file(&path).unwrap();
            assert!(collect(&files, std::slice::from_ref(&part), all).is_err());
            assert!(files.damage()[0].file.ends_with(&part.file));
            files.remove(&part.file);
            assert_eq!(files.damage(), [], "there is no such object any more");
        }
        assert!(!files.are_read());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn any_span_of_any_parts_is_read(
            sizes in proptest::collection::vec(prop_oneof![0usize..50, 200_000usize..400_000], 1..5),
            from in any::<prop::sample::Index>(),
            to in any::<prop::sample::Index>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let files = Files::new(dir.path().to_owned());
            let datas: Vec<Vec<u8>> = sizes
                .iter()
                .enumerate()
                .map(|(at, size)| (0..*size).map(|byte| u8::try_from((byte + at) % 251).unwrap()).collect())
                .collect();
            let parts: Vec<Part> = datas.iter().map(|data| part(&files, data)).collect();
            let all = datas.concat();
            let (a, b) = (from.index(all.len() + 1), to.index(all.len() + 1));
            let (a, b) = (a.min(b), a.max(b));
            let span = Span { first: a as u64, length: (b - a) as u64 };
            prop_assert!(collect(&files, &parts, span).unwrap() == all[a..b]);
        }
    }
}
