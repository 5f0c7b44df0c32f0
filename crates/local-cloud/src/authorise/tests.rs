use super::*;

const ROLE: &str = "arn:aws:iam::000000000000:role/work";

fn permission(action: &str, resource: &str) -> Permission {
    Permission {
        action: action.to_owned(),
        resource: resource.to_owned(),
    }
}

fn policies(documents: &[&str], boundary: Option<&str>) -> PolicySet {
    let policy = |document: &&str| Policy {
        id: String::new(),
        document: (*document).to_owned(),
    };
    PolicySet {
        identity: documents.iter().map(policy).collect(),
        boundary: boundary.as_ref().map(policy),
    }
}

#[test]
fn a_deny_overrides_and_no_match_does_not_allow() {
    let allow = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::a/*"}]}"#;
    let deny =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":["s3:PutObject"],"Resource":"*"}}"#;
    let decided = |documents: &[&str], action, resource| {
        decide(&policies(documents, None), ROLE, &permission(action, resource))
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
    let function = Principal {
        arn: ROLE.to_owned(),
        session: Some("scorer".to_owned()),
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

#[test]
fn a_boundary_restricts_what_policies_allow() {
    let all = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let kinesis = r#"{"Statement":{"Effect":"Allow","Action":"kinesis:*","Resource":"*"}}"#;
    let user = "arn:aws:iam::000000000000:user/eve";
    let decided = |documents: &[&str], action| {
        decide(
            &policies(documents, Some(kinesis)),
            user,
            &permission(action, "*"),
        )
    };
    assert_eq!(decided(&[all], "kinesis:ListStreams"), Decision::Allow);
    assert_eq!(decided(&[all], "sqs:ListQueues"), Decision::BoundaryDeny);
    assert_eq!(decided(&[], "kinesis:ListStreams"), Decision::ImplicitDeny);
    let said = Principal {
        arn: user.to_owned(),
        session: None,
    }
    .denied(
        &Caller::default(),
        &permission("sqs:ListQueues", "*"),
        Decision::BoundaryDeny,
    );
    assert_eq!(
        said,
        "User: arn:aws:iam::000000000000:user/eve is not authorized to perform: sqs:listqueues on resource: * because \
         no permissions boundary allows the sqs:listqueues action"
    );
}
