use super::*;

const ROLE: &str = "arn:aws:iam::000000000000:role/work";

fn permission(action: &str, resource: &str) -> Permission {
    Permission {
        action: action.to_owned(),
        resource: resource.to_owned(),
    }
}

#[test]
fn a_deny_overrides_and_no_match_does_not_allow() {
    let allow = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::a/*"}]}"#;
    let deny =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":["s3:PutObject"],"Resource":"*"}}"#;
    let decided = |documents: &[&str], action, resource| {
        let documents: Vec<String> = documents.iter().map(|text| (*text).to_owned()).collect();
        decide(&documents, ROLE, &permission(action, resource))
    };
    assert_eq!(
        decided(&[allow], "s3:PutObject", "arn:aws:s3:::a/b"),
        Decision::Allow
    );
    assert_eq!(
        decided(&[allow, deny], "s3:PutObject", "arn:aws:s3:::a/b"),
        Decision::ExplicitDeny
    );
    assert_eq!(
        decided(&[allow], "s3:PutObject", "arn:aws:s3:::b/b"),
        Decision::ImplicitDeny
    );
    assert_eq!(
        decided(&["rubbish"], "s3:PutObject", "arn:aws:s3:::a/b"),
        Decision::ImplicitDeny
    );
}

#[test]
fn a_denial_reads_as_on_aws() {
    let function = Function {
        role_arn: ROLE.to_owned(),
        name: "scorer".to_owned(),
    };
    let said = function.denied(
        &Caller::default(),
        &permission(
            "dynamodb:PutItem",
            "arn:aws:dynamodb:us-east-1:000000000000:table/a",
        ),
        Decision::ImplicitDeny,
    );
    assert_eq!(
        said,
        "User: arn:aws:sts::000000000000:assumed-role/work/scorer is not authorized to perform: dynamodb:PutItem on \
         resource: arn:aws:dynamodb:us-east-1:000000000000:table/a because no identity-based policy allows the \
         dynamodb:PutItem action"
    );
}
