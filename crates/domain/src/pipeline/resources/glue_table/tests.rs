use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::super::test_support::{Endpoint, changes, context, location, refusal, spec, with_step};
use super::*;
use crate::pipeline::resource::{Dependencies, Observed, Resource};
use crate::pipeline::tags::Owner;

const DECLARED: &str = r#"
database = "shop"
name = "orders"
location = "s3://lake/orders/"
columns = [
  { name = "user_id", type = "bigint" },
  { name = "products", type = "array<struct<product_id: string, reordered: bigint>>" },
]
"#;

/// Glue with at most one table.
#[derive(Default)]
struct Service {
    table: Option<Value>,
    version: u32,
    /// Changes that others make between a look and an update.
    races: u32,
}

impl Service {
    fn answer(&mut self, call: &str, input: &Value) -> (u16, String) {
        let refused = |code: &str| (400, json!({"__type": code, "Message": "no"}).to_string());
        if self.table.is_none() && call != "CreateTable" {
            return refused("EntityNotFoundException");
        }
        let answer = match call {
            "CreateTable" if self.table.is_some() => return refused("AlreadyExistsException"),
            "CreateTable" => {
                self.table = Some(input["TableInput"].clone());
                json!({})
            }
            "GetTable" => {
                let mut shown = self.table.clone().unwrap();
                shown["DatabaseName"] = json!("shop");
                shown["CreateTime"] = json!(1.5);
                shown["VersionId"] = json!(self.version.to_string());
                json!({"Table": shown})
            }
            "UpdateTable" => {
                if self.races > 0 {
                    self.races -= 1;
                    self.version += 1;
                    self.table.as_mut().unwrap()["Parameters"]["theirs"] = json!("1");
                }
                let version = self.version.to_string();
                if input["VersionId"].as_str() != Some(version.as_str()) {
                    return refused("ConcurrentModificationException");
                }
                self.table = Some(input["TableInput"].clone());
                self.version += 1;
                json!({})
            }
            "DeleteTable" => {
                self.table = None;
                json!({})
            }
            other => panic!("{other}"),
        };
        (200, answer.to_string())
    }
}

async fn endpoint() -> (Endpoint, Arc<Mutex<Service>>) {
    let service: Arc<Mutex<Service>> = Arc::default();
    let state = Arc::clone(&service);
    let endpoint = Endpoint::start(move |call, body| {
        let input = serde_json::from_str(body).unwrap_or_default();
        state.lock().unwrap().answer(call, &input)
    })
    .await;
    (endpoint, service)
}

async fn apply_all(table: &Table<'_>, observed: &Observed) -> Result<()> {
    for change in Resource::diff(table, observed, &Dependencies::default())? {
        with_step(async |step| Resource::apply(table, &change, observed, step).await)
            .await
            .0?;
    }
    Ok(())
}

#[tokio::test]
async fn it_is_created_observed_changed_and_deleted() {
    let (endpoint, service) = endpoint().await;
    let declared = spec("glue_table", DECLARED, &[]);
    let table = Table::new(&endpoint.context, location(), declared.clone()).unwrap();
    assert_eq!(Resource::observe(&table).await.unwrap(), Observed::Absent);
    with_step(async |step| Kind::create(&table, step).await)
        .await
        .0
        .unwrap();
    assert_eq!(
        service.lock().unwrap().table,
        Some(json!({
            "Name": "orders",
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": [],
            "Parameters": {
                "EXTERNAL": "TRUE", "classification": "json",
                "ManagedBy": "streamctl", "streamctl:pipeline": "demo/one",
            },
            "StorageDescriptor": {
                "Columns": [
                    {"Name": "user_id", "Type": "bigint"},
                    {"Name": "products", "Type": "array<struct<product_id:string,reordered:bigint>>"},
                ],
                "Location": "s3://lake/orders/",
                "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
                "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                "SerdeInfo": {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe"},
            },
        }))
    );
    let observed = Resource::observe(&table).await.unwrap();
    assert_eq!(observed.owner(&declared.identity), Some(Owner::Us));
    assert_eq!(changes(&table, &observed), "");
    assert_eq!(
        Resource::outputs(&table, &observed)["arn"],
        "arn:aws:glue:us-east-1:000000000000:table/shop/orders"
    );
    let checks = Resource::verify(&table, &observed, false).await;
    assert_eq!(checks[0].detail, "2 columns of s3://lake/orders/");

    // What is not declared stays: Athena and others write parameters.
    {
        let mut service = service.lock().unwrap();
        let there = service.table.as_mut().unwrap();
        there["Parameters"]["theirs"] = json!("1");
        there["Owner"] = json!("hadoop");
    }
    let text = DECLARED
        .replace("\"bigint\" }", "\"int\", comment = \"The user\" }")
        .replace("/orders/", "/all/")
        + "description = \"All orders\"\nformat = \"csv\"\nserde_parameters = { separatorChar = \";\" }\n\
           parameters = { \"skip.header.line.count\" = \"1\" }";
    let changed = Table::new(&endpoint.context, location(), spec("glue_table", &text, &[])).unwrap();
    insta::assert_snapshot!(changes(&changed, &observed), @r"
    description: none → All orders
    columns: user_id bigint, products array<struct<product_id:string,reordered:bigint>> → user_id int, products array<struct<product_id:string,reordered:bigint>>
    location: s3://lake/orders/ → s3://lake/all/
    format: org.openx.data.jsonserde.JsonSerDe → org.apache.hadoop.hive.serde2.OpenCSVSerde
    SerDe parameters: none → separatorChar=;
    parameters: classification=json → classification=csv, skip.header.line.count=1
    ");
    assert_eq!(
        Resource::verify(&changed, &observed, false).await[0].state,
        CheckState::Fault
    );
    apply_all(&changed, &observed).await.unwrap();
    let updates = endpoint
        .calls()
        .iter()
        .filter(|call| *call == "UpdateTable")
        .count();
    assert_eq!(updates, 1);
    {
        let service = service.lock().unwrap();
        let there = service.table.as_ref().unwrap();
        assert_eq!(
            (&there["Parameters"]["theirs"], &there["Owner"]),
            (&json!("1"), &json!("hadoop"))
        );
        assert_eq!(there["DatabaseName"], Value::Null);
    }
    let observed = Resource::observe(&changed).await.unwrap();
    assert_eq!(changes(&changed, &observed), "");
    for _ in 0..2 {
        let gone = with_step(async |step| Resource::delete(&changed, &observed, step).await)
            .await
            .0;
        gone.unwrap();
    }
    assert_eq!(Resource::observe(&changed).await.unwrap(), Observed::Absent);
}

#[tokio::test]
async fn a_change_of_others_is_not_overwritten() {
    let (endpoint, service) = endpoint().await;
    let table = Table::new(&endpoint.context, location(), spec("glue_table", DECLARED, &[])).unwrap();
    with_step(async |step| Kind::create(&table, step).await)
        .await
        .0
        .unwrap();
    let observed = Resource::observe(&table).await.unwrap();
    service.lock().unwrap().races = 1;
    let text = DECLARED.replace("/orders/", "/all/");
    let changed = Table::new(&endpoint.context, location(), spec("glue_table", &text, &[])).unwrap();
    apply_all(&changed, &observed).await.unwrap();
    let service = service.lock().unwrap();
    let there = service.table.as_ref().unwrap();
    assert_eq!(there["StorageDescriptor"]["Location"], "s3://lake/all/");
    assert_eq!(there["Parameters"]["theirs"], "1");
    let updates = endpoint
        .calls()
        .iter()
        .filter(|call| *call == "UpdateTable")
        .count();
    assert_eq!(updates, 2);
}

#[tokio::test]
async fn parameters_say_whose_it_is() {
    let (endpoint, service) = endpoint().await;
    let declared = spec("glue_table", DECLARED, &[]);
    let table = Table::new(&endpoint.context, location(), declared.clone()).unwrap();
    with_step(async |step| Kind::create(&table, step).await)
        .await
        .0
        .unwrap();
    // An earlier attempt was accepted and its answer lost.
    with_step(async |step| Kind::create(&table, step).await)
        .await
        .0
        .unwrap();
    let owner = async || Resource::observe(&table).await.unwrap().owner(&declared.identity);
    service.lock().unwrap().table.as_mut().unwrap()["Parameters"]["streamctl:pipeline"] = json!("demo/other");
    assert_eq!(owner().await, Some(Owner::Pipeline("demo/other".to_owned())));
    service.lock().unwrap().table.as_mut().unwrap()["Parameters"] = json!({});
    assert_eq!(owner().await, Some(Owner::Stranger));
    let refused = with_step(async |step| Kind::create(&table, step).await)
        .await
        .0
        .unwrap_err();
    assert!(refused.is("AlreadyExistsException"), "{refused:?}");
    // Adopted, it gets them.
    let observed = Resource::observe(&table).await.unwrap();
    apply_all(&table, &observed).await.unwrap();
    assert_eq!(owner().await, Some(Owner::Us));
}

#[tokio::test]
async fn partition_keys_stay_as_they_are() {
    let (endpoint, _) = endpoint().await;
    let text = format!("{DECLARED}partition_keys = [{{ name = \"day\", type = \"string\" }}]");
    let table = Table::new(&endpoint.context, location(), spec("glue_table", &text, &[])).unwrap();
    with_step(async |step| Kind::create(&table, step).await)
        .await
        .0
        .unwrap();
    let observed = Resource::observe(&table).await.unwrap();
    assert_eq!(changes(&table, &observed), "");
    let without = Table::new(&endpoint.context, location(), spec("glue_table", DECLARED, &[])).unwrap();
    assert_eq!(
        changes(&without, &observed),
        "has other partition keys, which cannot be changed"
    );
}

#[tokio::test]
async fn bad_declarations_are_refused() {
    let context = context().await;
    let made = |text: &str| Table::new(&context, location(), spec("glue_table", text, &[]));
    let refusals = [
        DECLARED.replace("\"orders\"", "\"Orders\""),
        DECLARED.replace("/orders/", "/orders"),
        DECLARED.replace("\"bigint\" }", "\"number\" }"),
        DECLARED.replace("\"products\"", "\"user_id\""),
        DECLARED.replace("columns =", "columns = []\npartition_keys ="),
        format!("{DECLARED}parameters = {{ EXTERNAL = \"FALSE\" }}"),
        format!("{DECLARED}format = \"avro\""),
    ]
    .map(|text| refusal(made(&text)))
    .join("\n");
    insta::assert_snapshot!(refusals, @r#"
    line 1: resource it: "Orders" is not a name for Glue and Athena: use 1 to 255 lower-case letters, digits or underscores
    line 1: resource it: "s3://lake/orders" is not a location, such as "s3://BUCKET/PREFIX/", with a slash at its end
    line 1: resource it: column user_id: "number" is not a type of Athena, such as bigint, string or array<string>
    line 1: resource it: the column user_id is declared twice
    line 1: resource it: a table needs at least one column
    line 1: resource it: the parameter EXTERNAL is set by streamctl
    line 1: resource it: unknown variant `avro`, expected one of `json`, `csv`, `parquet`
    "#);
}

#[tokio::test]
async fn what_is_not_known_yet_is_not_compared() {
    let (endpoint, service) = endpoint().await;
    let table = Table::new(&endpoint.context, location(), spec("glue_table", DECLARED, &[])).unwrap();
    with_step(async |step| Kind::create(&table, step).await)
        .await
        .0
        .unwrap();
    let observed = Resource::observe(&table).await.unwrap();
    let text = DECLARED.replace("s3://lake/", "s3://(known after setup)/");
    let later = Table::new(&endpoint.context, location(), spec("glue_table", &text, &[])).unwrap();
    assert_eq!(changes(&later, &observed), "");
    let text = DECLARED.replace("\"shop\"", "\"(known after setup)\"");
    let nowhere = Table::new(&endpoint.context, location(), spec("glue_table", &text, &[])).unwrap();
    assert_eq!(Resource::observe(&nowhere).await.unwrap(), Observed::Absent);
    assert!(service.lock().unwrap().table.is_some());
}
