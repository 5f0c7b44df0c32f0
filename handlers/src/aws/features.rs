//! Reads the table of features.

use aws_sdk_dynamodb::types::KeysAndAttributes;
use std::collections::HashMap;

use super::{DynamoTable, call_error, unbuildable};
use crate::attribute::text;
use crate::recommend::FeatureTable;
use crate::store::{CallError, Item};

impl FeatureTable for DynamoTable {
    async fn get(&self, id: &str) -> Result<Option<Item>, CallError> {
        let call = self.client.get_item().table_name(&self.name).key("id", text(id));
        let output = call.send().await.map_err(|error| call_error(&error))?;
        Ok(output.item)
    }

    async fn get_all(&self, ids: Vec<String>) -> Result<Vec<Item>, CallError> {
        let key = |id: String| HashMap::from([("id".to_owned(), text(id))]);
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(ids.into_iter().map(key).collect()))
            .build()
            .map_err(unbuildable)?;
        let call = self.client.batch_get_item().request_items(&self.name, keys);
        let output = call.send().await.map_err(|error| call_error(&error))?;
        let items = output.responses.unwrap_or_default().into_values().flatten();
        Ok(items.collect())
    }
}
