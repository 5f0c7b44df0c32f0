use std::fs;

use super::*;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS items (key INTEGER PRIMARY KEY, value TEXT NOT NULL)";

fn database(dir: &Path) -> Database {
    Database::new(&dir.join("items.db"), SCHEMA)
}

fn put(database: &Database, key: u32) -> io::Result<()> {
    database.write(|db| {
        let value = format!("value {key} {}", "x".repeat(500));
        db.execute("INSERT INTO items VALUES (?1, ?2)", rusqlite::params![key, value])
            .map_err(io::Error::other)?;
        Ok::<_, Error>(())
    })?;
    Ok(())
}

fn count(database: &Database) -> io::Result<u32> {
    let count =
        |db: &Connection| Ok::<_, Error>(db.query_row("SELECT count(*) FROM items", [], |row| row.get(0))?);
    Ok(database.read(count)?)
}

#[derive(Debug)]
struct Error(io::Error);

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self(io::Error::other(error))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        error.0
    }
}

/// The files of a database with 40 rows: as it was closed, or as a killed process leaves it.
fn files_of_40(dir: &Path, closed: bool) {
    let made = tempfile::tempdir().unwrap();
    let database = database(made.path());
    for key in 0..40 {
        put(&database, key).unwrap();
    }
    if closed {
        database.close();
    }
    for entry in fs::read_dir(made.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
    }
}

#[test]
fn everything_is_there_after_a_close_and_after_a_kill() {
    for closed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        files_of_40(dir.path(), closed);
        let database = database(dir.path());
        assert_eq!(count(&database).unwrap(), 40);
        put(&database, 40).unwrap();
        assert!(database.damage().is_empty());
        assert!(wal::path(&dir.path().join("items.db")).exists());
    }
}

/// Damages a file. What was stored must then be there, or its absence reported.
fn is_served_or_reported(closed: bool, name: &str, damage: impl Fn(Vec<u8>) -> Option<Vec<u8>>) -> bool {
    let dir = tempfile::tempdir().unwrap();
    files_of_40(dir.path(), closed);
    let path = dir.path().join(name);
    match damage(fs::read(&path).unwrap()) {
        Some(bytes) => fs::write(&path, bytes).unwrap(),
        None => fs::remove_file(&path).unwrap(),
    }
    let database = database(dir.path());
    assert!(database.exists());
    database.open_existing();
    if database.damage().is_empty() {
        assert_eq!(count(&database).unwrap(), 40, "{name}");
        return false;
    }
    let refused = put(&database, 99).unwrap_err().to_string();
    assert!(refused.contains("items.db"), "{refused}");
    // Served as far as SQLite can; in any case no panic.
    let _ = count(&database);
    drop(database);
    let again = self::database(dir.path());
    again.open_existing();
    assert!(!again.damage().is_empty(), "also at the next start");
    true
}

#[test]
fn a_closed_database_is_compared_with_what_it_was() {
    let flip = |at: usize| {
        move |mut bytes: Vec<u8>| {
            let at = at % bytes.len();
            bytes[at] ^= 1;
            Some(bytes)
        }
    };
    for at in (0..40_000).step_by(1_777) {
        assert!(is_served_or_reported(true, "items.db", flip(at)), "byte {at}");
    }
    for length in [0, 1, 100, 4096, 20_000] {
        assert!(is_served_or_reported(true, "items.db", |bytes| Some(
            bytes[..length].to_vec()
        )));
    }
    assert!(is_served_or_reported(true, "items.db", |_| None));
    // Only knowledge is lost.
    assert!(!is_served_or_reported(true, "items.db.record", |_| None));
    assert!(!is_served_or_reported(true, "items.db.record", flip(3)));
}

#[test]
fn the_log_of_a_killed_process_is_checked() {
    for at in [3, 9, 20, 40, 60, 5_000, 30_000, 60_000] {
        let flipped = is_served_or_reported(false, "items.db-wal", |mut bytes| {
            bytes[at] ^= 1;
            Some(bytes)
        });
        assert!(flipped, "byte {at}");
    }
    assert!(is_served_or_reported(false, "items.db-wal", |_| None));
    assert!(is_served_or_reported(false, "items.db", |_| None));
    // What an interrupted write leaves at the end is no damage, and neither is the index of the log.
    assert!(!is_served_or_reported(false, "items.db-wal", |bytes| {
        Some([bytes.clone(), bytes[32..32 + 24 + 1000].to_vec()].concat())
    }));
    assert!(!is_served_or_reported(false, "items.db-shm", |_| None));
}

#[test]
fn a_full_disk_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let database = database(dir.path());
    put(&database, 0).unwrap();
    let mut refused = Ok(());
    database
        .read(|db| db.pragma_update(None, "max_page_count", 4).map_err(Error::from))
        .unwrap();
    for key in 1..40 {
        refused = refused.and(put(&database, key));
    }
    assert!(refused.unwrap_err().to_string().contains("full"));
    assert!(count(&database).unwrap() > 0);
}

#[test]
fn a_record_that_cannot_be_written_is_no_false_alarm() {
    let dir = tempfile::tempdir().unwrap();
    files_of_40(dir.path(), true);
    // What stands in the way of a new record.
    let blocked = format!("items.db.record.new-{}", std::process::id());
    fs::create_dir(dir.path().join(&blocked)).unwrap();
    let opened = database(dir.path());
    put(&opened, 40).unwrap();
    drop(opened);
    fs::remove_dir(dir.path().join(blocked)).unwrap();
    let opened = database(dir.path());
    assert_eq!(count(&opened).unwrap(), 41);
    assert!(opened.damage().is_empty());
}
