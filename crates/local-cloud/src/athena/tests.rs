//! The service, driven as by a caller.

use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Athena;
use crate::clock::SystemClock;
use crate::service::{Request, Service};
use crate::test_support::whole_body;
use crate::types::Caller;

const ARN: &str = "arn:aws:athena:us-east-1:000000000000:workgroup/shop";

struct World {
    dir: TempDir,
    athena: Arc<Athena>,
    caller: Caller,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self {
            athena: Arc::new(Athena::new(dir.path(), Arc::new(SystemClock))),
            dir,
            caller: Caller::default(),
        }
    }

    /// The same files after a restart.
    fn restarted(self) -> Self {
        self.athena.shutdown();
        let athena = Arc::new(Athena::new(self.dir.path(), Arc::new(SystemClock)));
        athena.open();
        Self { athena, ..self }
    }

    fn call(&self, operation: &str, input: &Value) -> Result<Value, String> {
        let outcome = self
            .athena
            .run(&self.caller, operation, input.to_string().as_bytes());
        let response = crate::json_api::answered(outcome);
        let is_success = response.status() == 200;
        let body: Value = serde_json::from_slice(&whole_body(response)).unwrap();
        match is_success {
            true => Ok(body),
            false => Err(format!(
                "{}: {}",
                body["__type"].as_str().unwrap(),
                body["Message"].as_str().unwrap()
            )),
        }
    }

    fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, &input).unwrap()
    }

    fn refused(&self, operation: &str, input: Value) -> String {
        self.call(operation, &input).unwrap_err()
    }

    fn group(&self) -> Value {
        self.ok("GetWorkGroup", json!({"WorkGroup": "shop"}))["WorkGroup"].take()
    }
}

#[test]
fn a_work_group_lives_its_life() {
    let world = World::new();
    let configuration = json!({
        "ResultConfiguration": {
            "OutputLocation": "s3://lake/athena/", "ExpectedBucketOwner": "000000000000",
            "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"},
        },
        "EnforceWorkGroupConfiguration": true, "PublishCloudWatchMetricsEnabled": true,
        "BytesScannedCutoffPerQuery": 10_000_000,
        "EngineVersion": {"SelectedEngineVersion": "Athena engine version 3"},
    });
    let create = json!({
        "Name": "shop", "Description": "Queries", "Configuration": configuration,
        "Tags": [{"Key": "Team", "Value": "blue"}],
    });
    world.ok("CreateWorkGroup", create.clone());
    assert_eq!(
        world.refused("CreateWorkGroup", create),
        "InvalidRequestException: WorkGroup is already created"
    );
    let world = world.restarted();
    let group = world.group();
    assert_eq!(
        (&group["State"], &group["Description"]),
        (&json!("ENABLED"), &json!("Queries"))
    );
    for (member, value) in configuration.as_object().unwrap() {
        if member != "EngineVersion" {
            assert_eq!(&group["Configuration"][member], value, "{member}");
        }
    }
    assert_eq!(
        group["Configuration"]["EngineVersion"],
        json!({
            "SelectedEngineVersion": "Athena engine version 3", "EffectiveEngineVersion": "Athena engine version 3",
        })
    );
    let updates = json!({
        "ResultConfigurationUpdates": {"OutputLocation": "s3://lake/other/", "RemoveEncryptionConfiguration": true},
        "RemoveBytesScannedCutoffPerQuery": true,
        "EnforceWorkGroupConfiguration": false,
    });
    world.ok(
        "UpdateWorkGroup",
        json!({"WorkGroup": "shop", "State": "DISABLED", "ConfigurationUpdates": updates}),
    );
    let group = world.group();
    let found = &group["Configuration"];
    assert_eq!(
        found["ResultConfiguration"],
        json!({"OutputLocation": "s3://lake/other/", "ExpectedBucketOwner": "000000000000"})
    );
    assert_eq!(found["BytesScannedCutoffPerQuery"], Value::Null);
    assert_eq!(found["EnforceWorkGroupConfiguration"], false);
    assert_eq!(
        (&group["State"], &group["Description"]),
        (&json!("DISABLED"), &json!("Queries"))
    );

    world.ok(
        "TagResource",
        json!({"ResourceARN": ARN, "Tags": [{"Key": "Stage", "Value": "x"}]}),
    );
    world.ok("UntagResource", json!({"ResourceARN": ARN, "TagKeys": ["Team"]}));
    let tags = world.ok("ListTagsForResource", json!({"ResourceARN": ARN}));
    assert_eq!(tags, json!({"Tags": [{"Key": "Stage", "Value": "x"}]}));
    assert_eq!(world.athena.tagged(&world.caller)[ARN]["Stage"], "x");
    world.ok("DeleteWorkGroup", json!({"WorkGroup": "shop"}));
    assert_eq!(
        world.refused("GetWorkGroup", json!({"WorkGroup": "shop"})),
        "InvalidRequestException: WorkGroup is not found."
    );
    assert!(world.athena.tagged(&world.caller).is_empty());
}

#[test]
fn a_work_group_with_queries_is_deleted_on_request_only() {
    let world = World::new();
    world.ok("CreateWorkGroup", json!({"Name": "shop"}));
    let query = json!({
        "Name": "all", "Database": "shop", "QueryString": "SELECT 1", "WorkGroup": "shop", "ClientRequestToken": "t",
    });
    let id = world.ok("CreateNamedQuery", query.clone())["NamedQueryId"].take();
    assert_eq!(world.ok("CreateNamedQuery", query)["NamedQueryId"], id);
    let listed = world.ok("ListNamedQueries", json!({"WorkGroup": "shop"}));
    assert_eq!(listed, json!({"NamedQueryIds": [id]}));
    let statement = json!({"WorkGroup": "shop", "StatementName": "one", "QueryStatement": "SELECT ?"});
    world.ok("CreatePreparedStatement", statement);
    let delete = |recursive: bool| json!({"WorkGroup": "shop", "RecursiveDeleteOption": recursive});
    assert_eq!(
        world.refused("DeleteWorkGroup", delete(false)),
        "InvalidRequestException: WorkGroup shop is not empty"
    );
    let batch = world.ok("BatchGetNamedQuery", json!({"NamedQueryIds": [id, "none"]}));
    assert_eq!(batch["NamedQueries"][0]["QueryString"], "SELECT 1");
    assert_eq!(batch["UnprocessedNamedQueryIds"][0]["NamedQueryId"], "none");
    let statements = world.ok("ListPreparedStatements", json!({"WorkGroup": "shop"}));
    assert_eq!(statements["PreparedStatements"][0]["StatementName"], "one");
    world.ok("DeleteWorkGroup", delete(true));
    let gone = world.refused("GetNamedQuery", json!({"NamedQueryId": id}));
    assert!(gone.contains("was not found"), "{gone}");
    world.ok("CreateWorkGroup", json!({"Name": "shop"}));
    let listed = world.ok("ListPreparedStatements", json!({"WorkGroup": "shop"}));
    assert_eq!(listed, json!({"PreparedStatements": []}));
    world.ok("DeleteWorkGroup", delete(false));
}

#[test]
fn work_groups_are_listed_by_page_and_primary_is_always_there() {
    let world = World::new();
    for name in ["b", "a", "c"] {
        world.ok("CreateWorkGroup", json!({"Name": name}));
    }
    for size in 1..5 {
        let (mut names, mut token, mut pages) = (Vec::new(), Value::Null, 0);
        loop {
            let mut input = json!({"MaxResults": size});
            if token.is_string() {
                input["NextToken"] = token;
            }
            let page = world.ok("ListWorkGroups", input);
            let groups = page["WorkGroups"].as_array().unwrap();
            assert!(groups.len() <= size);
            names.extend(groups.iter().map(|one| one["Name"].as_str().unwrap().to_owned()));
            pages += 1;
            token = page["NextToken"].clone();
            if token.is_null() {
                break;
            }
        }
        names.sort();
        assert_eq!(
            (names.join(" ").as_str(), pages),
            ("a b c primary", 4_usize.div_ceil(size))
        );
    }
    world.ok(
        "UpdateWorkGroup",
        json!({"WorkGroup": "primary", "Description": "Mine"}),
    );
    let all = world.ok("ListWorkGroups", json!({}));
    assert_eq!(all["WorkGroups"].as_array().unwrap().len(), 4);
}

#[test]
fn what_aws_refuses_is_refused_and_no_query_is_run() {
    let world = World::new();
    let create = |configuration: Value| json!({"Name": "a", "Configuration": configuration});
    let refused = [
        world.refused("CreateWorkGroup", json!({"Name": "a b"})),
        world.refused("CreateWorkGroup", json!({"Name": "primary"})),
        world.refused("DeleteWorkGroup", json!({"WorkGroup": "primary"})),
        world.refused("DeleteWorkGroup", json!({"WorkGroup": "none"})),
        world.refused(
            "CreateWorkGroup",
            create(json!({"BytesScannedCutoffPerQuery": 1})),
        ),
        world.refused(
            "CreateWorkGroup",
            create(json!({"ResultConfiguration": {"OutputLocation": "lake"}})),
        ),
        world.refused(
            "CreateWorkGroup",
            create(
                json!({"ResultConfiguration": {"EncryptionConfiguration": {"EncryptionOption": "SSE_KMS"}}}),
            ),
        ),
        world.refused(
            "CreateWorkGroup",
            create(json!({"EngineVersion": {"SelectedEngineVersion": "PySpark engine version 3"}})),
        ),
        world.refused("CreateWorkGroup", create(json!({"ExecutionRole": "r"}))),
        world.refused("UpdateWorkGroup", json!({"WorkGroup": "primary", "State": "OFF"})),
        world.refused("ListTagsForResource", json!({"ResourceARN": ARN})),
        world.refused("ListTagsForResource", json!({"ResourceARN": "arn:x"})),
        world.refused("ListWorkGroups", json!({"NextToken": "?"})),
        world.refused("StartQueryExecution", json!({"QueryString": "SELECT 1"})),
        world.refused("GetQueryExecution", json!({})),
    ];
    insta::assert_snapshot!(refused.join("\n"), @r"
    InvalidRequestException: 1 validation error detected: Value 'a b' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9._-]{1,128}
    InvalidRequestException: primary workGroup could not be created
    InvalidRequestException: primary workGroup could not be deleted
    InvalidRequestException: WorkGroup is not found.
    InvalidRequestException: 1 validation error detected: Value '1' at 'configuration.bytesScannedCutoffPerQuery' failed to satisfy constraint: Member must have value greater than or equal to 10000000
    InvalidRequestException: The S3 location provided to save your query results is invalid.
    InvalidRequestException: SSE_KMS and CSE_KMS need a KMS key.
    InvalidRequestException: The local cloud does not offer the engine version PySpark engine version 3.
    InvalidRequestException: The local cloud does not offer the member ExecutionRole.
    InvalidRequestException: 1 validation error detected: Value 'OFF' at 'state' failed to satisfy constraint: Member must satisfy enum value set: [ENABLED, DISABLED]
    ResourceNotFoundException: Resource arn:aws:athena:us-east-1:000000000000:workgroup/shop was not found
    InvalidRequestException: arn:x is not the ARN of a work group of this account and region.
    InvalidRequestException: The NextToken is not valid.
    InvalidRequestException: The local cloud runs no queries. Run this one in Athena on AWS, or read the objects of the bucket with an engine on your machine, such as DuckDB.
    UnknownOperationException: The local cloud does not offer the operation GetQueryExecution of Athena. It runs no queries.
    ");
}

#[test]
fn an_operation_needs_permission_for_its_work_group() {
    let world = World::new();
    let needed = |operation: &str, input: Value| {
        let request = http::Request::post("/").header("x-amz-target", format!("AmazonAthena.{operation}"));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let request = Request {
            caller: world.caller.clone(),
            parts,
            body: input.to_string().into(),
        };
        let all = world.athena.permissions(&request).into_iter();
        let short = all.map(|one| format!("{} {}", one.action, one.resource.rsplit(':').next().unwrap()));
        short.collect::<Vec<_>>().join(", ")
    };
    let all = [
        needed("CreateWorkGroup", json!({"Name": "shop"})),
        needed("GetWorkGroup", json!({"WorkGroup": "shop"})),
        needed("ListWorkGroups", json!({})),
        needed("TagResource", json!({"ResourceARN": ARN})),
        needed("CreateNamedQuery", json!({"Name": "q", "WorkGroup": "shop"})),
        needed("CreateNamedQuery", json!({"Name": "q"})),
        needed("GetNamedQuery", json!({"NamedQueryId": "x"})),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    athena:CreateWorkGroup workgroup/shop
    athena:GetWorkGroup workgroup/shop
    athena:ListWorkGroups *
    athena:TagResource workgroup/shop
    athena:CreateNamedQuery workgroup/shop
    athena:CreateNamedQuery workgroup/primary
    athena:GetNamedQuery workgroup/*
    ");
}
