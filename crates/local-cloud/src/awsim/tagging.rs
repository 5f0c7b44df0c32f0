//! Resource group tags. awsim's know of no resource: here they are those that the services report, read at each
//! request.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use awsim_core::{AwsError, Protocol, RequestContext, ServiceHandler};
use awsim_resourcegroupstagging::ResourceGroupsTaggingService;
use serde_json::{Map, Value, json};

use super::stored::Handler;
use crate::service::Permission;
use crate::service::Request;
use crate::services::Services;
use crate::types::Caller;

pub(crate) struct Tagging {
    /// Weak, since the table holds this service too.
    services: Weak<Services>,
}

impl Tagging {
    pub fn new(services: Weak<Services>) -> Self {
        Self { services }
    }

    /// TagResources and UntagResources. `operation` is that of the services for one resource.
    async fn change(
        &self,
        operation: &'static str,
        input: &Value,
        caller: &Caller,
    ) -> Result<Value, AwsError> {
        let services = self.services()?;
        let arns = input["ResourceARNList"]
            .as_array()
            .filter(|arns| (1..=20).contains(&arns.len()))
            .ok_or_else(|| {
                AwsError::bad_request("InvalidParameterException", "ResourceARNList takes 1 to 20 ARNs.")
            })?;
        let mut failed = Map::new();
        for arn in arns.iter().filter_map(Value::as_str) {
            let input = json!({"ResourceARN": arn, "Tags": input["Tags"], "TagKeys": input["TagKeys"]});
            let entry = arn.split(':').nth(2).and_then(|name| services.signed(name));
            let changed = match entry {
                Some(entry) => {
                    let service = Arc::clone(&entry.service);
                    service
                        .change_tags(caller.clone(), operation, without_nulls(input))
                        .await
                }
                None => Err((
                    "InvalidParameterException".to_owned(),
                    format!("The local cloud has no resource {arn}."),
                )),
            };
            if let Err((code, message)) = changed {
                let failure = json!({"StatusCode": 400, "ErrorCode": code, "ErrorMessage": message});
                failed.insert(arn.to_owned(), failure);
            }
        }
        Ok(json!({ "FailedResourcesMap": failed }))
    }

    fn services(&self) -> Result<Arc<Services>, AwsError> {
        self.services
            .upgrade()
            .ok_or_else(|| AwsError::internal("The local cloud is stopping."))
    }
}

fn without_nulls(mut input: Value) -> Value {
    if let Some(fields) = input.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    input
}

impl Handler for Tagging {
    const NAME: &'static str = "tagging";
    const PROTOCOL: Protocol = Protocol::AwsJson1_1;

    /// Tags are kept by the services.
    fn changes(_operation: &str, _input: &Value) -> bool {
        false
    }

    fn permissions(request: &Request) -> Vec<Permission> {
        Permission::of_operation("tag", request, |_, _| None)
    }
}

#[async_trait]
impl ServiceHandler for Tagging {
    fn service_name(&self) -> &str {
        Self::NAME
    }

    fn protocol(&self) -> Protocol {
        Self::PROTOCOL
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
        let resources = self.services()?.tagged(&caller);
        let snapshot = json!([[caller.account, caller.region, { "resources": resources }]]);
        service
            .restore(snapshot.to_string().as_bytes())
            .map_err(AwsError::internal)?;
        service.handle(operation, input, ctx).await
    }
}
