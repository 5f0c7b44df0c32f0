use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::super::test_support::{Endpoint, changes, context, location, refusal, spec, with_step};
use super::*;
use crate::pipeline::resource::{Dependencies, Observed, Resource};

const DECLARED: &str = r#"
name = "shop"
results = "s3://lake/athena/"
scan_limit_bytes = 10_000_000_000
engine = "Athena engine version 3"
"#;

/// Athena with at most one work group.
#[derive(Default)]
struct Service {
    group: Option<Value>,
    tags: Vec<Value>,
    queries: Vec<&'static str>,
    statements: Vec<&'static str>,
}

impl Service {
    fn answer(&mut self, call: &str, input: &Value) -> (u16, String) {
        let refused = |message: &str| {
            let refused = json!({"__type": "InvalidRequestException", "AthenaErrorCode": "INVALID_INPUT", "Message": message});
            (400, refused.to_string())
        };
        if self.group.is_none() && call != "CreateWorkGroup" {
            return refused("WorkGroup is not found.");
        }
        let answer = match call {
            "CreateWorkGroup" if self.group.is_some() => return refused("WorkGroup is already created"),
            "CreateWorkGroup" => {
                self.group = Some(json!({
                    "Name": "shop", "State": "ENABLED", "Configuration": input["Configuration"],
                    "Description": input["Description"],
                }));
                self.tags = input["Tags"].as_array().unwrap().clone();
                json!({})
            }
            "GetWorkGroup" => json!({"WorkGroup": self.group}),
            "ListTagsForResource" => json!({"Tags": self.tags}),
            "TagResource" => {
                self.tags.extend(input["Tags"].as_array().unwrap().clone());
                json!({})
            }
            "UpdateWorkGroup" => {
                let group = self.group.as_mut().unwrap();
                for member in ["State", "Description"] {
                    if !input[member].is_null() {
                        group[member] = input[member].clone();
                    }
                }
                for (member, value) in input["ConfigurationUpdates"].as_object().into_iter().flatten() {
                    match member.as_str() {
                        "ResultConfigurationUpdates" => {
                            for (member, value) in value.as_object().unwrap() {
                                group["Configuration"]["ResultConfiguration"][member] = value.clone();
                            }
                        }
                        _ => group["Configuration"][member] = value.clone(),
                    }
                }
                json!({})
            }
            "ListNamedQueries" => json!({"NamedQueryIds": self.queries}),
            "BatchGetNamedQuery" => {
                let named = self.queries.iter().map(|name| json!({"Name": name}));
                json!({"NamedQueries": named.collect::<Vec<_>>()})
            }
            "ListPreparedStatements" => {
                let named = self.statements.iter().map(|name| json!({"StatementName": name}));
                json!({"PreparedStatements": named.collect::<Vec<_>>()})
            }
            "DeleteWorkGroup" => {
                assert_eq!(input["RecursiveDeleteOption"], true);
                self.group = None;
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

async fn apply_all(group: &WorkGroup<'_>, observed: &Observed) {
    for change in Resource::diff(group, observed, &Dependencies::default()).unwrap() {
        let applied = with_step(async |step| Resource::apply(group, &change, observed, step).await);
        applied.await.0.unwrap();
    }
}

#[tokio::test]
async fn it_is_created_observed_changed_and_deleted() {
    let (endpoint, service) = endpoint().await;
    let declared = spec("athena_workgroup", DECLARED, &[]);
    let group = WorkGroup::new(&endpoint.context, location(), declared.clone()).unwrap();
    assert_eq!(Resource::observe(&group).await.unwrap(), Observed::Absent);
    with_step(async |step| Kind::create(&group, step).await)
        .await
        .0
        .unwrap();
    assert_eq!(
        service.lock().unwrap().group.as_ref().unwrap()["Configuration"],
        json!({
            "ResultConfiguration": {
                "OutputLocation": "s3://lake/athena/",
                "ExpectedBucketOwner": "000000000000",
                "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"},
            },
            "EnforceWorkGroupConfiguration": true,
            "PublishCloudWatchMetricsEnabled": true,
            "BytesScannedCutoffPerQuery": 10_000_000_000_u64,
            "EngineVersion": {"SelectedEngineVersion": "Athena engine version 3"},
        })
    );
    let observed = Resource::observe(&group).await.unwrap();
    assert_eq!(observed.owner(&declared.identity), Some(Owner::Us));
    assert_eq!(changes(&group, &observed), "");
    let outputs = Resource::outputs(&group, &observed);
    assert_eq!(
        outputs["arn"],
        "arn:aws:athena:us-east-1:000000000000:workgroup/shop"
    );
    let checks = Resource::verify(&group, &observed, false).await;
    insta::assert_snapshot!(checks[0].detail, @"results in s3://lake/athena/, Athena engine version 3, a query scans at most 10000000000 bytes");

    service.lock().unwrap().group.as_mut().unwrap()["State"] = json!("DISABLED");
    let observed = Resource::observe(&group).await.unwrap();
    assert_eq!(
        Resource::verify(&group, &observed, false).await[0].state,
        CheckState::Fault
    );
    let text = DECLARED
        .replace("/athena/", "/queries/")
        .replace("10_000", "20_000")
        .replace("Athena engine version 3", "AUTO")
        + "description = \"Queries of the shop\"\nenforce = false\nmetrics = false\nkms_key = \"alias/lake\"";
    let changed = WorkGroup::new(
        &endpoint.context,
        location(),
        spec("athena_workgroup", &text, &[]),
    )
    .unwrap();
    insta::assert_snapshot!(changes(&changed, &observed), @r"
    state: DISABLED → ENABLED
    description: none → Queries of the shop
    results: s3://lake/athena/ → s3://lake/queries/
    encryption: SSE_S3 → SSE_KMS with key alias/lake
    enforcement: on → off
    metrics: on → off
    scan limit: 10000000000 bytes → 20000000000 bytes
    engine: Athena engine version 3 → AUTO
    ");
    apply_all(&changed, &observed).await;
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
async fn what_is_saved_in_it_keeps_it() {
    let (endpoint, service) = endpoint().await;
    let group = WorkGroup::new(
        &endpoint.context,
        location(),
        spec("athena_workgroup", DECLARED, &[]),
    )
    .unwrap();
    with_step(async |step| Kind::create(&group, step).await)
        .await
        .0
        .unwrap();
    service.lock().unwrap().queries = vec!["revenue"];
    service.lock().unwrap().statements = vec!["by_day"];
    let observed = Resource::observe(&group).await.unwrap();
    let users = Resource::users(&group, &observed).await.unwrap();
    let titles: Vec<String> = users.iter().map(User::title).collect();
    assert_eq!(titles, ["saved query revenue", "prepared statement by_day"]);
    let refused = with_step(async |step| Resource::delete(&group, &observed, step).await)
        .await
        .0;
    insta::assert_snapshot!(refusal(refused), @r"
    could not delete Athena work group shop: it has the saved query revenue
    hint: delete what is saved in it, then run the same command again
    ");
    service.lock().unwrap().queries.clear();
    service.lock().unwrap().statements.clear();
    let gone = with_step(async |step| Resource::delete(&group, &observed, step).await)
        .await
        .0;
    gone.unwrap();
}

#[tokio::test]
async fn a_lost_answer_is_no_error_and_another_owner_is_one() {
    let (endpoint, service) = endpoint().await;
    let group = WorkGroup::new(
        &endpoint.context,
        location(),
        spec("athena_workgroup", DECLARED, &[]),
    )
    .unwrap();
    with_step(async |step| Kind::create(&group, step).await)
        .await
        .0
        .unwrap();
    with_step(async |step| Kind::create(&group, step).await)
        .await
        .0
        .unwrap();
    service.lock().unwrap().tags.clear();
    let refused = with_step(async |step| Kind::create(&group, step).await).await.0;
    assert_eq!(
        refusal(refused),
        "could not create Athena work group shop: InvalidRequestException: WorkGroup is already created"
    );
}

#[tokio::test]
async fn bad_declarations_are_refused() {
    let context = context().await;
    let made = |text: &str| WorkGroup::new(&context, location(), spec("athena_workgroup", text, &[]));
    let refusals = [
        DECLARED.replace("\"shop\"", "\"my shop\""),
        DECLARED.replace("\"shop\"", "\"primary\""),
        DECLARED.replace("/athena/", "/athena"),
        DECLARED.replace("10_000_000_000", "9_999_999"),
        DECLARED.replace("version 3", "version 2"),
        format!("{DECLARED}encryption = \"SSE_KMS\""),
        format!("{DECLARED}encryption = \"SSE_S3\"\nkms_key = \"alias/lake\""),
    ]
    .map(|text| refusal(made(&text)))
    .join("\n");
    insta::assert_snapshot!(refusals, @r#"
    "my shop" is not a work group name
    hint: use 1 to 128 letters, digits or any of . _ -
    line 1: resource it: the work group primary belongs to the account
    line 1: resource it: "s3://lake/athena" is not a location, such as "s3://BUCKET/PREFIX/", with a slash at its end
    line 1: resource it: scan_limit_bytes is at least 10000000
    line 1: resource it: engine is "AUTO" or "Athena engine version 3"
    line 1: resource it: the encryption SSE_KMS needs a kms_key
    line 1: resource it: kms_key goes with the encryption SSE_KMS
    "#);
}

#[tokio::test]
async fn defaults_replace_nothing() {
    let (endpoint, service) = endpoint().await;
    let defaults = ["scan_limit_bytes", "engine"];
    let declared = spec("athena_workgroup", DECLARED, &defaults);
    let group = WorkGroup::new(&endpoint.context, location(), declared).unwrap();
    with_step(async |step| Kind::create(&group, step).await)
        .await
        .0
        .unwrap();
    {
        let mut service = service.lock().unwrap();
        let there = &mut service.group.as_mut().unwrap()["Configuration"];
        there["BytesScannedCutoffPerQuery"] = json!(20_000_000);
        there["EnforceWorkGroupConfiguration"] = json!(false);
        there["EngineVersion"]["SelectedEngineVersion"] = json!("AUTO");
    }
    let observed = Resource::observe(&group).await.unwrap();
    assert_eq!(changes(&group, &observed), "");
}
