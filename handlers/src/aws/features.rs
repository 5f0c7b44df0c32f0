//! Reads the table of features, and the objects of a bucket.

use aws_sdk_dynamodb::types::KeysAndAttributes;
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use std::collections::HashMap;

use super::{DynamoTable, S3Bucket, call_error, unbuildable};
use crate::attribute::text;
use crate::cart_features::{PartReader, Parts};
use crate::recommend::FeatureTable;
use crate::store::{CallError, CallErrorKind, Item, Objects};

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

impl Objects for S3Bucket {
    async fn read(&self, key: &str, max: usize) -> Result<Option<Bytes>, CallError> {
        let Some(mut parts) = self.open(key).await? else {
            return Ok(None);
        };
        let mut data = BytesMut::new();
        while let Some(part) = parts.next().await? {
            if data.len() + part.len() > max {
                return Err(CallError::new(
                    CallErrorKind::Rejected,
                    format!("the object is larger than {max} bytes"),
                ));
            }
            data.extend_from_slice(&part);
        }
        Ok(Some(data.freeze()))
    }
}

/// The body of an object.
pub struct S3Parts(ByteStream);

impl Parts for S3Bucket {
    type Reader = S3Parts;

    async fn open(&self, key: &str) -> Result<Option<S3Parts>, CallError> {
        let call = self.client.get_object().bucket(&self.name).key(key);
        match call.send().await {
            Ok(output) => Ok(Some(S3Parts(output.body))),
            Err(error) => match error.as_service_error() {
                Some(GetObjectError::NoSuchKey(_)) => Ok(None),
                _ => Err(call_error(&error)),
            },
        }
    }
}

impl PartReader for S3Parts {
    async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let part = self.0.next().await.transpose();
        part.map_err(|error| {
            CallError::new(
                CallErrorKind::Transient,
                format!("the object was cut off: {error}"),
            )
        })
    }
}
