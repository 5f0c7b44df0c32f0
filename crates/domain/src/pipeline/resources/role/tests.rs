//! What a role may do, and when that changes.

use super::super::kind::existing;
use super::super::test_support::{self, Endpoint, context, location, observed, spec_of};
use super::*;
use crate::pipeline::template;

const STATEMENTS: &str = "name = \"demo\"\ndescription = \"x\"\ninstance = \"one\"\n\
    [parameters.stream_arn]\ntype = \"string\"\ndescription = \"x\"\noptional = true\n\
    [parameters.tracing]\ntype = \"boolean\"\ndescription = \"x\"\ndefault = false\n\
    [[resources]]\nkind = \"role\"\nid = \"it\"\n[resources.properties]\nname = \"demo\"\ntracing = \"${tracing}\"\n\
    [[resources.properties.statements]]\nsid = \"Metrics\"\nactions = [\"cloudwatch:PutMetricData\"]\nresources = [\"*\"]\n\
    condition = { StringEquals = { \"cloudwatch:namespace\" = \"Demo\" } }\n\
    [[resources.properties.statements]]\nsid = \"Read\"\nactions = [\"kinesis:GetRecords\"]\nresources = [\"${stream_arn}\"]\n";
const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";

/// The changes of a role with `policy`, and the policy after them.
async fn changes(given: &[(&str, &str)], policy: Option<Value>) -> (Vec<String>, Option<Value>) {
    let spec = spec_of(STATEMENTS, given);
    let context = context().await;
    let role = Role::new(&context, location(), spec).unwrap();
    let facts = Facts {
        arn: role.arn(),
        description: String::new(),
        trust: role.declared.trust(),
        policy,
    };
    let observed = observed(&role.spec, facts, &[]);
    let changes = test_support::changes(&role, &observed);
    let after = role.effective_policy(&existing(&observed).unwrap().unwrap());
    (changes.lines().map(str::to_owned).collect(), after)
}

fn declared(given: &[(&str, &str)]) -> Value {
    policy_of(&spec_of(STATEMENTS, given)).unwrap().unwrap()
}

fn sids(policy: &Value) -> Vec<&str> {
    let statements = policy["Statement"].as_array().unwrap();
    statements
        .iter()
        .map(|one| one["Sid"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_statement_on_nothing_is_left_out() {
    assert_eq!(sids(&declared(&[])), ["Metrics"]);
    let all = declared(&[("stream_arn", ARN), ("tracing", "true")]);
    assert_eq!(sids(&all), ["Metrics", "Read", "Tracing"]);
    assert_eq!(
        all["Statement"][0]["Condition"],
        json!({"StringEquals": {"cloudwatch:namespace": "Demo"}})
    );
}

#[tokio::test]
async fn what_was_given_once_is_not_taken_by_a_default() {
    let full = declared(&[("stream_arn", ARN)]);
    assert_eq!(changes(&[], Some(full.clone())).await.0, Vec::<String>::new());
    // Tracing comes and goes by itself.
    let (told, after) = changes(&[("tracing", "true")], Some(full.clone())).await;
    assert_eq!(told, ["permissions: another → as declared"]);
    assert_eq!(sids(&after.unwrap()), ["Metrics", "Read", "Tracing"]);
    // A role whose policy is missing was not finished.
    let (told, after) = changes(&[], None).await;
    assert_eq!(told, ["permissions: add as declared"]);
    assert_eq!(sids(&after.unwrap()), ["Metrics"]);
    let (told, _) = changes(&[("stream_arn", ARN)], Some(declared(&[]))).await;
    assert_eq!(told, ["permissions: another → as declared"]);
}

#[tokio::test]
async fn a_long_name_is_shortened_and_stays_its_own() {
    let long = |last: char| {
        let text = STATEMENTS.replace(
            "name = \"demo\"\ntracing",
            &format!("name = \"{}{last}\"\ntracing", "x".repeat(80)),
        );
        let mut declared: Declared = spec_of(&text, &[]).read().unwrap();
        declared.shorten_name();
        declared.name
    };
    assert_eq!(long('a').len(), 64);
    assert_ne!(long('a'), long('b'));
}

#[test]
fn the_function_template_gives_no_more_than_logs_and_the_stream() {
    let manifest = template("function").unwrap();
    let role = manifest.resource("role").unwrap();
    let text = role.properties["statements"].get_ref().to_string();
    assert!(!text.contains('*') || text.matches('*').count() == 1, "{text}");
    assert!(text.contains("${log_group.arn}:*"));
}

#[tokio::test]
async fn the_functions_that_run_with_a_role_are_its_users() {
    let spec = spec_of(STATEMENTS, &[]);
    let arn = Role::new(&context().await, location(), spec.clone())
        .unwrap()
        .arn();
    let functions = json!({"Functions": [
        {"FunctionName": "ours", "Role": arn},
        {"FunctionName": "other", "Role": "arn:aws:iam::000000000000:role/other"},
        {"FunctionName": "theirs", "Role": arn},
    ]});
    let endpoint = Endpoint::start(move |_, _| (200, functions.to_string())).await;
    let role = Role::new(&endpoint.context, location(), spec).unwrap();
    let facts = Facts {
        arn: role.arn(),
        description: String::new(),
        trust: role.declared.trust(),
        policy: None,
    };
    let users = Kind::users(&role, &facts).await.unwrap();
    let names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["ours", "theirs"]);
}
