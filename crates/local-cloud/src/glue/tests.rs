//! The service, driven as by a caller.

use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Glue;
use crate::clock::SystemClock;
use crate::service::{Request, Service};
use crate::test_support::whole_body;
use crate::types::Caller;

struct World {
    dir: TempDir,
    glue: Arc<Glue>,
    caller: Caller,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self {
            glue: Arc::new(Glue::new(dir.path(), Arc::new(SystemClock))),
            dir,
            caller: Caller::default(),
        }
    }

    /// The same files after a restart.
    fn restarted(self) -> Self {
        self.glue.shutdown();
        let glue = Arc::new(Glue::new(self.dir.path(), Arc::new(SystemClock)));
        glue.open();
        Self { glue, ..self }
    }

    fn call(&self, operation: &str, input: &Value) -> Result<Value, String> {
        let outcome = self
            .glue
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

    fn shop(&self) {
        self.ok("CreateDatabase", json!({"DatabaseInput": {"Name": "Shop"}}));
    }

    fn table(&self, name: &str) {
        self.ok(
            "CreateTable",
            json!({"DatabaseName": "shop", "TableInput": {"Name": name}}),
        );
    }

    fn tables(&self, expression: &str) -> String {
        let input = json!({"DatabaseName": "shop", "Expression": expression});
        let found = self.ok("GetTables", input);
        let names = found["TableList"].as_array().unwrap().iter();
        let names: Vec<&str> = names.map(|one| one["Name"].as_str().unwrap()).collect();
        names.join(" ")
    }

    fn permissions(&self, operation: &str, input: &Value) -> String {
        let request = http::Request::post("/").header("x-amz-target", format!("AWSGlue.{operation}"));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let request = Request {
            caller: self.caller.clone(),
            parts,
            body: input.to_string().into(),
        };
        let all = self.glue.permissions(&request).into_iter();
        let short = all.map(|one| format!("{} {}", one.action, one.resource.rsplit(':').next().unwrap()));
        short.collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn a_database_lives_its_life() {
    let world = World::new();
    let input = json!({"Name": "Shop", "Description": "Orders", "Parameters": {"a": "1"}});
    world.ok(
        "CreateDatabase",
        json!({"DatabaseInput": input, "Tags": {"Team": "blue"}}),
    );
    assert_eq!(
        world.refused("CreateDatabase", json!({"DatabaseInput": {"Name": "shop"}})),
        "AlreadyExistsException: Database already exists."
    );
    let world = world.restarted();
    let mut found = world.ok("GetDatabase", json!({"Name": "SHOP"}))["Database"].take();
    assert!(found["CreateTime"].take().as_f64().unwrap() > 1e9);
    assert_eq!(
        found,
        json!({
            "Name": "shop", "Description": "Orders", "Parameters": {"a": "1"}, "CatalogId": "000000000000",
            "CreateTime": null,
            "CreateTableDefaultPermissions": [{
                "Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"}, "Permissions": ["ALL"],
            }],
        })
    );
    let changed = json!({"Name": "shop", "LocationUri": "s3://lake/shop/"});
    world.ok(
        "UpdateDatabase",
        json!({"Name": "shop", "DatabaseInput": changed}),
    );
    let listed = world.ok("GetDatabases", json!({}));
    assert_eq!(listed["DatabaseList"][0]["LocationUri"], "s3://lake/shop/");
    assert_eq!(listed["DatabaseList"][0]["Description"], Value::Null);
    let arn = "arn:aws:glue:us-east-1:000000000000:database/shop";
    world.ok(
        "TagResource",
        json!({"ResourceArn": arn, "TagsToAdd": {"Stage": "x"}}),
    );
    world.ok(
        "UntagResource",
        json!({"ResourceArn": arn, "TagsToRemove": ["Team"]}),
    );
    assert_eq!(
        world.ok("GetTags", json!({"ResourceArn": arn})),
        json!({"Tags": {"Stage": "x"}})
    );
    let tagged = world.glue.tagged(&world.caller);
    assert_eq!(tagged[arn]["Stage"], "x");
    let given = json!({"ResourceARN": arn, "Tags": {"Team": "red"}});
    let changed = Arc::clone(&world.glue).change_tags(world.caller.clone(), "TagResource", given);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(changed).unwrap();
    assert_eq!(world.glue.tagged(&world.caller)[arn]["Team"], "red");
    world.table("orders");
    world.ok("DeleteDatabase", json!({"Name": "shop"}));
    assert_eq!(
        world.refused("GetDatabase", json!({"Name": "shop"})),
        "EntityNotFoundException: Database shop not found."
    );
    // The tables went with it.
    world.shop();
    assert_eq!(world.tables(".*"), "");
}

#[test]
fn a_table_is_shown_as_it_was_given() {
    let world = World::new();
    world.shop();
    let input = json!({
        "Name": "Orders", "Description": "All", "TableType": "EXTERNAL_TABLE", "Retention": 0,
        "Parameters": {"EXTERNAL": "TRUE"},
        "PartitionKeys": [{"Name": "day", "Type": "string"}],
        "StorageDescriptor": {
            "Columns": [{"Name": "id", "Type": "bigint", "Comment": "The id"}],
            "Location": "s3://lake/orders/", "InputFormat": "in", "OutputFormat": "out",
            "Compressed": true, "NumberOfBuckets": -1, "StoredAsSubDirectories": false,
            "SerdeInfo": {"SerializationLibrary": "serde", "Parameters": {"b": "2"}},
        },
    });
    world.ok(
        "CreateTable",
        json!({"DatabaseName": "shop", "TableInput": input}),
    );
    let again = json!({"DatabaseName": "shop", "TableInput": {"Name": "orders"}});
    assert_eq!(
        world.refused("CreateTable", again),
        "AlreadyExistsException: Table already exists."
    );
    let world = world.restarted();
    let named = json!({"DatabaseName": "shop", "Name": "orders"});
    let found = world.ok("GetTable", named.clone())["Table"].take();
    for (member, value) in input.as_object().unwrap() {
        let wanted = if member == "Name" { &json!("orders") } else { value };
        assert_eq!(&found[member], wanted, "{member}");
    }
    assert_eq!(
        (&found["VersionId"], &found["DatabaseName"]),
        (&json!("0"), &json!("shop"))
    );

    let update = |version: &str| {
        let input = json!({"Name": "orders", "Description": "Some"});
        json!({"DatabaseName": "shop", "TableInput": input, "VersionId": version, "SkipArchive": true})
    };
    world.ok("UpdateTable", update("0"));
    assert_eq!(
        world.refused("UpdateTable", update("0")),
        "ConcurrentModificationException: Update table failed due to concurrent modifications."
    );
    let found = world.ok("GetTable", named.clone())["Table"].take();
    assert_eq!(
        (&found["VersionId"], &found["Description"]),
        (&json!("1"), &json!("Some"))
    );
    assert_eq!(found["StorageDescriptor"], Value::Null);
    world.ok("DeleteTable", named.clone());
    assert_eq!(
        world.refused("DeleteTable", named),
        "EntityNotFoundException: Table orders not found."
    );
}

#[test]
fn tables_are_listed_by_pattern_and_page() {
    let world = World::new();
    world.shop();
    for name in ["orders_1", "orders_2", "products", "Users"] {
        world.table(name);
    }
    assert_eq!(world.tables("orders.*"), "orders_1 orders_2");
    assert_eq!(world.tables("orders"), "");
    assert_eq!(world.tables("*"), "orders_1 orders_2 products users");
    let mut input = json!({"DatabaseName": "shop", "MaxResults": 3});
    let first = world.ok("GetTables", input.clone());
    assert_eq!(first["TableList"].as_array().unwrap().len(), 3);
    input["NextToken"] = first["NextToken"].clone();
    let second = world.ok("GetTables", input.clone());
    assert_eq!(second["TableList"][0]["Name"], "users");
    assert_eq!(second["NextToken"], Value::Null);
    input["NextToken"] = json!("?");
    assert_eq!(
        world.refused("GetTables", input),
        "InvalidInputException: The continuation token is not valid."
    );
    let batch = json!({"DatabaseName": "shop", "TablesToDelete": ["ORDERS_1", "none", "products"]});
    let deleted = world.ok("BatchDeleteTable", batch);
    assert_eq!(
        deleted["Errors"],
        json!([{"TableName": "none", "ErrorDetail": {
            "ErrorCode": "EntityNotFoundException", "ErrorMessage": "Table none not found.",
        }}])
    );
    assert_eq!(world.tables(".*"), "orders_2 users");
}

#[test]
fn what_aws_refuses_is_refused() {
    let world = World::new();
    world.shop();
    let database = |input: Value| json!({ "DatabaseInput": input });
    let table = |input: Value| json!({"DatabaseName": "shop", "TableInput": input});
    let refused = [
        world.refused("CreateDatabase", json!({})),
        world.refused("CreateDatabase", database(json!({"Name": ""}))),
        world.refused("CreateDatabase", database(json!({"Name": "a\nb"}))),
        world.refused(
            "CreateDatabase",
            database(json!({"Name": "a", "FederatedDatabase": {}})),
        ),
        world.refused(
            "CreateTable",
            json!({"DatabaseName": "none", "TableInput": {"Name": "a"}}),
        ),
        world.refused("CreateTable", table(json!({"Name": "x".repeat(256)}))),
        world.refused("CreateTable", table(json!({"Name": 1}))),
        world.refused("GetTables", json!({"DatabaseName": "shop", "MaxResults": 101})),
        world.refused("GetTables", json!({"DatabaseName": "shop", "Expression": "("})),
        world.refused(
            "GetTags",
            json!({"ResourceArn": "arn:aws:glue:us-east-1:000000000000:table/shop/a"}),
        ),
        world.refused(
            "GetDatabase",
            json!({"CatalogId": "123456789012", "Name": "shop"}),
        ),
        world.refused("StartCrawler", json!({})),
    ];
    insta::assert_snapshot!(refused.join("\n"), @r"
    ValidationException: 1 validation error detected: Value null at 'databaseInput' failed to satisfy constraint: Member must not be null
    ValidationException: 1 validation error detected: Value '' at 'databaseInput.name' failed to satisfy constraint: Member must have length greater than or equal to 1
    ValidationException: 1 validation error detected: Value with control characters at 'databaseInput.name' failed to satisfy constraint: Member must satisfy regular expression pattern: [\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*
    InvalidInputException: The local cloud does not offer the member FederatedDatabase.
    EntityNotFoundException: Database none not found.
    ValidationException: 1 validation error detected: Value 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' at 'tableInput.name' failed to satisfy constraint: Member must have length less than or equal to 255
    SerializationException: invalid type: integer `1`, expected a string at line 1 column 45
    ValidationException: 1 validation error detected: Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100
    InvalidInputException: The expression is not a regular expression.
    InvalidInputException: arn:aws:glue:us-east-1:000000000000:table/shop/a is not the ARN of a database of this account and region: the local cloud keeps tags of databases.
    InvalidInputException: The local cloud does not offer catalogs of other accounts.
    UnknownOperationException: The local cloud does not offer the operation StartCrawler of Glue.
    ");
}

#[test]
fn an_operation_needs_permission_for_what_its_resource_is_in() {
    let world = World::new();
    let table = json!({"DatabaseName": "Shop", "Name": "Orders"});
    let batch = json!({"DatabaseName": "shop", "TablesToDelete": ["a", "b"]});
    let tagged = json!({"DatabaseInput": {"Name": "shop"}, "Tags": {"a": "1"}});
    let needed = [
        world.permissions("GetTable", &table),
        world.permissions("GetTables", &json!({"DatabaseName": "shop"})),
        world.permissions("BatchDeleteTable", &batch),
        world.permissions("CreateDatabase", &tagged),
        world.permissions("DeleteDatabase", &json!({"Name": "shop"})),
        world.permissions("GetDatabases", &json!({})),
        world.permissions(
            "GetTags",
            &json!({"ResourceArn": "arn:aws:glue:r:0:database/shop"}),
        ),
    ];
    insta::assert_snapshot!(needed.join("\n"), @r"
    glue:GetTable catalog, glue:GetTable database/shop, glue:GetTable table/shop/orders
    glue:GetTables catalog, glue:GetTables database/shop, glue:GetTables table/shop/*
    glue:BatchDeleteTable catalog, glue:BatchDeleteTable database/shop, glue:BatchDeleteTable table/shop/a, glue:BatchDeleteTable table/shop/b
    glue:CreateDatabase catalog, glue:CreateDatabase database/shop, glue:TagResource database/shop
    glue:DeleteDatabase catalog, glue:DeleteDatabase database/shop, glue:DeleteDatabase table/shop/*, glue:DeleteDatabase userDefinedFunction/shop/*
    glue:GetDatabases catalog
    glue:GetTags database/shop
    ");
}

#[test]
fn an_answer_is_json_with_a_request_id() {
    let world = World::new();
    let request = http::Request::post("/").header("x-amz-target", "AWSGlue.GetDatabases");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let request = Request {
        caller: world.caller.clone(),
        parts,
        body: bytes::Bytes::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let response = runtime.block_on(Arc::clone(&world.glue).call(request).boxed());
    assert!(response.headers().contains_key("x-amzn-requestid"));
    assert_eq!(whole_body(response), r#"{"DatabaseList":[]}"#);
}
