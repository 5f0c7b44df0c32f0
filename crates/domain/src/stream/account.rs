//! Limits and settings of the account in a region: how many shards and streams it may have, and whether it has committed
//! itself to a minimum throughput (On-demand Advantage).

use std::fmt;

use aws_sdk_kinesis::types as sdk;
use jiff::Timestamp;
use serde::Serialize;

use super::state::timestamp;
use crate::context::Context;
use ground::error::aws::Class;
use ground::error::{self, Error, Result};

/// The least time that a commitment lasts, in hours.
/// Source: "On-demand Advantage mode features and use cases", Kinesis developer guide.
pub const LEAST_COMMITMENT_HOURS: u64 = 24;

/// How many of something there are, and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "AccountUse")
)]
pub struct Used {
    pub used: u32,
    pub limit: u32,
}

impl Used {
    fn new(used: i32, limit: i32) -> Self {
        let count = |number| u32::try_from(number).unwrap_or(0);
        Self {
            used: count(used),
            limit: count(limit),
        }
    }
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.used, self.limit)
    }
}

/// What the account has and may have in a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "AccountLimits")
)]
pub struct Limits {
    /// Open shards of provisioned streams.
    pub shards: Used,
    pub on_demand_streams: Used,
    /// `None` where the endpoint does not tell.
    pub channels: Option<Used>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CommitmentStatus {
    Disabled,
    Enabled,
    /// It has been disabled, and lasts until its least time is over.
    EnabledUntilEarliestAllowedEnd,
    /// A status this version of streamctl does not know.
    #[serde(untagged)]
    Other(String),
}

impl CommitmentStatus {
    /// Whether it is, or stays, as a change to `enabled` would make it.
    fn is(&self, enabled: bool) -> bool {
        match self {
            Self::Enabled => enabled,
            Self::Disabled | Self::EnabledUntilEarliestAllowedEnd => !enabled,
            Self::Other(_) => false,
        }
    }
}

impl fmt::Display for CommitmentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::EnabledUntilEarliestAllowedEnd => "enabled until its earliest end",
            Self::Other(name) => name,
        })
    }
}

/// The minimum throughput billing commitment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Commitment {
    pub status: CommitmentStatus,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// When it can be ended.
    pub earliest_end: Option<Timestamp>,
}

impl Commitment {
    fn of(found: &sdk::MinimumThroughputBillingCommitmentOutput) -> Self {
        use sdk::MinimumThroughputBillingCommitmentOutputStatus as Sdk;
        Self {
            status: match &found.status {
                Sdk::Disabled => CommitmentStatus::Disabled,
                Sdk::Enabled => CommitmentStatus::Enabled,
                Sdk::EnabledUntilEarliestAllowedEnd => CommitmentStatus::EnabledUntilEarliestAllowedEnd,
                other => CommitmentStatus::Other(other.as_str().to_owned()),
            },
            started: found.started_at.as_ref().and_then(timestamp),
            ended: found.ended_at.as_ref().and_then(timestamp),
            earliest_end: found.earliest_allowed_end_at.as_ref().and_then(timestamp),
        }
    }

    fn none() -> Self {
        Self {
            status: CommitmentStatus::Disabled,
            started: None,
            ended: None,
            earliest_end: None,
        }
    }

    /// Whether the commitment has these settings already.
    pub fn is(&self, enabled: bool) -> bool {
        self.status.is(enabled)
    }
}

/// The limits of the account (DescribeLimits).
///
/// # Errors
/// When the call fails.
pub async fn limits(ctx: &Context) -> Result<Limits> {
    let answer = ctx.kinesis().describe_limits().send().await;
    let found = answer.map_err(|e| error::aws::failed("could not read the limits of the account", e))?;
    Ok(Limits {
        shards: Used::new(found.open_shard_count, found.shard_limit),
        on_demand_streams: Used::new(found.on_demand_stream_count, found.on_demand_stream_count_limit),
        channels: found
            .channel_count
            .zip(found.channel_count_limit)
            .map(|(used, limit)| Used::new(used, limit)),
    })
}

/// The commitment of the account (DescribeAccountSettings).
///
/// # Errors
/// When the call fails. [`is_absent`] tells an endpoint that does not have it.
pub async fn commitment(ctx: &Context) -> Result<Commitment> {
    let answer = ctx.kinesis().describe_account_settings().send().await;
    let found = answer.map_err(|e| error::aws::failed("could not read the settings of the account", e))?;
    let found = found.minimum_throughput_billing_commitment;
    Ok(found.map_or_else(Commitment::none, |found| Commitment::of(&found)))
}

/// Whether `error` says that the endpoint does not serve the call: neither a failure nor a refusal of the caller.
pub fn is_absent(error: &Error) -> bool {
    matches!(error.class(), Some(Class::Refused | Class::NotFound))
}

/// Enables or disables the commitment (UpdateAccountSettings). A commitment that is disabled within its first 24 hours lasts
/// until they are over.
///
/// # Errors
/// When the call fails.
pub async fn set_commitment(ctx: &Context, enabled: bool) -> Result<Commitment> {
    use sdk::MinimumThroughputBillingCommitmentInputStatus as Status;
    let status = match enabled {
        true => Status::Enabled,
        false => Status::Disabled,
    };
    let what = "could not change the commitment of the account";
    let wanted = sdk::MinimumThroughputBillingCommitmentInput::builder()
        .status(status)
        .build()
        .map_err(|e| Error::failed(what).cause(e))?;
    let call = ctx.kinesis().update_account_settings();
    let answer = call.minimum_throughput_billing_commitment(wanted).send().await;
    let found = answer.map_err(|e| error::aws::failed(what, e))?;
    match found.minimum_throughput_billing_commitment {
        Some(found) => Ok(Commitment::of(&found)),
        None => commitment(ctx).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_commitment_is_as_good_as_disabled() {
        use CommitmentStatus::{Disabled, Enabled, EnabledUntilEarliestAllowedEnd, Other};
        let is = |status: CommitmentStatus| (status.is(true), status.is(false));
        assert_eq!(is(Enabled), (true, false));
        assert_eq!(is(Disabled), (false, true));
        assert_eq!(is(EnabledUntilEarliestAllowedEnd), (false, true));
        assert_eq!(is(Other("NEW".to_owned())), (false, false));
    }

    #[test]
    fn json_has_the_names_of_the_api() {
        let json = |status| serde_json::to_string(&status).unwrap();
        assert_eq!(
            json(CommitmentStatus::EnabledUntilEarliestAllowedEnd),
            "\"ENABLED_UNTIL_EARLIEST_ALLOWED_END\""
        );
        assert_eq!(json(CommitmentStatus::Other("NEW".to_owned())), "\"NEW\"");
    }
}
