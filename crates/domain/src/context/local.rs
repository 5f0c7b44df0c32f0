//! The HTTP client for the local cloud: each connection is proven to lead to the daemon of the home before anything is sent
//! on it.
//!
//! The SDK's own client has no place for the proof, since it makes its connections itself. This one uses the same pool of
//! connections. It knows neither TLS nor proxies.

use std::fmt;
use std::io;
use std::path::Path;
use std::task::{Context, Poll};

use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use daemon::home::LocalHome;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ground::error::find_cause;
use http::Uri;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

/// The client for the local cloud of `home`.
pub(super) fn http_client(home: &Path) -> SharedHttpClient {
    let proven = Proven(LocalHome::new(home));
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build(proven);
    // All clients share its connections. Time limits of connections do not matter on this machine; those of calls are the
    // SDK's.
    let connector = SharedHttpConnector::new(Connector(client));
    http_client_fn(move |_, _| connector.clone())
}

/// Makes proven connections.
#[derive(Clone)]
struct Proven(LocalHome);

impl tower_service::Service<Uri> for Proven {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<TcpStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let home = self.0.clone();
        async move {
            let port = uri.port_u16().unwrap_or(80);
            daemon::connect(&home, port).await.map(TokioIo::new)
        }
        .boxed()
    }
}

struct Connector(Client<Proven, SdkBody>);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector(local cloud)")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let captured = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || metadata(&captured));
        }
        let sent = self.0.request(request);
        HttpConnectorFuture::new(async move {
            let response = sent.await.map_err(connector_error)?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The connection of a request, for the SDK: it uses none again on which the service or the network failed.
fn metadata(captured: &CaptureConnection) -> Option<ConnectionMetadata> {
    captured.connection_metadata().as_ref()?;
    let captured = captured.clone();
    let poison = move || {
        if let Some(connection) = captured.connection_metadata().as_ref() {
            connection.poison();
        }
    };
    let metadata = ConnectionMetadata::builder().proxied(false).poison_fn(poison);
    Some(metadata.build())
}

/// `error` as the SDK's own client classifies it, so that it is tried again in the same cases.
/// Source: `aws_smithy_http_client::client`, `downcast_error`.
fn connector_error(error: legacy::Error) -> ConnectorError {
    if error.is_connect() {
        return ConnectorError::io(error.into());
    }
    let make = match find_cause::<hyper::Error>(&error) {
        Some(error) if error.is_timeout() => ConnectorError::timeout,
        Some(error) if error.is_user() => ConnectorError::user,
        Some(error) if error.is_incomplete_message() => {
            |error| ConnectorError::other(error, Some(ErrorKind::TransientError))
        }
        Some(error) if error.is_closed() || error.is_canceled() => ConnectorError::io,
        _ if find_cause::<io::Error>(&error).is_some() => ConnectorError::io,
        _ => |error| ConnectorError::other(error, None),
    };
    make(error.into())
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::config::retry::RetryConfig;
    use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
    use daemon::protocol::{PROOF_HEADER, prove_answer};
    use daemon::secret::Secret;
    use ground::error::aws::{self, Class};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn client(home: &Path, port: u16) -> aws_sdk_kinesis::Client {
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(format!("http://127.0.0.1:{port}"))
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("local", "key", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .http_client(http_client(home));
        aws_sdk_kinesis::Client::from_conf(config.build())
    }

    #[tokio::test]
    async fn a_process_without_the_secret_gets_no_request() {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let thief = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = vec![0; 64 * 1024];
            let length = stream.read(&mut seen).await.unwrap();
            seen.truncate(length);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
            stream.write_all(answer).await.unwrap();
            stream.read_to_end(&mut seen).await.unwrap();
            String::from_utf8(seen).unwrap()
        });
        let failure = client(dir.path(), port).list_streams().send().await.unwrap_err();
        assert_eq!(aws::class(&failure), Class::Unreachable);
        let error = aws::failed("could not list the streams", failure);
        let cause = error.chain().join(": ");
        assert!(cause.contains("did not prove to be the local cloud"), "{cause}");
        let seen = thief.await.unwrap().to_ascii_lowercase();
        assert!(seen.starts_with("get /_streamctl/health?proof "), "{seen}");
        assert!(
            !seen.contains("authorization") && !seen.contains("x-amz"),
            "{seen}"
        );
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_there_is_unreachable() {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let failure = client(dir.path(), port).list_streams().send().await.unwrap_err();
        assert_eq!(aws::class(&failure), Class::Unreachable);
    }

    /// Reads one request from `stream`: head and body.
    async fn read(stream: &mut TcpStream) -> Option<String> {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1).unwrap_or("0");
                if body.len() >= length.lines().next().unwrap().parse().unwrap() {
                    return Some(text);
                }
            }
            if stream.read_buf(&mut bytes).await.unwrap() == 0 {
                return None;
            }
        }
    }

    fn answer(status: u16, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
    }

    /// A daemon that answers its requests with `statuses`, one after another. Returns how many requests each connection had.
    async fn daemon(listener: TcpListener, secret: Secret, statuses: &[u16]) -> Vec<usize> {
        let port = listener.local_addr().unwrap().port();
        let body = format!(
            r#"{{"version":"1","pid":1,"port":{port},"started_ms":1,"uptime_seconds":1,"home":"","requests":0,"streams":0}}"#
        );
        let (mut statuses, mut counts) = (statuses.iter(), Vec::new());
        while statuses.len() > 0 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let asked = read(&mut stream).await.unwrap();
            let nonce = asked.split("x-streamctl-nonce: ").nth(1).unwrap();
            let proof = prove_answer(&secret, nonce.lines().next().unwrap(), body.as_bytes());
            let proven = answer(200, &format!("{PROOF_HEADER}: {proof}\r\n"), &body);
            stream.write_all(proven.as_bytes()).await.unwrap();
            let mut count = 0;
            while statuses.len() > 0
                && let Some(request) = read(&mut stream).await
            {
                assert!(request.contains("authorization: "), "{request}");
                count += 1;
                let listed = answer(*statuses.next().unwrap(), "", "{\"StreamNames\":[]}");
                stream.write_all(listed.as_bytes()).await.unwrap();
            }
            counts.push(count);
        }
        counts
    }

    #[tokio::test]
    async fn a_proven_connection_is_used_until_a_request_on_it_fails() {
        let dir = tempfile::tempdir().unwrap();
        let home = LocalHome::new(dir.path());
        let secret = home.secret_or_new(&home.lock_daemon().unwrap().unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(dir.path(), listener.local_addr().unwrap().port());
        let statuses = [200, 200, 500, 200];
        let served = tokio::spawn(async move { daemon(listener, secret, &statuses).await });
        for status in statuses {
            let listed = client.list_streams().send().await;
            assert_eq!(listed.is_ok(), status == 200, "{listed:?}");
        }
        assert_eq!(served.await.unwrap(), [3, 1]);
    }
}
