//! Functions behind HTTP: an HTTP API, a function URL and a bucket that notifies, from a manifest of the user.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::contents::until;
use crate::functions::compiled;
use crate::support::{Cloud, block_on};

const MANIFEST: &str = r#"
name = "shop"
description = "Functions behind HTTP"
instance = "main"

[[resources]]
kind = "role"
id = "role"
[resources.properties]
name = "shop-role"
service = "lambda.amazonaws.com"

[[resources]]
kind = "log_group"
id = "logs"
[resources.properties]
name = "/aws/lambda/shop-echo"

[[resources]]
kind = "function"
id = "echo"
[resources.properties]
name = "shop-echo"
handler = "HANDLER"
role = "${role.arn}"
environment = { JOURNAL = "JOURNAL_FILE" }

[[resources]]
kind = "log_group"
id = "requests"
[resources.properties]
name = "/apis/shop"

[[resources]]
kind = "http_api"
id = "api"
[resources.properties]
name = "shop"
function = "${echo.arn}"
routes = ["GET /items/{id}", "POST /items"]
log_group = "${requests.name}"
cors = { allow_origins = ["*"], allow_methods = ["GET", "POST"] }

[[resources]]
kind = "function_url"
id = "url"
[resources.properties]
function = "${echo.name}"

[[resources]]
kind = "bucket"
id = "images"
[resources.properties]
name = "shop-images-000000000000"
cors = [{ allow_origins = ["*"], allow_methods = ["PUT", "GET"], allow_headers = ["*"] }]

[[resources]]
kind = "bucket_notification"
id = "uploads"
[resources.properties]
bucket = "${images.name}"
function = "${echo.arn}"
prefix = "incoming/"

[outputs]
api = "${api.url}"
url = "${url.url}"
"#;

/// What a URL of the local cloud answers.
pub struct Answer {
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let of_name = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| value.trim()).collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{} {}", self.head, self.text()))
    }
}

/// Sends a request to a URL of the local cloud. Each of `headers` ends with a line end.
pub fn exchange(method: &str, url: &str, headers: &str, body: &[u8]) -> Answer {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head,
        body: answer.split_off(end + 4),
    }
}

/// Status and body.
fn send(method: &str, url: &str, headers: &str, body: &str) -> (u16, String) {
    let answer = exchange(method, url, headers, body.as_bytes());
    (answer.status, answer.text())
}

/// Routes and statuses in an access log, once it has three requests.
fn logged_routes(cloud: &Cloud, group: &str) -> Result<Vec<String>, String> {
    let logs = aws_sdk_cloudwatchlogs::Client::new(&cloud.sdk());
    let call = logs.filter_log_events().log_group_name(group);
    let found = block_on(call.send()).unwrap();
    let lines = found.events().iter().filter_map(|event| event.message());
    let routes: Vec<String> = lines
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| line[name].as_str().unwrap().to_owned();
            format!("{} {}", text("route"), text("status"))
        })
        .collect();
    if routes.len() == 3 {
        Ok(routes)
    } else {
        Err(format!("{routes:?}"))
    }
}

#[test]
fn functions_behind_http_are_set_up_once_and_called_and_destroyed() {
    let cloud = Cloud::start();
    let handler = compiled::executable().to_str().unwrap();
    let journal = cloud.path().join("journal");
    let manifest = MANIFEST.replace("HANDLER", handler);
    cloud.file(
        "shop.toml",
        manifest.replace("JOURNAL_FILE", journal.to_str().unwrap()),
    );
    cloud.ok(["setup", "-f", "shop.toml"]);
    cloud.ok(["plan", "--check", "-f", "shop.toml"]);
    cloud.ok(["verify", "-f", "shop.toml"]);
    let outputs = cloud.json(["outputs", "-f", "shop.toml"]);
    let output = |name: &str| outputs[name].as_str().unwrap().to_owned();
    let (api, url) = (output("api"), output("url"));

    let json = "Content-Type: application/json\r\nOrigin: https://shop.example\r\n";
    let (status, body) = send("POST", &format!("{api}/items"), json, "{\"price\":29.99}");
    assert_eq!(status, 200, "{body}");
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(event["body"], "{\"price\":29.99}");
    assert_eq!(event["requestContext"]["routeKey"], "POST /items");
    let (_, body) = send("GET", &format!("{api}/items/7?a=1"), "", "");
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(event["pathParameters"]["id"], "7");
    let (status, body) = send("GET", &format!("{api}/other"), "", "");
    assert_eq!((status, body.as_str()), (404, "{\"message\":\"Not Found\"}"));
    let (status, body) = send("GET", &format!("{url}/any"), "", "");
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &event["rawPath"]), (200, &Value::from("/any")));
    let mut routes = until("lines of three requests", || logged_routes(&cloud, "/apis/shop"));
    routes.sort();
    assert_eq!(routes, ["- 404", "GET /items/{id} 200", "POST /items 200"]);

    let s3 = aws_sdk_s3::config::Builder::from(&cloud.sdk()).force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(s3.build());
    let put = s3.put_object().bucket("shop-images-000000000000");
    block_on(put.key("incoming/a.jpg").send()).unwrap();
    let started = std::time::Instant::now();
    while !std::fs::read_to_string(&journal)
        .unwrap()
        .contains("incoming/a.jpg")
    {
        assert!(started.elapsed().as_secs() < 30, "the function was not invoked");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }

    cloud.ok(["destroy", "-f", "shop.toml", "--yes"]);
    let (status, _) = send("GET", &format!("{url}/any"), "", "");
    assert_eq!(status, 404);
    let (status, _) = send("GET", &format!("{api}/items/7"), "", "");
    assert_eq!(status, 404);
}
