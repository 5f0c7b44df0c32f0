//! DescribeLimits, DescribeAccountSettings, UpdateAccountSettings.

use crate::kinesis::catalog::Account;
use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::model::input::{self, text};
use crate::kinesis::model::output;
use crate::kinesis::model::value::Timestamp;
use crate::kinesis::stream::meta::{DAY_MS, Mode};

/// On-demand streams per account and region.
pub const ON_DEMAND_STREAM_LIMIT: i64 = 50;

/// Shards per account and region. Source: "Quotas and limits", developer guide. The regions with a quota of 6,000 are
/// not distinguished.
pub fn shard_limit(region: &str) -> i64 {
    match region {
        "us-east-1" | "us-west-2" | "eu-west-1" => 20_000,
        _ => 1_000,
    }
}

pub fn describe_limits(
    engine: &Engine,
    context: &Context,
    _: input::Empty,
) -> Result<output::DescribeLimits> {
    let views: Vec<_> = engine
        .catalog
        .list(&context.caller, context.now_ms)
        .iter()
        .map(|s| s.view(context.now_ms))
        .collect();
    let of_mode = |mode| views.iter().filter(move |v| v.meta.mode == mode);
    Ok(output::DescribeLimits {
        shard_limit: shard_limit(&context.caller.region),
        open_shards: of_mode(Mode::Provisioned).map(|v| v.open_count() as i64).sum(),
        on_demand_streams: of_mode(Mode::OnDemand).count() as i64,
        on_demand_limit: ON_DEMAND_STREAM_LIMIT,
    })
}

pub fn describe_account_settings(
    engine: &Engine,
    context: &Context,
    _: input::Empty,
) -> Result<output::AccountSettings> {
    Ok(shown(&engine.catalog.account(&context.caller), context.now_ms))
}

/// UpdateAccountSettings. The commitment lasts at least 24 hours: if disabled earlier, it ends then.
pub fn update_account_settings(
    engine: &Engine,
    context: &Context,
    input: input::UpdateAccountSettings,
) -> Result<output::AccountSettings> {
    let enable = input
        .commitment
        .as_ref()
        .is_some_and(|c| text(&c.status) == "ENABLED");
    let now_ms = context.now_ms;
    let account = engine.catalog.change_account(&context.caller, |account| {
        let on = is_on(account, now_ms);
        match (enable, on) {
            (true, true) if account.ended_ms.is_none() => {
                return Err(ApiError::invalid_argument(
                    "MinimumThroughputBillingCommitment is already ENABLED.",
                ));
            }
            (true, true) => account.ended_ms = None,
            (true, false) => {
                *account = Account {
                    commitment: true,
                    started_ms: Some(now_ms),
                    ended_ms: None,
                    ..account.clone()
                };
            }
            (false, true) => account.ended_ms = Some(earliest_end(account, now_ms)),
            (false, false) => {
                return Err(ApiError::invalid_argument(
                    "MinimumThroughputBillingCommitment is already DISABLED.",
                ));
            }
        }
        Ok(())
    })?;
    Ok(shown(&account, now_ms))
}

fn earliest_end(account: &Account, now_ms: i64) -> i64 {
    account
        .started_ms
        .map_or(now_ms, |started| (started + DAY_MS).max(now_ms))
}

/// Whether the commitment is active.
pub fn is_on(account: &Account, now_ms: i64) -> bool {
    account.commitment && account.ended_ms.is_none_or(|ended| ended > now_ms)
}

fn shown(account: &Account, now_ms: i64) -> output::AccountSettings {
    let on = is_on(account, now_ms);
    let status = match (on, account.ended_ms) {
        (true, Some(_)) => "ENABLED_UNTIL_EARLIEST_ALLOWED_END",
        (true, None) => "ENABLED",
        (false, _) => "DISABLED",
    };
    let ended = account.ended_ms.filter(|_| !on);
    let earliest = on
        .then(|| account.started_ms.map(|started| started + DAY_MS))
        .flatten();
    let commitment = output::Commitment {
        status,
        started: account.started_ms.map(Timestamp),
        ended: ended.map(Timestamp),
        earliest_end: earliest.map(Timestamp),
    };
    output::AccountSettings {
        commitment: Some(commitment),
    }
}
