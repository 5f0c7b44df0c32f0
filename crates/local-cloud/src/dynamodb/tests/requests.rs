//! What requests are answered with, and what is refused in AWS's words.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::Caller;
use crate::clock::ManualClock;
use crate::dynamodb::DynamoDb;
use crate::dynamodb::error::ApiError;
use crate::metrics::NoMetrics;

struct World {
    dynamodb: DynamoDb,
    clock: Arc<ManualClock>,
    dir: tempfile::TempDir,
}

impl World {
    /// With the table `tab`: key `id`, sort key `at`, the local index `by-kind` (INCLUDE `shown`) and the global index
    /// `all-kinds` (INCLUDE `shown`).
    fn new() -> Self {
        let world = Self::empty();
        let definitions =
            ["id", "at", "kind"].map(|name| json!({"AttributeName": name, "AttributeType": "S"}));
        let projection = json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": ["shown"]});
        let keys = |hash: &str, range: &str| json!([{"AttributeName": hash, "KeyType": "HASH"}, {"AttributeName": range, "KeyType": "RANGE"}]);
        world.ok(
            "CreateTable",
            json!({
                "TableName": "tab", "BillingMode": "PAY_PER_REQUEST", "KeySchema": keys("id", "at"),
                "AttributeDefinitions": definitions,
                "LocalSecondaryIndexes":
                    [{"IndexName": "by-kind", "KeySchema": keys("id", "kind"), "Projection": projection}],
                "GlobalSecondaryIndexes":
                    [{"IndexName": "all-kinds", "KeySchema": keys("kind", "at"), "Projection": projection}],
            }),
        );
        world
    }

    fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(1_000_000));
        let dynamodb = Self::open(dir.path(), &clock);
        Self { dynamodb, clock, dir }
    }

    fn open(dir: &std::path::Path, clock: &Arc<ManualClock>) -> DynamoDb {
        DynamoDb::new(
            dir,
            Arc::clone(clock) as _,
            Arc::new(NoMetrics),
            Box::new(|_, _| None),
        )
    }

    fn reopen(self) -> Self {
        let Self { dynamodb, clock, dir } = self;
        drop(dynamodb);
        let dynamodb = Self::open(dir.path(), &clock);
        Self { dynamodb, clock, dir }
    }

    fn call(&self, operation: &str, input: &Value) -> Result<Value, ApiError> {
        self.dynamodb
            .run(&Caller::default(), operation, input.to_string().as_bytes())
    }

    fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, &input)
            .unwrap_or_else(|error| panic!("{operation}: {}", error.message))
    }

    fn refused(&self, operation: &str, input: Value) -> String {
        let error = self.call(operation, &input).unwrap_err();
        let message: String = error.message.chars().take(300).collect();
        format!("{operation}: {}: {message}", error.code)
    }

    fn put(&self, id: &str, at: &str, more: Value) {
        let mut item = key(id, at);
        item.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        self.ok("PutItem", json!({"TableName": "tab", "Item": item}));
    }

    fn get(&self, id: &str, at: &str) -> Value {
        self.ok("GetItem", json!({"TableName": "tab", "Key": key(id, at)}))["Item"].clone()
    }
}

fn key(id: &str, at: &str) -> Value {
    json!({"id": {"S": id}, "at": {"S": at}})
}

#[test]
fn a_table_that_does_not_exist_is_named_only_by_the_operations_on_tables() {
    let world = World::empty();
    let (key, item) = (key("a", "1"), key("a", "1"));
    let refusals = [
        world.refused("DescribeTable", json!({"TableName": "none"})),
        world.refused("DeleteTable", json!({"TableName": "none"})),
        world.refused("GetItem", json!({"TableName": "none", "Key": key})),
        world.refused("PutItem", json!({"TableName": "none", "Item": item})),
        world.refused("UpdateItem", json!({"TableName": "none", "Key": key})),
        world.refused("Scan", json!({"TableName": "none"})),
        world.refused("BatchGetItem", json!({"RequestItems": {"none": {"Keys": [key]}}})),
        world.refused(
            "BatchWriteItem",
            json!({"RequestItems": {"none": [{"PutRequest": {"Item": item}}]}}),
        ),
        world.refused(
            "TransactGetItems",
            json!({"TransactItems": [{"Get": {"TableName": "none", "Key": key}}]}),
        ),
        world.refused(
            "TransactWriteItems",
            json!({"TransactItems": [{"Put": {"TableName": "none", "Item": item}}]}),
        ),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r"
    DescribeTable: ResourceNotFoundException: Requested resource not found: Table: none not found
    DeleteTable: ResourceNotFoundException: Requested resource not found: Table: none not found
    GetItem: ResourceNotFoundException: Requested resource not found
    PutItem: ResourceNotFoundException: Requested resource not found
    UpdateItem: ResourceNotFoundException: Requested resource not found
    Scan: ResourceNotFoundException: Requested resource not found
    BatchGetItem: ResourceNotFoundException: Requested resource not found
    BatchWriteItem: ResourceNotFoundException: Requested resource not found
    TransactGetItems: ResourceNotFoundException: Requested resource not found
    TransactWriteItems: ResourceNotFoundException: Requested resource not found
    ");
}

#[test]
fn requests_that_aws_refuses_are_refused() {
    let world = World::new();
    let k = key("a", "1");
    let keys: Vec<Value> = (0..101).map(|i| key("a", &i.to_string())).collect();
    let puts: Vec<Value> = keys
        .iter()
        .map(|item| json!({"PutRequest": {"Item": item}}))
        .collect();
    let query = |more: Value| {
        let mut input = json!({
            "TableName": "tab", "KeyConditionExpression": "id = :id", "ExpressionAttributeValues": {":id": {"S": "a"}},
        });
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        world.refused("Query", input)
    };
    let of_kind = |more: Value| {
        let mut input = json!({
            "TableName": "tab", "IndexName": "all-kinds", "KeyConditionExpression": "kind = :k",
            "ExpressionAttributeValues": {":k": {"S": "a"}},
        });
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        world.refused("Query", input)
    };
    let refusals = [
        world.refused("BatchGetItem", json!({"RequestItems": {}})),
        world.refused("BatchGetItem", json!({"RequestItems": {"tab": {"Keys": []}}})),
        world.refused("BatchGetItem", json!({"RequestItems": {"tab": {"Keys": keys}}})),
        world.refused("BatchGetItem", json!({"RequestItems": {"tab": {"Keys": [k, k]}}})),
        world.refused("BatchWriteItem", json!({"RequestItems": {}})),
        world.refused("BatchWriteItem", json!({"RequestItems": {"tab": []}})),
        world.refused("BatchWriteItem", json!({"RequestItems": {"tab": puts[..26]}})),
        world.refused("PutItem", json!({"TableName": "tab", "Item": k, "ReturnValues": "ALL_NEW"})),
        world.refused("PutItem", json!({"TableName": "tab", "Item": k, "ReturnValues": "X", "ReturnConsumedCapacity": "Y"})),
        world.refused("UpdateItem", json!({
            "TableName": "tab", "Key": k, "AttributeUpdates": {"id": {"Value": {"S": "b"}}},
        })),
        query(json!({"Select": "EVERYTHING"})),
        query(json!({"Select": "ALL_PROJECTED_ATTRIBUTES"})),
        query(json!({"Select": "SPECIFIC_ATTRIBUTES"})),
        query(json!({"Select": "COUNT", "ProjectionExpression": "shown"})),
        query(json!({"Limit": 0})),
        query(json!({"FilterExpression": "id = :id"})),
        of_kind(json!({"Select": "ALL_ATTRIBUTES"})),
        of_kind(json!({"ProjectionExpression": "shown, #h", "ExpressionAttributeNames": {"#h": "hidden"}})),
        of_kind(json!({"ConsistentRead": true})),
        world.refused("Scan", json!({"TableName": "tab", "TotalSegments": 2})),
        world.refused("Query", json!({"TableName": "tab"})),
        world.refused("Query", json!({"TableName": "tab", "KeyConditions": {"at": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "1"}]}}})),
        world.refused("GetItem", json!({"TableName": "tab", "Key": k, "AttributesToGet": ["a", "a"]})),
        world.refused("GetItem", json!({"TableName": "tab", "Key": k, "ProjectionExpression": "a, !!"})),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    BatchGetItem: ValidationException: The requestItems parameter is required for BatchGetItem
    BatchGetItem: ValidationException: 1 validation error detected: Value '[]' at 'requestItems.tab.member.keys' failed to satisfy constraint: Member must have length greater than or equal to 1
    BatchGetItem: ValidationException: 1 validation error detected: Value at 'RequestItems.tab.member.Keys' failed to satisfy constraint: Member must have length less than or equal to 100
    BatchGetItem: ValidationException: Provided list of item keys contains duplicates
    BatchWriteItem: ValidationException: The requestItems parameter is required for BatchWriteItem
    BatchWriteItem: ValidationException: 1 validation error detected: Value '{tab=[0 requests]}' at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 25, Member must have length greater than or equal to 1]
    BatchWriteItem: ValidationException: 1 validation error detected: Value '{tab=[26 requests]}' at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 25, Member must have length greater than or equal to 1]
    PutItem: ValidationException: ReturnValues can only be ALL_OLD or NONE
    PutItem: ValidationException: 2 validation errors detected: Value 'Y' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; Value 'X' at 'returnValues' failed to satisfy constraint: Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NE
    UpdateItem: ValidationException: One or more parameter values were invalid: Cannot update attribute id. This attribute is part of the key
    Query: ValidationException: 1 validation error detected: Value 'EVERYTHING' at 'select' failed to satisfy constraint: Member must satisfy enum value set: [SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]
    Query: ValidationException: ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName
    Query: ValidationException: Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES
    Query: ValidationException: Cannot specify the ProjectionExpression when choosing to get only the Count
    Query: ValidationException: 1 validation error detected: Value at 'Limit' failed to satisfy constraint: Member must have value greater than or equal to 1
    Query: ValidationException: Filter Expression can only contain non-primary key attributes: Primary key attribute: id
    Query: ValidationException: One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index all-kinds because its projection type is not ALL
    Query: ValidationException: One or more parameter values were invalid: Global secondary index all-kinds does not project [hidden]
    Query: ValidationException: Consistent reads are not supported on global secondary indexes
    Scan: ValidationException: The Segment parameter is required but was not present in the request when parameter TotalSegments is present
    Query: ValidationException: Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.
    Query: ValidationException: Query condition missed key schema element: id
    GetItem: ValidationException: One or more parameter values were invalid: Duplicate value in attribute name: a
    GetItem: ValidationException: Invalid ProjectionExpression: Syntax error; token: "!", near: ", !!"
    "#);
}

#[test]
fn tables_that_aws_refuses_are_refused() {
    let world = World::empty();
    let hash = json!([{"AttributeName": "id", "KeyType": "HASH"}]);
    let create = |more: Value| {
        let mut input = json!({
            "TableName": "table", "BillingMode": "PAY_PER_REQUEST", "KeySchema": hash,
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        });
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        world.refused("CreateTable", input)
    };
    let index =
        |name: &str| json!({"IndexName": name, "KeySchema": hash, "Projection": {"ProjectionType": "ALL"}});
    let refusals = [
        create(json!({"TableName": null})),
        create(json!({"TableName": "ab"})),
        create(json!({"KeySchema": []})),
        create(json!({"KeySchema": [{"AttributeName": "id", "KeyType": "MAIN"}]})),
        create(
            json!({"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}]}),
        ),
        create(json!({"AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "BOOL"}]})),
        create(json!({"LocalSecondaryIndexes": [index("local")]})),
        create(json!({"GlobalSecondaryIndexes": [index("same"), index("same")]})),
        create(json!({"GlobalSecondaryIndexes": [index("no")]})),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r"
    CreateTable: ValidationException: The parameter 'TableName' is required but was not present in the request
    CreateTable: ValidationException: 1 validation error detected: Value 'ab' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3
    CreateTable: ValidationException: 1 validation error detected: Value '[]' at 'keySchema' failed to satisfy constraint: Member must have length greater than or equal to 1
    CreateTable: ValidationException: 1 validation error detected: Value 'MAIN' at 'keySchema.1.member.keyType' failed to satisfy constraint: Member must satisfy enum value set: [HASH, RANGE]
    CreateTable: ValidationException: Invalid KeySchema: Some index key attribute have no definition
    CreateTable: ValidationException: 1 validation error detected: Value 'BOOL' at 'attributeDefinitions.1.member.attributeType' failed to satisfy constraint: Member must satisfy enum value set: [B, N, S]
    CreateTable: ValidationException: One or more parameter values were invalid: Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex
    CreateTable: ValidationException: One or more parameter values were invalid: Duplicate index name: same
    CreateTable: ValidationException: 1 validation error detected: Value 'no' at 'globalSecondaryIndexes.member.indexName' failed to satisfy constraint: Member must have length greater than or equal to 3
    ");
}

#[test]
fn a_local_index_fetches_attributes_from_the_table() {
    let world = World::new();
    for at in ["1", "2"] {
        world.put(
            "a",
            at,
            json!({"kind": {"S": "k"}, "shown": {"N": at}, "hidden": {"N": at}}),
        );
    }
    let query = |more: Value| {
        let mut input = json!({
            "TableName": "tab", "IndexName": "by-kind", "ReturnConsumedCapacity": "INDEXES",
            "KeyConditions": {"id": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]}},
        });
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        world.ok("Query", input)
    };
    let projected = query(json!({}));
    assert_eq!(
        projected["Items"][0],
        json!({"id": {"S": "a"}, "at": {"S": "1"}, "kind": {"S": "k"}, "shown": {"N": "1"}})
    );
    assert_eq!(
        projected["ConsumedCapacity"]["LocalSecondaryIndexes"]["by-kind"]["CapacityUnits"],
        0.5
    );
    let all = query(json!({"Select": "ALL_ATTRIBUTES"}));
    assert_eq!(all["Items"][1]["hidden"], json!({"N": "2"}));
    assert_eq!(
        all["ConsumedCapacity"]["CapacityUnits"], 1.5,
        "each item is fetched"
    );
    let some = query(json!({"AttributesToGet": ["hidden"]}));
    assert_eq!(
        some["Items"],
        json!([{"hidden": {"N": "1"}}, {"hidden": {"N": "2"}}])
    );
    let filter = json!({"hidden": {"ComparisonOperator": "GT", "AttributeValueList": [{"N": "1"}]}});
    let filtered = query(json!({ "QueryFilter": filter }));
    assert_eq!(
        (&filtered["Count"], &filtered["ScannedCount"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(filtered["Items"][0].get("hidden"), None, "it was not asked for");
}

#[test]
fn a_cancelled_transaction_says_why_for_each_action() {
    let world = World::new();
    world.put("a", "1", json!({"n": {"N": "1"}}));
    world.put("a", "2", json!({"n": {"S": "text"}}));
    let action = |kind: &str, more: Value| {
        let mut inner = json!({"TableName": "tab"});
        inner
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ kind: inner })
    };
    let put = |at: &str| action("Put", json!({"Item": key("new", at)}));
    let guarded = json!({
        "Item": key("a", "1"), "ConditionExpression": "attribute_not_exists(id)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    let add = json!({
        "Key": key("a", "2"), "UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}},
    });
    let check = json!({"Key": key("none", "1"), "ConditionExpression": "attribute_exists(id)"});
    let actions = json!([
        put("1"),
        action("Put", guarded),
        action("Update", add),
        action("ConditionCheck", check),
        put("2")
    ]);
    let error = world
        .call("TransactWriteItems", &json!({ "TransactItems": actions }))
        .unwrap_err();
    insta::assert_snapshot!(error.message, @"Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed, ValidationError, ConditionalCheckFailed, None]");
    let reasons = &error.body()["CancellationReasons"];
    assert_eq!(reasons[0], json!({"Code": "None"}));
    assert_eq!(reasons[1]["Item"]["n"], json!({"N": "1"}));
    assert_eq!(reasons[1]["Message"], "The conditional request failed");
    assert_eq!(reasons[3]["Code"], "ConditionalCheckFailed");
    assert_eq!(reasons[3].get("Item"), None);
    assert_eq!(world.get("new", "1"), Value::Null, "nothing was written");
    assert_eq!(world.get("a", "1")["n"], json!({"N": "1"}));

    let large = |at: &str| {
        let mut item = key("large", at);
        item["text"] = json!({"S": "x".repeat(399 << 10)});
        action("Put", json!({ "Item": item }))
    };
    let write =
        |actions: Vec<Value>| world.refused("TransactWriteItems", json!({ "TransactItems": actions }));
    let get = |at: &str| action("Get", json!({"Key": key("a", at)}));
    let refusals = [
        write((0..11).map(|at| large(&at.to_string())).collect()),
        write(vec![put("1"), action("Delete", json!({"Key": key("new", "1")}))]),
        write(vec![]),
        write((0..101).map(|at| put(&at.to_string())).collect()),
        world.refused("TransactGetItems", json!({"TransactItems": [get("1"), get("1")]})),
        world.refused(
            "TransactGetItems",
            json!({"TransactItems": [get("1"), action("Get", json!({"Key": {}}))]}),
        ),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r"
    TransactWriteItems: ValidationException: The aggregate size of the items in the transaction cannot exceed 4 MB
    TransactWriteItems: ValidationException: Transaction request cannot include multiple operations on one item
    TransactWriteItems: ValidationException: 1 validation error detected: Value '[]' at 'transactItems' failed to satisfy constraint: Member must have length greater than or equal to 1
    TransactWriteItems: ValidationException: 1 validation error detected: Value '[101 elements]' at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to 100
    TransactGetItems: ValidationException: Transaction request cannot include multiple operations on one item
    TransactGetItems: TransactionCanceledException: Transaction cancelled, please refer cancellation reasons for specific reasons [None, ValidationError]
    ");
    assert_eq!(world.get("large", "0"), Value::Null);
    assert_eq!(world.get("new", "1"), Value::Null);
}

#[test]
fn a_transaction_with_a_known_token_is_executed_once_also_after_a_restart() {
    let world = World::new();
    let request = |one: &str| {
        json!({"ClientRequestToken": "token", "TransactItems": [{"Update": {
            "TableName": "tab", "Key": key("a", "1"), "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": one}},
        }}]})
    };
    world.ok("TransactWriteItems", request("1"));
    world.ok("TransactWriteItems", request("1"));
    let world = world.reopen();
    world.ok("TransactWriteItems", request("1"));
    assert_eq!(world.get("a", "1")["n"], json!({"N": "1"}));
    let mismatch = world.refused("TransactWriteItems", request("2"));
    assert!(
        mismatch.contains("IdempotentParameterMismatchException"),
        "{mismatch}"
    );
    world.clock.advance(600_001);
    world.ok("TransactWriteItems", request("1"));
    assert_eq!(world.get("a", "1")["n"], json!({"N": "2"}));
}

#[test]
fn a_lease_of_the_kinesis_client_library_lives_its_life() {
    let world = World::empty();
    world.ok(
        "CreateTable",
        json!({
            "TableName": "leases", "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
            "ProvisionedThroughput": {"ReadCapacityUnits": 10, "WriteCapacityUnits": 10},
        }),
    );
    let lease = json!({"leaseKey": {"S": "shardId-0"}, "leaseCounter": {"N": "0"}, "checkpoint": {"S": "TRIM_HORIZON"}});
    let create = json!({"TableName": "leases", "Item": lease, "Expected": {"leaseKey": {"Exists": false}}});
    world.ok("PutItem", create.clone());
    assert!(
        world
            .refused("PutItem", create)
            .contains("ConditionalCheckFailedException")
    );
    // Takes a lease that nobody owns, and moves its counter.
    let take = |counter: i32, owner: Value, by: &str| {
        world.call(
            "UpdateItem",
            &json!({
                "TableName": "leases", "Key": {"leaseKey": {"S": "shardId-0"}},
                "Expected": {"leaseCounter": {"Value": {"N": counter.to_string()}}, "leaseOwner": owner},
                "AttributeUpdates": {
                    "leaseOwner": {"Value": {"S": by}, "Action": "PUT"},
                    "leaseCounter": {"Value": {"N": (counter + 1).to_string()}, "Action": "PUT"},
                    "ownerSwitchesSinceCheckpoint": {"Value": {"N": "1"}, "Action": "ADD"},
                },
                "ReturnValues": "ALL_NEW",
            }),
        )
    };
    let nobody = json!({"Exists": false});
    let taken = take(0, nobody.clone(), "one").unwrap();
    assert_eq!(taken["Attributes"]["leaseCounter"], json!({"N": "1"}));
    assert_eq!(
        taken["Attributes"]["ownerSwitchesSinceCheckpoint"],
        json!({"N": "1"})
    );
    assert_eq!(
        take(0, nobody, "two").unwrap_err().code,
        "ConditionalCheckFailedException"
    );
    let stolen = take(1, json!({"Value": {"S": "one"}}), "two").unwrap();
    assert_eq!(stolen["Attributes"]["leaseOwner"], json!({"S": "two"}));
    // Gives it up.
    let evict = json!({
        "TableName": "leases", "Key": {"leaseKey": {"S": "shardId-0"}},
        "Expected": {"leaseOwner": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "two"}]}},
        "AttributeUpdates": {"leaseOwner": {"Action": "DELETE"}},
    });
    world.ok("UpdateItem", evict.clone());
    assert!(
        world
            .refused("UpdateItem", evict)
            .contains("ConditionalCheckFailedException")
    );
    let left = world.ok(
        "Scan",
        json!({"TableName": "leases", "ScanFilter": {"leaseOwner": {"ComparisonOperator": "NULL"}}}),
    );
    assert_eq!(left["Count"], 1);
    let delete = json!({
        "TableName": "leases", "Key": {"leaseKey": {"S": "shardId-0"}},
        "ConditionalOperator": "OR",
        "Expected": {"leaseOwner": {"Exists": false}, "leaseCounter": {"Value": {"N": "99"}}},
    });
    world.ok("DeleteItem", delete);
    // DELETE of attributes of an item that is not there makes no item.
    let update = json!({
        "TableName": "leases", "Key": {"leaseKey": {"S": "gone"}}, "AttributeUpdates": {"leaseOwner": {"Action": "DELETE"}},
    });
    world.ok("UpdateItem", update);
    assert_eq!(world.ok("Scan", json!({"TableName": "leases"}))["Count"], 0);
}

#[test]
fn keys_that_did_not_fit_keep_their_expressions() {
    let world = World::new();
    let keys: Vec<Value> = (0..50).map(|i| key("a", &format!("{i:02}"))).collect();
    for i in 0..50 {
        world.put(
            "a",
            &format!("{i:02}"),
            json!({"text": {"S": "x".repeat(390 << 10)}}),
        );
    }
    let request =
        json!({"Keys": keys, "ProjectionExpression": "#a", "ExpressionAttributeNames": {"#a": "at"}});
    let output = world.ok("BatchGetItem", json!({"RequestItems": {"tab": request}}));
    let left = &output["UnprocessedKeys"]["tab"];
    assert_eq!(left["ExpressionAttributeNames"], json!({"#a": "at"}));
    let rest = world.ok("BatchGetItem", json!({"RequestItems": {"tab": left}}));
    let count = |output: &Value| output["Responses"]["tab"].as_array().unwrap().len();
    assert_eq!(count(&output) + count(&rest), 50);
}
