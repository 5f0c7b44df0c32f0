//! CloudWatch's alarms and dashboards. awsim's forget all when the process ends: this keeps the requests that made
//! what there is, and makes them again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use awsim_cloudwatch_metrics::CloudWatchMetricsService;
use awsim_core::{AwsError, Protocol, RequestContext, ServiceHandler};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) struct Alarms {
    inner: CloudWatchMetricsService,
    made: Mutex<BTreeMap<Key, Made>>,
}

/// Sorts an alarm before its state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    account: String,
    region: String,
    name: String,
    operation: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Made {
    account: String,
    region: String,
    operation: String,
    input: Value,
}

/// The parameter that names what an operation makes or deletes.
fn name_of(operation: &str) -> Option<&'static str> {
    match operation {
        "PutMetricAlarm" | "SetAlarmState" => Some("AlarmName"),
        "PutDashboard" => Some("DashboardName"),
        _ => None,
    }
}

/// A query carries numbers and booleans as text, which awsim's alarms pass over.
fn read_texts(input: &mut Value) {
    for name in [
        "Period",
        "EvaluationPeriods",
        "DatapointsToAlarm",
        "Threshold",
        "ActionsEnabled",
    ] {
        let read = input[name]
            .as_str()
            .and_then(|text| serde_json::from_str::<Value>(text).ok());
        if let Some(value) = read.filter(|value| value.is_number() || value.is_boolean()) {
            input[name] = value;
        }
    }
}

impl Alarms {
    /// With its database in `dir`.
    pub fn open(dir: &Path) -> Self {
        Self {
            inner: CloudWatchMetricsService::with_data_dir(dir),
            made: Mutex::default(),
        }
    }

    fn made(&self) -> MutexGuard<'_, BTreeMap<Key, Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, operation: &str, input: &Value, ctx: &RequestContext) {
        let here = |key: &Key| key.account == ctx.account_id && key.region == ctx.region;
        if let Some(name) = name_of(operation).and_then(|parameter| input[parameter].as_str()) {
            let key = Key {
                account: ctx.account_id.clone(),
                region: ctx.region.clone(),
                name: name.to_owned(),
                operation: operation.to_owned(),
            };
            let made = Made {
                account: ctx.account_id.clone(),
                region: ctx.region.clone(),
                operation: operation.to_owned(),
                input: input.clone(),
            };
            self.made().insert(key, made);
            return;
        }
        let (deleted, is_dashboard) = match operation {
            "DeleteAlarms" => (&input["AlarmNames"], false),
            "DeleteDashboards" => (&input["DashboardNames"], true),
            _ => return,
        };
        let deleted: Vec<&str> = deleted
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        self.made().retain(|key, _| {
            !(here(key)
                && (key.operation == "PutDashboard") == is_dashboard
                && deleted.contains(&key.name.as_str()))
        });
    }
}

#[async_trait]
impl ServiceHandler for Alarms {
    fn service_name(&self) -> &str {
        "monitoring"
    }

    fn protocol(&self) -> Protocol {
        Protocol::AwsQuery
    }

    async fn handle(
        &self,
        operation: &str,
        mut input: Value,
        ctx: &RequestContext,
    ) -> Result<Value, AwsError> {
        read_texts(&mut input);
        let output = self.inner.handle(operation, input.clone(), ctx).await?;
        self.remember(operation, &input, ctx);
        Ok(output)
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        let made = self.made();
        serde_json::to_vec(&made.values().collect::<Vec<_>>()).ok()
    }

    fn restore(&self, data: &[u8]) -> Result<(), String> {
        let all: Vec<Made> = serde_json::from_slice(data).map_err(|error| error.to_string())?;
        for made in all {
            let mut ctx = RequestContext::new("monitoring", &made.region);
            ctx.account_id.clone_from(&made.account);
            crate::local::partition(&made.region).clone_into(&mut ctx.partition);
            // awsim's handlers never wait.
            let output = self
                .inner
                .handle(&made.operation, made.input.clone(), &ctx)
                .now_or_never();
            match output {
                Some(Ok(_)) => self.remember(&made.operation, &made.input, &ctx),
                Some(Err(error)) => return Err(error.message),
                None => return Err("an operation did not end".to_owned()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_of_a_query_are_read() {
        let mut input =
            json!({"Period": "300", "Threshold": "5.5", "ActionsEnabled": "false", "AlarmName": "12"});
        read_texts(&mut input);
        let expected = json!({"Period": 300, "Threshold": 5.5, "ActionsEnabled": false, "AlarmName": "12"});
        assert_eq!(input, expected);
    }
}
