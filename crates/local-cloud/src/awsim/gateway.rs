//! awsim's own gateway, with one service in it: its protocols.

use std::io;
use std::sync::Arc;

use awsim_core::{AppState, AuthzEngine, RequestDetailStore, ServiceHandler};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Response, Uri};
use http_body_util::BodyExt;

use crate::error::{ApiError, ErrorFormat};
use crate::service::Request;
use crate::types::{ACCOUNT, Body, Caller, partition};

pub(super) struct Gateway {
    state: AppState,
    signing_name: String,
}

impl Gateway {
    pub fn new(handler: Arc<dyn ServiceHandler>) -> Self {
        let mut state = AppState::new("us-east-1".to_owned(), ACCOUNT.to_owned());
        // The default would be read from the environment.
        state.authz = Arc::new(AuthzEngine::new(false));
        // awsim keeps the bodies of recent requests for its web page: keep one request, and no body.
        state.request_details = RequestDetailStore::new(1, 0);
        let signing_name = handler.signing_name().to_owned();
        state.register(handler, Vec::new());
        Self { state, signing_name }
    }

    pub async fn call(&self, request: Request) -> Response<Body> {
        let Request { caller, parts, body } = request;
        if !is_shallow(&body) {
            return ApiError::new(
                400,
                "MalformedXML",
                "The XML you provided was not well-formed or did not validate against our published schema",
            )
            .respond(ErrorFormat::S3);
        }
        let http::request::Parts {
            method,
            uri,
            mut headers,
            ..
        } = parts;
        self.sign(&mut headers, &caller, &uri);
        let mut state = self.state.clone();
        state.default_account_id = caller.account;
        partition(&caller.region).clone_into(&mut state.default_partition);
        state.default_region = caller.region;
        let (response, _id) = awsim_core::gateway::dispatch_request(&state, method, uri, headers, body).await;
        response.map(|body| body.map_err(io::Error::other).boxed_unsync())
    }

    /// Names service and region for awsim where the signature does not: in unsigned requests and in URLs of Signature
    /// Version 2.
    fn sign(&self, headers: &mut HeaderMap, caller: &Caller, uri: &Uri) {
        let is_signed = headers.contains_key(AUTHORIZATION)
            || uri
                .query()
                .is_some_and(|query| query.contains("X-Amz-Credential="));
        if is_signed {
            return;
        }
        let text = format!(
            "AWS4-HMAC-SHA256 Credential={}/20260101/{}/{}/aws4_request, SignedHeaders=host, Signature=0",
            caller.account, caller.region, self.signing_name
        );
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(AUTHORIZATION, value);
        }
    }
}

/// More levels of elements than any request has.
const MAX_DEPTH: usize = 64;

/// Whether a body can be read as XML without exhausting the stack: awsim reads every body that begins with `<`, and
/// recurses for each level.
fn is_shallow(body: &[u8]) -> bool {
    if body.first() != Some(&b'<') {
        return true;
    }
    let mut depth = 0usize;
    let mut rest = body;
    while let Some(start) = memchr(rest, b'<') {
        rest = &rest[start..];
        let (end, change) = match rest {
            [b'<', b'!', b'-', b'-', ..] => (find(rest, b"-->"), 0),
            [b'<', b'!', b'[', ..] => (find(rest, b"]]>"), 0),
            [b'<', b'!' | b'?', ..] => (find(rest, b">"), 0),
            [b'<', b'/', ..] => (find(rest, b">"), -1),
            _ => (end_of_tag(rest), 1),
        };
        let Some(end) = end else {
            break;
        };
        let closes_itself = change == 1 && rest[..end].ends_with(b"/>");
        depth = depth.saturating_add_signed(if closes_itself { 0 } else { change });
        if depth > MAX_DEPTH {
            return false;
        }
        rest = &rest[end..];
    }
    true
}

fn memchr(text: &[u8], byte: u8) -> Option<usize> {
    text.iter().position(|found| *found == byte)
}

/// Where `needle` ends.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let at = text.windows(needle.len()).position(|window| window == needle)?;
    Some(at + needle.len())
}

/// Where a tag ends. Values in quotes may contain `>`.
fn end_of_tag(text: &[u8]) -> Option<usize> {
    let mut quote = None;
    let end = text.iter().position(|&byte| match quote {
        Some(open) if byte == open => {
            quote = None;
            false
        }
        None if byte == b'"' || byte == b'\'' => {
            quote = Some(byte);
            false
        }
        quote => quote.is_none() && byte == b'>',
    })?;
    Some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_xml_is_refused() {
        let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert!(is_shallow(nested(MAX_DEPTH).as_bytes()));
        assert!(!is_shallow(nested(MAX_DEPTH + 1).as_bytes()));
        assert!(!is_shallow("<a>".repeat(23_000).as_bytes()));
        // Ends of elements that are none.
        for hiding in [
            "<![CDATA[</a>]]><a>",
            "<!--</a>--><a>",
            "<a b='</a>'>",
            "<?x </a>?><a>",
        ] {
            assert!(!is_shallow(hiding.repeat(100).as_bytes()), "{hiding}");
        }
        let flat = format!(
            "<Delete>{}</Delete>",
            "<Object><Key>k</Key><Empty/></Object>".repeat(1000)
        );
        assert!(is_shallow(flat.as_bytes()));
        for rubbish in ["", "<", "<a", "<a b='", "x<a><a>", "</a></a><a>"] {
            assert!(is_shallow(rubbish.as_bytes()), "{rubbish}");
        }
    }
}
