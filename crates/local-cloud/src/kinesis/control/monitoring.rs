//! EnableEnhancedMonitoring, DisableEnhancedMonitoring.

use std::collections::BTreeSet;

use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::error::Result;
use crate::kinesis::model::input;
use crate::kinesis::model::output;
use crate::kinesis::stream::meta::ShardMetric;

/// EnableEnhancedMonitoring.
pub fn enable(
    engine: &Engine,
    context: &Context,
    input: input::EnhancedMonitoring,
) -> Result<output::EnhancedMonitoring> {
    set(engine, context, &input, |current, named| current | named)
}

/// DisableEnhancedMonitoring.
pub fn disable(
    engine: &Engine,
    context: &Context,
    input: input::EnhancedMonitoring,
) -> Result<output::EnhancedMonitoring> {
    set(engine, context, &input, |current, named| current - named)
}

type Metrics = BTreeSet<ShardMetric>;

fn set(
    engine: &Engine,
    context: &Context,
    input: &input::EnhancedMonitoring,
    combine: impl FnOnce(&Metrics, &Metrics) -> Metrics,
) -> Result<output::EnhancedMonitoring> {
    let stream = engine.find(context, input)?;
    let named: &[String] = input.metrics.as_deref().unwrap_or_default();
    let named: Metrics = if named.iter().any(|m| m == "ALL") {
        ShardMetric::ALL.iter().copied().collect()
    } else {
        named.iter().filter_map(|m| ShardMetric::parse(m)).collect()
    };
    let due_ms = engine.due(context.now_ms);
    let words = |metrics: &Metrics| metrics.iter().copied().map(ShardMetric::as_str).collect();
    stream.change_active(context.now_ms, |meta| {
        let desired = combine(&meta.monitoring, &named);
        let answer = output::EnhancedMonitoring {
            name: meta.name.clone(),
            current: words(&meta.monitoring),
            desired: words(&desired),
            arn: meta.arn(),
        };
        if desired != meta.monitoring {
            meta.monitoring = desired;
            meta.update_until(due_ms);
        }
        Ok(answer)
    })
}
