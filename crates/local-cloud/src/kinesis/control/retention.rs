//! IncreaseStreamRetentionPeriod, DecreaseStreamRetentionPeriod.

use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::model::input;

/// Shortest retention, hours.
const MIN_HOURS: i64 = 24;
/// Longest retention, hours: 365 days.
const MAX_HOURS: i64 = 8760;

/// IncreaseStreamRetentionPeriod. Expired records do not come back.
pub fn increase(engine: &Engine, context: &Context, input: input::RetentionPeriod) -> Result<()> {
    set(engine, context, &input, |name, hours, existing| {
        (hours < existing).then(|| {
            format!(
                "Requested retention period ({hours} hours) for stream {name} can not be shorter than existing \
                 retention period ({existing} hours). Use DecreaseRetentionPeriod API."
            )
        })
    })
}

/// DecreaseStreamRetentionPeriod. Records older than the new period expire immediately.
pub fn decrease(engine: &Engine, context: &Context, input: input::RetentionPeriod) -> Result<()> {
    set(engine, context, &input, |name, hours, existing| {
        (hours > existing).then(|| {
            format!(
                "Requested retention period ({hours} hours) for stream {name} can not be longer than existing \
                 retention period ({existing} hours). Use IncreaseRetentionPeriod API."
            )
        })
    })
}

fn set(
    engine: &Engine,
    context: &Context,
    input: &input::RetentionPeriod,
    refused: impl FnOnce(&str, i64, i64) -> Option<String>,
) -> Result<()> {
    let hours = input.hours.unwrap_or_default();
    let stream = engine.find(context, input)?;
    if hours < MIN_HOURS {
        return Err(ApiError::invalid_argument(format!(
            "Minimum allowed retention period is {MIN_HOURS} hours. Requested retention period ({hours} hours) is too \
             short."
        )));
    }
    if hours > MAX_HOURS {
        return Err(ApiError::invalid_argument(format!(
            "Maximum allowed retention period is {MAX_HOURS} hours. Requested retention period ({hours} hours) is too \
             long."
        )));
    }
    let due_ms = engine.due(context.now_ms);
    stream.change_active(context.now_ms, |meta| {
        if let Some(text) = refused(&meta.name, hours, meta.retention_hours) {
            return Err(ApiError::invalid_argument(text));
        }
        if meta.retention_hours != hours {
            meta.expired_before_ms = meta.horizon_ms(context.now_ms);
            meta.retention_hours = hours;
            meta.update_until(due_ms);
        }
        Ok(())
    })
}
