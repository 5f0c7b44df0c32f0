//! `test_record`: one record put to a stream that this run made, as a proof that it takes records. A later run puts none.

use async_trait::async_trait;
use aws_sdk_kinesis::primitives::Blob;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::stream_arn;
use crate::context::Context;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Location, Observed, Outputs, Resource, Spec, Surroundings};
use ground::error::{self, Result};

/// What a manifest can say about a test record.
pub(super) const PROPERTIES: &[&str] = &["stream", "partition_key", "message"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    stream: String,
    partition_key: String,
    message: String,
}

pub(super) struct TestRecord<'a> {
    context: &'a Context,
    arn: String,
    declared: Declared,
}

impl<'a> TestRecord<'a> {
    pub(super) fn new(context: &'a Context, location: &Location, spec: Spec) -> Result<Self> {
        let declared: Declared = spec.read()?;
        Ok(Self {
            context,
            arn: stream_arn(location, &declared.stream),
            declared,
        })
    }
}

#[async_trait]
impl Resource for TestRecord<'_> {
    fn name(&self) -> String {
        self.declared.stream.clone()
    }

    fn summary(&self) -> String {
        format!("put with partition key {}", self.declared.partition_key)
    }

    /// A record is not looked for: whether one is put depends on the stream alone.
    async fn observe(&self) -> Result<Observed> {
        Ok(Observed::Absent)
    }

    fn diff(&self, _observed: &Observed, around: &Surroundings) -> Result<Vec<Change>> {
        Ok(around
            .dependency_created
            .then_some(Change::Create)
            .into_iter()
            .collect())
    }

    async fn apply(&self, _change: &Change, _observed: &Observed, step: &Step<'_>) -> Result<()> {
        step.doing("putting a test record");
        let record = json!({
            "test": true,
            "timestamp": Timestamp::now().to_string(),
            "message": self.declared.message,
        });
        let call = self
            .context
            .kinesis()
            .put_record()
            .stream_name(&self.declared.stream);
        let call = call
            .partition_key(&self.declared.partition_key)
            .data(Blob::new(record.to_string()));
        call.send().await.map(drop).map_err(|error| {
            let what = format!("could not put a test record to stream {}", self.declared.stream);
            error::aws::failed(what, error)
        })
    }

    async fn delete(&self, _observed: &Observed, _step: &Step<'_>) -> Result<()> {
        Ok(())
    }

    fn outputs(&self, _observed: &Observed) -> Outputs {
        Outputs::new()
    }

    fn iam(&self) -> Vec<Statement> {
        vec![Statement::new(&["kinesis:PutRecord"], [self.arn.clone()])]
    }

    fn stays(&self) -> bool {
        false
    }
}
