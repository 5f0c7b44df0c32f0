//! The tables and items in the database.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::error::{ApiError, Result};
use super::table::{Index, Key, Table};
use super::value::Item;

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS tables (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        description TEXT NOT NULL,
        UNIQUE (account, region, name)
    );
    CREATE TABLE IF NOT EXISTS items (
        id INTEGER PRIMARY KEY,
        table_id INTEGER NOT NULL, hash BLOB NOT NULL, range BLOB NOT NULL,
        size INTEGER NOT NULL, expires INTEGER,
        item TEXT NOT NULL
    );
    CREATE UNIQUE INDEX IF NOT EXISTS items_by_key ON items (table_id, hash, range);
    CREATE INDEX IF NOT EXISTS items_by_expiry ON items (table_id, expires) WHERE expires IS NOT NULL;
    CREATE TABLE IF NOT EXISTS entries (
        table_id INTEGER NOT NULL, slot INTEGER NOT NULL, hash BLOB NOT NULL, range BLOB NOT NULL,
        item_hash BLOB NOT NULL, item_range BLOB NOT NULL,
        PRIMARY KEY (table_id, slot, hash, range, item_hash, item_range)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS tokens (
        token TEXT PRIMARY KEY, request BLOB NOT NULL, at_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS tokens_by_time ON tokens (at_ms);
";

pub(super) fn tables(db: &Connection) -> Result<Vec<Table>> {
    let mut statement = db.prepare("SELECT id, description FROM tables")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let mut tables = Vec::new();
    for row in rows {
        let (id, description) = row?;
        let table: Table = serde_json::from_str(&description).map_err(ApiError::internal)?;
        tables.push(Table { id, ..table });
    }
    Ok(tables)
}

/// Stores a table that is new (`id` 0) or changed, and returns its number.
pub(super) fn put_table(db: &Connection, table: &Table) -> Result<i64> {
    let description = serde_json::to_string(table).map_err(ApiError::internal)?;
    if table.id != 0 {
        db.execute(
            "UPDATE tables SET description = ?2 WHERE id = ?1",
            params![table.id, description],
        )?;
        return Ok(table.id);
    }
    db.execute(
        "INSERT INTO tables (account, region, name, description) VALUES (?1, ?2, ?3, ?4)",
        params![table.account, table.region, table.name, description],
    )?;
    Ok(db.last_insert_rowid())
}

pub(super) fn delete_table(db: &Connection, table: &Table) -> Result<()> {
    db.execute("DELETE FROM entries WHERE table_id = ?1", [table.id])?;
    db.execute("DELETE FROM items WHERE table_id = ?1", [table.id])?;
    db.execute("DELETE FROM tables WHERE id = ?1", [table.id])?;
    Ok(())
}

/// Number of items, and their size in bytes.
pub(super) fn totals(db: &Connection, table: &Table) -> Result<(u64, u64)> {
    let totals = db.query_row(
        "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM items WHERE table_id = ?1",
        [table.id],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(totals)
}

fn read(text: &str) -> Result<Item> {
    serde_json::from_str(text).map_err(ApiError::internal)
}

pub(super) fn get(db: &Connection, table: &Table, key: &Key) -> Result<Option<Item>> {
    let mut statement =
        db.prepare_cached("SELECT item FROM items WHERE table_id = ?1 AND hash = ?2 AND range = ?3")?;
    let text: Option<String> = statement
        .query_row(params![table.id, key.hash, key.range], |row| row.get(0))
        .optional()?;
    text.as_deref().map(read).transpose()
}

/// Writes an item, and replaces an existing one.
pub(super) fn put(db: &Connection, table: &Table, key: &Key, item: &Item, size: usize) -> Result<()> {
    if !table.indexes.is_empty() {
        let old = get(db, table, key)?;
        for index in &table.indexes {
            let new = table.key_in_index(index, item)?;
            let old = old
                .as_ref()
                .and_then(|old| table.key_in_index(index, old).ok().flatten());
            if old != new {
                move_entry(db, table, index, key, old.as_ref(), new.as_ref())?;
            }
        }
    }
    let text = serde_json::to_string(item).map_err(ApiError::internal)?;
    db.prepare_cached(
        "INSERT INTO items (table_id, hash, range, size, expires, item) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (table_id, hash, range) DO UPDATE
         SET size = excluded.size, expires = excluded.expires, item = excluded.item",
    )?
    .execute(params![
        table.id,
        key.hash,
        key.range,
        size,
        table.expiry(item),
        text
    ])?;
    Ok(())
}

/// Deletes the item `old`, which is at `key`.
pub(super) fn delete(db: &Connection, table: &Table, key: &Key, old: &Item) -> Result<()> {
    for index in &table.indexes {
        let entry = table.key_in_index(index, old).ok().flatten();
        move_entry(db, table, index, key, entry.as_ref(), None)?;
    }
    db.prepare_cached("DELETE FROM items WHERE table_id = ?1 AND hash = ?2 AND range = ?3")?
        .execute(params![table.id, key.hash, key.range])?;
    Ok(())
}

fn move_entry(
    db: &Connection,
    table: &Table,
    index: &Index,
    key: &Key,
    old: Option<&Key>,
    new: Option<&Key>,
) -> Result<()> {
    if let Some(old) = old {
        db.prepare_cached(
            "DELETE FROM entries WHERE table_id = ?1 AND slot = ?2 AND hash = ?3 AND range = ?4
             AND item_hash = ?5 AND item_range = ?6",
        )?
        .execute(params![
            table.id, index.slot, old.hash, old.range, key.hash, key.range
        ])?;
    }
    if let Some(new) = new {
        db.prepare_cached("INSERT OR IGNORE INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                table.id, index.slot, new.hash, new.range, key.hash, key.range
            ])?;
    }
    Ok(())
}

/// Fills a new index from the existing items, except those whose attributes have another type.
pub(super) fn fill_index(db: &Connection, table: &Table, index: &Index) -> Result<()> {
    let mut statement = db.prepare("SELECT hash, range, item FROM items WHERE table_id = ?1")?;
    let mut rows = statement.query([table.id])?;
    while let Some(row) = rows.next()? {
        let key = Key {
            hash: row.get(0)?,
            range: row.get(1)?,
        };
        let item = read(&row.get::<_, String>(2)?)?;
        if let Ok(Some(entry)) = table.key_in_index(index, &item) {
            move_entry(db, table, index, &key, None, Some(&entry))?;
        }
    }
    Ok(())
}

pub(super) fn drop_index(db: &Connection, table: &Table, index: &Index) -> Result<()> {
    db.execute(
        "DELETE FROM entries WHERE table_id = ?1 AND slot = ?2",
        params![table.id, index.slot],
    )?;
    Ok(())
}

/// Updates the expiry of each item after a change of the TTL attribute.
pub(super) fn refill_expiry(db: &Connection, table: &Table) -> Result<()> {
    let mut statement = db.prepare("SELECT id, item FROM items WHERE table_id = ?1")?;
    let mut rows = statement.query([table.id])?;
    let mut update = db.prepare("UPDATE items SET expires = ?2 WHERE id = ?1")?;
    while let Some(row) = rows.next()? {
        let item = read(&row.get::<_, String>(1)?)?;
        update.execute(params![row.get::<_, i64>(0)?, table.expiry(&item)])?;
    }
    Ok(())
}

/// Up to `limit` items that expired in the seconds from `from` to before `to`.
pub(super) fn expired(
    db: &Connection,
    table: &Table,
    from: i64,
    to: i64,
    limit: u32,
) -> Result<Vec<(Key, Item)>> {
    let mut statement = db.prepare_cached(
        "SELECT hash, range, item FROM items WHERE table_id = ?1 AND expires >= ?2 AND expires < ?3 LIMIT ?4",
    )?;
    let mut rows = statement.query(params![table.id, from, to, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let key = Key {
            hash: row.get(0)?,
            range: row.get(1)?,
        };
        found.push((key, read(&row.get::<_, String>(2)?)?));
    }
    Ok(found)
}

/// The range of a table or index to read.
#[derive(Debug, Default)]
pub(super) struct Range<'a> {
    pub index: Option<&'a Index>,
    /// The whole table if `None`.
    pub hash: Option<Vec<u8>>,
    /// A bound of the sort key, and whether it is inclusive.
    pub lower: Option<(Vec<u8>, bool)>,
    pub upper: Option<(Vec<u8>, bool)>,
    pub backward: bool,
    /// Start after this item: its key in the index, and its own.
    pub after: Option<(Option<Key>, Key)>,
}

/// The query that reads `range`, and its parameters.
fn select(table: &Table, range: Range<'_>) -> (String, Vec<Sql>) {
    let mut bound = vec![Sql::Integer(table.id)];
    let mut sql = "SELECT item, size FROM items AS e WHERE e.table_id = ?1".to_owned();
    let mut columns: &[&str] = &["e.hash", "e.range"];
    if let Some(index) = range.index {
        bound.push(Sql::Integer(index.slot));
        sql = "SELECT item, size FROM entries AS e CROSS JOIN items AS i ON i.table_id = e.table_id
               AND i.hash = e.item_hash AND i.range = e.item_range WHERE e.table_id = ?1 AND e.slot = ?2"
            .to_owned();
        columns = &["e.hash", "e.range", "e.item_hash", "e.item_range"];
    }
    let mut clause = |column: &str, operator: &str, value: Vec<u8>| {
        bound.push(Sql::Blob(value));
        sql.push_str(&format!(" AND {column} {operator} ?{}", bound.len()));
    };
    let is_query = range.hash.is_some();
    if let Some(hash) = range.hash {
        clause("e.hash", "=", hash);
    }
    if let Some((value, inclusive)) = range.lower {
        clause("e.range", if inclusive { ">=" } else { ">" }, value);
    }
    if let Some((value, inclusive)) = range.upper {
        clause("e.range", if inclusive { "<=" } else { "<" }, value);
    }
    // Within one hash key the order is that of the sort keys.
    let columns = &columns[usize::from(is_query)..];
    let (operator, direction) = if range.backward { ("<", " DESC") } else { (">", "") };
    if let Some((in_index, key)) = range.after {
        let keys = in_index.into_iter().chain([key]);
        let parts = keys.flat_map(|key| [key.hash, key.range]);
        let first = bound.len() + 1;
        bound.extend(parts.skip(usize::from(is_query)).map(Sql::Blob));
        let places: Vec<String> = (first..=bound.len()).map(|n| format!("?{n}")).collect();
        let (columns, places) = (columns.join(", "), places.join(", "));
        sql.push_str(&format!(" AND ({columns}) {operator} ({places})"));
    }
    let order = columns.iter().map(|column| format!("{column}{direction}"));
    sql.push_str(&format!(" ORDER BY {}", order.collect::<Vec<_>>().join(", ")));
    (sql, bound)
}

/// Reads items in order until `visit` returns `false`. `visit` gets each item and its size.
pub(super) fn walk(
    db: &Connection,
    table: &Table,
    range: Range<'_>,
    mut visit: impl FnMut(Item, usize) -> Result<bool>,
) -> Result<()> {
    let (sql, bound) = select(table, range);
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(bound))?;
    while let Some(row) = rows.next()? {
        let text = row.get_ref(0)?.as_str().map_err(ApiError::internal)?;
        if !visit(read(text)?, row.get(1)?)? {
            break;
        }
    }
    Ok(())
}
