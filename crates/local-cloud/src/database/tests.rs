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

/// Whether all of the first `rows` rows are as they were put.
fn are_whole(database: &Database, rows: u32) -> bool {
    let read = |db: &Connection| {
        let mut statement = db.prepare("SELECT value FROM items ORDER BY key")?;
        let values = statement.query_map([], |row| row.get(0))?;
        Ok::<_, Error>(values.collect::<rusqlite::Result<Vec<String>>>()?)
    };
    let expected: Vec<String> = (0..rows)
        .map(|key| format!("value {key} {}", "x".repeat(500)))
        .collect();
    database.read(read).is_ok_and(|values| values == expected)
}

fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn checkpoint(database: &Database) {
    database
        .read(|db| Ok::<_, Error>(database.checkpoint(db)?))
        .unwrap();
}

#[test]
fn the_pages_of_a_killed_process_are_checked() {
    let made = tempfile::tempdir().unwrap();
    let database = self::database(made.path());
    for key in 0..40 {
        put(&database, key).unwrap();
    }
    checkpoint(&database);
    put(&database, 40).unwrap();
    let length = fs::metadata(made.path().join("items.db")).unwrap().len();
    let mut reported = 0;
    for at in (0..length).step_by(509) {
        let dir = tempfile::tempdir().unwrap();
        copy_files(made.path(), dir.path());
        let path = dir.path().join("items.db");
        let mut bytes = fs::read(&path).unwrap();
        bytes[at as usize] ^= 1;
        fs::write(&path, bytes).unwrap();
        let again = self::database(dir.path());
        again.open_existing();
        match again.damage().is_empty() {
            true => assert!(are_whole(&again, 41), "byte {at}"),
            false => reported += 1,
        }
    }
    assert!(reported > 20, "{reported}");
    // Only knowledge is lost.
    for damage in [None, Some(b"damaged".as_slice())] {
        let dir = tempfile::tempdir().unwrap();
        copy_files(made.path(), dir.path());
        let path = dir.path().join("items.db.pages");
        match damage {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let again = self::database(dir.path());
        assert!(are_whole(&again, 41));
        assert!(again.damage().is_empty());
    }
}

#[test]
fn a_kill_at_any_step_is_no_damage() {
    let made = tempfile::tempdir().unwrap();
    let database = self::database(made.path());
    let mut rows = 0;
    let is_whole_after_a_kill = |rows: u32, step: &str| {
        let mut dir = tempfile::tempdir().unwrap();
        copy_files(made.path(), dir.path());
        // Twice: the next process may be killed too.
        for _ in 0..2 {
            let again = self::database(dir.path());
            assert!(are_whole(&again, rows), "{step} at {rows}");
            assert_eq!(again.damage(), [], "{step} at {rows}");
            let next = tempfile::tempdir().unwrap();
            copy_files(dir.path(), next.path());
            drop(again);
            dir = next;
        }
    };
    for round in 0..6 {
        for _ in 0..round * 7 {
            put(&database, rows).unwrap();
            rows += 1;
        }
        is_whole_after_a_kill(rows, "after a change");
        let copied = database.read(|db| Ok::<_, Error>(copy_log(db, "PASSIVE")?));
        copied.unwrap();
        is_whole_after_a_kill(rows, "after the log is copied");
        checkpoint(&database);
        is_whole_after_a_kill(rows, "after a checkpoint");
    }
    // A checkpoint that is due happens by itself, and empties the log.
    let big = "y".repeat(8 << 20);
    for key in 1000..1006 {
        let insert = |db: &Connection| {
            let values = rusqlite::params![key, big];
            Ok::<_, Error>(db.execute("INSERT INTO items VALUES (?1, ?2)", values)?)
        };
        database.write(insert).unwrap();
    }
    let log = fs::metadata(wal::path(&made.path().join("items.db"))).unwrap();
    assert!(log.len() < CHECKPOINT_BYTES, "{}", log.len());
    drop(database);
    assert!(!made.path().join("items.db.pages").exists());
    assert_eq!(count(&self::database(made.path())).unwrap(), rows + 6);
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
    copy_files(made.path(), dir);
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
