//! What `verify` checks in an alarm: whether it acts, and whether anything emits its metric. An alarm on a metric without
//! values looks healthy for ever.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::types::{Dimension, DimensionFilter, Metric, MetricDataQuery, MetricStat};

use super::{Alarm, Facts};
use crate::pipeline::resource::{Check, CheckState};
use ground::error::{self, Result};

/// How far back values are looked for. ListMetrics names what had a value within two weeks.
const WINDOW: Duration = Duration::from_secs(3 * 3600);

impl Alarm<'_> {
    pub(super) async fn checks(&self, facts: &Facts) -> Vec<Check> {
        let mut checks = vec![match (facts.actions_enabled, facts.state.as_str()) {
            (false, _) => Check::new(CheckState::Fault, "acts", "its actions are disabled"),
            (true, "ALARM") => Check::new(CheckState::Caution, "state", "ALARM"),
            (true, state) => Check::new(CheckState::Good, "state", state),
        }];
        checks.push(match self.emitted().await {
            Ok(check) => check,
            Err(error) => Check::of("metric", Err(error)),
        });
        checks
    }

    async fn emitted(&self) -> Result<Check> {
        const CHECK: &str = "metric";
        let watched = format!("{} {}", self.declared.namespace, self.declared.metric);
        let samples = self.samples().await?;
        if samples > 0.0 {
            let word = if samples == 1.0 { "value" } else { "values" };
            let detail = format!("{watched}: {samples} {word} in the last 3 hours");
            return Ok(Check::new(CheckState::Good, CHECK, detail));
        }
        let known = self.known_dimensions().await?;
        let names: BTreeSet<&str> = self.declared.dimensions.keys().map(String::as_str).collect();
        let same = |set: &&BTreeSet<(String, String)>| {
            set.iter().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>() == names
        };
        let wanted: BTreeSet<(String, String)> = self.declared.dimensions.clone().into_iter().collect();
        if known.contains(&wanted) {
            let detail = format!("{watched}: emitted within two weeks, not in the last 3 hours");
            return Ok(Check::new(CheckState::Good, CHECK, detail));
        }
        // AWS's own metrics have many sets of dimensions, each from its first value on. Those of an application have the
        // dimensions that its code names.
        let own = !self.declared.namespace.starts_with("AWS/");
        if let Some(other) = known
            .iter()
            .next()
            .filter(|_| own && !known.iter().any(|set| same(&set)))
        {
            let other: Vec<&str> = other.iter().map(|(name, _)| name.as_str()).collect();
            let detail = format!(
                "{watched} is emitted with the dimensions {}, but the alarm watches {}",
                list(&other),
                list(&names.iter().copied().collect::<Vec<_>>())
            );
            return Ok(Check::new(CheckState::Fault, CHECK, detail));
        }
        let detail = format!(
            "{watched} ({}) was not emitted yet; CloudWatch shows a new metric some minutes after its first value: put \
             records, then verify again",
            self.declared.dimension_words()
        );
        Ok(Check::new(CheckState::Caution, CHECK, detail))
    }

    /// The number of recent values.
    async fn samples(&self) -> Result<f64> {
        let now = SystemTime::now();
        let metric = Metric::builder()
            .namespace(&self.declared.namespace)
            .metric_name(&self.declared.metric)
            .set_dimensions(Some(self.declared.sdk_dimensions()))
            .build();
        let stat = MetricStat::builder()
            .metric(metric)
            .period(300)
            .stat("SampleCount");
        let query = MetricDataQuery::builder()
            .id("samples")
            .metric_stat(stat.build())
            .build();
        let call = self.context.cloudwatch().get_metric_data();
        let answer = call
            .metric_data_queries(query)
            .start_time((now - WINDOW).into())
            .end_time((now + Duration::from_secs(60)).into())
            .send()
            .await
            .map_err(|error| error::aws::failed("could not read the metric from CloudWatch", error))?;
        let results = answer.metric_data_results();
        Ok(results.iter().flat_map(|result| result.values()).sum())
    }

    /// The sets of dimensions that the metric has.
    async fn known_dimensions(&self) -> Result<BTreeSet<BTreeSet<(String, String)>>> {
        let pair = |one: &Dimension| Some((one.name()?.to_owned(), one.value()?.to_owned()));
        let mut known = BTreeSet::new();
        // AWS's own namespaces hold the metrics of all resources: ask only for those of this one.
        let filters = match self.declared.namespace.starts_with("AWS/") {
            true => self.declared.dimensions.iter(),
            false => Default::default(),
        };
        let filters = filters.map(|(name, value)| DimensionFilter::builder().name(name).value(value).build());
        let call = self.context.cloudwatch().list_metrics();
        let mut pages = call
            .namespace(&self.declared.namespace)
            .metric_name(&self.declared.metric)
            .set_dimensions(Some(filters.collect()))
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|error| error::aws::failed("could not list the metrics of CloudWatch", error))?;
            let sets = page.metrics().iter();
            known.extend(sets.map(|metric| metric.dimensions().iter().filter_map(pair).collect()));
        }
        Ok(known)
    }
}

fn list(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}
