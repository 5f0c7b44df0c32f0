//! The permissions that requests to DynamoDB need.

use serde_json::Value;

use crate::service::Request;
use crate::service::{Permission, arn_of, operation};

pub(super) fn of(request: &Request) -> Vec<Permission> {
    let Some((operation, input)) = operation(request) else {
        return Vec::new();
    };
    let table = |name: &str| arn_of(&request.caller, "dynamodb", "table/", name);
    let permission = |action: &str, resource| Permission::new("dynamodb", action, Some(resource));
    if let Some(tables) = input["RequestItems"].as_object() {
        return tables
            .keys()
            .map(|name| permission(&operation, table(name)))
            .collect();
    }
    if let Some(items) = input["TransactItems"].as_array() {
        let parts = items.iter().filter_map(Value::as_object).flatten();
        let mut permissions: Vec<Permission> = parts
            .filter_map(|(kind, part)| {
                let kind = match kind.as_str() {
                    "ConditionCheck" => "ConditionCheckItem".to_owned(),
                    kind => format!("{kind}Item"),
                };
                Some(permission(&kind, table(part["TableName"].as_str()?)))
            })
            .collect();
        permissions.dedup();
        return permissions;
    }
    let resource = match (input["TableName"].as_str(), input["IndexName"].as_str()) {
        (Some(name), Some(index)) => format!("{}/index/{index}", table(name)),
        (Some(name), None) => table(name),
        (None, _) => input["ResourceArn"].as_str().unwrap_or("*").to_owned(),
    };
    vec![permission(&operation, resource)]
}
