use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::*;

/// A machine with these variables and shared AWS files.
fn resolve(flags: &Flags, vars: &[(&str, &str)], files: &[&str], toml: &str) -> Result<Settings> {
    let vars: HashMap<String, String> = vars.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    Settings::resolve(
        flags,
        &Sources {
            env: &|name| vars.get(name).cloned(),
            file: toml::from_str(toml).unwrap(),
            exists: &|path: &Path| files.iter().any(|f| f == path),
            is_ec2: &|| false,
            home_dir: Some("/home/u".into()),
            data_dir: Some("/home/u/.local/share".into()),
        },
    )
}

fn target(vars: &[(&str, &str)], files: &[&str], toml: &str) -> (Target, TargetReason) {
    let settings = resolve(&Flags::default(), vars, files, toml).unwrap();
    (settings.target, settings.target_reason)
}

#[test]
fn a_machine_without_aws_falls_to_local() {
    assert_eq!(target(&[], &[], ""), (Target::Local, TargetReason::NoSignOfAws));
    assert_eq!(target(&[("AWS_REGION", "eu-west-1")], &[], "").0, Target::Local);
    assert_eq!(target(&[("AWS_PROFILE", " ")], &[], "").0, Target::Local);
}

#[test]
fn any_sign_of_aws_means_aws() {
    for name in ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"] {
        assert_eq!(
            target(&[(name, "x")], &[], ""),
            (Target::Aws, TargetReason::SignOfAws),
            "{name}"
        );
    }
    assert_eq!(target(&[], &["/home/u/.aws/config"], "").0, Target::Aws);
}

#[test]
fn the_documented_order_decides() {
    let endpoint = ("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let named = ("STREAMCTL_TARGET", "local");
    assert_eq!(
        target(&[endpoint, named], &[], "").0,
        Target::Endpoint("http://127.0.0.1:9".into())
    );
    assert_eq!(
        target(&[named, ("AWS_PROFILE", "x")], &[], "target = \"aws\"").0,
        Target::Local
    );
    assert_eq!(
        target(&[("AWS_PROFILE", "x")], &[], "target = \"local\"").0,
        Target::Local
    );

    let flags = Flags {
        target: Some(TargetChoice::Local),
        ..Flags::default()
    };
    assert_eq!(
        resolve(&flags, &[endpoint], &[], "").unwrap().target,
        Target::Local
    );
}

#[test]
fn the_default_stream_follows_its_order() {
    let stream =
        |vars: &[(&str, &str)], toml: &str| resolve(&Flags::default(), vars, &[], toml).unwrap().stream;
    assert_eq!(stream(&[], ""), DEFAULT_STREAM);
    assert_eq!(stream(&[], "stream = \"file\""), "file");
    assert_eq!(
        stream(&[("AWS_KINESIS_STREAM_NAME", "env")], "stream = \"file\""),
        "env"
    );
    assert_eq!(
        stream(
            &[("STREAMCTL_STREAM", "own"), ("AWS_KINESIS_STREAM_NAME", "env")],
            ""
        ),
        "own"
    );
}

#[test]
fn nonsense_is_refused_with_the_right_exit_code() {
    use ground::exit::Exit;
    let exit = |vars: &[(&str, &str)]| resolve(&Flags::default(), vars, &[], "").unwrap_err().exit();
    assert_eq!(exit(&[("AWS_KINESIS_SHARD_COUNT", "many")]), Exit::Usage);
    assert_eq!(exit(&[("STREAMCTL_TARGET", "azure")]), Exit::Usage);
    assert_eq!(exit(&[("AWS_ENDPOINT_URL", "127.0.0.1")]), Exit::Usage);
    assert_eq!(exit(&[("AWS_REGION", "europe")]), Exit::Unreachable);
}

#[test]
fn the_file_refuses_unknown_keys() {
    assert!(toml::from_str::<ConfigFile>("sream = \"x\"").is_err());
}
