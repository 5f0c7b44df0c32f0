//! The storage of DynamoDB, SQS, Logs and S3: one SQLite database each.
//!
//! A committed transaction has been written to the operating system (write-ahead log): it survives the end of the
//! process. It costs what it changes, whatever the size of the database.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rusqlite::{Connection, TransactionBehavior};

/// Pages of the write-ahead log before a checkpoint: 32 MiB. A page that changes often is then copied once for many
/// changes.
const CHECKPOINT_PAGES: u32 = 8192;
/// Size of the cache of compiled statements.
const STATEMENTS: usize = 64;

/// A database that is opened on its first use.
pub(crate) struct Database {
    path: PathBuf,
    schema: &'static str,
    connection: OnceLock<Mutex<Connection>>,
    opening: Mutex<()>,
}

impl Database {
    /// The database in the file `path`, with the tables of `schema`, which must be repeatable (`IF NOT EXISTS`).
    pub fn new(path: &Path, schema: &'static str) -> Self {
        Self {
            path: path.to_path_buf(),
            schema,
            connection: OnceLock::new(),
            opening: Mutex::new(()),
        }
    }

    /// Whether anything was ever stored.
    pub fn exists(&self) -> bool {
        self.connection.get().is_some() || self.path.exists()
    }

    /// The connection, locked.
    ///
    /// # Errors
    /// When the file cannot be opened.
    fn connection(&self) -> io::Result<MutexGuard<'_, Connection>> {
        let connection = match self.connection.get() {
            Some(connection) => connection,
            None => {
                let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
                match self.connection.get() {
                    Some(connection) => connection,
                    None => {
                        let opened = open(&self.path, self.schema).map_err(io::Error::other)?;
                        self.connection.get_or_init(|| Mutex::new(opened))
                    }
                }
            }
        };
        Ok(connection.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `work` as one transaction, which an error rolls back.
    ///
    /// # Errors
    /// Those of `work`, and those of the database.
    pub fn write<T, E: From<rusqlite::Error> + From<io::Error>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.connection()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
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
        let connection = self.connection()?;
        work(&connection)
    }
}

fn open(path: &Path, schema: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.execute_batch(schema)?;
    Ok(connection)
}
