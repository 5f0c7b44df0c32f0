//! Resource group tags. awsim's know of no resource: here they are those of the streams, tables, buckets, queues,
//! topics and log groups, read at each request. Only those of streams are changed here.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use awsim_core::{AwsError, Protocol, RequestContext, ServiceHandler};
use awsim_resourcegroupstagging::ResourceGroupsTaggingService;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::Caller;

/// Tags of one resource.
pub type Tags = BTreeMap<String, String>;

/// Whose resources are tagged.
pub trait TagSource: Send + Sync + 'static {
    /// The tagged resources of `caller`, by ARN.
    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags>;

    /// TagResource or UntagResource with `input`; error code and message when it is refused.
    fn change(
        &self,
        caller: &Caller,
        operation: &'static str,
        input: Value,
    ) -> BoxFuture<'_, Result<(), (String, String)>>;
}

/// Set once the source is open. Weak, since the source holds the services.
pub(super) type Source = Arc<OnceLock<Weak<dyn TagSource>>>;

/// Tells the tagged resources of a caller, by ARN.
pub(super) type Others = Box<dyn Fn(&Caller) -> BTreeMap<String, Tags> + Send + Sync>;

pub(super) struct Tagging {
    pub source: Source,
    /// The tagged resources of all other services.
    pub others: Others,
}

impl Tagging {
    async fn change(
        &self,
        operation: &'static str,
        input: &Value,
        caller: &Caller,
    ) -> Result<Value, AwsError> {
        let source = self.source()?;
        let arns = input["ResourceARNList"]
            .as_array()
            .filter(|arns| (1..=20).contains(&arns.len()))
            .ok_or_else(|| {
                AwsError::bad_request("InvalidParameterException", "ResourceARNList takes 1 to 20 ARNs.")
            })?;
        let mut failed = Map::new();
        for arn in arns.iter().filter_map(Value::as_str) {
            let input = json!({"ResourceARN": arn, "Tags": input["Tags"], "TagKeys": input["TagKeys"]});
            if let Err((code, message)) = source.change(caller, operation, without_nulls(input)).await {
                let failure = json!({"StatusCode": 400, "ErrorCode": code, "ErrorMessage": message});
                failed.insert(arn.to_owned(), failure);
            }
        }
        Ok(json!({ "FailedResourcesMap": failed }))
    }

    fn source(&self) -> Result<Arc<dyn TagSource>, AwsError> {
        self.source
            .get()
            .and_then(Weak::upgrade)
            .ok_or_else(|| AwsError::internal("the tagged resources are not open"))
    }
}

fn without_nulls(mut input: Value) -> Value {
    if let Some(fields) = input.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    input
}

#[async_trait]
impl ServiceHandler for Tagging {
    fn service_name(&self) -> &str {
        "tagging"
    }

    fn protocol(&self) -> Protocol {
        Protocol::AwsJson1_1
    }

    async fn handle(&self, operation: &str, input: Value, ctx: &RequestContext) -> Result<Value, AwsError> {
        let caller = Caller {
            account: ctx.account_id.clone(),
            region: ctx.region.clone(),
        };
        match operation {
            "TagResources" => return self.change("TagResource", &input, &caller).await,
            "UntagResources" => return self.change("UntagResource", &input, &caller).await,
            _ => {}
        }
        let service = ResourceGroupsTaggingService::new();
        let mut resources = self.source()?.tagged(&caller);
        resources.extend((self.others)(&caller));
        let snapshot = json!([[caller.account, caller.region, { "resources": resources }]]);
        service
            .restore(snapshot.to_string().as_bytes())
            .map_err(AwsError::internal)?;
        service.handle(operation, input, ctx).await
    }
}
