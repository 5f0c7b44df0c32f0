use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};

use super::super::test_support::{Endpoint, changes, context, location, refusal, spec, there, with_step};
use super::*;
use crate::pipeline::resource::{Observed, Resource};

const DECLARED: &str = r#"
name = "shop"
description = "Orders of the shop"
derived_tables = "s3://lake/athena/"
"#;

/// Glue with at most one database.
#[derive(Default)]
struct Service {
    database: Option<Value>,
    tags: Map<String, Value>,
    /// By name.
    tables: Map<String, Value>,
    /// Refusals of the next calls to `operation`: a code each.
    refusals: Vec<(&'static str, &'static str)>,
}

impl Service {
    fn answer(&mut self, call: &str, input: &Value) -> (u16, String) {
        let refused = |code: &str| (400, json!({"__type": code, "Message": "no"}).to_string());
        if let Some(at) = self.refusals.iter().position(|(operation, _)| *operation == call) {
            let (_, code) = self.refusals.remove(at);
            return refused(code);
        }
        if self.database.is_none() && call != "CreateDatabase" {
            return refused("EntityNotFoundException");
        }
        let answer = match call {
            "CreateDatabase" if self.database.is_some() => return refused("AlreadyExistsException"),
            "CreateDatabase" => {
                self.database = Some(input["DatabaseInput"].clone());
                self.tags = input["Tags"].as_object().unwrap().clone();
                json!({})
            }
            "GetDatabase" => {
                let mut shown = self.database.clone().unwrap();
                shown["CreateTime"] = json!(1.5);
                shown["CatalogId"] = json!("000000000000");
                json!({"Database": shown})
            }
            "UpdateDatabase" => {
                self.database = Some(input["DatabaseInput"].clone());
                json!({})
            }
            "GetTags" => json!({"Tags": self.tags}),
            "TagResource" => {
                self.tags.extend(input["TagsToAdd"].as_object().unwrap().clone());
                json!({})
            }
            "UntagResource" => {
                self.tags
                    .retain(|key, _| !input["TagsToRemove"].as_array().unwrap().contains(&json!(key)));
                json!({})
            }
            // A table a page.
            "GetTables" => {
                let at = input["NextToken"]
                    .as_str()
                    .map_or(0, |token| token.parse().unwrap());
                let page: Vec<&Value> = self.tables.values().skip(at).take(1).collect();
                let mut answer = json!({"TableList": page});
                if at + 1 < self.tables.len() {
                    answer["NextToken"] = json!((at + 1).to_string());
                }
                answer
            }
            "BatchDeleteTable" => {
                for name in input["TablesToDelete"].as_array().unwrap() {
                    self.tables.remove(name.as_str().unwrap());
                }
                json!({"Errors": []})
            }
            "DeleteDatabase" => {
                assert!(self.tables.is_empty(), "{:?}", self.tables);
                self.database = None;
                json!({})
            }
            other => panic!("{other}"),
        };
        (200, answer.to_string())
    }

    fn add(&mut self, name: &str, location: &str, pipeline: Option<&str>) {
        let mut table = json!({"Name": name, "StorageDescriptor": {"Location": location}});
        if let Some(pipeline) = pipeline {
            table["Parameters"] = json!({"ManagedBy": "streamctl", "streamctl:pipeline": pipeline});
        }
        self.tables.insert(name.to_owned(), table);
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

fn names(users: &[User]) -> String {
    users
        .iter()
        .map(|user| user.name.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn it_is_created_observed_changed_and_deleted() {
    let (endpoint, service) = endpoint().await;
    let declared = spec("glue_database", DECLARED, &[]);
    let database = Database::new(&endpoint.context, location(), declared.clone()).unwrap();
    assert_eq!(Resource::observe(&database).await.unwrap(), Observed::Absent);
    // Another change is under way: the call is made again.
    service.lock().unwrap().refusals = vec![("CreateDatabase", "ConcurrentModificationException")];
    with_step(async |step| Kind::create(&database, step).await)
        .await
        .0
        .unwrap();
    let observed = Resource::observe(&database).await.unwrap();
    assert_eq!(observed.owner(&declared.identity), Some(Owner::Us));
    assert_eq!(changes(&database, &observed), "");
    assert_eq!(
        Resource::outputs(&database, &observed)["arn"],
        "arn:aws:glue:us-east-1:000000000000:database/shop"
    );
    // What is not declared stays.
    service.lock().unwrap().database.as_mut().unwrap()["Parameters"] = json!({"theirs": "1"});

    let text = DECLARED.replace("Orders of", "All of") + "location = \"s3://lake/\"";
    let changed = Database::new(&endpoint.context, location(), spec("glue_database", &text, &[])).unwrap();
    insta::assert_snapshot!(changes(&changed, &observed), @r"
    description: Orders of the shop → All of the shop
    location: none → s3://lake/
    ");
    for change in changed
        .diff(&observed, &crate::pipeline::resource::Dependencies::default())
        .unwrap()
    {
        let applied = with_step(async |step| Resource::apply(&changed, &change, &observed, step).await);
        applied.await.0.unwrap();
    }
    assert_eq!(
        service.lock().unwrap().database,
        Some(json!({
            "Name": "shop", "Description": "All of the shop", "LocationUri": "s3://lake/", "Parameters": {"theirs": "1"},
        }))
    );
    let observed = Resource::observe(&changed).await.unwrap();
    assert_eq!(changes(&changed, &observed), "");
    let gone = with_step(async |step| Resource::delete(&changed, &observed, step).await)
        .await
        .0;
    gone.unwrap();
    assert_eq!(Resource::observe(&changed).await.unwrap(), Observed::Absent);
    // Another run may have deleted it.
    let again = with_step(async |step| Resource::delete(&changed, &observed, step).await)
        .await
        .0;
    again.unwrap();
}

#[tokio::test]
async fn a_lost_answer_is_no_error_and_another_owner_is_one() {
    let (endpoint, service) = endpoint().await;
    let database = Database::new(
        &endpoint.context,
        location(),
        spec("glue_database", DECLARED, &[]),
    )
    .unwrap();
    with_step(async |step| Kind::create(&database, step).await)
        .await
        .0
        .unwrap();
    with_step(async |step| Kind::create(&database, step).await)
        .await
        .0
        .unwrap();
    service.lock().unwrap().tags.clear();
    let refused = with_step(async |step| Kind::create(&database, step).await)
        .await
        .0
        .unwrap_err();
    assert!(refused.is("AlreadyExistsException"), "{refused:?}");
}

#[tokio::test]
async fn tables_that_are_not_of_the_pipeline_keep_it() {
    let (endpoint, service) = endpoint().await;
    let database = Database::new(
        &endpoint.context,
        location(),
        spec("glue_database", DECLARED, &[]),
    )
    .unwrap();
    with_step(async |step| Kind::create(&database, step).await)
        .await
        .0
        .unwrap();
    {
        let mut service = service.lock().unwrap();
        service.add("features", "s3://lake/athena/tables/1", None);
        service.add("former", "s3://lake/former/", Some("demo/one"));
        service.add("of_another", "s3://lake/x/", Some("demo/other"));
        service.add("theirs", "s3://other/athena/", None);
    }
    let observed = Resource::observe(&database).await.unwrap();
    let users = Resource::users(&database, &observed).await.unwrap();
    assert_eq!(names(&users), "shop.of_another shop.theirs");
    let along = Resource::takes_along(&database, &observed).await.unwrap();
    assert_eq!(names(&along), "shop.features shop.former");
    let refused = with_step(async |step| Resource::delete(&database, &observed, step).await)
        .await
        .0;
    insta::assert_snapshot!(refusal(refused), @r"
    could not delete Glue database shop: this pipeline did not make its tables of_another, theirs
    hint: delete these tables, then run the same command again
    ");
    assert_eq!(service.lock().unwrap().tables.len(), 4);
    service.lock().unwrap().tables.remove("theirs");
    service.lock().unwrap().tables.remove("of_another");
    let gone = with_step(async |step| Resource::delete(&database, &observed, step).await)
        .await
        .0;
    gone.unwrap();
    assert!(service.lock().unwrap().database.is_none());
}

#[tokio::test]
async fn bad_declarations_are_refused() {
    let context = context().await;
    let made = |text: &str| Database::new(&context, location(), spec("glue_database", text, &[]));
    let long = format!("name = \"shop\"\ndescription = \"{}\"", "x".repeat(2049));
    let refusals = [
        "name = \"Shop\"",
        "name = \"shop\"\nlocation = \"s3://lake\"",
        "name = \"shop\"\nderived_tables = \"lake/\"",
        &long,
    ]
    .map(|text| refusal(made(text)))
    .join("\n");
    insta::assert_snapshot!(refusals, @r#"
    line 1: resource it: "Shop" is not a name for Glue and Athena: use 1 to 255 lower-case letters, digits or underscores
    line 1: resource it: "s3://lake" is not a location, such as "s3://BUCKET/PREFIX/", with a slash at its end
    line 1: resource it: "lake/" is not a location, such as "s3://BUCKET/PREFIX/", with a slash at its end
    line 1: resource it: a description has at most 2048 characters
    "#);
}

#[tokio::test]
async fn a_default_replaces_nothing() {
    let context = context().await;
    let declared = spec("glue_database", DECLARED, &["description"]);
    let database = Database::new(&context, location(), declared).unwrap();
    let facts = Facts {
        description: Some("Theirs".to_owned()),
        location: None,
    };
    assert_eq!(changes(&database, &there(facts, &[])), "");
}
