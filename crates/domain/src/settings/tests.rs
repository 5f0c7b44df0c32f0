use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::*;

/// A machine with these variables and shared AWS files.
fn resolve(flags: &Flags, vars: &[(&str, &str)], files: &[&str], toml: &str) -> Result<Settings> {
    resolve_in(flags, vars, "", files, toml)
}

/// The same with a `.env`.
fn resolve_in(
    flags: &Flags,
    vars: &[(&str, &str)],
    dotenv: &str,
    files: &[&str],
    toml: &str,
) -> Result<Settings> {
    let vars: HashMap<String, String> = vars.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    Settings::resolve(
        flags,
        &Sources {
            env: &|name| vars.get(name).cloned(),
            dotenv: DotEnv::parse(dotenv).unwrap(),
            file: toml::from_str(toml).unwrap(),
            exists: &|path: &Path| files.iter().any(|f| f == path),
            is_ec2: &|| false,
            home_dir: Some("/home/u".into()),
            data_dir: Some("/home/u/.local/share".into()),
        },
    )
}

fn target(vars: &[(&str, &str)], files: &[&str], toml: &str) -> (Target, Source) {
    let settings = resolve(&Flags::default(), vars, files, toml).unwrap();
    (settings.target, settings.target_source)
}

#[test]
fn a_machine_without_aws_falls_to_local() {
    assert_eq!(target(&[], &[], ""), (Target::Local, Source::Default));
    assert_eq!(target(&[("AWS_REGION", "eu-west-1")], &[], "").0, Target::Local);
    assert_eq!(target(&[("AWS_PROFILE", " ")], &[], "").0, Target::Local);
}

#[test]
fn any_sign_of_aws_means_aws() {
    for name in ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"] {
        assert_eq!(
            target(&[(name, "x")], &[], ""),
            (Target::Aws, Source::Machine),
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
    assert_eq!(exit(&[("AWS_REGION", "europe")]), Exit::Usage);
}

#[test]
fn the_file_refuses_unknown_keys() {
    assert!(toml::from_str::<ConfigFile>("sream = \"x\"").is_err());
}

#[test]
fn an_endpoint_is_the_url_of_a_host() {
    for url in [
        "http://127.0.0.1:4566",
        "https://vpce-1.kinesis.us-east-1.vpce.amazonaws.com",
        "http://[::1]:1/x",
    ] {
        assert!(is_endpoint(url), "{url}");
    }
    for url in [
        "127.0.0.1:4566",
        "ftp://host",
        "http://",
        "http://a b",
        "http://127.0.0.1:80@example.com",
        "file:///etc",
    ] {
        assert!(!is_endpoint(url), "{url}");
    }
}

#[test]
fn only_addresses_of_this_machine_are_loopback() {
    for url in [
        "http://127.0.0.1:4566",
        "http://127.8.9.1",
        "https://localhost:1/x",
        "http://[::1]:80",
    ] {
        assert!(is_loopback(url), "{url}");
    }
    for url in [
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://127.0.0.1@example.com",
        "http://10.0.0.1",
        "http://[fd00::1]",
        "",
    ] {
        assert!(!is_loopback(url), "{url}");
    }
}

fn profile_flag() -> Flags {
    Flags {
        profile: Some("flag".into()),
        ..Flags::default()
    }
}

/// Where credentials come from, in a word, and the profile.
fn who(flags: &Flags, vars: &[(&str, &str)], dotenv: &str, toml: &str) -> String {
    let settings = resolve_in(flags, vars, dotenv, &["/home/u/.aws/config"], toml).unwrap();
    let source = match &settings.access.credentials {
        CredentialSource::Machine => "machine".to_owned(),
        CredentialSource::Variables => "variables".to_owned(),
        CredentialSource::Profile => "only the profile".to_owned(),
        CredentialSource::Keys(keys) => format!("keys {}", keys.access_key_id()),
        CredentialSource::Incomplete { set, missing, .. } => format!("{set} without {missing}"),
    };
    format!(
        "{source}, profile {}",
        settings.profile.as_deref().unwrap_or("default")
    )
}

#[test]
fn credentials_follow_their_order() {
    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "env"), ("AWS_SECRET_ACCESS_KEY", "s")];
    const PROFILE: (&str, &str) = ("AWS_PROFILE", "env");
    const OLD_PROFILE: (&str, &str) = ("AWS_DEFAULT_PROFILE", "old");
    const DOTENV_KEYS: &str = "AWS_ACCESS_KEY_ID=dot\nAWS_SECRET_ACCESS_KEY=s\n";
    const DOTENV_PROFILE: &str = "AWS_PROFILE=dot\n";
    const TOML: &str = "profile = \"toml\"";
    let both = [KEYS[0], KEYS[1], PROFILE];
    let (none, flag) = (Flags::default(), profile_flag());
    let all_dotenv = format!("{DOTENV_KEYS}{DOTENV_PROFILE}");
    for (flags, vars, dotenv, toml, expected) in [
        // A flag before everything.
        (
            &flag,
            &both[..],
            all_dotenv.as_str(),
            TOML,
            "only the profile, profile flag",
        ),
        // Keys before a profile, as in the AWS CLI; the profile still has the region.
        (&none, &both, &all_dotenv, TOML, "variables, profile env"),
        // A file's profile is not even looked at where the environment has keys.
        (&none, &KEYS, &all_dotenv, TOML, "variables, profile default"),
        (&none, &[PROFILE], &all_dotenv, TOML, "machine, profile env"),
        (&none, &[OLD_PROFILE], &all_dotenv, TOML, "machine, profile old"),
        (&none, &[PROFILE, OLD_PROFILE], "", "", "machine, profile env"),
        (&none, &[], &all_dotenv, TOML, "keys dot, profile default"),
        (&none, &[], DOTENV_PROFILE, TOML, "machine, profile dot"),
        (&none, &[], "", TOML, "machine, profile toml"),
        (&none, &[], "", "", "machine, profile default"),
        // Half a pair never falls to another account, nor is it completed from elsewhere.
        (
            &none,
            &KEYS[..1],
            DOTENV_KEYS,
            TOML,
            "AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY, profile default",
        ),
        (
            &none,
            &KEYS[1..],
            DOTENV_KEYS,
            "",
            "AWS_SECRET_ACCESS_KEY without AWS_ACCESS_KEY_ID, profile default",
        ),
        (
            &none,
            &[],
            "AWS_ACCESS_KEY_ID=dot",
            TOML,
            "AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY, profile default",
        ),
    ] {
        assert_eq!(
            who(flags, vars, dotenv, toml),
            expected,
            "{vars:?} {dotenv:?} {toml:?}"
        );
    }
}

#[test]
fn keys_are_taken_from_one_place() {
    let settings = resolve_in(
        &Flags::default(),
        &[("AWS_SESSION_TOKEN", "of another pair")],
        "AWS_ACCESS_KEY_ID=dot\nAWS_SECRET_ACCESS_KEY=s",
        &[],
        "",
    )
    .unwrap();
    let CredentialSource::Keys(keys) = &settings.access.credentials else {
        panic!("{settings:?}")
    };
    assert_eq!(keys.session_token(), None);
    assert!(
        !format!("{settings:?}").contains("\"s\""),
        "a secret is not shown"
    );
}

#[test]
fn dotenv_stands_between_the_environment_and_the_file() {
    let stream = |vars: &[(&str, &str)], dotenv: &str| {
        resolve_in(&Flags::default(), vars, dotenv, &[], "stream = \"file\"")
            .unwrap()
            .stream
    };
    assert_eq!(stream(&[], "AWS_KINESIS_STREAM_NAME=dot"), "dot");
    assert_eq!(
        stream(&[("AWS_KINESIS_STREAM_NAME", "env")], "STREAMCTL_STREAM=dot"),
        "env"
    );
    assert_eq!(stream(&[], "OTHER=1"), "file");
    let settings = resolve_in(
        &Flags::default(),
        &[],
        "STREAMCTL_HOME=/evil\nAWS_ENDPOINT_URL=http://evil",
        &[],
        "",
    );
    let settings = settings.unwrap();
    assert_eq!(settings.home, PathBuf::from("/home/u/.local/share/streamctl"));
    assert_eq!(settings.target, Target::Local);
}

#[test]
fn target_aws_ignores_endpoints_and_says_which() {
    let vars = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:2"),
    ];
    let access = |flags: &Flags, vars: &[(&str, &str)]| resolve(flags, vars, &[], "").unwrap().access;
    let aws = Flags {
        target: Some(TargetChoice::Aws),
        ..Flags::default()
    };
    let ignoring = access(&aws, &vars);
    assert_eq!(ignoring.ignored, ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"]);
    assert!(ignoring.endpoints.is_empty() && !ignoring.profile_endpoints);

    let following = access(&Flags::default(), &vars);
    assert_eq!(following.endpoints["Kinesis"], "http://127.0.0.1:2");
    assert!(following.ignored.is_empty());

    let off = [
        vars[0],
        vars[1],
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
        ("AWS_PROFILE", "x"),
    ];
    let settings = resolve(&Flags::default(), &off, &[], "").unwrap();
    assert_eq!(settings.target, Target::Aws);
    assert!(settings.access.endpoints.is_empty() && !settings.access.profile_endpoints);
    // Only an unnamed target leaves the choice to the profile.
    assert!(access(&Flags::default(), &[("AWS_PROFILE", "x")]).profile_endpoints);
    assert!(!access(&Flags::default(), &[("STREAMCTL_TARGET", "aws")]).profile_endpoints);
}

#[test]
fn a_file_of_the_directory_cannot_name_a_foreign_endpoint_before_it_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("streamctl.toml");
    let untrusted = |text: &str, named: bool, flags: &Flags| {
        std::fs::write(&path, text).unwrap();
        let home = dir.path().join("home").display().to_string();
        let settings = Settings::resolve(
            flags,
            &Sources {
                env: &|name| (name == "STREAMCTL_HOME").then(|| home.clone()),
                dotenv: DotEnv::default(),
                file: ConfigFile::read(&path, named).unwrap(),
                exists: &|_| false,
                is_ec2: &|| false,
                home_dir: None,
                data_dir: None,
            },
        );
        settings.unwrap().access.untrusted
    };
    let none = Flags::default();
    let text = "endpoint_url = \"https://example.com\"";
    assert_eq!(untrusted(text, false, &none), Some(path.clone()));
    assert_eq!(untrusted(text, true, &none), None, "--config names the file");
    let flag = Flags {
        endpoint_url: Some("https://example.org".into()),
        ..Flags::default()
    };
    assert_eq!(
        untrusted(text, false, &flag),
        None,
        "the endpoint is that of the flag"
    );
    assert_eq!(
        untrusted("endpoint_url = \"http://127.0.0.1:1\"", false, &none),
        None
    );
    assert_eq!(
        untrusted("endpoint_url = \"http://127.0.0.1.example.com\"", false, &none),
        Some(path.clone())
    );

    let trust = Trust::new(&dir.path().join("home"));
    trust.add(&path, text).unwrap();
    assert_eq!(untrusted(text, false, &none), None);
    assert_eq!(
        untrusted(&format!("{text} # edited"), false, &none),
        Some(path.clone())
    );
    assert_eq!(untrusted(text, false, &none), None, "as it was trusted");
    trust.remove(&path).unwrap();
    assert_eq!(untrusted(text, false, &none), Some(path.clone()));
}

#[test]
fn every_setting_says_where_it_comes_from() {
    let vars: HashMap<&str, &str> = [("AWS_DEFAULT_REGION", "eu-west-1")].into();
    let file: ConfigFile = toml::from_str("shard_count = 3\nprofile = \"work\"").unwrap();
    let sources = Sources {
        env: &|name| vars.get(name).map(|value| (*value).to_owned()),
        dotenv: DotEnv::parse(
            "STREAMCTL_STREAM=orders\nAWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=top-secret",
        )
        .unwrap(),
        file,
        exists: &|_| false,
        is_ec2: &|| false,
        home_dir: None,
        data_dir: Some("/data".into()),
    };
    let (_, all) = Settings::explain(&Flags::default(), &sources).unwrap();
    let lines: Vec<String> = all
        .iter()
        .map(|one| {
            format!(
                "{} {} ({})",
                one.name,
                one.value.as_deref().unwrap_or("-"),
                one.source
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    target aws (AWS configuration of this machine)
    region eu-west-1 (AWS_DEFAULT_REGION)
    profile - (default)
    credentials keys (AWS_ACCESS_KEY_ID in .env)
    stream orders (STREAMCTL_STREAM in .env)
    shard_count 3 (streamctl.toml)
    environment - (default)
    timeout - (default)
    home /data/streamctl (default)
    ");
}

const PAGE: &str = include_str!("../../../../docs/settings.md");

/// Cells of the table of precedence, each as a list of names.
fn precedence() -> Vec<Vec<Vec<&'static str>>> {
    let (_, section) = PAGE.split_once("\n## Precedence\n").unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let names = |cell: &'static str| {
        let names = cell.split(',').map(|name| name.trim().trim_matches('`'));
        names.filter(|name| !name.is_empty()).collect()
    };
    let cells = |row: &'static str| row.trim_matches('|').split('|').map(names).collect();
    rows.map(cells).collect()
}

/// A value that `name` takes, for the setting `setting`.
fn sample(setting: &str, name: &str) -> &'static str {
    match (setting, name) {
        ("target", "AWS_ENDPOINT_URL" | "endpoint_url" | "--endpoint-url") => "http://127.0.0.1:9",
        ("target", _) => "aws",
        ("region", _) => "eu-west-1",
        ("shard_count", _) => "3",
        ("timeout", _) => "5s",
        _ => "sample",
    }
}

/// Where `setting` comes from if each of `names`, in their places from flag to file, is set and nothing before them.
fn source_of(setting: &str, names: &[(usize, &str)]) -> String {
    let (mut flags, mut vars, mut dotenv, mut toml) =
        (Flags::default(), HashMap::new(), String::new(), String::new());
    for (place, name) in names {
        let value = sample(setting, name).to_owned();
        match (place, *name) {
            (0, "--target") => flags.target = Some(TargetChoice::Aws),
            (0, "--endpoint-url") => flags.endpoint_url = Some(value),
            (0, "--region") => flags.region = Some(value),
            (0, "--profile") => flags.profile = Some(value),
            (0, "--timeout") => flags.timeout = Some(Duration::from_secs(5)),
            (1, name) => drop(vars.insert(name.to_owned(), value)),
            (2, name) => dotenv.push_str(&format!("{name}={value}\n")),
            (3, "shard_count") => toml.push_str("shard_count = 3\n"),
            (3, name) => toml.push_str(&format!("{name} = \"{value}\"\n")),
            (_, name) => panic!("{name} is not known"),
        }
    }
    let sources = Sources {
        env: &|name| vars.get(name).cloned(),
        dotenv: DotEnv::parse(&dotenv).unwrap(),
        file: toml::from_str(&toml).unwrap(),
        exists: &|_| false,
        is_ec2: &|| false,
        home_dir: Some("/home/u".into()),
        data_dir: Some("/home/u/.local/share".into()),
    };
    let (_, explained) = Settings::explain(&flags, &sources).unwrap();
    let found = explained.iter().find(|one| one.name == setting).unwrap();
    found.source.to_string()
}

#[test]
fn each_row_of_the_table_of_precedence_is_true() {
    let rows = precedence();
    let mut settings: Vec<&str> = rows.iter().map(|row| row[0][0]).collect();
    for row in rows {
        let setting = row[0][0];
        let places: Vec<(usize, &str)> = row[1..5]
            .iter()
            .enumerate()
            .flat_map(|(place, names)| names.iter().map(move |name| (place, *name)))
            .collect();
        assert!(!places.is_empty(), "{setting}");
        for (at, (place, name)) in places.iter().enumerate() {
            let expected = match place {
                2 => format!("{name} in .env"),
                3 => "streamctl.toml".to_owned(),
                _ => (*name).to_owned(),
            };
            assert_eq!(source_of(setting, &places[at..]), expected, "{setting}");
        }
        assert_eq!(source_of(setting, &[]), "default", "{setting}");
    }
    // No setting is missing but the credentials, which have no single name.
    settings.push("credentials");
    settings.sort_unstable();
    let sources = Sources {
        env: &|_| None,
        dotenv: DotEnv::default(),
        file: ConfigFile::default(),
        exists: &|_| false,
        is_ec2: &|| false,
        home_dir: None,
        data_dir: Some("/data".into()),
    };
    let (_, explained) = Settings::explain(&Flags::default(), &sources).unwrap();
    let mut known: Vec<&str> = explained.iter().map(|one| one.name).collect();
    known.sort_unstable();
    assert_eq!(settings, known);
}
