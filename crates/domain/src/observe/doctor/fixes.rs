//! Commands that several checks propose.

use super::finding::Finding;
use super::subject::Function;
use crate::functions::bundle;
use crate::functions::mapping::Mapping;
use crate::pipeline::tags::{MANAGED_BY, PIPELINE, STREAMCTL};
use crate::pipeline::{self, Identity};

/// Template of the functions that `deploy` makes of the user's code.
const OWN: &str = "function";

/// Adds the command that changes `mapping` with `flags` of `attach`.
pub(super) fn change_mapping(finding: Finding, mapping: &Mapping, flags: &[&str], is_safe: bool) -> Finding {
    // `attach` finds the mappings of a stream, not those of its consumers.
    if mapping.stream_arn.contains("/consumer/") {
        return finding.other_fix(format!(
            "aws lambda update-event-source-mapping --uuid {} {}",
            mapping.id,
            aws_flags(flags)
        ));
    }
    let words = [
        &["attach", mapping.function(), "--stream", mapping.stream()],
        flags,
    ]
    .concat();
    match is_safe {
        true => finding.safe_fix(&words),
        false => finding.fix(&words),
    }
}

/// The flags of the AWS CLI for those of `attach`.
fn aws_flags(flags: &[&str]) -> String {
    let name = |flag: &&str| match *flag {
        "--parallelization" => "--parallelization-factor".to_owned(),
        "--retries" => "--maximum-retry-attempts".to_owned(),
        "--max-record-age" => "--maximum-record-age-in-seconds".to_owned(),
        "--bisect" => "--bisect-batch-on-function-error".to_owned(),
        other => other.to_owned(),
    };
    flags.iter().map(name).collect::<Vec<_>>().join(" ")
}

/// Adds the command that sets `flag` of `deploy` (and of the AWS CLI) on `function`.
pub(super) fn configure(finding: Finding, function: &Function, flag: (&str, &str), aws: &str) -> Finding {
    match deploy_words(function) {
        Some(words) => {
            let words: Vec<&str> = words.iter().map(String::as_str).chain([flag.0, flag.1]).collect();
            finding.fix(&words)
        }
        None => finding.other_fix(format!(
            "aws lambda update-function-configuration --function-name {} {aws}",
            function.name
        )),
    }
}

/// The words of `deploy` that name `function`, if streamctl made it and the name alone tells how.
pub(super) fn deploy_words(function: &Function) -> Option<Vec<String>> {
    if function.tags.get(MANAGED_BY).map(String::as_str) != Some(STREAMCTL) {
        return None;
    }
    let (template, instance) = function.tags.get(PIPELINE)?.split_once('/')?;
    let word = |text: &str| text.to_owned();
    if template == OWN {
        return Some(vec![word("deploy"), function.name.clone()]);
    }
    let handler = bundle::find(&function.state.handler).ok()?;
    if handler.template != template {
        return None;
    }
    let mut words = vec![word("deploy"), word(handler.name)];
    words.extend(parameters_of(&Identity::new(template, instance))?);
    Some(words)
}

/// The flags that select the instance of a pipeline of a bundled template; `None` if its name does not tell them.
pub(super) fn parameters_of(identity: &Identity) -> Option<Vec<String>> {
    let manifest = pipeline::source::find(identity.template()).ok()?.read().ok()?;
    let parameter = manifest.instance.strip_prefix("${")?.strip_suffix('}')?;
    let default = manifest.parameters.get(parameter)?.default.as_ref();
    if default.and_then(serde_json::Value::as_str) == Some(identity.instance()) {
        return Some(Vec::new());
    }
    Some(vec![
        "--param".to_owned(),
        format!("{parameter}={}", identity.instance()),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{function, mapping};
    use super::*;

    fn command(finding: Finding) -> String {
        finding.fixes[0].command.clone()
    }

    #[test]
    fn a_mapping_of_a_consumer_is_changed_with_the_aws_cli() {
        let mut reader = mapping("scorer", "orders");
        let change = |reader: &Mapping| {
            let finding = Finding::fault("mapping", "is off");
            command(change_mapping(finding, reader, &["--retries", "3"], true))
        };
        assert_eq!(
            change(&reader),
            "streamctl attach scorer --stream orders --retries 3"
        );
        reader.stream_arn.push_str("/consumer/app:1");
        assert_eq!(
            change(&reader),
            "aws lambda update-event-source-mapping --uuid 6cb2b1a8 --maximum-retry-attempts 3"
        );
    }

    #[test]
    fn a_function_is_configured_the_way_it_was_made() {
        let configure = |function: &Function| {
            let finding = Finding::fault("function", "is slow");
            command(configure(finding, function, ("--timeout", "2m"), "--timeout 120"))
        };
        let mut one = function("scorer");
        assert_eq!(
            configure(&one),
            "aws lambda update-function-configuration --function-name scorer --timeout 120"
        );
        one.tags.insert(MANAGED_BY.to_owned(), STREAMCTL.to_owned());
        one.tags.insert(PIPELINE.to_owned(), "function/scorer".to_owned());
        assert_eq!(configure(&one), "streamctl deploy scorer --timeout 2m");
        one.state.handler = "retail-event-processor".to_owned();
        one.tags.insert(PIPELINE.to_owned(), "retail/dev".to_owned());
        assert_eq!(
            configure(&one),
            "streamctl deploy retail-event-processor --timeout 2m"
        );
        one.tags.insert(PIPELINE.to_owned(), "retail/prod".to_owned());
        assert_eq!(
            configure(&one),
            "streamctl deploy retail-event-processor --param environment=prod --timeout 2m"
        );
    }
}
