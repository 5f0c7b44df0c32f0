//! UpdateStreamMode, UpdateStreamWarmThroughput, UpdateMaxRecordSize, UpdateStreamRecordDistributionStrategy.

use super::account;
use super::describe;
use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::model::input::{self, text};
use crate::kinesis::model::output;
use crate::kinesis::on_demand;
use crate::kinesis::stream::meta::{Distribution, Mode, count_in_day};

/// Mode switches allowed in 24 hours.
const SWITCHES_PER_DAY: usize = 2;
/// Maximum warm throughput: 10 GiB/s.
const MAX_WARM_THROUGHPUT: i64 = 10_240;

/// UpdateStreamMode. The shards do not change, except for warm throughput that is above theirs.
pub fn update_stream_mode(engine: &Engine, context: &Context, input: input::UpdateStreamMode) -> Result<()> {
    let stream = engine.find(context, &input)?;
    let word = input
        .stream_mode_details
        .as_ref()
        .map(|d| text(&d.stream_mode))
        .unwrap_or_default();
    let wanted = Mode::parse(word).unwrap_or(Mode::Provisioned);
    if input.warm_throughput.is_some() {
        if wanted != Mode::OnDemand {
            let text =
                "WarmThroughputMiBps can only be specified when the stream is updated to ON_DEMAND mode.";
            return Err(ApiError::validation(text));
        }
        require_commitment(engine, context)?;
        check_warm_throughput(input.warm_throughput)?;
    }
    let due_ms = engine.due(context.now_ms);
    stream.change_active(context.now_ms, |meta| {
        if meta.mode == wanted {
            let text = format!("Stream {} under account {} is already in {word} mode.", meta.name, meta.account);
            return Err(ApiError::validation(text));
        }
        if wanted == Mode::Provisioned {
            // A channel reads on-demand streams only.
            engine.channels.release(meta.id, &meta.name, &meta.account)?;
        }
        let (name, account) = (meta.name.clone(), meta.account.clone());
        count_in_day(&mut meta.mode_switches_ms, context.now_ms, SWITCHES_PER_DAY, || {
            format!(
                "Stream {name} under account {account} has already switched its mode {SWITCHES_PER_DAY} times in the \
                 last 24 hours."
            )
        })?;
        meta.mode = wanted;
        meta.warm_throughput = input.warm_throughput;
        match wanted {
            Mode::Provisioned => {
                meta.distribution = Distribution::UserPartitionKey;
                meta.peaks.clear();
            }
            Mode::OnDemand => on_demand::begin(meta, context.now_ms),
        }
        meta.update_until(due_ms);
        Ok(())
    })
}

/// UpdateStreamWarmThroughput. Also releases the capacity that neither the traffic nor the warm throughput needs.
pub fn update_warm_throughput(
    engine: &Engine,
    context: &Context,
    input: input::UpdateWarmThroughput,
) -> Result<output::UpdateWarmThroughput> {
    let stream = engine.find(context, &input)?;
    require_commitment(engine, context)?;
    check_warm_throughput(input.warm_throughput)?;
    let due_ms = engine.due(context.now_ms);
    stream.change_active(context.now_ms, |meta| {
        meta.require_on_demand()?;
        let current = meta.warm_throughput.unwrap_or_default();
        meta.warm_throughput = input.warm_throughput;
        on_demand::warm(meta, stream.traffic.needed(), context.now_ms);
        meta.update_until(due_ms);
        let warm_throughput =
            describe::warm_throughput(meta).map(|w| output::WarmThroughput { current, ..w });
        Ok(output::UpdateWarmThroughput {
            arn: meta.arn(),
            name: meta.name.clone(),
            warm_throughput,
        })
    })
}

/// Rejects warm throughput for accounts without the billing commitment.
///
/// # Errors
/// `ValidationException`.
pub fn require_commitment(engine: &Engine, context: &Context) -> Result<()> {
    if account::is_on(&engine.catalog.account(&context.caller), context.now_ms) {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "Warm throughput requires MinimumThroughputBillingCommitment to be ENABLED for the account {}.",
        context.caller.account
    )))
}

/// Rejects warm throughput above AWS's maximum.
///
/// # Errors
/// `LimitExceededException`.
pub fn check_warm_throughput(wanted: Option<i64>) -> Result<()> {
    match wanted.filter(|&wanted| wanted > MAX_WARM_THROUGHPUT) {
        Some(wanted) => Err(ApiError::limit_exceeded(format!(
            "Warm throughput of {wanted} MiB/s exceeds the limit of {MAX_WARM_THROUGHPUT} MiB/s for a stream."
        ))),
        None => Ok(()),
    }
}

pub fn update_max_record_size(
    engine: &Engine,
    context: &Context,
    input: input::UpdateMaxRecordSize,
) -> Result<()> {
    let stream = engine.find(context, &input)?;
    let due_ms = engine.due(context.now_ms);
    stream.change_active(context.now_ms, |meta| {
        let wanted = input.max_record_size.unwrap_or(meta.max_record_kib);
        if meta.max_record_kib != wanted {
            meta.max_record_kib = wanted;
            meta.update_until(due_ms);
        }
        Ok(())
    })
}

/// UpdateStreamRecordDistributionStrategy.
pub fn update_distribution(
    engine: &Engine,
    context: &Context,
    input: input::UpdateDistribution,
) -> Result<()> {
    let stream = engine.find(context, &input)?;
    let due_ms = engine.due(context.now_ms);
    stream.change_active(context.now_ms, |meta| {
        if meta.mode != Mode::OnDemand {
            return Err(ApiError::invalid_argument(format!(
                "The record distribution strategy is not supported for stream {} under account {}, which is in \
                 Provisioned mode.",
                meta.name, meta.account
            )));
        }
        let wanted = Distribution::parse(text(&input.distribution)).unwrap_or(meta.distribution);
        if meta.distribution != wanted {
            meta.distribution = wanted;
            meta.update_until(due_ms);
        }
        Ok(())
    })
}
