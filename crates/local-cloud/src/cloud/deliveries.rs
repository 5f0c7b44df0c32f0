//! Deliveries to queues, topics and buckets of the local cloud.

use std::collections::BTreeMap;
use std::sync::Arc;

use awsim_core::{RequestContext, ServiceHandler};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use crate::awsim::{Sns, Stored};
use crate::deliver::{Deliver, Undelivered};
use crate::s3::S3;
use crate::sqs::Sqs;
use crate::types::{Caller, partition};

pub(crate) struct Deliveries {
    pub sqs: Arc<Sqs>,
    pub sns: Stored<Sns>,
    pub s3: Arc<S3>,
}

fn undelivered(code: impl Into<String>, message: impl Into<String>) -> Undelivered {
    Undelivered {
        code: code.into(),
        message: message.into(),
    }
}

impl Deliver for Deliveries {
    fn to_queue<'a>(
        &'a self,
        arn: &'a str,
        body: &'a str,
        attributes: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        async move {
            let attributes: Map<String, Value> = attributes
                .iter()
                .map(|(name, value)| (name.clone(), json!({"DataType": "String", "StringValue": value})))
                .collect();
            let input = json!({"MessageBody": body, "MessageAttributes": attributes});
            self.sqs
                .send(arn, &input)
                .map_err(|error| undelivered(error.query_code(), error.message))
        }
        .boxed()
    }

    fn to_topic<'a>(
        &'a self,
        arn: &'a str,
        subject: Option<&'a str>,
        message: &'a str,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        async move {
            let ["arn", _, "sns", region, account, _] = arn.split(':').collect::<Vec<_>>()[..] else {
                return Err(undelivered(
                    "InvalidParameter",
                    format!("Invalid parameter: TopicArn: {arn}"),
                ));
            };
            let mut ctx = RequestContext::new("sns", region);
            account.clone_into(&mut ctx.account_id);
            partition(region).clone_into(&mut ctx.partition);
            let mut input = json!({"TopicArn": arn, "Message": message});
            if let Some(subject) = subject {
                input["Subject"] = json!(subject);
            }
            match self.sns.handle("Publish", input, &ctx).await {
                Ok(_) => Ok(()),
                Err(error) => Err(undelivered(error.code, error.message)),
            }
        }
        .boxed()
    }

    fn to_bucket<'a>(
        &'a self,
        caller: &'a Caller,
        bucket: &'a str,
        key: &'a str,
        body: Bytes,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        let (s3, caller) = (Arc::clone(&self.s3), caller.clone());
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        async move {
            let put = tokio::task::spawn_blocking(move || s3.put(&caller, &bucket, &key, body)).await;
            put.unwrap_or_else(|error| Err(undelivered("InternalError", error.to_string())))
        }
        .boxed()
    }
}
