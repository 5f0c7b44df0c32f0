//! The kind `site`: files behind a distribution, from a manifest of the user.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::policies::{User, actions, without};
use crate::support::{Cloud, block_on};

const MANIFEST: &str = r#"
name = "shop"
description = "A page of a shop"
instance = "main"

[parameters.api]
type = "string"
description = "Address of the API"
default = "http://api.example"

[[resources]]
kind = "bucket"
id = "pages"
[resources.properties]
name = "shop-pages-000000000000"

[[resources]]
kind = "site"
id = "page"
[resources.properties]
name = "shop"
bucket = "${pages.name}"
files = "web"
config = { api_url = "${api}" }
error_page = "index.html"

[outputs]
url = "${page.url}"
id = "${page.id}"
"#;

/// A cloud with the manifest and a page.
fn cloud() -> Cloud {
    let cloud = Cloud::start();
    write_files(&cloud);
    cloud
}

/// Writes the manifest and the page.
pub fn write_files(cloud: &Cloud) {
    cloud.file("shop.toml", MANIFEST);
    std::fs::create_dir_all(cloud.path().join("web/css")).unwrap();
    cloud.file("web/index.html", "<!doctype html><p>one");
    cloud.file("web/css/style.css", "p { color: red }");
    cloud.file("web/old.js", "old()");
}

/// A GET of the local cloud with this host: status, head and body.
fn get(cloud: &Cloud, host: &str, path: &str) -> (u16, String, String) {
    let address = cloud.endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn keys(cloud: &Cloud) -> Vec<String> {
    let s3 = aws_sdk_s3::config::Builder::from(&cloud.sdk()).force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(s3.build());
    let list = s3.list_objects_v2().bucket("shop-pages-000000000000");
    let page = block_on(list.send()).unwrap();
    page.contents()
        .iter()
        .map(|one| one.key().unwrap().to_owned())
        .collect()
}

#[test]
fn a_site_is_set_up_shown_changed_and_destroyed() {
    let cloud = cloud();
    cloud.ok(["setup", "-f", "shop.toml"]);
    cloud.ok(["plan", "--check", "-f", "shop.toml"]);
    let verified = cloud.ok(["verify", "-f", "shop.toml"]);
    let words: Vec<&str> = verified.split_whitespace().collect();
    assert!(words.join(" ").contains("answers index.html"), "{verified}");
    let outputs = cloud.json(["outputs", "-f", "shop.toml"]);
    let url = outputs["url"].as_str().unwrap();
    let host = url.strip_prefix("http://").unwrap();
    let page = |path: &str| get(&cloud, host, path);

    let (status, head, body) = page("/");
    assert_eq!((status, body.as_str()), (200, "<!doctype html><p>one"));
    for header in [
        "content-type: text/html; charset=utf-8",
        "cache-control: public, max-age=0, s-maxage=86400",
        "x-content-type-options: nosniff",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    assert!(page("/css/style.css").1.contains("content-type: text/css"));
    let (_, head, config) = page("/config.js");
    assert!(head.contains("content-type: text/javascript"), "{head}");
    assert_eq!(
        config,
        "window.CONFIG = {\n  \"api_url\": \"http://api.example\"\n};\n"
    );
    // A path of the page, without a file.
    assert_eq!(page("/orders/7").2, "<!doctype html><p>one");
    let id = outputs["id"].as_str().unwrap();
    let below = get(&cloud, "127.0.0.1", &format!("/_cloudfront/{id}/old.js"));
    assert_eq!((below.0, below.2.as_str()), (200, "old()"));

    cloud.file("web/index.html", "<!doctype html><p>two");
    cloud.file("web/.hidden", "secret");
    std::fs::remove_file(cloud.path().join("web/old.js")).unwrap();
    let plan = cloud.streamctl(["plan", "-f", "shop.toml"]).output().unwrap();
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(
        plan.contains("1 changed (index.html)") && plan.contains("1 gone (old.js)"),
        "{plan}"
    );
    cloud.ok(["setup", "-f", "shop.toml", "--param", "api=http://other.example"]);
    assert_eq!(page("/").2, "<!doctype html><p>two");
    assert!(page("/config.js").2.contains("http://other.example"));
    assert_eq!(keys(&cloud), ["config.js", "css/style.css", "index.html"]);
    cloud.ok([
        "plan",
        "--check",
        "-f",
        "shop.toml",
        "--param",
        "api=http://other.example",
    ]);

    cloud.ok(["destroy", "-f", "shop.toml", "--yes"]);
    assert_eq!(page("/").0, 403);
    cloud.ok(["destroy", "-f", "shop.toml", "--yes"]);
    // Everything can be made again.
    cloud.ok(["setup", "-f", "shop.toml"]);
    cloud.ok(["plan", "--check", "-f", "shop.toml"]);
}

#[cfg(unix)]
#[test]
fn the_page_is_opened_or_its_address_printed() {
    let cloud = cloud();
    let missing = cloud.fails(1, ["open", "-f", "shop.toml"]);
    assert!(missing.contains("streamctl setup -f shop.toml"), "{missing}");
    let none = cloud.fails(2, ["open", "stream"]);
    assert!(none.contains("has no page"), "{none}");
    cloud.ok(["setup", "-f", "shop.toml"]);
    let url = cloud.json(["outputs", "-f", "shop.toml"])["url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(cloud.ok(["open", "-f", "shop.toml", "--print"]).trim(), url);
    // Without a screen there is no browser.
    let opened = cloud.json(["open", "-f", "shop.toml"]);
    assert_eq!(
        (&opened["url"], &opened["opened"]),
        (&url.clone().into(), &false.into())
    );

    let browser = cloud.file("xdg-open", "#!/bin/sh\necho \"$1\" > \"$HOME/opened\"\n");
    std::fs::set_permissions(&browser, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    if cfg!(target_os = "macos") {
        return;
    }
    let path = format!("{}:/usr/bin:/bin", cloud.path().display());
    let output = cloud
        .streamctl(["open", "-f", "shop.toml", "-o", "json"])
        .env("DISPLAY", ":0")
        .env("PATH", path)
        .output()
        .unwrap();
    let opened: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(opened["opened"], true);
    let started = std::time::Instant::now();
    let file = cloud.path().join("opened");
    while std::fs::read_to_string(&file).unwrap_or_default().trim() != url {
        assert!(started.elapsed().as_secs() < 30, "the browser was not started");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn files_outside_of_the_directory_are_refused_before_any_call() {
    let cloud = cloud();
    for path in ["../web", "/etc", "web/../../x", "${api}"] {
        let manifest = MANIFEST.replace("files = \"web\"", &format!("files = {path:?}"));
        cloud.file("bad.toml", manifest);
        let refused = cloud.fails(2, ["setup", "-f", "bad.toml"]);
        assert!(refused.contains("property files"), "{path}: {refused}");
    }
    let manifest = MANIFEST.replace(
        "files = \"web\"",
        "files = { base = { beside = \"/etc\" }, path = \"ssl\" }",
    );
    cloud.file("bad.toml", manifest);
    let refused = cloud.fails(2, ["setup", "-f", "bad.toml"]);
    assert!(refused.contains("give the path of a directory"), "{refused}");
}

/// Actions of the policy that a new site and its deletion can do without: a later change needs them.
const OF_CHANGES: &[&str] = &["cloudfront:CreateInvalidation", "s3:DeleteBucketPolicy"];

#[test]
fn an_operator_needs_each_action_for_cloudfront() {
    let cloud = cloud();
    let output = cloud
        .streamctl(["plan", "-f", "shop.toml", "--iam"])
        .output()
        .unwrap();
    let whole: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let operator = User::new(&cloud, "operator");
    operator.allow(&whole);
    operator.may(&["setup", "-f", "shop.toml"]);
    operator.may(&["destroy", "-f", "shop.toml", "--yes"]);
    let of_cloudfront = actions(&whole);
    let of_cloudfront = of_cloudfront
        .iter()
        .filter(|action| action.starts_with("cloudfront:") && !OF_CHANGES.contains(&action.as_str()));
    for action in of_cloudfront {
        operator.allow(&without(&whole, action));
        let (made, said) = operator.run(&["setup", "-f", "shop.toml"]);
        let (gone, said_later) = operator.run(&["destroy", "-f", "shop.toml", "--yes"]);
        assert!(
            made != 0 || gone != 0,
            "{action} is not needed: {said}{said_later}"
        );
        operator.allow(&whole);
        operator.may(&["destroy", "-f", "shop.toml", "--yes"]);
    }
    operator.may(&["setup", "-f", "shop.toml"]);
    cloud.file("web/index.html", "<p>three");
    operator.allow(&without(&whole, "cloudfront:CreateInvalidation"));
    operator.may_not(&["setup", "-f", "shop.toml"]);
    operator.allow(&whole);
    operator.may(&["setup", "-f", "shop.toml"]);
    operator.may(&["plan", "--check", "-f", "shop.toml"]);
}
