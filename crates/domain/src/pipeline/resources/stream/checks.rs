//! What `verify` checks in a stream beyond the declared properties.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::types::{Dimension, Statistic};
use aws_sdk_kinesis::primitives::Blob;
use jiff::Timestamp;
use serde_json::json;

use super::super::kind::Existing;
use super::{Facts, Stream};
use crate::pipeline::resource::{Check, CheckState};
use crate::stream;
use ground::error::{self, Error, Result};

/// Partition key of the record that `verify` puts. Source: the concert pipeline's contract.
const PARTITION_KEY: &str = "verification-test";

/// How far back IncomingRecords are looked for.
const WINDOW: Duration = Duration::from_secs(5 * 60);

impl Stream<'_> {
    pub(super) async fn checks(&self, existing: &Existing<'_, Facts>, probe: bool) -> Vec<Check> {
        let mut checks = vec![
            Check::of("listed", self.listed().await),
            Check::of("described", described(&existing.facts)),
        ];
        checks.extend(self.unencrypted(existing));
        if probe {
            checks.push(Check::of("put", self.probe().await));
        }
        checks.push(self.incoming().await);
        checks
    }

    async fn listed(&self) -> Result<String> {
        let name = &self.declared.name;
        let filter = stream::Filter {
            prefix: name.clone(),
            ..Default::default()
        };
        let streams = stream::list(self.context, &filter, false).await?;
        if streams.iter().any(|entry| entry.name == *name) {
            return Ok("ListStreams names it".to_owned());
        }
        Err(Error::failed("ListStreams does not name it"))
    }

    /// Encryption that is off although the template's default is on: an earlier run or another tool turned it off.
    fn unencrypted(&self, existing: &Existing<'_, Facts>) -> Option<Check> {
        let by_default = !self.enforced("encryption", existing) && !self.enforced("kms_key", existing);
        let off = by_default && self.key().is_some() && existing.facts.encryption.is_none();
        off.then(|| {
            let (name, key) = (&self.declared.name, &self.declared.kms_key);
            let detail =
                format!("is off, and on by default; `streamctl encrypt {name} --key {key}` turns it on");
            Check::new(CheckState::Caution, "encryption", detail)
        })
    }

    async fn probe(&self) -> Result<String> {
        let record = json!({
            "test": true,
            "timestamp": Timestamp::now().to_string(),
            "message": "Test record from streamctl verify",
        });
        let call = self
            .context
            .kinesis()
            .put_record()
            .stream_name(&self.declared.name);
        let call = call
            .partition_key(PARTITION_KEY)
            .data(Blob::new(record.to_string()));
        let answer = call
            .send()
            .await
            .map_err(|error| error::aws::failed("could not put a test record", error))?;
        Ok(format!(
            "put to {}, partition key {PARTITION_KEY}",
            answer.shard_id
        ))
    }

    async fn incoming(&self) -> Check {
        const CHECK: &str = "metrics";
        let now = SystemTime::now();
        let dimension = Dimension::builder()
            .name("StreamName")
            .value(&self.declared.name)
            .build();
        let call = self.context.cloudwatch().get_metric_statistics();
        let call = call
            .namespace("AWS/Kinesis")
            .metric_name("IncomingRecords")
            .dimensions(dimension)
            .start_time((now - WINDOW).into())
            .end_time(now.into())
            .period(60)
            .statistics(Statistic::Sum);
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let error = error::aws::failed("could not read IncomingRecords from CloudWatch", error);
                return Check::of(CHECK, Err(error));
            }
        };
        let sums: Vec<f64> = answer
            .datapoints()
            .iter()
            .filter_map(|point| point.sum())
            .collect();
        if sums.is_empty() {
            // CloudWatch needs a few minutes: nothing is wrong yet.
            return Check::new(
                CheckState::Caution,
                CHECK,
                "no datapoints of IncomingRecords yet in the last 5 minutes",
            );
        }
        let sum: f64 = sums.iter().sum();
        Check::new(
            CheckState::Good,
            CHECK,
            match sum {
                1.0 => "1 record in the last 5 minutes".to_owned(),
                sum => format!("{sum} records in the last 5 minutes"),
            },
        )
    }
}

fn described(facts: &Facts) -> Result<String> {
    if facts.status != "ACTIVE" {
        return Err(Error::failed(format!("is {}, not ACTIVE", facts.status)));
    }
    let shards = match facts.shards {
        1 => "1 open shard".to_owned(),
        n => format!("{n} open shards"),
    };
    let encryption = match &facts.encryption {
        Some(key) => format!("encrypted with {key}"),
        None => "not encrypted".to_owned(),
    };
    Ok(format!(
        "ACTIVE, {}, {shards}, {} h, {encryption}",
        facts.mode(),
        facts.retention_hours
    ))
}
