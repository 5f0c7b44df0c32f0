//! Functions: who may invoke them, and recommended settings.

use aws_sdk_lambda::types::{Architecture, TracingMode};
use serde_json::Value;

use super::policy::{self, Exposure};
use super::{Configuration, Configurations};
use crate::functions::permissions;
use crate::observe::doctor::finding::{Finding, Looked, Skipped};
use crate::observe::doctor::subject::Subject;
use ground::error;
use ground::shell::quoted;

/// Lambda's defaults. Source: CreateFunction, Lambda API reference.
const DEFAULT_MEMORY_MB: i32 = 128;
const DEFAULT_TIMEOUT_SECONDS: i32 = 3;

/// The subject of a finding about a function.
pub(super) fn subject(function: &Configuration) -> String {
    format!("function {}", name(function))
}

fn name(function: &Configuration) -> &str {
    function.function_name().unwrap_or_default()
}

/// A command of the AWS CLI that changes a function.
fn change(finding: Finding, function: &Configuration, flags: &str) -> Finding {
    let name = quoted(name(function));
    finding.other_fix(format!(
        "aws lambda update-function-configuration --function-name {name} {flags}"
    ))
}

/// The configurations of the functions, read once.
async fn configurations<'s>(subject: &'s Subject<'_>) -> Result<&'s Configurations, Skipped> {
    let functions = subject.functions().await?;
    let read = subject.posture().configurations.get_or_init(|| async {
        let mut all = Configurations::new();
        for function in functions {
            let call = subject.context().lambda().get_function_configuration();
            match call.function_name(&function.name).send().await {
                Ok(found) => {
                    all.insert(function.name.clone(), found);
                }
                Err(failure) if error::aws::is_not_found(&failure) => {}
                Err(failure) => {
                    let what = format!("could not read function {}", function.name);
                    return Err(error::aws::failed(what, failure).into());
                }
            }
        }
        Ok(all)
    });
    read.await.as_ref().map_err(Clone::clone)
}

/// What `rule` finds in each function.
pub(super) async fn each(subject: &Subject<'_>, rule: fn(&Configuration) -> Option<Finding>) -> Looked {
    let all = configurations(subject).await?;
    Ok(all.values().filter_map(rule).collect())
}

/// The resource policy of each function by its name, read once.
async fn policies<'s>(
    subject: &'s Subject<'_>,
) -> Result<&'s std::collections::BTreeMap<String, Option<Value>>, Skipped> {
    let functions = subject.functions().await?;
    let read = subject.posture().policies.get_or_init(|| async {
        let mut all = std::collections::BTreeMap::new();
        for function in functions {
            let call = subject
                .context()
                .lambda()
                .get_policy()
                .function_name(&function.name);
            let policy = match call.send().await {
                Ok(answer) => serde_json::from_str(answer.policy().unwrap_or_default()).ok(),
                Err(failure) if error::aws::is_not_found(&failure) => None,
                Err(failure) => {
                    let what = format!("could not read the policy of function {}", function.name);
                    return Err(error::aws::failed(what, failure).into());
                }
            };
            all.insert(function.name.clone(), policy);
        }
        Ok(all)
    });
    read.await.as_ref().map_err(Clone::clone)
}

pub(super) async fn public(subject: &Subject<'_>) -> Looked {
    let all = policies(subject).await?;
    Ok(all
        .iter()
        .flat_map(|(name, policy)| exposed(name, policy.as_ref().unwrap_or(&Value::Null)))
        .collect())
}

fn exposed(name: &str, policy: &Value) -> Vec<Finding> {
    let subject = || format!("function {name}");
    let found = policy::exposures(policy)
        .into_iter()
        .map(|exposure| match exposure {
            Exposure::Everyone(actions) => {
                Finding::fault(subject(), "lets every AWS account in the world invoke it")
                    .evidence(format!("it allows {} to everyone", actions.join(", ")))
                    .other_fix(format!("aws lambda get-policy --function-name {}", quoted(name)))
            }
            Exposure::Url => Finding::caution(
                subject(),
                "can be called by everyone through its URL, without credentials",
            )
            .evidence("the authorization of its URL is NONE")
            .other_fix(format!(
                "aws lambda update-function-url-config --function-name {} --auth-type AWS_IAM",
                quoted(name)
            )),
        });
    found.collect()
}

pub(super) async fn principals(subject: &Subject<'_>) -> Looked {
    let all = policies(subject).await?;
    Ok(all
        .iter()
        .filter_map(|(name, policy)| shared(name, &policy::services(policy.as_ref()?)))
        .collect())
}

/// Source of the rule: serverless-rules, `permission_multiple_principals`.
fn shared(name: &str, services: &[String]) -> Option<Finding> {
    (services.len() > 1).then(|| {
        Finding::caution(
            format!("function {name}"),
            "may be invoked by more than one service",
        )
        .evidence(format!("its policy allows {}", services.join(", ")))
        .evidence("a function for each service needs fewer permissions")
    })
}

pub(super) async fn wildcards(subject: &Subject<'_>) -> Looked {
    let mut found = Vec::new();
    for function in subject.functions().await? {
        let Some((role, policies)) = permissions::of_function(subject.context(), &function.name).await?
        else {
            continue;
        };
        let wide = policies.iter().flat_map(|it| policy::wildcards(&it.document));
        found.extend(too_wide(&role, &function.name, &wide.collect::<Vec<_>>()));
    }
    Ok(found)
}

/// Source of the rule: serverless-rules, `star_permissions`.
fn too_wide(role: &str, function: &str, actions: &[String]) -> Option<Finding> {
    (!actions.is_empty()).then(|| {
        Finding::caution(
            format!("role {role}"),
            "has policies that allow all actions of a service",
        )
        .evidence(format!("they allow {}", actions.join(", ")))
        .fix(&["policy", "--function", function])
    })
}

/// Source of the rule: serverless-rules, `tracing`.
pub(super) fn tracing(function: &Configuration) -> Option<Finding> {
    let mode = function.tracing_config().and_then(|config| config.mode());
    (mode != Some(&TracingMode::Active)).then(|| {
        let finding = Finding::caution(subject(function), "is not traced with X-Ray");
        change(finding, function, "--tracing-config Mode=Active")
    })
}

/// Source of the rules: serverless-rules, `default_memory_size` and `default_timeout`.
pub(super) fn defaults(function: &Configuration) -> Option<Finding> {
    let mut kept = Vec::new();
    if function.memory_size() == Some(DEFAULT_MEMORY_MB) {
        kept.push("a memory of 128 MB");
    }
    if function.timeout() == Some(DEFAULT_TIMEOUT_SECONDS) {
        kept.push("a timeout of 3 seconds");
    }
    (!kept.is_empty()).then(|| {
        let finding = Finding::caution(
            subject(function),
            format!("has Lambda's default: {}", kept.join(" and ")),
        );
        change(finding, function, "--memory-size 256 --timeout 60")
    })
}

/// Source of the rule: steampipe, `lambda_function_encryption_enabled`; prowler,
/// `awslambda_function_env_vars_not_encrypted_with_cmk`.
pub(super) fn variables_key(function: &Configuration) -> Option<Finding> {
    let variables = function
        .environment()
        .and_then(|environment| environment.variables());
    let has_variables = variables.is_some_and(|variables| !variables.is_empty());
    (has_variables && function.kms_key_arn().unwrap_or_default().is_empty()).then(|| {
        let finding = Finding::caution(
            subject(function),
            "has variables that are not encrypted with a customer managed key",
        );
        change(finding, function, "--kms-key-arn KEY")
    })
}

/// Source of the rule: steampipe, `lambda_function_with_graviton`. A GB-second of arm64 costs 20 % less.
pub(super) fn architecture(function: &Configuration) -> Option<Finding> {
    let is_arm = function.architectures().contains(&Architecture::Arm64);
    (!is_arm).then(|| {
        Finding::caution(subject(function), "runs on x86_64: arm64 costs 20 % less")
            .evidence("a function is built for one architecture: it needs new code")
    })
}

/// Source of the rules: serverless-rules, `async_failure_destination`; prowler, `awslambda_function_no_dead_letter_queue`. Only
/// functions without a mapping are looked at: those are invoked synchronously.
pub(super) async fn without_destination(subject: &Subject<'_>) -> Looked {
    let mappings = subject.mappings().await?;
    let all = configurations(subject).await?;
    let mut found = Vec::new();
    for function in all.values() {
        let is_mapped = mappings
            .iter()
            .any(|mapping| mapping.function() == name(function));
        let queue = function
            .dead_letter_config()
            .and_then(|config| config.target_arn());
        if is_mapped || queue.is_some_and(|arn| !arn.is_empty()) {
            continue;
        }
        let call = subject.context().lambda().get_function_event_invoke_config();
        let destination = match call.function_name(name(function)).send().await {
            Ok(answer) => answer
                .destination_config
                .and_then(|config| config.on_failure)
                .and_then(|on_failure| on_failure.destination),
            Err(failure) if error::aws::is_not_found(&failure) => None,
            Err(failure) => {
                let what = format!("could not read the destinations of function {}", name(function));
                return Err(error::aws::failed(what, failure).into());
            }
        };
        if destination.is_none() {
            found.push(loses_events(function));
        }
    }
    Ok(found)
}

fn loses_events(function: &Configuration) -> Finding {
    let finding = Finding::caution(
        super::functions::subject(function),
        "loses an asynchronous event that fails three times",
    );
    change(finding, function, "--dead-letter-config TargetArn=QUEUE")
}

/// Source of the rule: steampipe, `lambda_function_concurrent_execution_limit_configured`.
pub(super) async fn without_limit(subject: &Subject<'_>) -> Looked {
    let functions = subject.functions().await?.into_iter();
    Ok(functions
        .filter(|function| function.state.reserved_concurrency.is_none())
        .map(|function| {
            Finding::caution(
                format!("function {}", function.name),
                "can use all concurrency of the account",
            )
            .other_fix(format!(
                "aws lambda put-function-concurrency --function-name {} --reserved-concurrent-executions N",
                quoted(&function.name)
            ))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::{EnvironmentResponse, TracingConfigResponse};
    use serde_json::json;

    use super::*;
    use crate::observe::doctor::finding::Severity;

    fn function()
    -> aws_sdk_lambda::operation::get_function_configuration::builders::GetFunctionConfigurationOutputBuilder
    {
        Configuration::builder().function_name("scorer")
    }

    fn summary(finding: Option<Finding>) -> Option<String> {
        finding.map(|finding| finding.summary)
    }

    #[test]
    fn recommended_settings() {
        let active = TracingConfigResponse::builder().mode(TracingMode::Active).build();
        let good = function()
            .tracing_config(active)
            .memory_size(256)
            .timeout(60)
            .architectures(Architecture::Arm64)
            .build();
        for rule in [tracing, defaults, variables_key, architecture] {
            assert_eq!(rule(&good), None);
        }
        let bare = function().memory_size(128).timeout(3).build();
        assert!(tracing(&bare).is_some());
        assert!(architecture(&bare).is_some());
        assert_eq!(
            summary(defaults(&bare)).unwrap(),
            "has Lambda's default: a memory of 128 MB and a timeout of 3 seconds"
        );
        assert_eq!(variables_key(&bare), None);
        let variables = EnvironmentResponse::builder().variables("A", "b").build();
        assert!(variables_key(&function().environment(variables.clone()).build()).is_some());
        let own = function().environment(variables).kms_key_arn("arn:aws:kms:x");
        assert_eq!(variables_key(&own.build()), None);
    }

    #[test]
    fn a_policy_for_everyone_is_a_fault_and_an_open_url_a_caution() {
        let invoke =
            json!({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunction"}]});
        assert_eq!(exposed("scorer", &invoke)[0].severity, Severity::Fault);
        let url = json!({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunctionUrl",
            "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}}]});
        let found = exposed("scorer", &url);
        assert_eq!(found[0].severity, Severity::Caution);
        assert_eq!(
            found[0].fixes[0].command,
            "aws lambda update-function-url-config --function-name scorer --auth-type AWS_IAM"
        );
        assert!(exposed("scorer", &Value::Null).is_empty());
    }

    #[test]
    fn two_services_and_whole_services_are_too_much() {
        let services = ["a.amazonaws.com".to_owned(), "b.amazonaws.com".to_owned()];
        assert!(shared("scorer", &services).is_some());
        assert!(shared("scorer", &services[..1]).is_none());
        assert!(too_wide("work", "scorer", &["kinesis:*".to_owned()]).is_some());
        assert!(too_wide("work", "scorer", &[]).is_none());
    }
}
