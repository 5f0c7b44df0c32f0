//! Implements the traits of [`crate::catalogue`].

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnValue;

use super::{DynamoTable, call_error};
use crate::attribute::text;
use crate::catalogue::Catalogue;
use crate::store::{CallError, Item};

/// The index of products by category. Products without one are not in it.
const CATEGORY_INDEX: &str = "category-index";

impl Catalogue for DynamoTable {
    async fn page(
        &self,
        category: Option<&str>,
        after: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), CallError> {
        let Some(category) = category else {
            let scan = self.client.scan().table_name(&self.name);
            let call = scan.set_exclusive_start_key(after);
            let output = call.send().await.map_err(|error| call_error(&error))?;
            return Ok((output.items.unwrap_or_default(), output.last_evaluated_key));
        };
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(CATEGORY_INDEX);
        let call = query
            .key_condition_expression("#category = :category")
            .expression_attribute_names("#category", "category")
            .expression_attribute_values(":category", text(category))
            .set_exclusive_start_key(after);
        let output = call.send().await.map_err(|error| call_error(&error))?;
        Ok((output.items.unwrap_or_default(), output.last_evaluated_key))
    }

    async fn get(&self, id: &str) -> Result<Option<Item>, CallError> {
        let get = self.client.get_item().table_name(&self.name).key("id", text(id));
        let call = get.consistent_read(true);
        let output = call.send().await.map_err(|error| call_error(&error))?;
        Ok(output.item)
    }

    async fn insert(&self, item: Item) -> Result<(), CallError> {
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
        let call = put.condition_expression("attribute_not_exists(id)");
        call.send().await.map(drop).map_err(|error| call_error(&error))
    }

    async fn change(&self, id: &str, set: Item, remove: Vec<String>) -> Result<Option<Item>, CallError> {
        let mut call = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("id", text(id))
            .condition_expression("attribute_exists(id)")
            .return_values(ReturnValue::AllNew);
        // Names of attributes may be reserved words.
        let (mut sets, mut removes) = (Vec::new(), Vec::new());
        for (place, (name, value)) in set.into_iter().enumerate() {
            sets.push(format!("#s{place} = :s{place}"));
            call = call
                .expression_attribute_names(format!("#s{place}"), name)
                .expression_attribute_values(format!(":s{place}"), value);
        }
        for (place, name) in remove.into_iter().enumerate() {
            removes.push(format!("#r{place}"));
            call = call.expression_attribute_names(format!("#r{place}"), name);
        }
        let clause = |keyword: &str, parts: &[String]| match parts {
            [] => String::new(),
            parts => format!("{keyword} {} ", parts.join(", ")),
        };
        let expression = clause("SET", &sets) + &clause("REMOVE", &removes);
        match call.update_expression(expression.trim_end()).send().await {
            Ok(output) => Ok(output.attributes),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(None),
                _ => Err(call_error(&error)),
            },
        }
    }

    async fn delete(&self, id: &str) -> Result<Option<Item>, CallError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key("id", text(id));
        let call = delete.return_values(ReturnValue::AllOld);
        let output = call.send().await.map_err(|error| call_error(&error))?;
        Ok(output.attributes)
    }
}
