//! Arguments that `setup`, `plan`, `destroy`, `verify` and `outputs` share, and what they are made into.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::{Session, StreamArg};
use crate::pipeline::parameter::Setting;
use crate::pipeline::{self, Draft, Given, Manifest, Request, tags};
use ground::error::{Error, Result};

/// Which pipeline.
#[derive(Debug, Clone, Args)]
pub(crate) struct TemplateArgs {
    /// Template: stream, concert, prices, realtime or retail (`streamctl init` says what each is)
    #[arg(default_value = "stream", value_name = "TEMPLATE", conflicts_with = "file")]
    template: String,
    /// Manifest of your own, such as one that `streamctl init` wrote
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    stream: StreamArg,
    /// Give a parameter of the template a value
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// Take over what exists under the same name and was not made by this pipeline
    #[arg(long)]
    adopt: bool,
}

/// Parts of a template by other arguments than `setup` has: what commands on functions share.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PartArgs {
    /// The stream that the function reads [default: a bundled handler's own]
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Give a parameter of the function's template a value
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// Take over what exists under the same name and was not made by streamctl for this
    #[arg(long)]
    adopt: bool,
}

impl PartArgs {
    /// The stream that was named.
    pub(crate) fn stream(&self) -> Option<&str> {
        self.stream.as_deref()
    }

    /// What is asked of the template `name`, and the template.
    ///
    /// # Errors
    /// As [`TemplateArgs::draft`].
    pub(crate) fn request(
        &self,
        session: &Session,
        name: &str,
        everything: bool,
    ) -> Result<(Manifest, Request)> {
        let manifest = pipeline::template(name)?;
        let has_stream = manifest.parameters.contains_key("stream");
        let template = TemplateArgs {
            file: None,
            template: name.to_owned(),
            stream: StreamArg {
                stream: self.stream.clone().filter(|_| has_stream),
            },
            parameters: self.parameters.clone(),
            adopt: self.adopt,
        };
        let request = template.request(session, &manifest, None, everything)?;
        Ok((manifest, request))
    }
}

/// What the pipeline is to be. What is not named here, in the environment or in streamctl.toml takes the template's
/// default when it is made, and stays as it is when it exists.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChoiceArgs {
    /// Number of shards; each takes 1 MB/s and 1,000 records/s [default: AWS_KINESIS_SHARD_COUNT, streamctl.toml, 1]
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        conflicts_with = "on_demand"
    )]
    shard_count: Option<String>,
    /// Let Kinesis decide on the number of shards
    #[arg(long, conflicts_with = "provisioned")]
    on_demand: bool,
    /// Decide on the number of shards yourself: switches an on-demand stream over
    #[arg(long)]
    provisioned: bool,
    /// How long records are kept: 24h to 8760h, or 1d to 365d [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = retention_hours)]
    retention: Option<String>,
    /// Do not encrypt records at rest
    #[arg(long, conflicts_with = "kms_key")]
    no_encryption: bool,
    /// Encrypt with this KMS key: alias, id or ARN [default: alias/aws/kinesis]
    #[arg(long, value_name = "KEY")]
    kms_key: Option<String>,
    /// Shard-level metrics: all, none, or names with commas between them [default: all]
    #[arg(long, value_name = "METRICS")]
    monitoring: Option<String>,
    /// Tag for everything that is made (repeatable)
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tags::parse)]
    tags: Vec<(String, String)>,
    /// Take this tag away (repeatable)
    #[arg(long, value_name = "KEY", value_parser = tag_key)]
    untag: Vec<String>,
}

impl TemplateArgs {
    /// The template with its parameters settled.
    ///
    /// # Errors
    /// Exit 2 with every bad value at once.
    pub(crate) fn draft(
        &self,
        session: &Session,
        choice: Option<&ChoiceArgs>,
        everything: bool,
    ) -> Result<Draft> {
        let manifest = match &self.file {
            Some(path) => pipeline::read_file(path)?,
            None => pipeline::template(&self.template)?,
        };
        let request = self.request(session, &manifest, choice, everything)?;
        Draft::new(manifest, request)
    }

    /// What is asked of `manifest`.
    ///
    /// # Errors
    /// Exit 2 when two flags contradict each other.
    fn request(
        &self,
        session: &Session,
        manifest: &Manifest,
        choice: Option<&ChoiceArgs>,
        everything: bool,
    ) -> Result<Request> {
        let mut given = self.ambient(session, manifest, choice)?;
        let mut request = Request {
            adopt: self.adopt,
            everything,
            ..Request::default()
        };
        let mut named: BTreeMap<String, Given> = BTreeMap::new();
        if let Some(name) = &self.stream.stream {
            crate::stream::check_name(name)?;
            named.insert(parameter_of(manifest, "stream"), Given::flag("--stream", name));
        }
        if let Some(choice) = choice {
            let choices = choice.named().into_iter();
            named.extend(choices.map(|(name, given)| (parameter_of(manifest, &name), given)));
            request.tags = choice.tags.iter().cloned().collect();
            request.untag = choice.untag.iter().cloned().collect();
        }
        for (name, value) in &self.parameters {
            let source = format!("--param {name}");
            if let Some(other) = named.insert(name.clone(), Given::flag(&source, value)) {
                return Err(
                    Error::usage(format!("{} and {source} say the same thing", other.source))
                        .hint("give one of them"),
                );
            }
        }
        given.extend(named);
        request.given = given;
        Ok(request)
    }

    /// What environment and files say about the parameters that ask for it.
    fn ambient(
        &self,
        session: &Session,
        manifest: &Manifest,
        choice: Option<&ChoiceArgs>,
    ) -> Result<BTreeMap<String, Given>> {
        let settings = session.settings();
        let mut ambient = BTreeMap::new();
        for (name, parameter) in &manifest.parameters {
            let given = match parameter.setting {
                Some(Setting::Stream) => Some(Given::environment(
                    "AWS_KINESIS_STREAM_NAME",
                    self.stream.resolve(session)?,
                )),
                Some(Setting::Environment) => settings
                    .environment
                    .as_ref()
                    .map(|text| Given::environment("APP_ENVIRONMENT", text)),
                // Whoever asks for on-demand has no use for a shard count.
                Some(Setting::ShardCount) => settings
                    .shard_count
                    .filter(|_| choice.is_some_and(|choice| !choice.on_demand))
                    .map(|shards| Given::environment("AWS_KINESIS_SHARD_COUNT", shards.to_string())),
                None => None,
            };
            ambient.extend(given.map(|given| (name.clone(), given)));
        }
        Ok(ambient)
    }

    /// As [`TemplateArgs::as_typed`], with the parameters too: what makes `setup` ask for the same.
    pub(crate) fn as_typed_in_full(&self, session: &Session) -> String {
        let mut typed = self.as_typed(session);
        for (name, value) in &self.parameters {
            // Quoted for a shell where it needs it.
            let pair = format!("{name}={value}");
            let plain = |c: char| c.is_ascii_alphanumeric() || "=_.:/+@%,-".contains(c);
            typed.push_str(" --param ");
            if pair.chars().all(plain) {
                typed.push_str(&pair);
            } else {
                typed.push_str(&format!("'{}'", pair.replace('\'', r"'\''")));
            }
        }
        if self.adopt {
            typed.push_str(" --adopt");
        }
        typed
    }

    /// This pipeline as arguments of another command, for a line to copy.
    pub(crate) fn as_typed(&self, session: &Session) -> String {
        let mut typed = String::new();
        if let Some(path) = &self.file {
            typed.push_str(&format!(" -f {}", path.display()));
        } else if self.template != "stream" {
            typed.push(' ');
            typed.push_str(&self.template);
        }
        typed + &self.stream_as_typed(session)
    }

    /// Where the files of the template are: beside the manifest, or nowhere yet.
    pub(crate) fn dir(&self) -> Option<PathBuf> {
        let path = match &self.file {
            Some(path) => path.clone(),
            None if self.template.contains(['/', '\\']) || self.template.ends_with(".toml") => {
                PathBuf::from(&self.template)
            }
            None => return None,
        };
        Some(path.parent().map_or_else(PathBuf::new, PathBuf::from))
    }

    /// Where to act and on which stream, as arguments of another command; empty where both are the default.
    pub(crate) fn stream_as_typed(&self, session: &Session) -> String {
        let place = session.target_flags();
        match &self.stream.stream {
            Some(name) if *name != session.settings().stream => format!("{place} --stream {name}"),
            _ => place.to_owned(),
        }
    }
}

impl ChoiceArgs {
    fn named(&self) -> BTreeMap<String, Given> {
        let mut named = BTreeMap::new();
        let mut set = |name: &str, flag: &str, text: &str| {
            named.insert(name.to_owned(), Given::flag(flag, text));
        };
        if let Some(count) = &self.shard_count {
            set("shard_count", "--shard-count", count);
        }
        if self.on_demand {
            set("mode", "--on-demand", "on-demand");
        }
        if self.provisioned {
            set("mode", "--provisioned", "provisioned");
        }
        if let Some(hours) = &self.retention {
            set("retention_hours", "--retention", hours);
        }
        if self.no_encryption {
            set("encryption", "--no-encryption", "false");
        }
        if let Some(key) = &self.kms_key {
            set("encryption", "--kms-key", "true");
            set("kms_key", "--kms-key", key);
        }
        if let Some(metrics) = &self.monitoring {
            set("monitoring", "--monitoring", metrics);
        }
        named
    }
}

/// The parameter that the flag for `name` is for: the one of that name, else one that takes the setting of that name.
fn parameter_of(manifest: &Manifest, name: &str) -> String {
    if manifest.parameters.contains_key(name) {
        return name.to_owned();
    }
    let takes = |setting: Option<Setting>| setting.is_some_and(|setting| setting.name() == name);
    let found = manifest.parameters.iter().find(|(_, one)| takes(one.setting));
    found.map_or(name, |(name, _)| name).to_owned()
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not of the form name=value"))?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

fn tag_key(text: &str) -> Result<String, String> {
    tags::check_key(text).map(|()| text.to_owned())
}

/// `24h`, `7d` or hours without a unit, in hours. The range is the template's to check.
fn retention_hours(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (digits, hours) = match text.char_indices().next_back() {
        Some((at, 'h' | 'H')) => (&text[..at], 1),
        Some((at, 'd' | 'D')) => (&text[..at], 24),
        _ => (text, 1),
    };
    let number: Option<u64> = digits.trim().parse().ok();
    number
        .and_then(|number| number.checked_mul(hours))
        .map(|hours| hours.to_string())
        .ok_or_else(|| "give hours such as 24h, or days such as 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_read_in_hours_and_days() {
        assert_eq!(retention_hours("24h").unwrap(), "24");
        assert_eq!(retention_hours("7d").unwrap(), "168");
        assert_eq!(retention_hours("168").unwrap(), "168");
        for bad in ["", "h", "90m", "-1d", "1.5d", "€", "99999999999999999999d"] {
            assert!(retention_hours(bad).is_err(), "{bad}");
        }
    }
}
