//! Whose credentials are used, and where they go: flag, environment, `.env`, `streamctl.toml`, profile, web identity,
//! container, instance.

use assert_cmd::Command;

use crate::fake::{Answer, Fake, Request};
use crate::support::Machine;

const SHARED: &str = "\
[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = s\n\
[profile dev]\naws_access_key_id = DEV\naws_secret_access_key = s\n\
[profile role]\nrole_arn = arn:aws:iam::111122223333:role/r\nsource_profile = dev\n\
[profile bare]\nregion = eu-west-1\n";

const KEYS: &[(&str, &str)] = &[("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "s")];
const DOTENV_KEYS: &str = "AWS_ACCESS_KEY_ID=DOTENV\nAWS_SECRET_ACCESS_KEY=s\n";

/// STS, the container's and the instance's credentials, and Kinesis.
fn answer(request: &Request) -> Answer {
    let keys = |id: &str| {
        format!(
            r#"{{"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}}"#
        )
    };
    let assumed = |action: &str, id: &str| {
        format!(
            "<{action}Response><{action}Result><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s\
             </SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
             </{action}Result></{action}Response>"
        )
    };
    let body = match request.operation.as_str() {
        "Kinesis_20131202.ListStreams" => r#"{"StreamNames":[],"HasMoreStreams":false}"#.to_owned(),
        "AssumeRole" => assumed("AssumeRole", "ROLE"),
        "AssumeRoleWithWebIdentity" => assumed("AssumeRoleWithWebIdentity", "WEB"),
        "GET /container" => keys("CONTAINER"),
        "PUT /latest/api/token" => "token".to_owned(),
        "GET /latest/meta-data/iam/security-credentials/" => "instance".to_owned(),
        "GET /latest/meta-data/iam/security-credentials/instance" => keys("INSTANCE"),
        _ => return (404, "{}".to_owned()),
    };
    (200, body)
}

/// A machine and the endpoints that it can ask.
struct World {
    machine: Machine,
    fake: Fake,
}

impl World {
    fn new() -> Self {
        let world = Self {
            machine: Machine::new(),
            fake: Fake::start(answer),
        };
        world.machine.file("shared-config", SHARED);
        world.machine.file("token", "jwt");
        world
    }

    /// `streamctl list` on AWS, whose Kinesis and STS are the fake.
    fn command(&self, args: &[&str], files: (&str, &str), variables: &[(&str, &str)]) -> Command {
        self.machine.file(".env", files.0);
        self.machine.file("streamctl.toml", files.1);
        let mut command = self.machine.streamctl(["list"]);
        command
            .args(args)
            .env("STREAMCTL_TARGET", "aws")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_CONFIG_FILE", self.machine.path().join("shared-config"))
            .env("AWS_ENDPOINT_URL_KINESIS", &self.fake.url)
            .env("AWS_ENDPOINT_URL_STS", &self.fake.url)
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &self.fake.url);
        for (name, value) in variables {
            match *name {
                "CONTAINER" => command.env(
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    format!("{}/container", self.fake.url),
                ),
                "WEB" => command
                    .env("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/w")
                    .env("AWS_WEB_IDENTITY_TOKEN_FILE", self.machine.path().join("token")),
                "NO_PROFILES" => command.env("AWS_CONFIG_FILE", self.machine.path().join("none")),
                name => command.env(name, value),
            };
        }
        command
    }
}

#[test]
fn the_documented_order_decides_who_asks() {
    let world = World::new();
    let all: Vec<(&str, &str)> = [
        KEYS,
        &[("AWS_PROFILE", "default"), ("CONTAINER", ""), ("WEB", "")],
    ]
    .concat();
    let toml = "profile = \"dev\"";
    let container = ("CONTAINER", "");
    let bare_machine = ("NO_PROFILES", "");
    let both: &[(&str, &str)] = &[KEYS[0], KEYS[1], ("AWS_PROFILE", "dev")];
    for (args, files, variables, expected) in [
        (
            &["--profile", "dev"][..],
            (DOTENV_KEYS, "profile = \"bare\""),
            all.as_slice(),
            "DEV",
        ),
        (&["--profile", "role"], (DOTENV_KEYS, toml), &all, "ROLE"),
        // A profile without credentials of its own takes those of the container, and never the keys of the environment.
        (&["--profile", "bare"], (DOTENV_KEYS, toml), &all, "CONTAINER"),
        (&[], (DOTENV_KEYS, toml), both, "ENV"),
        (&[], (DOTENV_KEYS, "profile = \"no-such\""), KEYS, "ENV"),
        (
            &[],
            (DOTENV_KEYS, ""),
            &[("AWS_PROFILE", "dev"), container],
            "DEV",
        ),
        (&[], (DOTENV_KEYS, toml), &[container], "DOTENV"),
        (
            &[],
            ("AWS_PROFILE=dev\n", "profile = \"bare\""),
            &[container],
            "DEV",
        ),
        (&[], ("", toml), &[container, ("WEB", "")], "DEV"),
        (&[], ("", ""), &[container, ("WEB", "")], "DEFAULT"),
        (&[], ("", ""), &[bare_machine, container, ("WEB", "")], "WEB"),
        (&[], ("", ""), &[bare_machine, container], "CONTAINER"),
        (&[], ("", ""), &[bare_machine], "INSTANCE"),
    ] {
        let output = world.command(args, files, variables).output().unwrap();
        let seen = world.fake.seen();
        let case = format!(
            "{args:?} {files:?} {variables:?}: {seen:?} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{case}");
        assert_eq!(
            seen.last().unwrap(),
            &format!("Kinesis_20131202.ListStreams by {expected}"),
            "{case}"
        );
        if expected == "ROLE" {
            assert_eq!(seen[0], "AssumeRole by DEV", "{case}");
        }
    }
}

#[test]
fn what_does_not_exist_or_is_incomplete_is_an_error_and_nothing_is_asked() {
    let world = World::new();
    let instance = ("NO_PROFILES", "");
    for (args, files, variables, expected) in [
        (
            &["--profile", "nope"][..],
            ("", ""),
            KEYS,
            "there is no AWS profile \"nope\"",
        ),
        (
            &[],
            ("", ""),
            &[("AWS_PROFILE", "nope")],
            "there is no AWS profile \"nope\"",
        ),
        (
            &[],
            ("AWS_PROFILE=nope", ""),
            &[],
            "there is no AWS profile \"nope\"",
        ),
        (
            &[],
            ("", "profile = \"nope\""),
            &[instance],
            "there is no AWS profile \"nope\"",
        ),
        (
            &[],
            ("", ""),
            &KEYS[..1],
            "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not",
        ),
        (
            &[],
            ("AWS_ACCESS_KEY_ID=x", ""),
            &[],
            "AWS_ACCESS_KEY_ID in .env is set",
        ),
    ] {
        let output = world.command(args, files, variables).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
        assert_eq!(world.fake.seen(), [] as [&str; 0], "{said}");
    }
}

#[test]
fn target_aws_sends_nothing_to_an_endpoint_of_the_environment() {
    let world = World::new();
    world.machine.file(
        "shared-config",
        format!(
            "{SHARED}endpoint_url = {0}\n[profile here]\nrole_arn = arn:aws:iam::111122223333:role/r\nsource_profile = dev\n\
             endpoint_url = {0}\nservices = s\n[services s]\nsts =\n  endpoint_url = {0}\n",
            world.fake.url
        ),
    );
    for profile in ["role", "here"] {
        // There is no network here, or no such key: that it fails is not the point.
        let output = world
            .command(
                &["--target", "aws", "--profile", profile],
                ("", ""),
                &[("AWS_ENDPOINT_URL", &world.fake.url)],
            )
            .timeout(std::time::Duration::from_secs(50))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(world.fake.seen(), [] as [&str; 0], "{said}");
        let note = "AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_KINESIS and AWS_ENDPOINT_URL_STS are ignored: --target aws always uses AWS";
        assert!(said.starts_with(note), "{said}");
    }
}

#[test]
fn an_endpoint_of_the_environment_is_named() {
    let world = World::new();
    let output = world.command(&[], ("", ""), KEYS).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let url = &world.fake.url;
    assert!(
        said.starts_with(&format!(
            "Target: AWS, Kinesis at {url}, STS at {url}, region us-east-1\n"
        )),
        "{said}"
    );
}
