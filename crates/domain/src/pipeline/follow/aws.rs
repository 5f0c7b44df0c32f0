//! [`Services`] on AWS or the local cloud.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::Blob;

use super::{Attribute, Item, Listed, Object, Services, http};
use crate::context::{Context, WebAnswer, WebRequest};
use ground::error::{self, Error, Result};

/// Limit of objects listed under one prefix.
const MAX_OBJECTS: usize = 10_000;

pub struct AwsServices<'a>(pub &'a Context);

#[async_trait]
impl Services for AwsServices<'_> {
    async fn put(&self, stream: &str, partition_key: &str, data: &str) -> Result<String> {
        let call = self.0.kinesis().put_record().stream_name(stream);
        let call = call.partition_key(partition_key).data(Blob::new(data));
        let answer = call.send().await;
        answer
            .map(|answer| answer.shard_id)
            .map_err(|error| error::aws::failed(format!("could not put an event to stream {stream}"), error))
    }

    async fn items(&self, table: &str, index: Option<&str>, key: &(String, Attribute)) -> Result<Vec<Item>> {
        let call = self.0.dynamodb().query().table_name(table);
        // Indexes have no consistent reads. Source: Query, DynamoDB API reference.
        let call = call
            .consistent_read(index.is_none())
            .set_index_name(index.map(str::to_owned));
        let call = call
            .key_condition_expression("#key = :key")
            .expression_attribute_names("#key", &key.0)
            .expression_attribute_values(":key", value(&key.1))
            .scan_index_forward(false);
        let answer = call
            .send()
            .await
            .map_err(|error| error::aws::failed(format!("could not query table {table}"), error))?;
        let items = answer.items.unwrap_or_default().into_iter();
        Ok(items
            .map(|item| {
                item.into_iter()
                    .map(|(name, value)| (name, attribute(value)))
                    .collect()
            })
            .collect())
    }

    async fn put_item(&self, table: &str, item: &Item) -> Result<()> {
        let attributes = item.iter().map(|(name, one)| (name.clone(), value(one)));
        let call = self.0.dynamodb().put_item().table_name(table);
        let call = call.set_item(Some(attributes.collect()));
        call.send()
            .await
            .map(drop)
            .map_err(|error| error::aws::failed(format!("could not put an item into table {table}"), error))
    }

    async fn delete_item(&self, table: &str, item: &Item) -> Result<()> {
        let answer = self.0.dynamodb().describe_table().table_name(table).send().await;
        let answer =
            answer.map_err(|error| error::aws::failed(format!("could not describe table {table}"), error))?;
        let schema = answer
            .table
            .and_then(|table| table.key_schema)
            .unwrap_or_default();
        let mut call = self.0.dynamodb().delete_item().table_name(table);
        for element in schema {
            let name = element.attribute_name;
            let one = item
                .get(&name)
                .ok_or_else(|| Error::failed(format!("the item has no key {name}")))?;
            call = call.key(name, value(one));
        }
        call.send()
            .await
            .map(drop)
            .map_err(|error| error::aws::failed(format!("could not delete an item of table {table}"), error))
    }

    async fn objects(&self, bucket: &str, prefix: &str) -> Result<Vec<Listed>> {
        let mut pages = self
            .0
            .s3()
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .into_paginator()
            .send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|error| error::aws::failed(format!("could not list bucket {bucket}"), error))?;
            found.extend(
                page.contents
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|object| {
                        Some(Listed {
                            key: object.key?,
                            size: object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                            modified_ms: object
                                .last_modified
                                .and_then(|time| time.to_millis().ok())
                                .unwrap_or(i64::MAX),
                        })
                    }),
            );
            if found.len() >= MAX_OBJECTS {
                break;
            }
        }
        Ok(found)
    }

    async fn read_object(&self, bucket: &str, key: &str) -> Result<Option<Object>> {
        let answer = match self.0.s3().get_object().bucket(bucket).key(key).send().await {
            Ok(answer) => answer,
            Err(error) if error::aws::is_not_found(&error) => return Ok(None),
            Err(error) => {
                return Err(error::aws::failed(format!("could not read object {key}"), error));
            }
        };
        let version = answer.version_id;
        let body = answer.body.collect().await;
        let body =
            body.map_err(|error| Error::failed(format!("could not read object {key}")).cause(error))?;
        Ok(Some(Object {
            bytes: body.into_bytes().to_vec(),
            version: version.filter(|version| version != "null"),
        }))
    }

    async fn delete_object(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<()> {
        let call = self.0.s3().delete_object().bucket(bucket).key(key);
        let call = call.set_version_id(version.map(str::to_owned));
        call.send()
            .await
            .map(drop)
            .map_err(|error| error::aws::failed(format!("could not delete object {key}"), error))
    }

    async fn versions(&self, bucket: &str, prefix: &str) -> Result<Vec<(String, Option<String>)>> {
        let call = self.0.s3().list_object_versions().bucket(bucket).prefix(prefix);
        let answer = call.send().await.map_err(|error| {
            error::aws::failed(format!("could not list the versions in bucket {bucket}"), error)
        })?;
        let versions = answer.versions.unwrap_or_default().into_iter();
        let markers = answer.delete_markers.unwrap_or_default().into_iter();
        let all = versions.map(|one| (one.key, one.version_id));
        let all = all.chain(markers.map(|one| (one.key, one.version_id)));
        Ok(all.filter_map(|(key, version)| Some((key?, version))).collect())
    }

    async fn send(&self, request: &WebRequest) -> Result<WebAnswer> {
        self.0.send_unsigned(request, http::MOST_BYTES).await
    }

    async fn log_line(&self, group: &str, text: &str, since_ms: i64) -> Result<Option<String>> {
        let call = self.0.logs().filter_log_events().log_group_name(group);
        // A pattern in double quotes is one term. Source: "Filter pattern syntax", CloudWatch Logs user guide.
        let mut pages = call
            .filter_pattern(format!("\"{}\"", text.replace('"', "\\\"")))
            .start_time(since_ms)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                // Lambda creates the log group with the function's first line.
                Err(error) if error::aws::is_not_found(&error) => return Ok(None),
                Err(error) => {
                    return Err(error::aws::failed(
                        format!("could not search the log {group}"),
                        error,
                    ));
                }
            };
            let lines = page.events.unwrap_or_default().into_iter();
            if let Some(line) = lines
                .filter_map(|event| event.message)
                .find(|line| line.contains(text))
            {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }
}

fn value(attribute: &Attribute) -> AttributeValue {
    match attribute {
        Attribute::Text(text) => AttributeValue::S(text.clone()),
        Attribute::Number(number) => AttributeValue::N(number.clone()),
        Attribute::Bool(value) => AttributeValue::Bool(*value),
        Attribute::Other => AttributeValue::Null(true),
    }
}

fn attribute(value: AttributeValue) -> Attribute {
    match value {
        AttributeValue::S(text) => Attribute::Text(text),
        AttributeValue::N(number) => Attribute::Number(number),
        AttributeValue::Bool(value) => Attribute::Bool(value),
        _ => Attribute::Other,
    }
}
