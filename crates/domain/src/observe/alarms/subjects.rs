//! What the alarms of a stream, a function or a pipeline watch, read from the services.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;

use super::set::{Metric, Subjects};
use crate::context::Context;
use crate::functions::mapping::Mapping;
use crate::observe::doctor::{Skipped, Subject};
use ground::error::{self, Error, Result};

/// Reads what `subject` has. `failed_events` are metrics of an application that its pipeline declares.
///
/// # Errors
/// Exit 1 if a stream or function that the scope names does not exist, or a part cannot be read.
pub async fn subjects<'s>(subject: &'s Subject<'_>, failed_events: Vec<Metric>) -> Result<Subjects<'s>> {
    let known =
        |skipped: Skipped| Error::failed("could not read what the alarms would watch").cause(skipped.0);
    let described = subject.described().await.map_err(known)?;
    let functions = subject.named_functions().await.map_err(known)?;
    let of_scope = subject.scope();
    let missing_stream = of_scope
        .streams
        .iter()
        .find(|name| described.get(*name).is_none_or(Option::is_none));
    if let Some(name) = missing_stream {
        return Err(crate::stream::not_found(subject.context(), name).await);
    }
    let missing = of_scope
        .functions
        .iter()
        .find(|name| functions.get(*name).is_none_or(Option::is_none));
    if let Some(name) = missing {
        return Err(Error::failed(format!("there is no function {name}"))
            .hint("`streamctl mappings` lists the functions that read streams"));
    }
    let consumers = subject.consumers().await.map_err(known)?;
    let mappings = subject.mappings().await.map_err(known)?;
    let retention: BTreeMap<&str, u32> = described
        .iter()
        .filter_map(|(name, state)| Some((name.as_str(), state.as_ref()?.retention_hours)))
        .collect();
    let reads = |function: &str| {
        let of_function = mappings.iter().filter(|mapping| mapping.function() == function);
        // The shortest retention is the first that loses records.
        of_function
            .filter_map(|mapping| retention.get(mapping.stream()).copied())
            .min()
    };
    let failure_queues = subject.failure_queues().await.map_err(known)?;
    let queues = subject.queues().await.map_err(known)?;
    let wanted: BTreeSet<&String> = failure_queues.iter().chain(&of_scope.queues).collect();
    Ok(Subjects {
        streams: described
            .values()
            .flatten()
            .map(|state| {
                let consumers = consumers.get(&state.name).map_or(&[][..], Vec::as_slice);
                (state, consumers)
            })
            .collect(),
        functions: functions
            .values()
            .flatten()
            .map(|function| (function, reads(&function.name)))
            .collect(),
        mappings: with_event_metrics(subject.context(), mappings).await?,
        queues: queues
            .iter()
            .filter(|(name, _)| wanted.contains(name))
            .filter_map(|(_, queue)| queue.as_ref())
            .collect(),
        failed_events,
    })
}

/// The mappings that publish metrics of their events, each with its function.
/// Source: `MetricsConfig`, CreateEventSourceMapping, Lambda API reference.
async fn with_event_metrics(context: &Context, mappings: &[Mapping]) -> Result<Vec<(String, String)>> {
    let publishes = |mapping: &Mapping| {
        let (id, function) = (mapping.id.clone(), mapping.function().to_owned());
        async move {
            let call = context.lambda().get_event_source_mapping().uuid(&id);
            let found = call
                .send()
                .await
                .map_err(|e| error::aws::failed(format!("could not read the mapping {id}"), e))?;
            let metrics = found
                .metrics_config()
                .map(|config| config.metrics())
                .unwrap_or_default();
            let counts = metrics.iter().any(|metric| metric.as_str() == "EventCount");
            Ok::<_, Error>(counts.then_some((id, function)))
        }
    };
    let found = try_join_all(mappings.iter().map(publishes)).await?;
    Ok(found.into_iter().flatten().collect())
}
