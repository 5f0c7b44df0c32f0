//! `test_record`: one record that a run puts to a stream which it has created, to prove that the stream takes records. A
//! later run puts none.

use async_trait::async_trait;
use aws_sdk_kinesis::primitives::Blob;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::kind::{Existing, Kind, Managed, TagMap};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Dependencies, Outputs};
use ground::error::Result;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    stream: String,
    partition_key: String,
    message: String,
}

type TestRecord<'a> = Managed<'a, Declared>;

#[async_trait]
impl Kind for TestRecord<'_> {
    const NOUN: &'static str = "test record";
    type Facts = ();

    fn name(&self) -> String {
        self.declared.stream.clone()
    }

    fn label(&self) -> String {
        format!("a test record to stream {}", self.declared.stream)
    }

    fn summary(&self) -> String {
        format!("put with partition key {}", self.declared.partition_key)
    }

    /// Looks for no record: whether one is put depends on the stream alone.
    async fn observe(&self) -> Result<Option<(TagMap, ())>> {
        Ok(None)
    }

    fn changes_if_absent(&self, dependencies: &Dependencies) -> Result<Vec<Change>> {
        let create = dependencies.created.then_some(Change::Create);
        Ok(create.into_iter().collect())
    }

    fn changes(&self, _existing: &Existing<'_, ()>) -> Result<Vec<Change>> {
        Ok(Vec::new())
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("putting a test record");
        let record = json!({
            "test": true,
            "timestamp": Timestamp::now().to_string(),
            "message": self.declared.message,
        });
        let call = self.context.kinesis().put_record();
        let call = call
            .stream_name(&self.declared.stream)
            .partition_key(&self.declared.partition_key)
            .data(Blob::new(record.to_string()));
        self.response("put", call.send().await).map(drop)
    }

    async fn update(&self, field: &str, _existing: &Existing<'_, ()>, _step: &Step<'_>) -> Result<()> {
        Err(self.unknown_field(field))
    }

    async fn delete(&self, _existing: &Existing<'_, ()>, _step: &Step<'_>) -> Result<()> {
        Ok(())
    }

    fn outputs(&self, _facts: Option<()>) -> Outputs {
        Outputs::new()
    }

    fn iam(&self) -> Vec<Statement> {
        let stream = format!("stream/{}", self.declared.stream);
        vec![Statement::new(
            &["kinesis:PutRecord"],
            [self.arn_of("kinesis", &stream)],
        )]
    }

    fn stays(&self) -> bool {
        false
    }
}
