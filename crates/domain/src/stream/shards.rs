//! The shard map: hash ranges, lineage, open and closed shards. Shared with the tail engine.

use aws_sdk_kinesis::{Client, types as sdk};
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::Timestamp;

use super::reference::name_or_arn;
use crate::context::Context;
use ground::error::{self, Error, Result};

/// The number of hash keys as a float: keys are 0 to 2^128 − 1. Source: `HashKeyRange`, Kinesis API reference.
const HASH_SPACE: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;

/// A shard of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Such as `shardId-000000000000`; ids increase with creation time.
    pub id: String,
    /// The shard this one was split from, or the first of two it was merged from. It may have expired.
    pub parent: Option<String>,
    /// The second of two shards this one was merged from.
    pub adjacent_parent: Option<String>,
    /// Lowest hash key of its range.
    pub first_hash: u128,
    /// Highest hash key of its range, inclusive.
    pub last_hash: u128,
    /// No record of the shard has a lower sequence number.
    pub first_sequence: String,
    /// No record of the shard has a higher sequence number; `None` while the shard is open.
    pub last_sequence: Option<String>,
}

impl Shard {
    /// Whether the shard is open. A closed shard can be read until its last record expires.
    pub fn is_open(&self) -> bool {
        self.last_sequence.is_none()
    }

    /// Its share of the hash key space, 0 to 1.
    pub fn share(&self) -> f64 {
        // Precise enough for a percentage; the range is inclusive.
        (self.last_hash.saturating_sub(self.first_hash) as f64 + 1.0) / HASH_SPACE
    }

    /// The part of the hash key space below the hash key `hash`, 0 to 1.
    pub fn part_below(hash: u128) -> f64 {
        hash as f64 / HASH_SPACE
    }

    /// Whether its range contains the hash key `hash`.
    pub fn covers(&self, hash: u128) -> bool {
        (self.first_hash..=self.last_hash).contains(&hash)
    }

    /// The one or two parents, whether listed or expired.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        self.parent
            .as_deref()
            .into_iter()
            .chain(self.adjacent_parent.as_deref())
    }
}

/// `3` and `shardId-000000000003` name the same shard.
pub fn full_shard_id(text: &str) -> Option<String> {
    if !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(format!("shardId-{text:0>12}"));
    }
    // Source: ShardId, Kinesis API reference.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (!text.is_empty() && text.len() <= 128 && text.bytes().all(allowed)).then(|| text.to_owned())
}

/// Which shards to list. Source: `ShardFilter`, Kinesis API reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// Every shard that has not expired.
    All,
    /// The open shards.
    Open,
    /// The open shards, and closed ones whose records have not expired.
    FromTrimHorizon,
    /// The shards that were open at this time.
    AtTimestamp(Timestamp),
    /// The shards open at this time or later.
    FromTimestamp(Timestamp),
    /// The shards with an id after this one.
    After(String),
}

impl Listing {
    fn filter(&self) -> Option<sdk::ShardFilter> {
        use sdk::ShardFilterType as Type;
        let builder = sdk::ShardFilter::builder();
        let builder = match self {
            Self::All => return None,
            Self::Open => builder.r#type(Type::AtLatest),
            Self::FromTrimHorizon => builder.r#type(Type::FromTrimHorizon),
            Self::AtTimestamp(time) => builder
                .r#type(Type::AtTimestamp)
                .timestamp(DateTime::from_millis(time.as_millisecond())),
            Self::FromTimestamp(time) => builder
                .r#type(Type::FromTimestamp)
                .timestamp(DateTime::from_millis(time.as_millisecond())),
            Self::After(id) => builder.r#type(Type::AfterShardId).shard_id(id),
        };
        // Fails only without a type, and each arm sets one.
        builder.build().ok()
    }
}

/// The shards of a stream at one moment, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardMap {
    /// The name or ARN of the stream, as it was asked for.
    stream: Option<String>,
    shards: Vec<Shard>,
}

impl ShardMap {
    /// A map of `shards`, sorted by id; the first of two with the same id counts.
    pub fn new(mut shards: Vec<Shard>) -> Self {
        shards.sort_by(|a, b| a.id.cmp(&b.id));
        shards.dedup_by(|later, earlier| later.id == earlier.id);
        Self { stream: None, shards }
    }

    /// The map is of the stream `name`.
    #[must_use]
    pub fn of(self, name: &str) -> Self {
        Self {
            stream: Some(name.to_owned()),
            ..self
        }
    }

    /// The name of the stream, for a command line.
    pub fn stream(&self) -> &str {
        self.stream.as_deref().unwrap_or("STREAM")
    }

    /// All shards, by id.
    pub fn all(&self) -> &[Shard] {
        &self.shards
    }

    /// The shard with this id.
    pub fn get(&self, id: &str) -> Option<&Shard> {
        let at = self
            .shards
            .binary_search_by(|shard| shard.id.as_str().cmp(id))
            .ok()?;
        self.shards.get(at)
    }

    /// The open shards.
    pub fn open(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(|shard| shard.is_open())
    }

    /// The closed shards that can still be read.
    pub fn closed(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(|shard| !shard.is_open())
    }

    /// The children of `id`, after a split or a merge.
    pub fn children_of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Shard> {
        self.shards
            .iter()
            .filter(move |shard| shard.parents().any(|parent| parent == id))
    }

    /// Shards without a listed parent: where reading begins.
    pub fn roots(&self) -> impl Iterator<Item = &Shard> {
        self.shards
            .iter()
            .filter(|shard| shard.parents().all(|parent| self.get(parent).is_none()))
    }

    /// The open shard for the hash key `hash`.
    pub fn for_hash(&self, hash: u128) -> Option<&Shard> {
        self.open().find(|shard| shard.covers(hash))
    }
}

/// ListShards tokens expire after 300 seconds (Kinesis API reference); a list that takes longer starts again this
/// often.
const RESTARTS: u32 = 3;

/// Lists all shards of stream `name`. A stream of another account is named by its ARN.
///
/// # Errors
/// Exit 1 when the stream does not exist or a response is invalid, exit 4 when the target cannot be reached or denies
/// access.
pub async fn list(ctx: &Context, name: &str, listing: &Listing) -> Result<ShardMap> {
    list_with(ctx.kinesis(), name, listing).await
}

/// As [`list`], with `client`.
///
/// # Errors
/// As [`list`].
pub async fn list_with(client: &Client, name: &str, listing: &Listing) -> Result<ShardMap> {
    let mut restarts = 0;
    let mut shards = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let request = client.list_shards();
        // A token excludes the stream's name and the filter.
        let request = match &token {
            Some(token) => request.next_token(token),
            None => {
                let (by_name, by_arn) = name_or_arn(name);
                let request = request.set_stream_name(by_name).set_stream_arn(by_arn);
                request.set_shard_filter(listing.filter())
            }
        };
        let page = match request.send().await {
            Ok(page) => page,
            Err(e) if e.code() == Some("ExpiredNextTokenException") && restarts < RESTARTS => {
                restarts += 1;
                shards.clear();
                token = None;
                continue;
            }
            Err(e) => {
                return Err(error::aws::failed(
                    format!("could not list the shards of stream {name}"),
                    e,
                ));
            }
        };
        for shard in page.shards.unwrap_or_default() {
            shards.push(parse(shard)?);
        }
        match page.next_token {
            Some(next) if Some(&next) != token.as_ref() => token = Some(next),
            _ => return Ok(ShardMap::new(shards).of(name)),
        }
    }
}

/// Converts a shard of the API.
fn parse(shard: sdk::Shard) -> Result<Shard> {
    let hash = |text: Option<&str>| text.and_then(|text| text.parse::<u128>().ok());
    let range = shard.hash_key_range.as_ref();
    let first_hash = hash(range.map(sdk::HashKeyRange::starting_hash_key));
    let last_hash = hash(range.map(sdk::HashKeyRange::ending_hash_key));
    match (first_hash, last_hash, shard.sequence_number_range) {
        (Some(first_hash), Some(last_hash), Some(sequences)) if first_hash <= last_hash => Ok(Shard {
            id: shard.shard_id,
            parent: shard.parent_shard_id,
            adjacent_parent: shard.adjacent_parent_shard_id,
            first_hash,
            last_hash,
            first_sequence: sequences.starting_sequence_number,
            last_sequence: sequences.ending_sequence_number,
        }),
        _ => Err(Error::failed(format!(
            "the endpoint describes shard {} without a hash key range or sequence number range",
            shard.shard_id
        ))
        .hint("check that --endpoint-url names an AWS-compatible endpoint")),
    }
}

#[cfg(test)]
mod tests;
