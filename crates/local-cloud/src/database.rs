//! The storage of DynamoDB, SQS, Logs, S3, Glue and Athena: one SQLite database each.
//!
//! A committed transaction has been written to the operating system (write-ahead log): it survives the end of the
//! process. It costs what it changes, whatever the size of the database.
//!
//! SQLite takes a missing or empty file for a new database, and ignores its log from the first damaged page on. Both would
//! lose acknowledged changes without a word, and its pages have no checksums. Therefore a [`record`] beside the database
//! tells that it exists and what it contained when it was closed, and after a crash its log ([`wal`]) and its pages
//! ([`pages`]) are checked. A damaged database is read-only: SQLite serves what it can, and changes are refused.

mod pages;
mod record;
mod wal;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use self::pages::Pages;
use self::record::Record;
use daemon::protocol::Damage;
use ground::platform;

/// Bytes of the write-ahead log before a checkpoint. A page that changes often is then copied once for many changes.
const CHECKPOINT_BYTES: u64 = 32 << 20;
/// How long a change waits for another process that uses the database.
const BUSY: Duration = Duration::from_secs(5);
/// Size of the cache of compiled statements.
const STATEMENTS: usize = 64;

/// A database that is opened on its first use.
pub(crate) struct Database {
    path: PathBuf,
    schema: &'static str,
    /// `None` inside after [`Database::close`].
    connection: OnceLock<Mutex<Option<Connection>>>,
    opening: Mutex<()>,
    /// Why it is read-only.
    fault: OnceLock<String>,
    /// Checksums of its pages. `None` if they could not be read or saved.
    pages: Mutex<Option<Pages>>,
    /// To read its pages. It stays open as long as SQLite's own: when a process closes one of several, it loses the locks
    /// of all. Source: "How To Corrupt An SQLite Database File", section 2.2.
    file: OnceLock<File>,
}

impl Database {
    /// The database in the file `path`, with the tables of `schema`, which must be repeatable (`IF NOT EXISTS`).
    pub fn new(path: &Path, schema: &'static str) -> Self {
        Self {
            path: path.to_path_buf(),
            schema,
            connection: OnceLock::new(),
            opening: Mutex::new(()),
            fault: OnceLock::new(),
            pages: Mutex::new(None),
            file: OnceLock::new(),
        }
    }

    /// Whether anything was ever stored.
    pub fn exists(&self) -> bool {
        self.connection.get().is_some() || self.path.exists() || Record::exists(&self.path)
    }

    /// Opens it if it exists, so that damage is known.
    pub fn open_existing(&self) {
        if self.exists()
            && let Err(error) = self.connection()
        {
            tracing::warn!(%error, "a database cannot be opened");
        }
    }

    /// Its damage, as far as it is known.
    pub fn damage(&self) -> Vec<Damage> {
        let found = self.fault.get().into_iter();
        found
            .map(|fault| Damage {
                file: self.path.display().to_string(),
                resource: None,
                records: 0,
                message: format!("the database is damaged: {fault}; the service is read-only"),
            })
            .collect()
    }

    /// The connection, locked.
    ///
    /// # Errors
    /// When the file cannot be opened. The error names it.
    fn connection(&self) -> io::Result<Open<'_>> {
        let connection = match self.connection.get() {
            Some(connection) => connection,
            None => {
                let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
                match self.connection.get() {
                    Some(connection) => connection,
                    None => {
                        let opened = self.open()?;
                        self.connection.get_or_init(|| Mutex::new(Some(opened)))
                    }
                }
            }
        };
        let guard = connection.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.is_none() {
            return Err(self.error("it is closed: the local cloud is stopping"));
        }
        Ok(Open(guard))
    }

    fn open(&self) -> io::Result<Connection> {
        let record = Record::read(&self.path);
        let found = self.fault_before_opening(&record);
        let opened = match found {
            Some(fault) => Err(fault),
            None => match open(&self.path, self.schema) {
                // The next request tries again.
                Err(error) if is_of_the_machine(&error) => return Err(self.named(error)),
                opened => opened.map_err(|error| error.to_string()),
            },
        };
        let checked = opened.and_then(|connection| match &record {
            // It is as it was closed.
            Record::Closed { .. } => Ok(connection),
            _ => check(&connection).map(|()| connection),
        });
        match checked {
            Ok(connection) => {
                // After a crash the log must be there. Without this the next start cannot tell.
                if wal::path(&self.path).exists() {
                    self.know_pages(File::open(&self.path).and_then(|file| {
                        let file = self.file.get_or_init(|| file);
                        Pages::read(file)
                    }));
                    Record::Open.write(&self.path);
                }
                Ok(connection)
            }
            Err(fault) => {
                let fault = self.fault.get_or_init(|| fault);
                tracing::warn!(path = %self.path.display(), "a database is damaged: {fault}; the service is read-only");
                // Reading may delete the log. The checksum of a closed database stays, for the case that it comes back.
                if matches!(record, Record::Open | Record::Unknown | Record::None) && self.path.exists() {
                    Record::Damaged(fault.clone()).write(&self.path);
                }
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let opened = match self.path.exists() {
                    true => Connection::open_with_flags(&self.path, flags).map_err(io::Error::other),
                    false => Err(io::ErrorKind::NotFound.into()),
                };
                opened.map_err(|_| self.error(&format!("the database is damaged: {fault}")))
            }
        }
    }

    /// What is wrong with the files, before SQLite changes anything.
    fn fault_before_opening(&self, record: &Record) -> Option<String> {
        let length = self.path.metadata().map_or(0, |file| file.len());
        if *record == Record::None && length == 0 {
            return None;
        }
        if length == 0 {
            return Some("the file is missing or empty".to_owned());
        }
        match record {
            Record::Closed { length, crc32 } => match record::checksum(&self.path) {
                Ok(found) if found == (*length, *crc32) => None,
                Ok(_) => Some("the file is not as it was closed".to_owned()),
                Err(error) => Some(error.to_string()),
            },
            Record::Damaged(fault) => Some(format!(
                "{fault} (found before; to use what is left, stop the local cloud and delete {})",
                record::path(&self.path).display()
            )),
            Record::Open if !wal::path(&self.path).exists() => {
                Some("its write-ahead log is missing".to_owned())
            }
            Record::Open => wal::fault(&self.path).or_else(|| pages::fault(&self.path)),
            Record::Unknown | Record::None => wal::fault(&self.path),
        }
    }

    /// Saves the checksums of the pages. Without them the next start after a crash notices less, so a failure is only
    /// logged.
    fn know_pages(&self, read: io::Result<Pages>) {
        let saved = read.and_then(|pages| pages.save(&self.path).map(|()| pages));
        if let Err(error) = &saved {
            tracing::warn!(%error, "the checksums of a database could not be saved");
            pages::remove(&self.path);
        }
        *self.pages.lock().unwrap_or_else(PoisonError::into_inner) = saved.ok();
    }

    /// Copies the log into the database, if it is long. SQLite does not do so by itself, since it would begin the log anew
    /// before the checksums of the pages are saved.
    fn checkpoint_if_due(&self, connection: &Connection) {
        let length = wal::path(&self.path).metadata().map_or(0, |file| file.len());
        if length >= CHECKPOINT_BYTES
            && let Err(error) = self.checkpoint(connection)
        {
            tracing::warn!(path = %self.path.display(), %error, "the log of a database could not be copied; it grows");
        }
    }

    fn checkpoint(&self, connection: &Connection) -> io::Result<()> {
        let changed = wal::named_pages(&self.path)?;
        copy_log(connection, "PASSIVE")?;
        let known = self.pages.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(file) = self.file.get() {
            self.know_pages(match known {
                Some(mut pages) => pages.update(file, &changed).map(|()| pages),
                None => Pages::read(file),
            });
        }
        // Another process that reads must not hold up changes.
        connection
            .busy_timeout(Duration::ZERO)
            .map_err(io::Error::other)?;
        let emptied = copy_log(connection, "TRUNCATE");
        connection.busy_timeout(BUSY).map_err(io::Error::other)?;
        emptied
    }

    fn error(&self, what: &str) -> io::Error {
        platform::at_path(io::Error::other(what.to_owned()), &self.path)
    }

    /// Runs `work` as one transaction, which an error rolls back.
    ///
    /// # Errors
    /// Those of `work`, and those of the database.
    pub fn write<T, E: From<rusqlite::Error> + From<io::Error>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut open = self.connection()?;
        if let Some(fault) = self.fault.get() {
            return Err(self
                .error(&format!(
                    "the database is damaged: {fault}; the service is read-only"
                ))
                .into());
        }
        let transaction = open
            .get()?
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| self.named(error))?;
        let result = work(&transaction)?;
        transaction.commit().map_err(|error| self.named(error))?;
        self.checkpoint_if_due(open.get()?);
        Ok(result)
    }

    /// Runs `work`, which must not change anything.
    ///
    /// # Errors
    /// Those of `work`, and those of the database.
    pub fn read<T, E: From<rusqlite::Error> + From<io::Error>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut open = self.connection()?;
        work(open.get()?)
    }

    /// An error of the database with its path, such as "disk full".
    fn named(&self, error: rusqlite::Error) -> io::Error {
        let kind = match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => io::ErrorKind::StorageFull,
            Some(rusqlite::ErrorCode::PermissionDenied | rusqlite::ErrorCode::ReadOnly) => {
                io::ErrorKind::PermissionDenied
            }
            _ => io::ErrorKind::Other,
        };
        platform::at_path(io::Error::new(kind, error), &self.path)
    }

    /// Writes everything into the database file, and what it contains beside it. No call follows. Blocks.
    pub fn close(&self) {
        let Some(connection) = self.connection.get() else {
            return;
        };
        let mut guard = connection.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = guard.take() else {
            return;
        };
        if self.fault.get().is_some() {
            return;
        }
        // SQLite deletes its log now: a crash in between must not look like a missing one.
        Record::Unknown.write(&self.path);
        if let Err((_, error)) = connection.close() {
            tracing::warn!(path = %self.path.display(), %error, "a database could not be closed");
            return;
        }
        pages::remove(&self.path);
        // Without a log all is in the file.
        if !wal::path(&self.path).exists()
            && let Ok((length, crc32)) = record::checksum(&self.path)
        {
            Record::Closed { length, crc32 }.write(&self.path);
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.close();
    }
}

/// A connection that is not closed.
struct Open<'a>(MutexGuard<'a, Option<Connection>>);

impl Open<'_> {
    fn get(&mut self) -> io::Result<&mut Connection> {
        self.0.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

fn open(path: &Path, schema: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.execute_batch(schema)?;
    Ok(connection)
}

/// Whether the disk or the memory is full, or the file cannot be written or opened: the database itself is not damaged.
fn is_of_the_machine(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as E;
    matches!(
        error.sqlite_error_code(),
        Some(E::CannotOpen | E::DiskFull | E::OutOfMemory | E::PermissionDenied | E::ReadOnly)
    )
}

/// Copies the whole log into the database. `mode` is one of SQLite's: `TRUNCATE` also empties the log.
fn copy_log(connection: &Connection, mode: &str) -> io::Result<()> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let copied = connection.query_row(&sql, [], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, i64>(1)?,
            row.get::<_, i64>(2)?,
        ))
    });
    match copied.map_err(io::Error::other)? {
        (0, pages, copied) if pages == copied => Ok(()),
        _ => Err(io::Error::other("a part of the log is in use")),
    }
}

/// SQLite's own check of the structure.
fn check(connection: &Connection) -> Result<(), String> {
    let found: rusqlite::Result<String> = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match found {
        Ok(found) if found == "ok" => Ok(()),
        Ok(found) => Err(found),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
