//! The file of refreshed prices: private to the user, replaced atomically, and checked before it is used.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::item::Item;
use super::price_book::{Entry, Prices};
use ground::error::{Error, Result};
use ground::platform;

/// The version of the format. A file of another version is not used.
const VERSION: u32 = 1;
/// The largest file that is read.
const MOST_BYTES: usize = 4 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    prices: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    region: String,
    item: Item,
    usd: String,
    from: u64,
    to: Option<u64>,
    source: String,
    as_of: String,
}

impl From<&Entry> for Row {
    fn from(entry: &Entry) -> Self {
        Self {
            region: entry.region.clone(),
            item: entry.item,
            usd: entry.usd.clone(),
            from: entry.from,
            to: entry.to,
            source: entry.source.clone(),
            as_of: entry.as_of.clone(),
        }
    }
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        Self {
            region: row.region,
            item: row.item,
            usd: row.usd,
            from: row.from,
            to: row.to,
            source: row.source,
            as_of: row.as_of,
        }
    }
}

/// The prices in the file `path`; `None` if there is none.
///
/// # Errors
/// Why it cannot be used.
pub(super) fn read(path: &Path) -> Result<Option<Prices>, String> {
    match entries(path)? {
        Some(entries) => Prices::of(&entries).map(Some),
        None => Ok(None),
    }
}

fn entries(path: &Path) -> Result<Option<Vec<Entry>>, String> {
    let bytes = match platform::read_private(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if bytes.len() > MOST_BYTES {
        return Err("it is too large".to_owned());
    }
    let file: File = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if file.version != VERSION {
        return Err(format!("it has version {}", file.version));
    }
    Ok(Some(file.prices.into_iter().map(Entry::from).collect()))
}

/// Replaces the prices of `region` in the file `path` by `fresh`, and keeps those of other regions. A file that cannot be used
/// is replaced.
///
/// # Errors
/// If `fresh` is not valid, or the file cannot be written.
pub(super) fn write(path: &Path, region: &str, fresh: &[Entry]) -> Result<()> {
    Prices::of(fresh).map_err(|why| Error::failed("the prices that were read are not valid").cause(why))?;
    let kept = read(path)
        .and_then(|_| entries(path))
        .ok()
        .flatten()
        .unwrap_or_default();
    let kept = kept.iter().filter(|entry| entry.region != region);
    let file = File {
        version: VERSION,
        prices: kept.chain(fresh).map(Row::from).collect(),
    };
    let failed = |error: io::Error| Error::failed("could not save the prices").cause(error);
    let bytes = serde_json::to_vec_pretty(&file).map_err(|error| failed(error.into()))?;
    if let Some(dir) = path.parent() {
        platform::create_private_dir(dir).map_err(|error| failed(platform::at_path(error, dir)))?;
    }
    platform::replace_private_file(path, &bytes).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(region: &str, usd: &str) -> Entry {
        Entry {
            region: region.to_owned(),
            item: Item::ShardHour,
            usd: usd.to_owned(),
            from: 0,
            to: None,
            source: "AWS Price List API".to_owned(),
            as_of: "2026-11-29".to_owned(),
        }
    }

    #[test]
    fn regions_are_kept_beside_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join("prices.json");
        assert_eq!(read(&path), Ok(None));
        write(&path, "eu-central-1", &[entry("eu-central-1", "0.0180000000")]).unwrap();
        write(&path, "eu-west-1", &[entry("eu-west-1", "0.0165")]).unwrap();
        write(&path, "eu-central-1", &[entry("eu-central-1", "0.019")]).unwrap();
        let prices = Prices::shipped().unwrap().with_cache(&path);
        let amount = |region: &str| prices.book(region).unwrap().amount(Item::ShardHour, 1_000);
        let shown =
            ["eu-central-1", "eu-west-1", "us-east-1"].map(|region| amount(region).unwrap().rounded(2));
        assert_eq!(shown, ["19.00", "16.50", "15.00"]);
        // A region of the repository keeps the items that were not refreshed.
        write(&path, "us-east-1", &[entry("us-east-1", "0.016")]).unwrap();
        let prices = Prices::shipped().unwrap().with_cache(&path);
        let book = prices.book("us-east-1").unwrap();
        assert_eq!(book.amount(Item::ShardHour, 1).unwrap().rounded(3), "0.016");
        assert!(book.tariff(Item::Alarms).is_some());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
    }

    #[test]
    fn a_damaged_file_is_named_and_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("prices.json");
        for damage in [
            "",
            "{",
            "{\"version\":2,\"prices\":[]}",
            "{\"version\":1,\"prices\":[{}]}",
            "{\"version\":1,\"prices\":[],\"more\":1}",
            "{\"version\":1,\"prices\":[{\"region\":\"eu-west-1\",\"item\":\"shard-hour\",\"usd\":\"x\",\"from\":0,\"to\":null,\"source\":\"\",\"as_of\":\"\"}]}",
        ] {
            std::fs::write(&path, damage).unwrap();
            let prices = Prices::shipped().unwrap().with_cache(&path);
            let problem = prices.problem.clone().unwrap();
            assert!(problem.contains("prices.json"), "{problem}");
            assert!(prices.book("us-east-1").is_some());
            assert_eq!(prices.book("eu-west-1"), None);
        }
        // It is replaced by the next refresh.
        write(&path, "eu-west-1", &[entry("eu-west-1", "0.0165")]).unwrap();
        assert_eq!(Prices::shipped().unwrap().with_cache(&path).problem, None);
    }

    #[test]
    fn prices_that_are_not_valid_are_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("prices.json");
        assert!(write(&path, "eu-west-1", &[entry("eu-west-1", "-1")]).is_err());
        assert!(!path.exists());
    }
}
