//! Resources of a service that are small descriptions: each one in JSON, by account, region, kind, parent and name.
//!
//! A parent is another resource, such as the database of a table; empty for a resource of the account.

use std::fmt;
use std::io;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::database::Database;
use crate::types::Caller;
use daemon::protocol::Damage;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS entries (
        account TEXT NOT NULL, region TEXT NOT NULL, kind TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL,
        description TEXT NOT NULL,
        PRIMARY KEY (account, region, kind, parent, name)
    ) WITHOUT ROWID;
";
/// Bytes of the descriptions of a page. The last one may exceed it.
const PAGE_BYTES: usize = 2 << 20;

/// Why an entry cannot be read or written.
#[derive(Debug)]
pub(crate) struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self(format!("a description is damaged: {error}"))
    }
}

type Result<T> = std::result::Result<T, Fault>;

/// The entries of one service.
pub(crate) struct Entries(Database);

impl Entries {
    /// In the file `path`, opened on first use.
    pub fn new(path: &Path) -> Self {
        Self(Database::new(path, SCHEMA))
    }

    /// Runs `work` on the entries of `caller` as one transaction, which an error rolls back. Blocks.
    ///
    /// # Errors
    /// Those of `work`, and those of the database.
    pub fn write<T, E: From<rusqlite::Error> + From<io::Error>>(
        &self,
        caller: &Caller,
        work: impl FnOnce(&Scope<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.0.write(|db| work(&Scope { db, caller }))
    }

    /// As [`Entries::write`], for `work` that changes nothing.
    ///
    /// # Errors
    /// As [`Entries::write`].
    pub fn read<T, E: From<rusqlite::Error> + From<io::Error>>(
        &self,
        caller: &Caller,
        work: impl FnOnce(&Scope<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.0.read(|db| work(&Scope { db, caller }))
    }

    /// Whether anything was ever stored.
    pub fn exists(&self) -> bool {
        self.0.exists()
    }

    pub fn open_existing(&self) {
        self.0.open_existing();
    }

    pub fn damage(&self) -> Vec<Damage> {
        self.0.damage()
    }

    pub fn close(&self) {
        self.0.close();
    }
}

/// What the entries of a list have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List<'a> {
    pub kind: &'static str,
    pub parent: &'a str,
}

impl List<'static> {
    /// Resources of the account.
    pub const fn of(kind: &'static str) -> Self {
        Self { kind, parent: "" }
    }
}

/// The entries of a caller's account in one region.
pub(crate) struct Scope<'a> {
    db: &'a Connection,
    caller: &'a Caller,
}

impl Scope<'_> {
    pub fn get<T: DeserializeOwned>(&self, list: List<'_>, name: &str) -> Result<Option<T>> {
        let (Caller { account, region }, List { kind, parent }) = (self.caller, list);
        let found: Option<String> = self
            .db
            .prepare_cached(
                "SELECT description FROM entries
                 WHERE account = ?1 AND region = ?2 AND kind = ?3 AND parent = ?4 AND name = ?5",
            )?
            .query_row(params![account, region, kind, parent, name], |row| row.get(0))
            .optional()?;
        Ok(found.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    /// Adds an entry, or replaces it.
    pub fn put(&self, list: List<'_>, name: &str, entry: &impl Serialize) -> Result<()> {
        let (Caller { account, region }, List { kind, parent }) = (self.caller, list);
        let description = serde_json::to_string(entry)?;
        self.db
            .prepare_cached("INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![account, region, kind, parent, name, description])?;
        Ok(())
    }

    /// Whether there was such an entry.
    pub fn remove(&self, list: List<'_>, name: &str) -> Result<bool> {
        let (Caller { account, region }, List { kind, parent }) = (self.caller, list);
        let removed = self
            .db
            .prepare_cached(
                "DELETE FROM entries WHERE account = ?1 AND region = ?2 AND kind = ?3 AND parent = ?4 AND name = ?5",
            )?
            .execute(params![account, region, kind, parent, name])?;
        Ok(removed > 0)
    }

    pub fn remove_all(&self, list: List<'_>) -> Result<()> {
        let (Caller { account, region }, List { kind, parent }) = (self.caller, list);
        self.db
            .prepare_cached(
                "DELETE FROM entries WHERE account = ?1 AND region = ?2 AND kind = ?3 AND parent = ?4",
            )?
            .execute(params![account, region, kind, parent])?;
        Ok(())
    }

    pub fn count(&self, list: List<'_>) -> Result<usize> {
        let (Caller { account, region }, List { kind, parent }) = (self.caller, list);
        let count = self
            .db
            .prepare_cached(
                "SELECT count(*) FROM entries WHERE account = ?1 AND region = ?2 AND kind = ?3 AND parent = ?4",
            )?
            .query_row(params![account, region, kind, parent], |row| row.get(0))?;
        Ok(count)
    }

    /// The entries after `after`, by name, whose name is wanted: at most `most`, and as many as a response takes. With the
    /// name after which the next page begins, if there is one.
    pub fn page<T: DeserializeOwned>(
        &self,
        list: List<'_>,
        after: &str,
        most: usize,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<(Vec<T>, Option<String>)> {
        let (Caller { account, region }, List { kind, parent }) = (self.caller, list);
        let mut statement = self.db.prepare_cached(
            "SELECT name, description FROM entries
             WHERE account = ?1 AND region = ?2 AND kind = ?3 AND parent = ?4 AND name > ?5 ORDER BY name",
        )?;
        let mut rows = statement.query(params![account, region, kind, parent, after])?;
        let (mut found, mut last, mut bytes) = (Vec::new(), None, 0);
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            if !is_wanted(&name) {
                continue;
            }
            if found.len() >= most || bytes >= PAGE_BYTES {
                return Ok((found, last));
            }
            let description: String = row.get(1)?;
            bytes += description.len();
            found.push(serde_json::from_str(&description)?);
            last = Some(name);
        }
        Ok((found, None))
    }

    /// All entries, by name.
    pub fn all<T: DeserializeOwned>(&self, list: List<'_>) -> Result<Vec<T>> {
        let (mut all, mut after) = (Vec::new(), Some(String::new()));
        while let Some(last) = after {
            let (found, next) = self.page(list, &last, usize::MAX, |_| true)?;
            all.extend(found);
            after = next;
        }
        Ok(all)
    }
}

/// The token of the page after `name`. Names may have characters that a token may not.
pub(crate) fn token(name: &str) -> String {
    hex::encode(name)
}

/// The name that a token holds; empty without a token. `None` for what is no token.
pub(crate) fn name_of_token(token: Option<&str>) -> Option<String> {
    let Some(token) = token else {
        return Some(String::new());
    };
    String::from_utf8(hex::decode(token).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOPS: List<'static> = List::of("shop");

    #[test]
    fn entries_belong_to_an_account_a_region_and_a_parent() {
        let dir = tempfile::tempdir().unwrap();
        let entries = Entries::new(&dir.path().join("x.db"));
        let caller = Caller::default();
        let other = Caller {
            region: "eu-west-1".to_owned(),
            ..Caller::default()
        };
        let below = List {
            kind: "shop",
            parent: "mall",
        };
        let put = |scope: &Scope<'_>| -> Result<()> {
            scope.put(SHOPS, "a", &1)?;
            scope.put(below, "a", &2)
        };
        entries.write(&caller, put).unwrap();
        let get = |caller: &Caller, list: List<'_>| -> Option<u32> {
            let found = entries.read(caller, |scope| scope.get(list, "a"));
            found.unwrap()
        };
        assert_eq!((get(&caller, SHOPS), get(&caller, below)), (Some(1), Some(2)));
        assert_eq!(get(&other, SHOPS), None);
        let remove = |scope: &Scope<'_>| scope.remove_all(SHOPS);
        entries.write(&caller, remove).unwrap();
        assert_eq!((get(&caller, SHOPS), get(&caller, below)), (None, Some(2)));
    }

    #[test]
    fn pages_are_bounded_in_number_and_in_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let entries = Entries::new(&dir.path().join("x.db"));
        let caller = Caller::default();
        let text = "x".repeat(PAGE_BYTES / 2);
        let put = |scope: &Scope<'_>| -> Result<()> {
            (0..7).try_for_each(|n| scope.put(SHOPS, &format!("é{n}"), &text))
        };
        entries.write(&caller, put).unwrap();
        let page = |after: &str, most: usize| -> (usize, Option<String>) {
            let page = |scope: &Scope<'_>| scope.page::<String>(SHOPS, after, most, |name| name != "é1");
            let (found, next) = entries.read(&caller, page).unwrap();
            (found.len(), next)
        };
        assert_eq!(page("", 1), (1, Some("é0".to_owned())));
        assert_eq!(page("", 100), (2, Some("é2".to_owned())));
        assert_eq!(page("é4", 2), (2, None));
        let all = |scope: &Scope<'_>| scope.all::<String>(SHOPS);
        assert_eq!(entries.read(&caller, all).unwrap().len(), 7);
        let token = token("é2");
        assert_eq!(name_of_token(Some(&token)).as_deref(), Some("é2"));
        assert_eq!(name_of_token(Some("?")), None);
        assert_eq!(name_of_token(None).as_deref(), Some(""));
    }
}
