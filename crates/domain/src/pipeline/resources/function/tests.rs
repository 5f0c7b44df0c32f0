//! What is changed of a function, and what is refused before anything is.

use super::super::test_support::{self, changes, context, location, spec_of};
use super::*;
use crate::pipeline::resource::Observed;

const HEAD: &str = "name = \"demo\"\ndescription = \"x\"\ninstance = \"one\"\n\
    [parameters.memory]\ntype = \"integer\"\ndescription = \"x\"\ndefault = 256\n";

/// The function that `properties` declare; `given` are flags.
async fn with<T>(
    properties: &str,
    given: &[(&str, &str)],
    work: impl FnOnce(&Function<'_>) -> T,
) -> Result<T> {
    let text = format!(
        "{HEAD}[[resources]]\nkind = \"function\"\nid = \"it\"\n[resources.properties]\n{properties}\n"
    );
    let spec = spec_of(&text, given);
    let context = context().await;
    let function = Function::new(&context, location(), spec)?;
    Ok(work(&function))
}

fn script() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bootstrap");
    std::fs::write(&path, "#!/bin/sh\n").unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

fn there(function: &Function<'_>, change: impl FnOnce(&mut FunctionState)) -> Observed {
    let mut state = FunctionState {
        arn: function.arn(),
        role: "arn:aws:iam::000000000000:role/r".into(),
        handler: "bootstrap".into(),
        runtime: RUNTIME.into(),
        memory_mb: 256,
        timeout_seconds: 60,
        environment: BTreeMap::from([("THEIRS".to_owned(), "1".to_owned())]),
        architecture: Some(Architecture::here()),
        log_group: "/aws/lambda/it".into(),
        code_sha256: function
            .package()
            .unwrap()
            .map(|it| it.sha256.clone())
            .unwrap_or_default(),
        state: "Active".into(),
        last_update: "Successful".into(),
        ..FunctionState::default()
    };
    change(&mut state);
    test_support::observed(&function.spec, state, &[])
}

fn words(function: &Function<'_>, observed: &Observed) -> Vec<String> {
    changes(function, observed).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn nothing_changes_where_all_is_as_declared() {
    let (_dir, path) = script();
    let properties = format!(
        "name = \"it\"\nhandler = \"{path}\"\nrole = \"arn:aws:iam::000000000000:role/r\"\nmemory_mb = \"${{memory}}\"\nlog_group = \"/aws/lambda/it\""
    );
    let none = with(&properties, &[], |it| {
        // A default changes nothing that exists.
        let observed = there(it, |state| state.memory_mb = 1024);
        (
            words(it, &Observed::Absent),
            words(it, &observed),
            Kind::summary(it),
        )
    });
    let (create, none, summary) = none.await.unwrap();
    assert_eq!((create, none), (vec!["create".to_owned()], vec![]));
    assert!(summary.ends_with("256 MB"), "{summary}");
    let named = with(&properties, &[("memory", "512")], |it| {
        words(it, &there(it, |_| {}))
    });
    assert_eq!(named.await.unwrap(), ["memory: 256 MB → 512 MB"]);
}

#[tokio::test]
async fn settings_come_before_code_and_values_are_not_shown() {
    let (_dir, path) = script();
    let properties = format!(
        "name = \"it\"\nhandler = \"{path}\"\nrole = \"arn:aws:iam::000000000000:role/new\"\ntimeout_seconds = 30\n\
         tracing = true\nreserved_concurrency = 5\nenvironment = {{ TABLE_NAME = \"secret\", TTL_DAYS = 30 }}"
    );
    let changes = with(&properties, &[], |it| {
        let observed = there(it, |state| {
            state.code_sha256 = "0123456789".into();
            state.environment.insert("TTL_DAYS".into(), "7".into());
        });
        words(it, &observed)
    });
    let mut changes = changes.await.unwrap();
    let code = changes.remove(4);
    assert!(code.starts_with("code: 01234567 → "), "{code}");
    insta::assert_snapshot!(changes.join("\n"), @"
    role: r → new
    timeout: 60 s → 30 s
    environment: another → TABLE_NAME added, TTL_DAYS changed
    tracing: off → on
    reserved concurrency: none → 5
    ");
}

#[tokio::test]
async fn what_lambda_would_refuse_is_refused_before_any_call() {
    let role = "role = \"arn:aws:iam::000000000000:role/r\"";
    let mut refusals = Vec::new();
    for properties in [
        format!("name = \"a b\"\n{role}"),
        format!("name = \"it\"\n{role}\nmemory_mb = 100"),
        format!("name = \"it\"\n{role}\ntimeout_seconds = 0"),
        format!("name = \"it\"\n{role}\nenvironment = {{ AWS_REGION = \"eu-west-1\" }}"),
        format!("name = \"it\"\n{role}\narchitecture = \"riscv\""),
    ] {
        refusals.push(with(&properties, &[], |_| ()).await.unwrap_err().to_string());
    }
    for handler in ["nobody", "./nowhere.zip", ""] {
        let properties = format!("name = \"it\"\n{role}\nhandler = \"{handler}\"");
        let error = with(&properties, &[], |it| {
            it.diff(&Observed::Absent, &Dependencies::default()).unwrap_err()
        });
        refusals.push(error.await.unwrap().to_string());
    }
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    "a b" is not a function name
    memory of 100 MB is out of range: Lambda takes 128 to 10240 MB
    the timeout is 0s: it must be between 1s and 15m
    environment variable AWS_REGION is reserved: Lambda sets it itself
    "riscv" is neither x86_64 nor arm64
    there is no bundled handler "nobody"
    could not read ./nowhere.zip
    there is no function it, and no code was given to create it
    "#);
}

#[tokio::test]
async fn without_code_the_code_stays() {
    let properties = "name = \"it\"\nrole = \"arn:aws:iam::000000000000:role/r\"\nmemory_mb = 512";
    let changes = with(properties, &[], |it| {
        let observed = there(it, |state| {
            state.code_sha256 = "abc".into();
            state.handler = "theirs".into();
        });
        words(it, &observed)
    });
    assert_eq!(changes.await.unwrap(), ["memory: 256 MB → 512 MB"]);
    let moved = format!("{properties}\narchitecture = \"{}\"", other());
    let changes = with(&moved, &[], |it| words(it, &there(it, |_| {})))
        .await
        .unwrap();
    assert!(changes[1].contains("without code for it"), "{changes:?}");
}

fn other() -> Architecture {
    match Architecture::here() {
        Architecture::X86_64 => Architecture::Arm64,
        Architecture::Arm64 => Architecture::X86_64,
    }
}
