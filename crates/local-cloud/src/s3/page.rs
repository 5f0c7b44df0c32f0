//! Pages of a listing: keys in order, with a prefix, rolled up at a delimiter.
//!
//! Source: "Listing object keys programmatically" and "Organizing objects using prefixes", S3 user guide. Keys are in the
//! order of their UTF-8 bytes. A page costs one search in an index for each common prefix in it, and one step for each
//! key.

use rusqlite::{Connection, Row, params};

use super::error::Result;

/// A place in the order of keys and, within a key, of ranks. A listing begins with the first row at or after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub key: Vec<u8>,
    pub rank: i64,
}

impl Place {
    /// Before all rows of keys from `key` on.
    pub fn at(key: &[u8]) -> Self {
        Self {
            key: key.to_vec(),
            rank: i64::MIN,
        }
    }

    /// After all rows of `key`.
    pub fn after(key: &str) -> Self {
        let mut key = key.as_bytes().to_vec();
        key.push(0);
        Self::at(&key)
    }

    /// After all keys that begin with `prefix`, which must not be empty.
    fn after_prefix(prefix: &str) -> Self {
        let mut key = prefix.as_bytes().to_vec();
        // No byte of UTF-8 is 0xff.
        if let Some(last) = key.last_mut() {
            *last = last.saturating_add(1);
        }
        Self::at(&key)
    }
}

/// Which keys, and how many at once.
pub(super) struct Filter<'a> {
    pub prefix: &'a str,
    /// Empty for none.
    pub delimiter: &'a str,
    pub max: usize,
}

impl Filter<'_> {
    /// The part of `key` up to the first delimiter after the prefix.
    fn common_prefix<'k>(&self, key: &'k str) -> Option<&'k str> {
        if self.delimiter.is_empty() {
            return None;
        }
        let found = key.strip_prefix(self.prefix)?.find(self.delimiter)?;
        key.get(..self.prefix.len() + found + self.delimiter.len())
    }

    /// The place after a marker, which is a key or a common prefix of an earlier page.
    pub fn after(&self, marker: &str) -> Place {
        if marker.is_empty() {
            Place::at(b"")
        } else if self.common_prefix(marker) == Some(marker) {
            Place::after_prefix(marker)
        } else {
            Place::after(marker)
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry<T> {
    Item(T),
    Prefix(String),
}

#[derive(Debug)]
pub(super) struct Page<T> {
    pub entries: Vec<Entry<T>>,
    /// Where the next page begins, if there is one.
    pub next: Option<Place>,
}

impl<T> Page<T> {
    pub fn items(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Item(item) => Some(item),
            Entry::Prefix(_) => None,
        })
    }

    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Item(_) => None,
            Entry::Prefix(prefix) => Some(prefix.as_str()),
        })
    }
}

/// A page of rows of a bucket. `sql` selects `key` and `rank` first, and has as its condition and order [`IN_ORDER`].
pub(super) fn read<T>(
    db: &Connection,
    sql: &str,
    bucket: i64,
    filter: &Filter<'_>,
    from: Place,
    item: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Page<T>> {
    let mut page = Page {
        entries: Vec::new(),
        next: None,
    };
    if filter.max == 0 {
        return Ok(page);
    }
    let mut from = from.max(Place::at(filter.prefix.as_bytes()));
    let mut statement = db.prepare_cached(sql)?;
    'search: loop {
        let mut rows = statement.query(params![bucket, from.key, from.rank])?;
        while let Some(row) = rows.next()? {
            let key = String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into_owned();
            if !key.starts_with(filter.prefix) {
                return Ok(page);
            }
            let common = filter.common_prefix(&key);
            if page.entries.len() == filter.max {
                page.next = Some(from);
                return Ok(page);
            }
            if let Some(prefix) = common {
                page.entries.push(Entry::Prefix(prefix.to_owned()));
                from = Place::after_prefix(prefix);
                continue 'search;
            }
            page.entries.push(Entry::Item(item(row)?));
            from = Place {
                key: key.into_bytes(),
                rank: row.get::<_, i64>(1)? + 1,
            };
        }
        return Ok(page);
    }
}

/// The condition and the order of rows.
pub(super) const IN_ORDER: &str = "bucket = ?1 AND (key, rank) >= (?2, ?3) ORDER BY bucket, key, rank";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn database(keys: &BTreeSet<String>) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE rows (bucket INTEGER, key BLOB, rank INTEGER, PRIMARY KEY (bucket, key, rank)) WITHOUT ROWID")
            .unwrap();
        for key in keys {
            for rank in [-2, -1] {
                let mut insert = db.prepare_cached("INSERT INTO rows VALUES (1, ?1, ?2)").unwrap();
                insert.execute(params![key.as_bytes(), rank]).unwrap();
            }
            db.execute("INSERT INTO rows VALUES (2, ?1, -1)", [key.as_bytes()])
                .unwrap();
        }
        db
    }

    type Names = Vec<Entry<(String, i64)>>;

    fn all_pages(db: &Connection, filter: &Filter<'_>, from: &Place) -> (Names, usize) {
        let sql = format!("SELECT key, rank FROM rows WHERE {IN_ORDER}");
        let (mut all, mut pages, mut from) = (Vec::new(), 0, from.clone());
        loop {
            let page = read(db, &sql, 1, filter, from, |row| {
                let key: Vec<u8> = row.get(0)?;
                Ok((String::from_utf8(key).unwrap(), row.get(1)?))
            })
            .unwrap();
            assert!(page.entries.len() <= filter.max);
            pages += 1;
            all.extend(page.entries);
            match page.next {
                Some(next) => from = next,
                None => return (all, pages),
            }
        }
    }

    /// A listing by the documentation's words, in one piece.
    fn model(keys: &BTreeSet<String>, filter: &Filter<'_>, marker: &str) -> Names {
        let mut entries: Names = Vec::new();
        for key in keys.iter().filter(|key| key.starts_with(filter.prefix)) {
            match filter.common_prefix(key) {
                Some(prefix) if prefix == marker => {}
                _ if key.as_str() <= marker => {}
                Some(prefix) => {
                    let entry = Entry::Prefix(prefix.to_owned());
                    if entries.last() != Some(&entry) {
                        entries.push(entry);
                    }
                }
                None => entries.extend([-2, -1].map(|rank| Entry::Item((key.clone(), rank)))),
            }
        }
        entries
    }

    #[test]
    fn each_common_prefix_is_in_one_page() {
        let keys: BTreeSet<String> = (0..25).map(|at| format!("d{}/{at}", at % 3)).collect();
        let filter = Filter {
            prefix: "",
            delimiter: "/",
            max: 1,
        };
        let (all, pages) = all_pages(&database(&keys), &filter, &Place::at(b""));
        let expected = ["d0/", "d1/", "d2/"].map(|prefix| Entry::Prefix(prefix.to_owned()));
        assert_eq!(all, expected);
        assert_eq!(pages, 3);
    }

    #[test]
    fn a_page_is_a_search_in_an_index() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(super::super::schema::SCHEMA).unwrap();
        let current =
            format!("SELECT key, rank FROM s3_versions WHERE is_latest = 1 AND is_marker = 0 AND {IN_ORDER}");
        let versions = format!("SELECT key, rank FROM s3_versions WHERE {IN_ORDER}");
        for (sql, index) in [(current, "s3_current"), (versions, "PRIMARY KEY")] {
            let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let plan: Vec<String> = plan
                .query_map(params![1, b"k", 0], |row| row.get(3))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            assert_eq!(plan.len(), 1, "{plan:?}");
            assert!(
                plan[0].starts_with("SEARCH") && plan[0].contains(index),
                "{plan:?}"
            );
            assert!(plan[0].contains("bucket=? AND (key,rank)>(?,?)"), "{plan:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

        #[test]
        fn pages_make_up_the_listing_of_the_model(
            keys in proptest::collection::btree_set("[ab/é\u{10ffff}\u{1}]{1,5}", 0..30),
            prefix in "[ab/é]{0,2}",
            delimiter in "(/|b|/a|é)?",
            marker in "([ab/é]{1,4})?",
            max in 1usize..6,
        ) {
            let filter = Filter { prefix: &prefix, delimiter: &delimiter, max };
            let db = database(&keys);
            let from = filter.after(&marker);
            let (all, pages) = all_pages(&db, &filter, &from);
            prop_assert_eq!(&all, &model(&keys, &filter, &marker));
            prop_assert_eq!(pages, all.len().div_ceil(max).max(1));
            // The client can go on with the last name of a page, too.
            let whole = Filter { max: 1000, ..filter };
            for (at, entry) in all.iter().enumerate() {
                let last = match entry {
                    Entry::Prefix(prefix) => prefix,
                    Entry::Item((_, -2)) => continue,
                    Entry::Item((key, _)) => key,
                };
                let (rest, _) = all_pages(&db, &whole, &whole.after(last).max(from.clone()));
                prop_assert_eq!(&rest, &all[at + 1..]);
            }
        }
    }
}
