//! S3 requests that name their bucket by the host: `bucket.localhost`, `bucket.s3.eu-west-1.localhost`.

use http::header::HOST;
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};

/// The bucket in a host name. The front door has checked that the host is this machine.
fn bucket(host: &str) -> Option<&str> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let below = ["localhost.localstack.cloud", "localhost"]
        .iter()
        .find_map(|root| name.strip_suffix(root)?.strip_suffix('.'))?;
    let labels: Vec<&str> = below.split('.').collect();
    let end = match labels.as_slice() {
        [.., "s3"] => labels.len() - 1,
        // A region follows.
        [.., "s3", _] => labels.len() - 2,
        _ => labels.len(),
    };
    let length = labels[..end].iter().map(|label| label.len() + 1).sum::<usize>();
    length.checked_sub(1).and_then(|length| below.get(..length))
}

/// The URI with the bucket in its path, also where the request names it in its host.
pub(super) fn path_style(parts: &Parts) -> Uri {
    let host = match parts.headers.get(HOST) {
        Some(host) => host.to_str().ok(),
        None => parts.uri.authority().map(|authority| authority.as_str()),
    };
    let Some(bucket) = host.and_then(bucket) else {
        return parts.uri.clone();
    };
    let rest = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    Uri::try_from(format!("/{bucket}{rest}")).unwrap_or_else(|_| parts.uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_in_host_names() {
        for (host, expected) in [
            ("orders.localhost:4566", Some("orders")),
            ("my.orders.s3.localhost:4566", Some("my.orders")),
            ("orders.s3.eu-west-1.localhost.localstack.cloud", Some("orders")),
            ("localhost:4566", None),
            ("127.0.0.1:4566", None),
            ("s3.localhost:4566", None),
            ("s3.eu-west-1.localhost:4566", None),
            ("localhost.localstack.cloud:4566", None),
        ] {
            assert_eq!(bucket(host), expected, "{host}");
        }
    }

    #[test]
    fn the_bucket_moves_into_the_path() {
        let request = http::Request::get("/a%20b?x=1")
            .header("host", "orders.localhost:1")
            .body(())
            .unwrap();
        assert_eq!(path_style(&request.into_parts().0), "/orders/a%20b?x=1");
    }
}
