//! The data paths of the local cloud's services besides Kinesis, in process: `cargo bench --bench services`. Each line is what one
//! caller gets who waits for each answer, kept on disk before it comes.

#![allow(clippy::print_stdout, reason = "a benchmark reports to whoever started it")]

use std::io::Result;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http_body_util::BodyExt;
use local_cloud::Caller;
use local_cloud::deliver::{Deliver, LogSink};
use local_cloud::services::Services;
use serde_json::{Value, json};

const ROUNDS: usize = 400;
const BATCH: usize = 25;

fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let services = Services::open(dir.path())?;
        tables(&services).await?;
        queues(&services).await?;
        objects(&services).await?;
        logs(&services).await;
        Ok(())
    })
}

fn parts(method: &str, path: &str, target: Option<&str>) -> Result<Parts> {
    let mut builder = http::Request::builder().method(method).uri(path).header("host", "localhost").header(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
    );
    if let Some(target) = target {
        builder = builder
            .header("x-amz-target", target)
            .header("content-type", "application/x-amz-json-1.0");
    }
    Ok(builder.body(()).map_err(std::io::Error::other)?.into_parts().0)
}

async fn call(services: &Arc<Services>, service: &str, parts: &Parts, body: Bytes) -> Result<Bytes> {
    let response = services.call(&Caller::default(), service, parts, body).await;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        return Err(std::io::Error::other(String::from_utf8_lossy(&body).into_owned()));
    }
    Ok(body)
}

fn report(name: &str, count: usize, since: Instant) {
    let rate = count as f64 / since.elapsed().as_secs_f64();
    println!("{name:<44} {rate:>10.0} /s");
}

/// An event as the retail pipeline keeps it, of about 600 bytes.
fn item(at: usize) -> Value {
    json!({
        "event_id": {"S": format!("{:08x}-{at:08}", at.wrapping_mul(2_654_435_761))},
        "timestamp": {"N": format!("{}.{at}", 1_700_000_000_000_usize + at)},
        "customer_id": {"S": format!("customer-{}", at % 1000)},
        "event_type": {"S": "purchase"},
        "product_id": {"S": format!("product-{}", at % 500)},
        "price": {"N": "29.99"},
        "quantity": {"N": "3"},
        "store": {"S": "store-17"},
        "payload": {"S": "x".repeat(250)},
        "ttl": {"N": "1893456000"},
    })
}

async fn tables(services: &Arc<Services>) -> Result<()> {
    for (table, indexes) in [
        ("plain", json!(null)),
        (
            "indexed",
            json!([{
                "IndexName": "by-customer", "Projection": {"ProjectionType": "ALL"},
                "KeySchema": [{"AttributeName": "customer_id", "KeyType": "HASH"}, {"AttributeName": "timestamp", "KeyType": "RANGE"}],
            }]),
        ),
    ] {
        let mut definitions = vec![
            json!({"AttributeName": "event_id", "AttributeType": "S"}),
            json!({"AttributeName": "timestamp", "AttributeType": "N"}),
        ];
        if !indexes.is_null() {
            definitions.push(json!({"AttributeName": "customer_id", "AttributeType": "S"}));
        }
        let create = json!({"TableName": table, "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": definitions,
            "KeySchema": [{"AttributeName": "event_id", "KeyType": "HASH"}, {"AttributeName": "timestamp", "KeyType": "RANGE"}],
            "GlobalSecondaryIndexes": indexes});
        let target = |operation: &str| parts("POST", "/", Some(&format!("DynamoDB_20120810.{operation}")));
        call(
            services,
            "dynamodb",
            &target("CreateTable")?,
            create.to_string().into(),
        )
        .await?;
        let bodies: Vec<Bytes> = (0..ROUNDS)
            .map(|round| {
                let puts: Vec<Value> = (0..BATCH)
                    .map(|at| json!({"PutRequest": {"Item": item(round * BATCH + at)}}))
                    .collect();
                json!({"RequestItems": { table: puts }}).to_string().into()
            })
            .collect();
        let write = target("BatchWriteItem")?;
        let since = Instant::now();
        for body in bodies {
            call(services, "dynamodb", &write, body).await?;
        }
        report(
            &format!("BatchWriteItem of {BATCH}, table {table}: items"),
            ROUNDS * BATCH,
            since,
        );
        let put = target("PutItem")?;
        let bodies: Vec<Bytes> = (0..2000)
            .map(|at| json!({"TableName": table, "Item": item(at)}).to_string().into())
            .collect();
        let since = Instant::now();
        for body in bodies {
            call(services, "dynamodb", &put, body).await?;
        }
        report(&format!("PutItem, table {table}"), 2000, since);
    }
    Ok(())
}

async fn queues(services: &Arc<Services>) -> Result<()> {
    let target = |operation: &str| parts("POST", "/", Some(&format!("AmazonSQS.{operation}")));
    let create = json!({"QueueName": "orders"}).to_string();
    call(services, "sqs", &target("CreateQueue")?, create.into()).await?;
    let send = target("SendMessage")?;
    let body: Bytes =
        json!({"QueueUrl": "http://localhost/000000000000/orders", "MessageBody": "x".repeat(500)})
            .to_string()
            .into();
    let since = Instant::now();
    for _ in 0..2000 {
        call(services, "sqs", &send, body.clone()).await?;
    }
    report("SendMessage", 2000, since);
    let entries: Vec<Value> = (0..10)
        .map(|at| json!({"Id": at.to_string(), "MessageBody": "x".repeat(500)}))
        .collect();
    let body: Bytes = json!({"QueueUrl": "http://localhost/000000000000/orders", "Entries": entries})
        .to_string()
        .into();
    let send = target("SendMessageBatch")?;
    let since = Instant::now();
    for _ in 0..500 {
        call(services, "sqs", &send, body.clone()).await?;
    }
    report("SendMessageBatch of 10: messages", 5000, since);
    let receive = target("ReceiveMessage")?;
    let body: Bytes = json!({"QueueUrl": "http://localhost/000000000000/orders", "MaxNumberOfMessages": 10})
        .to_string()
        .into();
    let since = Instant::now();
    for _ in 0..500 {
        call(services, "sqs", &receive, body.clone()).await?;
    }
    report("ReceiveMessage of 10: messages", 5000, since);
    Ok(())
}

async fn objects(services: &Arc<Services>) -> Result<()> {
    call(services, "s3", &parts("PUT", "/orders", None)?, Bytes::new()).await?;
    let body = Bytes::from(vec![b'x'; 2000]);
    let since = Instant::now();
    for at in 0..2000 {
        call(
            services,
            "s3",
            &parts("PUT", &format!("/orders/2026/{at}.json"), None)?,
            body.clone(),
        )
        .await?;
    }
    report("PutObject of 2 kB", 2000, since);
    let since = Instant::now();
    let caller = Caller::default();
    for at in 0..2000 {
        let key = format!("direct/{at}");
        let put = services.to_bucket(&caller, "orders", &key, body.clone()).await;
        put.map_err(|error| std::io::Error::other(error.to_string()))?;
    }
    report("an object handed over in process", 2000, since);
    Ok(())
}

async fn logs(services: &Arc<Services>) {
    let caller = Caller::default();
    let since = Instant::now();
    for round in 0..1000_i64 {
        let events = (0..100).map(|at| (round * 100 + at, "x".repeat(150))).collect();
        services.append(&caller, "/aws/lambda/f", "s", events).await;
    }
    report("log events, by the hundred", 100_000, since);
    let since = Instant::now();
    for round in 0..100_i64 {
        let events = (0..100).map(|at| (round * 100 + at, "x".repeat(150))).collect();
        services.append(&caller, "/aws/lambda/f", "s", events).await;
    }
    report("log events, by the hundred, after 100,000", 10_000, since);
}
