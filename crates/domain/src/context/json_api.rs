//! Calls of services that need no client: AWS JSON 1.1, signed with the credentials of the context.
//!
//! The clients of the AWS Price List, of Cost Explorer and of CloudTrail are large, and one operation of each is called. Those
//! of Glue and Athena are large too, and a dozen operations are.

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

/// A service in the region of the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RegionalApi {
    /// Its name in [`crate::settings::SERVICES`].
    service: &'static str,
    signing_name: &'static str,
    target: &'static str,
}

pub(crate) const GLUE: RegionalApi = RegionalApi {
    service: "Glue",
    signing_name: "glue",
    target: "AWSGlue",
};
pub(crate) const ATHENA: RegionalApi = RegionalApi {
    service: "Athena",
    signing_name: "athena",
    target: "AmazonAthena",
};

pub(crate) const CLOUDTRAIL: RegionalApi = RegionalApi {
    service: "CloudTrail",
    signing_name: "cloudtrail",
    target: "CloudTrail_20131101",
};

impl Context {
    /// Calls `operation` of a service in this region. `what` begins the sentence of an error.
    ///
    /// # Errors
    /// Exit 4 without credentials, or if the service cannot be reached or denies the call; else exit 1.
    pub(crate) async fn call_regional(
        &self,
        api: RegionalApi,
        operation: &str,
        input: &Value,
        what: String,
    ) -> Result<Value> {
        let (region, suffix) = (self.region(), self.dns_suffix());
        let aws = format!("https://{}.{region}.{suffix}", api.signing_name);
        let api = Target {
            service: api.service,
            signing_name: api.signing_name,
            region,
            prefix: api.target,
            endpoint: self.sdk.endpoints.of(api.service).unwrap_or(&aws),
        };
        self.send_signed(call(&api, operation, input), what).await
    }

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
        self.send_signed(call(&api.at(endpoint), operation, input), what)
            .await
    }
}

impl JsonApi {
    fn at<'a>(&self, endpoint: &'a str) -> Target<'a> {
        Target {
            service: self.service,
            signing_name: self.signing_name,
            region: self.region,
            prefix: self.target,
            endpoint,
        }
    }
}

/// Where a call goes.
struct Target<'a> {
    service: &'static str,
    signing_name: &'static str,
    region: &'a str,
    /// What stands before the operation in `X-Amz-Target`.
    prefix: &'static str,
    endpoint: &'a str,
}

fn call<'a>(to: &Target<'a>, operation: &'a str, input: &Value) -> Call<'a> {
    Call {
        service: to.service,
        signing_name: to.signing_name,
        region: to.region,
        endpoint: to.endpoint,
        operation,
        method: "POST",
        path: "/",
        headers: vec![
            ("content-type".to_owned(), "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target".to_owned(), format!("{}.{operation}", to.prefix)),
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
        let to = api.at(aws);
        let request = call(&to, "GetProducts", &input);
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
    async fn a_service_of_the_region_is_called_there() {
        let endpoint = Endpoint::start(|call, body| {
            assert_eq!((call, body), ("GetDatabase", r#"{"Name":"shop"}"#));
            let missing = json!({"__type": "EntityNotFoundException", "Message": "Database shop not found."});
            (400, missing.to_string())
        })
        .await;
        let input = json!({"Name": "shop"});
        let context = &endpoint.context;
        let answer = context.call_regional(GLUE, "GetDatabase", &input, "could not read".to_owned());
        let error = answer.await.unwrap_err();
        assert!(
            error.is_not_found() && error.is("EntityNotFoundException"),
            "{error:?}"
        );
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
