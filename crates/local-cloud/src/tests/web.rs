//! Endpoints for web clients over HTTP, with functions that run.

mod bucket_cors;
mod distributions;
mod function_urls;
mod http_apis;
mod rest_apis;

use std::collections::HashMap;

use aws_sdk_lambda::types::{Environment, FunctionCode, Runtime};

use super::*;
use crate::lambda::tests::scripted;

/// A response as a client sees it.
struct Seen {
    status: u16,
    /// By name in lower case; values of one name are joined by ` | `.
    headers: HashMap<String, String>,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}", self.body))
    }
}

/// A request to an endpoint, without signature.
struct Sent<'a> {
    method: &'a str,
    path: String,
    /// With line ends.
    headers: &'a str,
    body: &'a [u8],
}

impl<'a> Sent<'a> {
    fn get(path: impl Into<String>) -> Self {
        Self {
            method: "GET",
            path: path.into(),
            headers: "",
            body: b"",
        }
    }

    fn post(path: impl Into<String>, body: &'a [u8]) -> Self {
        Self {
            method: "POST",
            body,
            ..Self::get(path)
        }
    }

    fn with(self, headers: &'a str) -> Self {
        Self { headers, ..self }
    }

    fn by(self, method: &'a str) -> Self {
        Self { method, ..self }
    }
}

impl Running {
    /// A call to the control plane of API Gateway.
    async fn api_gateway(&self, method: &str, path: &str, input: Value) -> Seen {
        let body = input.to_string();
        let signed =
            "Authorization: AWS4-HMAC-SHA256 Credential=local/20260101/eu-west-1/apigateway/aws4_request\r\n";
        self.send(Sent::post(path, body.as_bytes()).by(method).with(signed))
            .await
    }

    async fn send(&self, sent: Sent<'_>) -> Seen {
        let host = self.endpoint.trim_start_matches("http://").to_owned();
        self.send_to(&host, sent).await
    }

    async fn send_to(&self, host: &str, sent: Sent<'_>) -> Seen {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let address = self.endpoint.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (Sent { method, path, .. }, length) = (&sent, sent.body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{}\r\n",
            sent.headers
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(sent.body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers: HashMap<String, String> = HashMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            let all = headers.entry(name.to_ascii_lowercase()).or_default();
            if !all.is_empty() {
                all.push_str(" | ");
            }
            all.push_str(value);
        }
        Seen {
            status,
            headers,
            body: body.to_owned(),
        }
    }

    fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.sdk)
    }

    /// Creates a scripted function, and its role. Without a script it returns its event. Returns its ARN.
    async fn function(&self, name: &str, script: &str) -> String {
        let role = "arn:aws:iam::000000000000:role/web";
        let trust = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
        ]});
        let iam = self.iam();
        // It may exist.
        let _ = iam
            .create_role()
            .role_name("web")
            .assume_role_policy_document(trust.to_string())
            .send()
            .await;
        let mut environment = Environment::builder();
        if !script.is_empty() {
            environment = environment.variables("SCRIPT", script);
        }
        let lambda = self.lambda();
        let made = ok!(lambda
            .create_function()
            .function_name(name)
            .runtime(Runtime::Providedal2023)
            .role(role)
            .handler("bootstrap")
            .environment(environment.build())
            .timeout(20)
            .code(
                FunctionCode::builder()
                    .zip_file(aws_sdk_lambda::primitives::Blob::new(scripted::zip("")))
                    .build()
            ));
        loop {
            let got = ok!(lambda.get_function_configuration().function_name(name));
            if got.state() == Some(&aws_sdk_lambda::types::State::Active) {
                return made.function_arn.unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}
