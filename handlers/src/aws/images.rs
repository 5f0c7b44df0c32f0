//! Records images on products.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};

use super::{DynamoTable, call_error};
use crate::attribute::text;
use crate::images::ImageRecords;
use crate::store::{CallError, CallErrorKind};

/// Result of a conditional update.
enum Updated {
    Yes,
    /// The product has no map `images`, or has one already.
    Otherwise,
    NoProduct,
}

impl DynamoTable {
    async fn set_sizes(
        &self,
        product: &str,
        path: &str,
        names: &[(&str, &str)],
        value: AttributeValue,
        condition: &str,
    ) -> Result<Updated, CallError> {
        let mut call = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("id", text(product))
            .update_expression(format!("SET {path} = :value"))
            .condition_expression(format!("attribute_exists(id) AND {condition}"))
            .expression_attribute_values(":value", value)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for (placeholder, name) in names {
            call = call.expression_attribute_names(*placeholder, *name);
        }
        match call.send().await {
            Ok(_) => Ok(Updated::Yes),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => Ok(match failed.item() {
                    Some(item) if !item.is_empty() => Updated::Otherwise,
                    _ => Updated::NoProduct,
                }),
                _ => Err(call_error(&error)),
            },
        }
    }
}

impl ImageRecords for DynamoTable {
    async fn exists(&self, product: &str) -> Result<bool, CallError> {
        let get = self
            .client
            .get_item()
            .table_name(&self.name)
            .key("id", text(product));
        let call = get.projection_expression("id").consistent_read(true);
        let output = call.send().await.map_err(|error| call_error(&error))?;
        Ok(output.item.is_some_and(|item| !item.is_empty()))
    }

    async fn record(&self, product: &str, kind: &str, sizes: &[&str]) -> Result<bool, CallError> {
        let sizes = AttributeValue::L(sizes.iter().map(|size| text(*size)).collect());
        let names = [("#images", "images"), ("#kind", kind)];
        let has_images = "attribute_exists(#images)";
        let map = AttributeValue::M(HashMap::from([(kind.to_owned(), sizes.clone())]));
        // One expression cannot create a map and set a member of it. Another image may create it in between.
        for _ in 0..3 {
            let set = self.set_sizes(product, "#images.#kind", &names, sizes.clone(), has_images);
            match set.await? {
                Updated::Yes => return Ok(true),
                Updated::NoProduct => return Ok(false),
                Updated::Otherwise => {}
            }
            let has_none = "attribute_not_exists(#images)";
            let create = self.set_sizes(product, "#images", &names[..1], map.clone(), has_none);
            match create.await? {
                Updated::Yes => return Ok(true),
                Updated::NoProduct => return Ok(false),
                Updated::Otherwise => {}
            }
        }
        Err(CallError::new(
            CallErrorKind::Transient,
            "other images of the product were recorded at the same time",
        ))
    }
}
