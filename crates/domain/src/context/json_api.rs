//! Calls of services that need no client: AWS JSON 1.1, signed with the credentials of the context.
//!
//! The clients of the AWS Price List, of Cost Explorer and of CloudTrail are large, and one operation of each is called; two or
//! three are of KMS and the Resource Groups Tagging API. Those of Glue and Athena are large too, and a dozen operations are.

use aws_config::SdkConfig;
use serde_json::Value;

use super::signed::{Call, Retries};
use super::{Context, regions};
use ground::error::aws::Class;
use ground::error::{Error, Result};

/// The names of members that lead through the pages of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paging {
    /// What a page lists.
    pub(crate) list: &'static str,
    /// What a page says of the next one.
    pub(crate) next: &'static str,
    /// Where a request says which page it asks for.
    pub(crate) from: &'static str,
}

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
    pub(super) service: &'static str,
    /// The name in signatures, and the first part of its host.
    pub(super) signing_name: &'static str,
    /// What stands before the operation in `X-Amz-Target`.
    pub(super) target: &'static str,
    pub(super) retries: Retries,
}

pub(crate) const GLUE: RegionalApi = RegionalApi {
    service: "Glue",
    signing_name: "glue",
    target: "AWSGlue",
    retries: Retries::Status,
};
pub(crate) const ATHENA: RegionalApi = RegionalApi {
    service: "Athena",
    signing_name: "athena",
    target: "AmazonAthena",
    retries: Retries::Status,
};

pub(crate) const CLOUDTRAIL: RegionalApi = RegionalApi {
    service: "CloudTrail",
    signing_name: "cloudtrail",
    target: "CloudTrail_20131101",
    retries: Retries::Status,
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
        let hosts = Hosts::of(&self.sdk.config);
        let aws = hosts.endpoint(api, self.region());
        let endpoint = match self.sdk.endpoints.of(api.service) {
            Some(endpoint) => hosts.check(endpoint, &what)?,
            None => &aws,
        };
        let api = Target {
            service: api.service,
            signing_name: api.signing_name,
            region: self.region(),
            prefix: api.target,
            endpoint,
            retries: api.retries,
        };
        self.send_signed(call(&api, operation, input), what).await
    }

    /// What all pages of `operation` list, as [`Context::call_regional`] calls it. A page of another shape is empty.
    ///
    /// # Errors
    /// As [`Context::call_regional`].
    pub(crate) async fn call_pages(
        &self,
        api: RegionalApi,
        operation: &str,
        mut input: Value,
        paging: Paging,
        what: &str,
    ) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        loop {
            let mut page = self
                .call_regional(api, operation, &input, what.to_owned())
                .await?;
            if let Some(Value::Array(more)) = page.get_mut(paging.list).map(Value::take) {
                found.extend(more);
            }
            let next = page[paging.next].as_str().unwrap_or_default();
            // A page that follows itself would be read for ever.
            if next.is_empty() || input[paging.from] == next {
                return Ok(found);
            }
            input[paging.from] = next.into();
        }
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
            retries: Retries::Status,
        }
    }
}

/// Which of AWS's hosts are called (`AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT`).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hosts {
    fips: bool,
    /// With IPv4 and IPv6.
    dual_stack: bool,
}

impl Hosts {
    pub(super) fn of(config: &SdkConfig) -> Self {
        Self {
            fips: config.use_fips().unwrap_or_default(),
            dual_stack: config.use_dual_stack().unwrap_or_default(),
        }
    }

    /// AWS's endpoint of a service. Source: the endpoint rules of each of these services, as in `config/endpoint.rs` of its
    /// client in the SDK. The rules do not say whether there is such a host in the region.
    fn endpoint(self, api: RegionalApi, region: &str) -> String {
        // All hosts of CloudTrail there are FIPS endpoints.
        let is_fips_by_itself =
            api == CLOUDTRAIL && regions::partition(region) == "aws-us-gov" && !self.dual_stack;
        let fips = match self.fips && !is_fips_by_itself {
            true => "-fips",
            false => "",
        };
        let suffix = match self.dual_stack {
            true => regions::dual_stack_suffix(region),
            false => regions::dns_suffix(region),
        };
        format!("https://{}{fips}.{region}.{suffix}", api.signing_name)
    }

    /// `endpoint`, which stands in place of AWS's, unless such hosts are asked for. The clients of the SDK refuse it too.
    fn check<'a>(self, endpoint: &'a str, what: &str) -> Result<&'a str> {
        match self.problem(endpoint) {
            None => Ok(endpoint),
            Some((cause, hint)) => Err(Error::unreachable(what)
                .cause(cause)
                .hint(hint)
                .with_class(Class::Refused)),
        }
    }

    /// Why such hosts cannot be had with `endpoint`, which stands in place of AWS's, and the next step.
    pub(super) fn problem(self, endpoint: &str) -> Option<(String, String)> {
        let (kind, variable, setting) = match (self.fips, self.dual_stack) {
            (true, _) => ("a FIPS endpoint", "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"),
            (_, true) => (
                "a dual-stack endpoint",
                "AWS_USE_DUALSTACK_ENDPOINT",
                "use_dualstack_endpoint",
            ),
            (false, false) => return None,
        };
        Some((
            format!("the endpoint {endpoint} is not known to be {kind}"),
            format!("unset {variable} ({setting} in a profile), or what names the endpoint"),
        ))
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
    retries: Retries,
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
        retries: to.retries,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, SystemTime};

    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_types::DateTime;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::date_time::Format;
    use serde_json::json;

    use super::*;
    use crate::context::Calls;
    use crate::pipeline::resources::test_support::Endpoint;
    use crate::settings::Settings;
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

    /// A service with a clock of its own. If that is `ahead`, it refuses the first signature.
    #[derive(Debug, Clone)]
    struct Service {
        ahead: Duration,
        /// The time and the signature of each request.
        seen: Arc<Mutex<Vec<(String, String)>>>,
    }

    impl HttpConnector for Service {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let header = |name| request.headers().get(name).unwrap_or_default().to_owned();
            let mut seen = self.seen.lock().unwrap();
            let (status, body) = match seen.is_empty() && !self.ahead.is_zero() {
                true => (
                    403,
                    r#"{"__type":"InvalidSignatureException","message":"Signature expired"}"#,
                ),
                false => (200, "{}"),
            };
            seen.push((header("x-amz-date"), header("authorization")));
            let mut answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
            let clock = DateTime::from(SystemTime::now() + self.ahead);
            let date = clock.fmt(Format::HttpDate).unwrap();
            answer.headers_mut().insert("date", date);
            HttpConnectorFuture::ready(Ok(answer))
        }
    }

    /// The time and the signature of each request of a call to a service whose clock is `ahead`.
    async fn signatures(ahead: Duration) -> Vec<(String, String)> {
        let seen = Arc::default();
        let service = Service {
            ahead,
            seen: Arc::clone(&seen),
        };
        let client =
            http_client_fn(move |_: &HttpConnectorSettings, _| SharedHttpConnector::new(service.clone()));
        let url = "http://127.0.0.1:9";
        let settings = Settings {
            region: Some("eu-west-1".to_owned()),
            ..Settings::of_endpoint(url)
        };
        let context = Context::connect_with(settings, Some(url), Some(client), Calls::default());
        let context = context.await.unwrap();
        let (api, input) = (api(), json!({}));
        let answer = context.call_json(&api, "GetProducts", &input, "could not".to_owned());
        assert_eq!(answer.await.unwrap(), json!({}));
        seen.lock().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_signed_for_its_service_and_region() {
        let all = signatures(Duration::ZERO).await;
        let [(_, signature)] = &all[..] else {
            panic!("{all:?}")
        };
        assert!(
            signature.contains("/us-east-1/pricing/aws4_request"),
            "{signature}"
        );
        assert!(
            signature.contains("content-type;host;x-amz-date;x-amz-target"),
            "{signature}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_signed_again_by_the_clock_of_the_service() {
        let all = signatures(Duration::from_secs(3_600)).await;
        let [(first, _), (second, _)] = &all[..] else {
            panic!("{all:?}")
        };
        assert!(second > first, "{all:?}");
    }

    #[tokio::test]
    async fn the_answer_of_a_call_is_read() {
        let endpoint = Endpoint::start(|call, body| {
            assert_eq!(
                (call, body),
                ("GetProducts", r#"{"ServiceCode":"AmazonKinesis"}"#)
            );
            (200, r#"{"PriceList":[]}"#.to_owned())
        })
        .await;
        let (api, input) = (api(), json!({"ServiceCode": "AmazonKinesis"}));
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

    #[test]
    fn hosts_are_those_of_the_clients() {
        let of = |api, region, fips, dual_stack| {
            let hosts = Hosts { fips, dual_stack };
            hosts.endpoint(api, region)
        };
        for (api, region, plain, dual_stack, fips, both) in [
            (
                ATHENA,
                "us-east-1",
                "athena.us-east-1.amazonaws.com",
                "athena.us-east-1.api.aws",
                "athena-fips.us-east-1.amazonaws.com",
                "athena-fips.us-east-1.api.aws",
            ),
            (
                GLUE,
                "cn-north-1",
                "glue.cn-north-1.amazonaws.com.cn",
                "glue.cn-north-1.api.amazonwebservices.com.cn",
                "glue-fips.cn-north-1.amazonaws.com.cn",
                "glue-fips.cn-north-1.api.amazonwebservices.com.cn",
            ),
            (
                GLUE,
                "us-isob-east-1",
                "glue.us-isob-east-1.sc2s.sgov.gov",
                "glue.us-isob-east-1.api.aws.scloud",
                "glue-fips.us-isob-east-1.sc2s.sgov.gov",
                "glue-fips.us-isob-east-1.api.aws.scloud",
            ),
            (
                CLOUDTRAIL,
                "us-gov-west-1",
                "cloudtrail.us-gov-west-1.amazonaws.com",
                "cloudtrail.us-gov-west-1.api.aws",
                "cloudtrail.us-gov-west-1.amazonaws.com",
                "cloudtrail-fips.us-gov-west-1.api.aws",
            ),
        ] {
            assert_eq!(of(api, region, false, false), format!("https://{plain}"));
            assert_eq!(of(api, region, false, true), format!("https://{dual_stack}"));
            assert_eq!(of(api, region, true, false), format!("https://{fips}"));
            assert_eq!(of(api, region, true, true), format!("https://{both}"));
        }
    }

    #[test]
    fn another_endpoint_is_refused_where_hosts_of_a_kind_are_asked_for() {
        let check =
            |fips, dual_stack| Hosts { fips, dual_stack }.check("http://127.0.0.1:9", "could not read");
        assert_eq!(check(false, false).unwrap(), "http://127.0.0.1:9");
        let error = check(true, true).unwrap_err();
        assert_eq!(error.exit(), Exit::Unreachable);
        assert_eq!(
            error.chain(),
            [
                "could not read",
                "the endpoint http://127.0.0.1:9 is not known to be a FIPS endpoint"
            ]
        );
        let hint = |error: Error| error.hint_text().unwrap().to_owned();
        assert_eq!(
            hint(check(false, true).unwrap_err()),
            "unset AWS_USE_DUALSTACK_ENDPOINT (use_dualstack_endpoint in a profile), or what names the endpoint"
        );
    }

    #[tokio::test]
    async fn an_answer_that_is_no_object_is_an_error() {
        for document in ["[]", "7", "\"x\"", "{"] {
            let endpoint = Endpoint::start(|_, _| (200, document.to_owned())).await;
            let (context, input) = (&endpoint.context, json!({}));
            let answer = context.call_regional(GLUE, "GetTables", &input, "could not read".to_owned());
            let error = answer.await.unwrap_err().chain().join(": ");
            assert!(error.ends_with("could not be read"), "{document}: {error}");
        }
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
