//! Hints about records: sending, reading, copying.

use super::{By, Row, check, row};
use crate::proxy::{Call, Fate};
use crate::support::{Cloud, block_on};

/// The stream orders with two records, the stream copies, the group billing of orders, files of records, a file that is nothing
/// of the kind, and a table that is not of leases.
pub const ROWS: &[Row] = &[
    row(
        "crates/domain/src/consume/checkpoint.rs",
        "tail STREAM --checkpoint FILE",
        By::Run(&["tail", "orders", "--no-follow", "--checkpoint", "wrong.json"]),
    )
    .fill(&[("STREAM", "orders"), ("FILE", "tail.checkpoint")]),
    row(
        "crates/data-plane/src/produce/resume.rs",
        "put STREAM --file RECORDS --resume FILE",
        By::Run(&[
            "put",
            "orders",
            "--file",
            "records.ndjson",
            "--resume",
            "wrong.json",
        ]),
    )
    .fill(&[
        ("STREAM", "orders"),
        ("RECORDS", "records.ndjson"),
        ("FILE", "put.resume"),
    ]),
    row(
        "crates/domain/src/copy/checkpoint.rs",
        "copy FROM TO --checkpoint FILE",
        By::Run(&["copy", "orders", "copies", "--checkpoint", "wrong.json"]),
    )
    .fill(&[("FROM", "orders"), ("TO", "copies"), ("FILE", "copy.checkpoint")]),
    row(
        "src/cli/shared/sending/failed.rs",
        "put{stream} --file {file}",
        By::Through(
            &[
                "put",
                "orders",
                "--file",
                "two records.ndjson",
                "--retry-for",
                "0",
            ],
            throttles,
        ),
    ),
    row(
        "crates/domain/src/consume/group/table.rs",
        "group list",
        By::Run(&["tail", "orders", "--group", "notes", "--no-follow"]),
    ),
    row(
        "crates/domain/src/consume/group/admin.rs",
        "describe {stream} --shards",
        By::Run(&[
            "group", "reset", "billing", "--stream", "orders", "--to", "trim", "--shard", "99", "--yes",
        ]),
    ),
    row(
        "crates/domain/src/consume/group/member.rs",
        "group reset GROUP --stream {} --shard ID --to POSITION",
        By::Run(&["tail", "orders", "--group", "billing", "--from", "seq:0:1"]),
    )
    .fill(&[("GROUP", "billing"), ("ID", "0"), ("POSITION", "trim")]),
];

fn throttles(call: &Call) -> Fate {
    match call.operation.as_str() {
        "PutRecords" => Fate::Throttle(2),
        _ => Fate::Pass,
    }
}

#[test]
fn hints_about_records() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    cloud.stream("copies", 1);
    for name in ["records.ndjson", "two records.ndjson"] {
        cloud.file(name, "{\"a\":1}\n{\"a\":2}\n");
    }
    cloud.ok(["put", "orders", "--file", "records.ndjson"]);
    cloud.file("wrong.json", "[not a state");
    cloud.ok([
        "tail",
        "orders",
        "--group",
        "billing",
        "--from",
        "trim",
        "--no-follow",
    ]);
    block_on(table(&cloud));
    check(&cloud, ROWS);
}

async fn table(cloud: &Cloud) {
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    };
    let client = aws_sdk_dynamodb::Client::new(&cloud.sdk());
    let attribute = AttributeDefinition::builder().attribute_name("id");
    let key = KeySchemaElement::builder().attribute_name("id");
    client
        .create_table()
        .table_name("notes")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute.attribute_type(ScalarAttributeType::S).build().unwrap())
        .key_schema(key.key_type(KeyType::Hash).build().unwrap())
        .send()
        .await
        .unwrap();
}
