//! The HTTP client for the local cloud: each connection is proven to lead to the daemon of the home before anything is sent
//! on it.
//!
//! The SDK's own client has no place for the proof, since it makes its connections itself. This one uses the same pool of
//! connections. It knows neither TLS nor proxies.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::task::{Context, Poll};

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
use http::Uri;
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
        let request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let sent = self.0.request(request);
        HttpConnectorFuture::new(async move {
            let response = sent.await.map_err(connector_error)?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// `error` as the SDK's own client classifies it, so that it is tried again in the same cases.
/// Source: `aws_smithy_http_client::client`, `downcast_error`.
fn connector_error(error: legacy::Error) -> ConnectorError {
    if error.is_connect() {
        return ConnectorError::io(error.into());
    }
    let make = match find::<hyper::Error>(&error) {
        Some(error) if error.is_timeout() => ConnectorError::timeout,
        Some(error) if error.is_user() => ConnectorError::user,
        Some(error) if error.is_incomplete_message() => {
            |error| ConnectorError::other(error, Some(ErrorKind::TransientError))
        }
        Some(error) if error.is_closed() || error.is_canceled() => ConnectorError::io,
        _ if find::<io::Error>(&error).is_some() => ConnectorError::io,
        _ => |error| ConnectorError::other(error, None),
    };
    make(error.into())
}

fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::config::retry::RetryConfig;
    use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
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
}
