//! Retentions.

use serde_json::json;

use super::super::test_support::{Endpoint, changes, context, location, observed, spec_of, with_step};
use super::*;
use crate::pipeline::resource::{Dependencies, Observed, Resource};

const HEAD: &str = "name = \"demo\"\ndescription = \"x\"\ninstance = \"one\"\n\
    [parameters.days]\ntype = \"integer\"\ndescription = \"x\"\ndefault = 14\n\
    [[resources]]\nkind = \"log_group\"\nid = \"it\"\n\
    properties = { name = \"/aws/lambda/it\", retention_days = \"${days}\" }\n";

async fn differences(given: &[(&str, &str)], retention_days: Option<u32>) -> String {
    let spec = spec_of(HEAD, given);
    let observed = observed(&spec, Facts { retention_days }, &[]);
    let context = context().await;
    changes(&LogGroup::new(&context, location(), spec).unwrap(), &observed)
}

#[tokio::test]
async fn a_retention_is_set_once_and_changed_when_it_is_named() {
    assert_eq!(differences(&[], None).await, "retention: forever → 14 days");
    assert_eq!(differences(&[], Some(30)).await, "");
    assert_eq!(
        differences(&[("days", "7")], Some(30)).await,
        "retention: 30 days → 7 days (logs older than 7 days are deleted)"
    );
}

#[tokio::test]
async fn only_allowed_retentions_are_taken() {
    let spec = spec_of(HEAD, &[("days", "10")]);
    let context = context().await;
    let error = LogGroup::new(&context, location(), spec).err().unwrap();
    insta::assert_snapshot!(error, @"logs cannot be kept for 10 days");
    insta::assert_snapshot!(error.hint_text().unwrap(), @"use 14; CloudWatch Logs allows 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653");
    assert!(
        check_retention(9999)
            .unwrap_err()
            .hint_text()
            .unwrap()
            .starts_with("use 3653;")
    );
}

/// A group without tags of a function that has these tags, or does not exist. The calls that change it, and whether it is
/// ours.
async fn made_by_lambda(function: Option<serde_json::Value>) -> (bool, Vec<String>) {
    let mut tags = json!({});
    let endpoint = Endpoint::start(move |call, body| match call {
        "DescribeLogGroups" => (
            200,
            json!({"logGroups": [{"logGroupName": "/aws/lambda/it"}]}).to_string(),
        ),
        "ListTagsForResource" => (200, json!({"tags": tags}).to_string()),
        "TagResource" => {
            let asked: serde_json::Value = serde_json::from_str(body).unwrap();
            tags = asked["tags"].clone();
            (200, "{}".to_owned())
        }
        "PutRetentionPolicy" => (200, "{}".to_owned()),
        call if call.starts_with("GET /2015-03-31/functions/it") => match &function {
            Some(tags) => (
                200,
                json!({"Configuration": {"FunctionName": "it"}, "Tags": tags}).to_string(),
            ),
            None => (
                404,
                json!({"Type": "User", "Code": "ResourceNotFoundException"}).to_string(),
            ),
        },
        other => panic!("{other} is not expected"),
    })
    .await;
    let spec = spec_of(HEAD, &[]);
    let identity = spec.identity.clone();
    let group = LogGroup::new(&endpoint.context, location(), spec).unwrap();
    let found = Resource::observe(&group).await.unwrap();
    let ours = found.owner(&identity) == Some(Owner::Us);
    if ours {
        let changes = Resource::diff(&group, &found, &Dependencies::default()).unwrap();
        let (done, _) = with_step(async |step| {
            for change in &changes {
                Resource::apply(&group, change, &found, step).await?;
            }
            Ok::<_, Error>(())
        })
        .await;
        done.unwrap();
        let found = Resource::observe(&group).await.unwrap();
        assert!(!found.present().unwrap().unfinished());
        assert_eq!(found.owner(&identity), Some(Owner::Us), "now by its tags");
    }
    let calls = endpoint.calls().into_iter();
    let is_change = |call: &String| call.starts_with("Put") || call.starts_with("Tag");
    (ours, calls.filter(is_change).collect())
}

#[tokio::test]
async fn a_group_that_is_deleted_while_it_is_observed_is_no_strangers() {
    let mut is_there = true;
    let endpoint = Endpoint::start(move |call, _| match call {
        "DescribeLogGroups" => {
            let groups = match std::mem::take(&mut is_there) {
                true => json!([{"logGroupName": "/aws/lambda/it"}]),
                false => json!([]),
            };
            (200, json!({"logGroups": groups}).to_string())
        }
        "ListTagsForResource" => (200, json!({"tags": {}}).to_string()),
        call if call.starts_with("GET /2015-03-31/functions/it") => (
            200,
            json!({"Configuration": {"FunctionName": "it"}, "Tags": {}}).to_string(),
        ),
        other => panic!("{other} is not expected"),
    })
    .await;
    let group = LogGroup::new(&endpoint.context, location(), spec_of(HEAD, &[])).unwrap();
    let found = Resource::observe(&group).await.unwrap();
    assert_eq!(found, Observed::Absent);
}

#[tokio::test]
async fn a_group_that_lambda_made_for_our_function_is_taken_on() {
    let identity = spec_of(HEAD, &[]).identity.to_string();
    let done = vec!["PutRetentionPolicy".to_owned(), "TagResource".to_owned()];
    assert_eq!(made_by_lambda(None).await, (true, done.clone()));
    let ours = json!({"ManagedBy": "streamctl", "streamctl:pipeline": identity});
    assert_eq!(made_by_lambda(Some(ours)).await, (true, done));
    assert_eq!(made_by_lambda(Some(json!({}))).await, (false, Vec::new()));
    let theirs = json!({"ManagedBy": "streamctl", "streamctl:pipeline": "demo/two"});
    assert_eq!(made_by_lambda(Some(theirs)).await, (false, Vec::new()));
}
