//! How the traffic of a shard divides over its hash keys, and whether a split can help.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::sample::{as_f64, sample_shards};
use super::{KeyTraffic, ShardSample, as_text, was_resharded};
use crate::consume::KinesisShards;
use crate::context::Context;
use crate::stream::divide::divide;
use crate::stream::{Shard, ShardMap, StreamState};
use ground::duration;
use ground::error::{Error, Result};

/// Fewer records say nothing about a shard's traffic.
const FEWEST_RECORDS: u64 = 20;
/// A split that leaves more than this share of the traffic to one child is not worth a shard.
const MOST_IN_ONE: f64 = 0.8;
/// The most shards whose keys are read for a plan: a sample of each takes seconds, and is kept in memory.
pub const MOST_SHARDS: usize = 200;

/// A split that divides the measured traffic of a shard.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct ShardDivision {
    pub shard: String,
    /// Records of the sample.
    pub records: u64,
    /// Share of 1,000 records/s or 1 MiB/s that the shard uses.
    pub utilisation: Option<f64>,
    /// The first hash key of the second child.
    #[serde(serialize_with = "as_hash_key")]
    #[cfg_attr(feature = "schemas", schemars(with = "String"))]
    pub hash_key: u128,
    /// Shares of the traffic that the children have, 0 to 1.
    pub lower: f64,
    pub upper: f64,
    pub hottest_key: KeyTraffic,
}

fn as_hash_key<S: serde::Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    as_text(&Some(*number), serializer)
}

/// The split of `shard` that divides its traffic of the last `window` as evenly as possible.
///
/// # Errors
/// Exit 1 when the shard had too little traffic, or no split can divide it.
pub async fn division(
    context: &Context,
    stream: &StreamState,
    map: &ShardMap,
    shard: &Shard,
    window: Duration,
) -> Result<ShardDivision> {
    let source = KinesisShards::new(context, &stream.name);
    let is_new = was_resharded(map, shard);
    let sample = super::sample_shard(&source, shard, is_new, window, Timestamp::now()).await?;
    let sample = sample.ok_or_else(|| unreadable(&shard.id))?;
    divided(shard, &sample, window)
}

fn unreadable(shard: &str) -> Error {
    Error::failed(format!("the records of shard {shard} could not be read"))
        .hint("other readers use up its reading quota: run the command again")
}

fn divided(shard: &Shard, sample: &ShardSample, window: Duration) -> Result<ShardDivision> {
    let id = &shard.id;
    let records = sample.records();
    let hottest = sample.hottest_keys().into_iter().next().map(|(_, key)| key);
    let (Some(hottest_key), true) = (hottest, records >= FEWEST_RECORDS) else {
        let text = format!(
            "shard {id} has too little traffic to divide: {records} records were found in the last {}",
            duration::format(window)
        );
        return Err(
            Error::failed(text).hint("look further back with --window, or split it in half with @half")
        );
    };
    if sample.unknown() > 0.5 {
        let text = format!(
            "{:.0} % of the traffic of shard {id} has explicit hash keys, which records do not contain",
            sample.unknown() * 100.0
        );
        return Err(Error::failed(text).hint("name the hash key to split at: --split SHARD@HASHKEY"));
    }
    let division = divide(shard, &sample.weighted_keys());
    let division = division.filter(|division| division.larger() <= MOST_IN_ONE);
    let Some(division) = division else {
        let text = format!(
            "no split can divide the traffic of shard {id}: partition key {:?} has {:.0} % of it",
            hottest_key.key,
            hottest_key.share * 100.0
        );
        return Err(Error::failed(text).hint(
            "all records of a key go to one shard, also in on-demand mode: use a finer partition key, such as the key and \
             a number, or aggregate records",
        ));
    };
    Ok(ShardDivision {
        shard: id.clone(),
        records,
        utilisation: sample.traffic().utilisation,
        hash_key: division.at,
        lower: division.lower,
        upper: division.upper,
        hottest_key,
    })
}

/// The hash keys of a stream and their traffic per second, sorted by hash key.
///
/// # Errors
/// Exit 1 when a shard could not be read, or the stream has more than [`MOST_SHARDS`] shards.
pub async fn keys_of_stream(
    context: &Context,
    stream: &StreamState,
    map: &ShardMap,
    window: Duration,
) -> Result<Vec<(u128, f64)>> {
    let open: Vec<&Shard> = map.open().collect();
    if open.len() > MOST_SHARDS {
        let text = format!(
            "stream {} has {} shards; the keys of at most {MOST_SHARDS} can be looked at",
            stream.name,
            open.len()
        );
        return Err(Error::usage(text).hint("`--balance` makes the hash key ranges even"));
    }
    let samples = sample_shards(context, stream, &open, map, window, Timestamp::now()).await?;
    if let Some(missing) = open
        .iter()
        .find(|shard| samples.iter().all(|sample| sample.shard != shard.id))
    {
        return Err(unreadable(&missing.id));
    }
    Ok(rates(&samples))
}

/// Each key's share of the limit that the stream is nearest to: records or bytes.
fn rates(samples: &[ShardSample]) -> Vec<(u128, f64)> {
    let total = |figure: fn(&super::ShardTraffic) -> Option<f64>| -> f64 {
        samples
            .iter()
            .filter_map(|sample| figure(&sample.traffic()))
            .sum()
    };
    let records = total(|shard| shard.records_per_second) / super::SHARD_RECORDS;
    let by_bytes = total(|shard| shard.bytes_per_second) / super::SHARD_BYTES > records;
    let mut keys: Vec<(u128, f64)> = samples
        .iter()
        .flat_map(|sample| {
            let seconds = sample.seconds.max(0.001);
            sample.keys.iter().filter_map(move |key| {
                let count = if by_bytes { key.bytes } else { key.records };
                Some((key.hash_key?, as_f64(count) / seconds))
            })
        })
        .collect();
    keys.sort_by_key(|key| key.0);
    keys
}

#[cfg(test)]
mod tests {
    use super::super::KeyCount;
    use super::*;

    const WINDOW: Duration = Duration::from_secs(600);

    fn shard() -> Shard {
        Shard {
            id: "shardId-000000000003".to_owned(),
            parent: None,
            adjacent_parent: None,
            first_hash: 0,
            last_hash: 1_000,
            first_sequence: "1".to_owned(),
            last_sequence: None,
        }
    }

    fn sample(keys: &[(Option<u128>, u64)]) -> ShardSample {
        let key = |&(hash_key, records): &(Option<u128>, u64)| KeyCount {
            key: hash_key.map_or("hidden".to_owned(), |hash| format!("key-{hash}")),
            hash_key,
            records,
            bytes: records * 10,
        };
        ShardSample {
            shard: shard().id,
            seconds: 10.0,
            keys: keys.iter().map(key).collect(),
        }
    }

    fn said(keys: &[(Option<u128>, u64)]) -> String {
        match divided(&shard(), &sample(keys), WINDOW) {
            Ok(found) => format!("{} {:.2} {:.2}", found.hash_key, found.lower, found.upper),
            Err(error) => format!("{error} ({})", error.hint_text().unwrap_or_default()),
        }
    }

    #[test]
    fn a_split_divides_the_traffic_or_says_why_it_cannot() {
        insta::assert_snapshot!(
            [
                said(&[(Some(100), 50), (Some(110), 50), (Some(120), 10)]),
                said(&[(Some(100), 93), (Some(700), 7)]),
                said(&[(Some(100), 9), (Some(700), 9)]),
                said(&[]),
                said(&[(None, 80), (Some(1), 10), (Some(9), 10)]),
            ]
            .join("\n"),
            @r#"
            105 0.45 0.55
            no split can divide the traffic of shard shardId-000000000003: partition key "key-100" has 93 % of it (all records of a key go to one shard, also in on-demand mode: use a finer partition key, such as the key and a number, or aggregate records)
            shard shardId-000000000003 has too little traffic to divide: 18 records were found in the last 10m (look further back with --window, or split it in half with @half)
            shard shardId-000000000003 has too little traffic to divide: 0 records were found in the last 10m (look further back with --window, or split it in half with @half)
            80 % of the traffic of shard shardId-000000000003 has explicit hash keys, which records do not contain (name the hash key to split at: --split SHARD@HASHKEY)
            "#
        );
    }

    #[test]
    fn samples_of_different_length_are_comparable() {
        let mut long = sample(&[(Some(5), 100)]);
        long.seconds = 100.0;
        let found = rates(&[long, sample(&[(Some(2), 100), (None, 7)])]);
        assert_eq!(found, [(2, 10.0), (5, 1.0)]);
    }
}
