//! The CORS rules of a bucket.

use aws_sdk_s3::types as sdk;
use serde::{Deserialize, Serialize};

use super::super::common::{built, refused};
use super::Bucket;
use super::calls::on;
use ground::error::{self, Result};

const METHODS: [&str; 5] = ["DELETE", "GET", "HEAD", "POST", "PUT"];

/// What pages of these origins may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rule {
    allow_origins: Vec<String>,
    allow_methods: Vec<String>,
    allow_headers: Vec<String>,
    expose_headers: Vec<String>,
    max_age_seconds: Option<i32>,
}

/// What S3 would refuse. Source: PutBucketCors, S3 API reference.
pub(super) fn problem(rules: &[Rule]) -> Option<String> {
    rules.iter().find_map(|rule| {
        if rule.allow_origins.is_empty() || rule.allow_methods.is_empty() {
            return Some("a CORS rule needs allow_origins and allow_methods".to_owned());
        }
        let unknown = rule
            .allow_methods
            .iter()
            .find(|method| !METHODS.contains(&method.as_str()))?;
        Some(format!(
            "{unknown:?} is not a method of a CORS rule: it is DELETE, GET, HEAD, POST or PUT"
        ))
    })
}

/// For reports.
pub(super) fn words(rules: &[Rule]) -> String {
    let word = |rule: &Rule| {
        format!(
            "{} for {}",
            rule.allow_methods.join(" "),
            rule.allow_origins.join(" ")
        )
    };
    match rules {
        [] => "none".to_owned(),
        rules => rules.iter().map(word).collect::<Vec<_>>().join("; "),
    }
}

impl Rule {
    fn of_sdk(rule: sdk::CorsRule) -> Self {
        Self {
            allow_origins: rule.allowed_origins,
            allow_methods: rule.allowed_methods,
            allow_headers: rule.allowed_headers.unwrap_or_default(),
            expose_headers: rule.expose_headers.unwrap_or_default(),
            max_age_seconds: rule.max_age_seconds,
        }
    }

    fn to_sdk(&self) -> Result<sdk::CorsRule> {
        let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        built(
            sdk::CorsRule::builder()
                .set_allowed_origins(Some(self.allow_origins.clone()))
                .set_allowed_methods(Some(self.allow_methods.clone()))
                .set_allowed_headers(list(&self.allow_headers))
                .set_expose_headers(list(&self.expose_headers))
                .set_max_age_seconds(self.max_age_seconds)
                .build(),
        )
    }
}

impl Bucket<'_> {
    /// The rules that the bucket has. Not read where the manifest declares none.
    pub(super) async fn cors(&self) -> Result<Vec<Rule>> {
        if self.declared.cors.is_none() {
            return Ok(Vec::new());
        }
        match on!(self, get_bucket_cors).send().await {
            Ok(answer) => {
                let rules = answer.cors_rules.unwrap_or_default();
                Ok(rules.into_iter().map(Rule::of_sdk).collect())
            }
            Err(error) if refused(&error, &["NoSuchCORSConfiguration"]) => Ok(Vec::new()),
            Err(error) => Err(error::aws::failed(self.failure("read the CORS of"), error)),
        }
    }

    pub(super) async fn set_cors(&self) -> Result<()> {
        let rules = self.declared.cors.as_deref().unwrap_or_default();
        if rules.is_empty() {
            let answer = on!(self, delete_bucket_cors).send().await;
            return self.response("remove the CORS of", answer).map(drop);
        }
        let rules = rules.iter().map(Rule::to_sdk).collect::<Result<Vec<_>>>()?;
        let rules = built(
            sdk::CorsConfiguration::builder()
                .set_cors_rules(Some(rules))
                .build(),
        )?;
        let call = on!(self, put_bucket_cors).cors_configuration(rules);
        self.response("set the CORS of", call.send().await).map(drop)
    }
}
