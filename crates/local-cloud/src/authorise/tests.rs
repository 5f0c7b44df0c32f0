use bytes::Bytes;

use super::request::needs;
use super::*;

const ROLE: &str = "arn:aws:iam::000000000000:role/work";

fn asked(service: &str, method: &str, uri: &str, target: &str, body: &'static str) -> Vec<String> {
    let mut request = http::Request::builder().method(method).uri(uri);
    if !target.is_empty() {
        request = request.header("x-amz-target", target);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let all = needs(
        &Caller::default(),
        service,
        &parts,
        &Bytes::from_static(body.as_bytes()),
    );
    all.into_iter()
        .map(|(action, resource)| format!("{action} {resource}"))
        .collect()
}

#[test]
fn requests_need_these_actions() {
    let dynamodb = |operation: &str, body| {
        asked(
            "dynamodb",
            "POST",
            "/",
            &format!("DynamoDB_20120810.{operation}"),
            body,
        )
    };
    assert_eq!(
        dynamodb("BatchWriteItem", r#"{"RequestItems":{"events":[]}}"#),
        ["dynamodb:BatchWriteItem arn:aws:dynamodb:us-east-1:000000000000:table/events"]
    );
    assert_eq!(
        dynamodb("Query", r#"{"TableName":"events","IndexName":"by-type"}"#),
        ["dynamodb:Query arn:aws:dynamodb:us-east-1:000000000000:table/events/index/by-type"]
    );
    assert_eq!(
        dynamodb(
            "TransactWriteItems",
            r#"{"TransactItems":[{"Put":{"TableName":"a"}},{"ConditionCheck":{"TableName":"b"}}]}"#
        ),
        [
            "dynamodb:PutItem arn:aws:dynamodb:us-east-1:000000000000:table/a",
            "dynamodb:ConditionCheckItem arn:aws:dynamodb:us-east-1:000000000000:table/b"
        ]
    );
    assert_eq!(
        asked(
            "sqs",
            "POST",
            "/",
            "AmazonSQS.SendMessageBatch",
            r#"{"QueueUrl":"http://127.0.0.1/000000000000/dead"}"#
        ),
        ["sqs:SendMessage arn:aws:sqs:us-east-1:000000000000:dead"]
    );
    assert_eq!(
        asked(
            "sns",
            "POST",
            "/",
            "",
            "Action=Publish&TopicArn=arn%3Aaws%3Asns%3Ax"
        ),
        ["sns:Publish arn:aws:sns:x"]
    );
    assert_eq!(
        asked("s3", "PUT", "/data/raw/a%20b.json", "", ""),
        ["s3:PutObject arn:aws:s3:::data/raw/a b.json"]
    );
    assert_eq!(
        asked("s3", "GET", "/data?list-type=2&prefix=raw", "", ""),
        ["s3:ListBucket arn:aws:s3:::data"]
    );
    assert!(asked("sts", "POST", "/", "", "Action=GetCallerIdentity").is_empty());
}

#[test]
fn a_denial_wins_and_silence_does_not_allow() {
    let allow = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::a/*"}]}"#;
    let deny =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":["s3:PutObject"],"Resource":"*"}}"#;
    let decided = |documents: &[&str], action, resource| {
        let documents: Vec<String> = documents.iter().map(|text| (*text).to_owned()).collect();
        decide(&documents, ROLE, action, resource)
    };
    assert_eq!(
        decided(&[allow], "s3:PutObject", "arn:aws:s3:::a/b"),
        Verdict::Allowed
    );
    assert_eq!(
        decided(&[allow, deny], "s3:PutObject", "arn:aws:s3:::a/b"),
        Verdict::Denied
    );
    assert_eq!(
        decided(&[allow], "s3:PutObject", "arn:aws:s3:::b/b"),
        Verdict::NotAllowed
    );
    assert_eq!(
        decided(&["rubbish"], "s3:PutObject", "arn:aws:s3:::a/b"),
        Verdict::NotAllowed
    );
}

#[test]
fn a_refusal_reads_as_on_aws() {
    let user = User {
        role: ROLE.to_owned(),
        function: "scorer".to_owned(),
    };
    let said = user.refused(
        &Caller::default(),
        "dynamodb:PutItem",
        "arn:aws:dynamodb:us-east-1:000000000000:table/a",
        Verdict::NotAllowed,
    );
    assert_eq!(
        said,
        "User: arn:aws:sts::000000000000:assumed-role/work/scorer is not authorized to perform: dynamodb:PutItem on \
         resource: arn:aws:dynamodb:us-east-1:000000000000:table/a because no identity-based policy allows the \
         dynamodb:PutItem action"
    );
}
