//! Which credentials are used, and which endpoints they may be sent to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_credential_types::Credentials;

use super::{Explained, Flags, Lookup, Source, Target};
use ground::error::Result;

/// The services that streamctl calls, and those that the SDK asks for credentials, each with the variable that names its
/// endpoint. Source: "Service-specific endpoints", AWS SDKs and Tools reference guide.
pub const SERVICES: &[(&str, &str)] = &[
    ("Kinesis", "AWS_ENDPOINT_URL_KINESIS"),
    ("ApiGatewayV2", "AWS_ENDPOINT_URL_APIGATEWAYV2"),
    ("Athena", "AWS_ENDPOINT_URL_ATHENA"),
    ("CloudFront", "AWS_ENDPOINT_URL_CLOUDFRONT"),
    ("CloudTrail", "AWS_ENDPOINT_URL_CLOUDTRAIL"),
    ("CloudWatch", "AWS_ENDPOINT_URL_CLOUDWATCH"),
    ("CloudWatch Logs", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"),
    ("Cost Explorer", "AWS_ENDPOINT_URL_COST_EXPLORER"),
    ("DynamoDB", "AWS_ENDPOINT_URL_DYNAMODB"),
    ("Firehose", "AWS_ENDPOINT_URL_FIREHOSE"),
    ("Glue", "AWS_ENDPOINT_URL_GLUE"),
    ("IAM", "AWS_ENDPOINT_URL_IAM"),
    ("KMS", "AWS_ENDPOINT_URL_KMS"),
    ("Lambda", "AWS_ENDPOINT_URL_LAMBDA"),
    ("Pricing", "AWS_ENDPOINT_URL_PRICING"),
    (
        "Resource Groups Tagging API",
        "AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API",
    ),
    ("S3", "AWS_ENDPOINT_URL_S3"),
    ("SNS", "AWS_ENDPOINT_URL_SNS"),
    ("SQS", "AWS_ENDPOINT_URL_SQS"),
    ("STS", "AWS_ENDPOINT_URL_STS"),
    ("SSO", "AWS_ENDPOINT_URL_SSO"),
    ("SSO OIDC", "AWS_ENDPOINT_URL_SSO_OIDC"),
];

pub(super) const ENDPOINT: &str = "AWS_ENDPOINT_URL";
const IGNORE_ENDPOINTS: &str = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";

/// Where credentials come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CredentialSource {
    /// The profile of the settings or the default one, then web identity, the container and the instance.
    #[default]
    Machine,
    /// The keys in the environment.
    Variables,
    /// The profile that `--profile` names, whatever the environment says.
    Profile,
    /// The keys in `.env`.
    Keys(Credentials),
    /// Half of a pair of keys. Other credentials could be those of another account, so none are used.
    Incomplete {
        set: &'static str,
        missing: &'static str,
        source: Source,
    },
}

/// Credentials and the endpoints that they may be sent to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    pub credentials: CredentialSource,
    /// Endpoints of single services that the environment names, by service of [`SERVICES`].
    pub endpoints: BTreeMap<&'static str, String>,
    /// Whether a profile can name endpoints.
    pub profile_endpoints: bool,
    /// Variables that name an endpoint and do not count, because `--target aws` means AWS.
    pub ignored: Vec<&'static str>,
    /// Whether `AWS_EC2_METADATA_DISABLED` keeps the SDK from asking the instance for credentials.
    pub instance_is_off: bool,
    /// What chose the endpoint of the target, such as "--endpoint-url"; `None` if it is AWS's own.
    pub named_by: Option<String>,
    /// The `streamctl.toml` that names the endpoint, if the user has not trusted it.
    pub untrusted: Option<PathBuf>,
    /// Whether records are sent and read in CBOR (`CBOR_ENABLED`, `AWS_CBOR_DISABLE`); `None` to decide by the endpoint.
    pub cbor: Option<bool>,
}

/// The variables of the AWS SDKs for Java, which speak CBOR to Kinesis unless one of them forbids it.
/// Source: `SdkSystemSetting.CBOR_ENABLED` of aws-sdk-java-v2; `AWS_CBOR_DISABLE` of aws-sdk-java.
fn cbor(lookup: &Lookup<'_>) -> Option<bool> {
    let flag = |name| {
        let value = lookup.environment(name)?;
        Some(value.eq_ignore_ascii_case("true") || value == "1")
    };
    match flag("AWS_CBOR_DISABLE") {
        Some(true) => Some(false),
        _ => flag("CBOR_ENABLED"),
    }
}

impl Access {
    pub(super) fn resolve(
        flags: &Flags,
        lookup: &Lookup<'_>,
        target: &Target,
        source: &Source,
    ) -> Result<Self> {
        let by_flag = matches!(source, Source::Flag(_));
        let from_env = *target != Target::Local && !by_flag && !ignores_endpoints(lookup);
        let mut endpoints = BTreeMap::new();
        if from_env {
            for (service, variable) in SERVICES {
                if let Some(url) = lookup.environment(variable) {
                    super::target::check_endpoint(&url)?;
                    endpoints.insert(*service, url);
                }
            }
        }
        Ok(Self {
            credentials: credentials(flags, lookup),
            endpoints,
            // A target that is named comes before what a profile says.
            profile_endpoints: from_env && *target == Target::Aws && *source == Source::Machine,
            ignored: match (target, by_flag) {
                (Target::Aws, true) => named_endpoints(lookup),
                _ => Vec::new(),
            },
            instance_is_off: lookup
                .environment("AWS_EC2_METADATA_DISABLED")
                .is_some_and(|value| value.eq_ignore_ascii_case("true")),
            named_by: None,
            untrusted: None,
            cbor: cbor(lookup),
        })
    }

    /// As [`super::Settings::mend_credentials`], for credentials that are no placeholder.
    pub(super) fn mend(&self, profile: Option<&str>, are_there: bool) -> String {
        const KEYS: &str = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
        match (&self.credentials, profile) {
            (CredentialSource::Variables, _) => {
                format!("the keys are those of {KEYS}: set new ones, or unset them to use a profile")
            }
            (CredentialSource::Keys(_), _) => {
                format!("the keys are those of {KEYS} in .env: set new ones, or remove them to use a profile")
            }
            (_, Some(profile)) => format!(
                "the credentials are those of the profile {profile}: renew them with \
                 `aws sso login --profile {profile}` or `aws configure --profile {profile}`"
            ),
            _ if are_there => {
                "the credentials are those of this machine (default profile, web identity, container or \
                               instance): renew them with `aws sso login` or `aws configure`"
                    .to_owned()
            }
            _ => {
                let instance = match self.instance_is_off {
                    true => "; the instance was not asked (AWS_EC2_METADATA_DISABLED)",
                    false => "",
                };
                format!(
                    "run `aws configure`, or set AWS_PROFILE or {KEYS}, or use `--target local`{instance}"
                )
            }
        }
    }

    /// Where credentials come from, without the credentials.
    pub(super) fn explained(&self) -> Explained {
        let (value, source) = match &self.credentials {
            CredentialSource::Machine => (None, Source::Machine),
            CredentialSource::Variables => (Some("keys".to_owned()), Source::Variable("AWS_ACCESS_KEY_ID")),
            CredentialSource::Profile => (Some("profile".to_owned()), Source::Flag("--profile")),
            CredentialSource::Keys(_) => (Some("keys".to_owned()), Source::DotEnv("AWS_ACCESS_KEY_ID")),
            CredentialSource::Incomplete { missing, source, .. } => {
                (Some(format!("incomplete: {missing} is not set")), *source)
            }
        };
        Explained {
            name: "credentials",
            value,
            source,
        }
    }
}

/// The variables that name an endpoint and are set.
fn named_endpoints(lookup: &Lookup<'_>) -> Vec<&'static str> {
    let variables = SERVICES.iter().map(|(_, variable)| *variable);
    std::iter::once(ENDPOINT)
        .chain(variables)
        .filter(|variable| lookup.environment(variable).is_some())
        .collect()
}

/// Whether the environment says that no configured endpoint counts.
pub(super) fn ignores_endpoints(lookup: &Lookup<'_>) -> bool {
    let value = lookup.environment(IGNORE_ENDPOINTS);
    value.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

/// Flag, environment, `.env`, then what the machine has. A profile in the environment comes before keys in `.env`, and
/// keys before a profile in the same place, as in the AWS CLI.
fn credentials(flags: &Flags, lookup: &Lookup<'_>) -> CredentialSource {
    const ID: &str = "AWS_ACCESS_KEY_ID";
    const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
    if flags.profile.is_some() {
        return CredentialSource::Profile;
    }
    let incomplete = |set, missing, source: fn(&'static str) -> Source| CredentialSource::Incomplete {
        set,
        missing,
        source: source(set),
    };
    match (lookup.environment(ID), lookup.environment(SECRET)) {
        (Some(_), Some(_)) => return CredentialSource::Variables,
        (Some(_), None) => return incomplete(ID, SECRET, Source::Variable),
        (None, Some(_)) => return incomplete(SECRET, ID, Source::Variable),
        (None, None) => {}
    }
    if super::PROFILE
        .iter()
        .any(|name| lookup.environment(name).is_some())
    {
        return CredentialSource::Machine;
    }
    match (lookup.dotenv(ID), lookup.dotenv(SECRET)) {
        (Some(id), Some(secret)) => {
            let token = lookup.dotenv("AWS_SESSION_TOKEN");
            CredentialSource::Keys(Credentials::new(id.trim(), secret.trim(), token, None, ".env"))
        }
        (Some(_), None) => incomplete(ID, SECRET, Source::DotEnv),
        (None, Some(_)) => incomplete(SECRET, ID, Source::DotEnv),
        (None, None) => CredentialSource::Machine,
    }
}
