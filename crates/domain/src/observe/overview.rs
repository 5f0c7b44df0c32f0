//! All that a description of a stream says besides its own state: key, consumers, mappings, other dependents, limits.
//!
//! The parts are read at the same time. One that is denied, not available or too slow is named with the reason, and the
//! others are returned.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::alarms::overview as summary;
use super::dependents::{
    alarms, delivering, firehose_streams, functions, part, readers, registered, resource_policy, roles,
};
use crate::context::Context;
use crate::functions::mapping::{self, Mapping};
use crate::stream::budget::{Budget, cheap_budget};
use crate::stream::change::{AWS_MANAGED_KEY, MAX_TAGS, same_key};
use crate::stream::channels::ChannelEntry;
use crate::stream::consumers::{Consumer, MOST_CONSUMERS};
use crate::stream::{Mode, StreamState};
use ground::error::{self, Result};

/// How long each part is waited for.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The parts. One that is `None` and named in `unknown` could not be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Overview {
    /// The KMS key; `None` without encryption or with the key that AWS manages.
    pub encryption_key: Option<Key>,
    /// Registered consumers.
    pub consumers: Option<Vec<Consumer>>,
    /// Event source mappings that read the stream.
    pub mappings: Option<Vec<Reader>>,
    /// Roles of the functions that read the stream.
    pub roles: Option<Vec<String>>,
    /// Channels that deliver the stream.
    pub channels: Option<Vec<ChannelEntry>>,
    /// Firehose streams whose source is the stream.
    pub firehose_streams: Option<Vec<String>>,
    /// Alarms on metrics of the stream.
    pub alarms: Option<Vec<String>>,
    /// The states of the alarms, in one line; `None` if there are none, or they are not known.
    pub alarm_summary: Option<String>,
    /// The policy document that shares the stream; `None` if there is none.
    pub resource_policy: Option<Value>,
    pub limits: Limits,
    /// Why a part is not known, by the name of the part.
    pub unknown: BTreeMap<&'static str, String>,
}

/// A KMS key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "EncryptionKey")
)]
pub struct Key {
    pub arn: Option<String>,
    /// `Enabled`, `Disabled`, `PendingDeletion`, … Source: `KeyState`, KMS API reference.
    pub state: Option<String>,
    /// `AWS` or `CUSTOMER`.
    pub manager: Option<String>,
    /// Names of the key; empty if there are none or they cannot be listed.
    pub aliases: Vec<String>,
}

/// An event source mapping on the stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Reader {
    pub function: String,
    pub id: String,
    pub state: String,
    /// Result of the last invocation; empty if the endpoint returns none.
    pub last_result: String,
    /// Age of the last record that the function was given; `None` without a value of the last 15 minutes.
    pub iterator_age_ms: Option<f64>,
}

/// How much of a limit is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "StreamUse")
)]
pub struct Used {
    pub used: u64,
    pub limit: u64,
}

/// Limits of the stream, and of the account in the region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "StreamLimits")
)]
pub struct Limits {
    /// Open shards of the provisioned streams of the account.
    pub account_shards: Option<Used>,
    /// On-demand streams of the account.
    pub on_demand_streams: Option<Used>,
    /// Without On-demand Advantage.
    pub consumers: Used,
    pub tags: Used,
    /// Changes of the shard count in the last 24 hours; `None` in on-demand mode.
    pub resharding: Option<Budget>,
}

/// Reads all parts of `stream`.
pub async fn read(context: &Context, stream: &StreamState) -> Overview {
    let mut unknown = BTreeMap::new();
    let (key, consumers, reading, channels, firehose, alarms, policy, limits, resharding) = tokio::join!(
        part(TIME_LIMIT, key(context, stream)),
        part(TIME_LIMIT, registered(context, stream)),
        reading(context, stream),
        part(TIME_LIMIT, delivering(context, stream)),
        part(TIME_LIMIT, firehose_streams(context, stream)),
        part(TIME_LIMIT, alarms(context, stream)),
        part(TIME_LIMIT, resource_policy(context, stream)),
        part(TIME_LIMIT, account_limits(context)),
        part(TIME_LIMIT, resharding(context, stream)),
    );
    let reasons = &mut unknown;
    let (account_shards, on_demand_streams) = known("limits", limits, reasons).unzip();
    let alarms = known("alarms", alarms, reasons);
    let limits = Limits {
        account_shards,
        on_demand_streams,
        consumers: Used {
            used: stream.consumer_count.into(),
            limit: MOST_CONSUMERS as u64,
        },
        tags: Used {
            used: stream.tags.len() as u64,
            limit: MAX_TAGS as u64,
        },
        resharding: known("resharding", resharding, reasons).flatten(),
    };
    Overview {
        encryption_key: known("encryption_key", key, reasons).flatten(),
        consumers: known("consumers", consumers, reasons),
        mappings: known("mappings", reading.mappings, reasons).map(|found| {
            let ages = known("iterator_ages", reading.ages, reasons).unwrap_or_default();
            found.iter().map(|mapping| Reader::new(mapping, &ages)).collect()
        }),
        roles: known("roles", reading.roles, reasons),
        channels: known("channels", channels, reasons),
        firehose_streams: known("firehose_streams", firehose, reasons),
        alarm_summary: alarms
            .as_ref()
            .filter(|alarms| !alarms.is_empty())
            .map(|alarms| summary(alarms.iter())),
        alarms: alarms.map(|alarms| alarms.into_iter().map(|alarm| alarm.name).collect()),
        resource_policy: known("resource_policy", policy, reasons).flatten(),
        limits,
        unknown,
    }
}

/// The value of a part; a reason is kept by the name of the part.
fn known<T>(
    name: &'static str,
    part: std::result::Result<T, String>,
    unknown: &mut BTreeMap<&'static str, String>,
) -> Option<T> {
    part.map_err(|reason| unknown.insert(name, reason)).ok()
}

impl Reader {
    fn new(mapping: &Mapping, ages: &BTreeMap<String, f64>) -> Self {
        Self {
            function: mapping.function().to_owned(),
            id: mapping.id.clone(),
            state: mapping.state.clone(),
            last_result: mapping.last_result.clone(),
            iterator_age_ms: ages.get(mapping.function()).copied(),
        }
    }
}

type Part<T> = std::result::Result<T, String>;

/// What reads the stream through mappings.
struct Reading {
    mappings: Part<Vec<Mapping>>,
    ages: Part<BTreeMap<String, f64>>,
    roles: Part<Vec<String>>,
}

async fn reading(context: &Context, stream: &StreamState) -> Reading {
    let mappings = part(TIME_LIMIT, readers(context, stream)).await;
    let names = functions(mappings.as_deref().unwrap_or_default());
    if names.is_empty() {
        return Reading {
            // Without the mappings, their roles are not known either.
            roles: mappings.as_ref().map(|_| Vec::new()).map_err(Clone::clone),
            ages: Ok(BTreeMap::new()),
            mappings,
        };
    }
    let of: Vec<&str> = names.iter().map(String::as_str).collect();
    let (ages, roles) = tokio::join!(
        part(TIME_LIMIT, mapping::iterator_ages(context, &of)),
        part(TIME_LIMIT, roles(context, &names))
    );
    Reading {
        mappings,
        ages,
        roles,
    }
}

/// The key of the stream as KMS has it. The key that AWS manages cannot be changed, so KMS is not asked for it.
async fn key(context: &Context, stream: &StreamState) -> Result<Option<Key>> {
    let Some(id) = stream.encryption.as_deref() else {
        return Ok(None);
    };
    if same_key(id, AWS_MANAGED_KEY) {
        return Ok(None);
    }
    let what = || format!("could not look up the KMS key {id}");
    let is_alias = id.contains("alias/");
    let aliases = async {
        match is_alias {
            true => Vec::new(),
            false => context.aliases_of_key(id, &what()).await.unwrap_or_default(),
        }
    };
    let (found, aliases) = tokio::join!(context.describe_key(id, what()), aliases);
    Ok(found?.map(|key| Key {
        state: key.state,
        manager: key.manager,
        arn: key.arn,
        aliases,
    }))
}

/// The changes of the shard count in the last 24 hours.
async fn resharding(context: &Context, stream: &StreamState) -> Result<Option<Budget>> {
    if stream.mode == Mode::OnDemand {
        return Ok(None);
    }
    let owner = stream.arn.split(':').nth(4).unwrap_or_default();
    // Another account's trail cannot be read, and the lineage alone would not say so.
    if context.known_account().await?.is_some_and(|own| own != owner) {
        return Ok(None);
    }
    Box::pin(cheap_budget(context, stream, Timestamp::now())).await
}

/// Shards and on-demand streams of the account (DescribeLimits, which an account may call once a second).
async fn account_limits(context: &Context) -> Result<(Used, Used)> {
    let limits = context.kinesis().describe_limits().send().await;
    let limits = limits.map_err(|e| error::aws::failed("could not read the limits of the account", e))?;
    let count = |n: i32| u64::try_from(n).unwrap_or(0);
    let shards = Used {
        used: count(limits.open_shard_count),
        limit: count(limits.shard_limit),
    };
    let on_demand = Used {
        used: count(limits.on_demand_stream_count),
        limit: count(limits.on_demand_stream_count_limit),
    };
    Ok((shards, on_demand))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline::resources::test_support::Endpoint;
    use crate::stream::Status;

    #[tokio::test]
    async fn what_is_denied_is_named_and_fails_nothing() {
        let denied = json!({"__type": "AccessDeniedException", "message": "not authorized"}).to_string();
        let endpoint = Endpoint::start(move |_, _| (400, denied.clone())).await;
        let state = StreamState {
            name: "orders".to_owned(),
            arn: "arn:aws:kinesis:us-east-1:000000000000:stream/orders".to_owned(),
            status: Status::Active,
            mode: Mode::Provisioned,
            open_shards: 1,
            retention_hours: 24,
            encryption: Some("alias/orders".to_owned()),
            monitoring: Default::default(),
            tags: BTreeMap::new(),
            consumer_count: 1,
            created: None,
            max_record_size_kib: 1_024,
            warm_throughput_mibps: None,
            record_distribution: None,
        };
        let found = read(&endpoint.context, &state).await;
        let parts: Vec<&str> = found.unknown.keys().copied().collect();
        assert_eq!(
            parts,
            [
                "alarms",
                "consumers",
                "encryption_key",
                "firehose_streams",
                "limits",
                "mappings",
                "resharding",
                "resource_policy",
                "roles"
            ]
        );
        assert!(found.unknown["consumers"].contains("AccessDeniedException: not authorized"));
        assert_eq!(found.limits.consumers, Used { used: 1, limit: 20 });
        assert_eq!(
            (found.mappings, found.alarms, found.limits.account_shards),
            (None, None, None)
        );
    }
}
