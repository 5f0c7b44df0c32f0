//! Calls of services that need no client: AWS JSON 1.1, signed with the credentials of the context.
//!
//! The clients of the AWS Price List and of Cost Explorer are large, and one operation of each is called.

use serde_json::Value;

use super::Context;
use super::signed::Call;
use ground::error::{Error, Result};

/// A service that is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonApi {
    /// Its name in [`crate::settings::SERVICES`].
    pub service: &'static str,
    pub signing_name: &'static str,
    /// The region of the endpoint, whatever the region of the context is.
    pub region: &'static str,
    /// AWS's endpoint.
    pub endpoint: String,
    /// What stands before the operation in `X-Amz-Target`.
    pub target: &'static str,
}

impl Context {
    /// Calls `operation`. `what` begins the sentence of an error.
    ///
    /// # Errors
    /// Exit 2 for the local cloud, which has no such service; exit 4 without credentials, or if the service cannot be reached
    /// or denies the call; else exit 1.
    pub async fn call_json(
        &self,
        api: &JsonApi,
        operation: &str,
        input: &Value,
        what: String,
    ) -> Result<Value> {
        if self.is_local() {
            return Err(Error::usage(what)
                .cause(format!("the local cloud has no {}", api.service))
                .hint("add --target aws"));
        }
        let endpoint = self.sdk.endpoints.of(api.service).unwrap_or(&api.endpoint);
        self.send_signed(call(api, endpoint, operation, input), what)
            .await
    }
}

fn call<'a>(api: &'a JsonApi, endpoint: &'a str, operation: &'a str, input: &Value) -> Call<'a> {
    Call {
        service: api.service,
        signing_name: api.signing_name,
        region: api.region,
        endpoint,
        operation,
        method: "POST",
        path: "/",
        headers: vec![
            ("content-type".to_owned(), "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target".to_owned(), format!("{}.{operation}", api.target)),
        ],
        body: input.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline::resources::test_support::Endpoint;
    use ground::exit::Exit;

    fn api() -> JsonApi {
        JsonApi {
            service: "Pricing",
            signing_name: "pricing",
            region: "us-east-1",
            endpoint: "http://127.0.0.1:9".to_owned(),
            target: "AWSPriceListService",
        }
    }

    #[tokio::test]
    async fn a_call_is_signed_and_its_answer_read() {
        let endpoint = Endpoint::start(|call, body| {
            assert_eq!(
                (call, body),
                ("GetProducts", r#"{"ServiceCode":"AmazonKinesis"}"#)
            );
            (200, r#"{"PriceList":[]}"#.to_owned())
        })
        .await;
        let input = json!({"ServiceCode": "AmazonKinesis"});
        let api = api();
        let aws = "https://api.pricing.us-east-1.amazonaws.com";
        let request = call(&api, aws, "GetProducts", &input);
        let headers = endpoint.context.signature(&request).await.unwrap();
        let signature = headers.iter().find(|(name, _)| name == "authorization").unwrap();
        assert!(
            signature.1.contains("/us-east-1/pricing/aws4_request"),
            "{}",
            signature.1
        );
        assert!(
            signature.1.contains("content-type;host;x-amz-date;x-amz-target"),
            "{}",
            signature.1
        );
        let answer = endpoint
            .context
            .call_json(&api, "GetProducts", &input, "could not".to_owned())
            .await;
        assert_eq!(answer.unwrap(), json!({"PriceList": []}));
        assert_eq!(endpoint.calls(), ["GetProducts"]);
    }

    #[tokio::test]
    async fn a_refusal_is_an_error_of_the_caller() {
        let endpoint = Endpoint::start(|_, _| {
            let refused =
                json!({"__type": "com.amazonaws#AccessDeniedException", "Message": "no pricing:GetProducts"});
            (400, refused.to_string())
        })
        .await;
        let (api, input) = (api(), json!({}));
        let answer = endpoint
            .context
            .call_json(&api, "GetProducts", &input, "could not read".to_owned());
        let error = answer.await.unwrap_err();
        assert_eq!(error.exit(), Exit::Unreachable);
        assert_eq!(
            error.chain(),
            ["could not read", "AccessDeniedException: no pricing:GetProducts"]
        );
    }
}
