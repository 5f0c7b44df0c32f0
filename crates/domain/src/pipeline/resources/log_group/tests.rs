//! Retentions.

use super::super::test_support::{changes, context, location, observed, spec_of};
use super::*;

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
    assert_eq!(differences(&[], None).await, "retention: for ever → 14 days");
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
    insta::assert_snapshot!(error.hint_text().unwrap(), @"take 14; CloudWatch Logs allows 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653");
    assert!(
        check_retention(9999)
            .unwrap_err()
            .hint_text()
            .unwrap()
            .starts_with("take 3653;")
    );
}
