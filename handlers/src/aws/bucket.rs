//! S3: puts and gets objects, and signs URLs that do.

use std::borrow::Cow;
use std::time::Duration;

use aws_smithy_types::byte_stream::ByteStream;
use bytes::{Bytes, BytesMut};
use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::Clients;
use super::signed::{ENCODED, Request, Service};
use crate::cart_features::{PartReader, Parts};
use crate::catalogue::Presign;
use crate::store::{Bucket, CallError, CallErrorKind, Object, Objects};

/// The path of an object, whose key may have slashes.
const KEY: &AsciiSet = &ENCODED.remove(b'/');
/// A body of which nothing arrives for so long is cut off.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

impl Clients {
    pub fn bucket(&self, name: &str) -> S3Bucket {
        let mut service = self.service("s3", "s3");
        // A local endpoint has no DNS names for buckets, and the certificate of S3 has none for a name with dots.
        let has_host = self.url_of("s3").is_none() && !name.contains('.');
        let path = match has_host {
            true => String::new(),
            false => format!("/{name}"),
        };
        if has_host {
            service.endpoint = service.endpoint.replacen("://", &format!("://{name}."), 1);
        }
        S3Bucket { service, path }
    }
}

#[derive(Clone)]
pub struct S3Bucket {
    service: Service,
    /// What stands before the key in the path of an object.
    path: String,
}

impl S3Bucket {
    /// A request without a body.
    fn request<'a>(
        &self,
        method: &'static str,
        key: &str,
        headers: &'a [(&'static str, &'a str)],
    ) -> Request<'a> {
        Request {
            method,
            path: Cow::Owned(format!("{}/{}", self.path, utf8_percent_encode(key, KEY))),
            headers,
            body: Bytes::new(),
            is_repeatable: true,
        }
    }
}

impl Bucket for S3Bucket {
    async fn put(&self, object: &Object) -> Result<(), CallError> {
        let headers = [("content-type", object.content_type)];
        let mut request = self.request("PUT", &object.key, &headers);
        request.body = object.body.clone();
        self.service.send(request).await.map(drop)
    }
}

impl Objects for S3Bucket {
    async fn read(&self, key: &str, max: usize) -> Result<Option<Bytes>, CallError> {
        let Some(mut parts) = self.open(key).await? else {
            return Ok(None);
        };
        let mut data = BytesMut::new();
        while let Some(part) = parts.next().await? {
            if data.len() + part.len() > max {
                return Err(CallError::new(
                    CallErrorKind::Rejected,
                    format!("the object is larger than {max} bytes"),
                ));
            }
            data.extend_from_slice(&part);
        }
        Ok(Some(data.freeze()))
    }
}

/// The body of an object.
pub struct S3Parts(ByteStream);

impl Parts for S3Bucket {
    type Reader = S3Parts;

    async fn open(&self, key: &str) -> Result<Option<S3Parts>, CallError> {
        match self.service.open(self.request("GET", key, &[])).await {
            Ok(body) => Ok(Some(S3Parts(ByteStream::new(body)))),
            Err(error) if error.message.starts_with("NoSuchKey") => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl PartReader for S3Parts {
    async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let cut_off =
            |why: String| CallError::new(CallErrorKind::Transient, format!("the object was cut off: {why}"));
        match tokio::time::timeout(LONGEST_PAUSE, self.0.next()).await {
            Ok(part) => part.transpose().map_err(|error| cut_off(error.to_string())),
            Err(_) => Err(cut_off(format!(
                "nothing arrived for {} seconds",
                LONGEST_PAUSE.as_secs()
            ))),
        }
    }
}

impl Presign for S3Bucket {
    fn upload(&self, key: &str, lifetime: Duration) -> Result<String, CallError> {
        let request = self.request("PUT", key, &[("content-type", "image/jpeg")]);
        self.service.presigned(&request, lifetime)
    }

    fn download(&self, key: &str, lifetime: Duration) -> Result<String, CallError> {
        self.service.presigned(&self.request("GET", key, &[]), lifetime)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::environment::Environment;

    fn bucket(name: &str, region: &str, endpoint: Option<&str>) -> S3Bucket {
        let mut variables = vec![
            ("AWS_REGION", region),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_SESSION_TOKEN", "to/ken"),
        ];
        variables.extend(endpoint.map(|url| ("AWS_ENDPOINT_URL_S3", url)));
        let environment = Environment::of(&variables);
        Clients::from_environment(&environment).unwrap().bucket(name)
    }

    #[test]
    fn a_url_names_the_bucket_in_its_host_or_in_its_path() {
        for (name, region, endpoint, url) in [
            (
                "data",
                "eu-west-1",
                None,
                "https://data.s3.eu-west-1.amazonaws.com/a/b%20c?",
            ),
            (
                "data",
                "cn-north-1",
                None,
                "https://data.s3.cn-north-1.amazonaws.com.cn/a/b%20c?",
            ),
            (
                "my.data",
                "eu-west-1",
                None,
                "https://s3.eu-west-1.amazonaws.com/my.data/a/b%20c?",
            ),
            (
                "data",
                "eu-west-1",
                Some("http://127.0.0.1:1/"),
                "http://127.0.0.1:1/data/a/b%20c?",
            ),
        ] {
            let signed = bucket(name, region, endpoint).download("a/b c", Duration::from_secs(60));
            let signed = signed.unwrap();
            assert!(signed.starts_with(url), "{signed}");
            assert!(signed.contains("&X-Amz-Security-Token=to%2Fken"), "{signed}");
            assert!(signed.contains("&X-Amz-Expires=60"), "{signed}");
        }
    }

    #[test]
    fn an_upload_is_signed_for_its_type() {
        let signed = bucket("data", "eu-west-1", None).upload("k", Duration::from_secs(60));
        let signed = signed.unwrap();
        assert!(
            signed.contains("X-Amz-SignedHeaders=content-type%3Bhost"),
            "{signed}"
        );
    }

    /// Answers one request after another, each on a connection of its own. Returns the URL, and what was asked.
    fn answering(answers: &'static [&'static str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
        use std::io::{BufRead as _, BufReader, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let answer = |answer: &&str| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                let signed = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
                let signed = signed
                    .filter(|line| line.starts_with("x-amz-content-sha256"))
                    .count();
                stream.write_all(answer.as_bytes()).unwrap();
                format!("{first} {signed}")
            };
            answers.iter().map(answer).collect()
        });
        (url, asked)
    }

    #[tokio::test]
    async fn an_object_is_read_after_a_failure_of_the_service() {
        let (url, asked) = answering(&[
            "HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ndata",
            "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 31\r\n\r\n<Error><Code>NoSuchKey</Code>\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\ndata",
        ]);
        let bucket = bucket("data", "eu-west-1", Some(&url));
        assert_eq!(
            bucket.read("a b", 10).await.unwrap().as_deref(),
            Some(&b"data"[..])
        );
        assert_eq!(bucket.read("none", 10).await.unwrap(), None);
        let cut_off = bucket.read("cut off", 10).await.unwrap_err();
        assert_eq!(cut_off.kind, CallErrorKind::Transient, "{cut_off}");
        let paths = ["/data/a%20b", "/data/a%20b", "/data/none", "/data/cut%20off"];
        let gets = paths.map(|path| format!("GET {path} HTTP/1.1 1"));
        assert_eq!(asked.join().unwrap(), gets);
    }
}
