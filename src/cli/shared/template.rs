//! Arguments that select a template and its parameters, and the [`Draft`] that they give.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use clap_complete::ArgValueCompleter;

use super::candidates::templates;
use super::duration::retention_hours;
use super::{Session, StreamFlag};
use crate::ui::shell_quoted;
use domain::pipeline::parameter::Setting;
use domain::pipeline::{self, Draft, Given, Manifest, Request, tags};
use ground::error::{Error, Result};

/// One line for each bundled template, for the end of a help text.
pub(crate) fn template_list() -> String {
    let width = pipeline::bundled().map(|one| one.name.len()).max().unwrap_or(0);
    let lines = pipeline::bundled().map(|one| format!("\n  {:width$}  {}", one.name, one.description()));
    format!("Templates:{}", lines.collect::<String>())
}

fn template_help() -> String {
    let names: Vec<&str> = pipeline::bundled().map(|one| one.name).collect();
    format!("Template: {} (`streamctl init` describes them)", names.join(", "))
}

/// Selects a pipeline.
#[derive(Debug, Clone, Args)]
pub(crate) struct TemplateArgs {
    #[arg(help = template_help(), default_value = "stream", value_name = "TEMPLATE", conflicts_with = "file", add = ArgValueCompleter::new(templates))]
    template: String,
    /// Manifest file, such as one that `streamctl init` wrote
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    stream: StreamFlag,
    /// Set a parameter of the template (repeatable)
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// `--adopt` of a command that has it.
    #[arg(skip)]
    pub(crate) adopt: bool,
}

/// Selects the template of a function, for the commands on functions.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PartArgs {
    /// Stream that the function reads [default: that of the bundled handler]
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Set a parameter of the template of the function (repeatable)
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// `--adopt` of a command that has it.
    #[arg(skip)]
    pub(crate) adopt: bool,
}

impl PartArgs {
    pub(crate) fn stream(&self) -> Option<&str> {
        self.stream.as_deref()
    }

    /// The template `name` and the request for it.
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
            stream: StreamFlag {
                stream: self.stream.clone().filter(|_| has_stream),
            },
            parameters: self.parameters.clone(),
            adopt: self.adopt,
        };
        let request = template.request(session, &manifest, None, everything)?;
        Ok((manifest, request))
    }
}

/// Settings of the stream. A setting that is not given here, in the environment or in streamctl.toml takes the default of
/// the template when the stream is created, and is not changed when it exists.
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
    /// On-demand mode: Kinesis manages the number of shards
    #[arg(long, conflicts_with = "provisioned")]
    on_demand: bool,
    /// Provisioned mode: you manage the number of shards
    #[arg(long)]
    provisioned: bool,
    /// How long records are kept: 24h to 8760h, or 1d to 365d [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = retention_hours)]
    retention: Option<u32>,
    /// Do not encrypt records at rest
    #[arg(long, conflicts_with = "kms_key")]
    no_encryption: bool,
    /// Encrypt with this KMS key: alias, id or ARN [default: alias/aws/kinesis]
    #[arg(long, value_name = "KEY")]
    kms_key: Option<String>,
    /// Shard-level metrics: all, none, or a comma-separated list [default: all]
    #[arg(long, value_name = "METRICS")]
    monitoring: Option<String>,
    /// Tag for all resources (repeatable)
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tags::parse)]
    tags: Vec<(String, String)>,
    /// Remove this tag (repeatable)
    #[arg(long, value_name = "KEY", value_parser = tag_key)]
    untag: Vec<String>,
}

impl TemplateArgs {
    /// The template or manifest file `template`, for a command whose word means something else.
    pub(crate) fn named(template: String, stream: StreamFlag, parameters: Vec<(String, String)>) -> Self {
        Self {
            template,
            file: None,
            stream,
            parameters,
            adopt: false,
        }
    }

    /// The template with the values of its parameters.
    ///
    /// # Errors
    /// Exit 2; the error names all values that are not valid. Exit 130 on Ctrl-C.
    pub(crate) async fn draft(
        &self,
        session: &Session,
        choice: Option<&ChoiceArgs>,
        everything: bool,
    ) -> Result<Draft> {
        let manifest = self.manifest(session).await?;
        self.draft_of(session, manifest, choice, everything)
    }

    /// The manifest. A file may be a pipe, which can be read once.
    ///
    /// # Errors
    /// As [`TemplateArgs::draft`].
    pub(crate) async fn manifest(&self, session: &Session) -> Result<Manifest> {
        let (file, template) = (self.file.clone(), self.template.clone());
        let read = move || match file {
            Some(path) => pipeline::read_file(&path),
            None => pipeline::template(&template),
        };
        session.read(read).await
    }

    /// [`TemplateArgs::draft`] of a manifest that is read.
    ///
    /// # Errors
    /// As [`TemplateArgs::draft`].
    pub(crate) fn draft_of(
        &self,
        session: &Session,
        manifest: Manifest,
        choice: Option<&ChoiceArgs>,
        everything: bool,
    ) -> Result<Draft> {
        let request = self.request(session, &manifest, choice, everything)?;
        Draft::new(manifest, request)
    }

    /// The request for `manifest`.
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
            domain::stream::check_name(name)?;
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
                    Error::usage(format!("{} and {source} set the same parameter", other.source))
                        .hint("use one of them"),
                );
            }
        }
        given.extend(named);
        request.given = given;
        Ok(request)
    }

    /// Values from the environment and files, for the parameters that take one.
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
                // An on-demand stream has no shard count.
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

    /// [`TemplateArgs::command_args`] with the parameters.
    pub(crate) fn command_args_with_parameters(&self, session: &Session) -> String {
        let mut typed = self.command_args(session);
        for (name, value) in &self.parameters {
            typed.push_str(" --param ");
            typed.push_str(&shell_quoted(&format!("{name}={value}")));
        }
        if self.adopt {
            typed.push_str(" --adopt");
        }
        typed
    }

    /// The arguments that select this pipeline, for a command line to copy.
    pub(crate) fn command_args(&self, session: &Session) -> String {
        let mut typed = String::new();
        if let Some(path) = &self.file {
            typed.push_str(&format!(" -f {}", shell_quoted(&path.display().to_string())));
        } else if self.template != "stream" {
            typed.push(' ');
            typed.push_str(&shell_quoted(&self.template));
        }
        typed + &self.stream_flag(session)
    }

    /// The template or the manifest file.
    pub(crate) fn source(&self) -> String {
        match &self.file {
            Some(path) => path.display().to_string(),
            None => self.template.clone(),
        }
    }

    /// The directory of the manifest; `None` for a bundled template.
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

    /// The flag that selects the stream, for a command line to copy. Empty if it is the default.
    fn stream_flag(&self, session: &Session) -> String {
        match &self.stream.stream {
            Some(name) if *name != session.settings().stream => format!(" --stream {name}"),
            _ => String::new(),
        }
    }
}

impl ChoiceArgs {
    /// The flags, for a command line to copy.
    pub(crate) fn typed(&self) -> String {
        let switches = [
            ("--on-demand", self.on_demand),
            ("--provisioned", self.provisioned),
            ("--no-encryption", self.no_encryption),
        ];
        let mut words: Vec<String> = switches
            .iter()
            .filter(|(_, is_on)| *is_on)
            .map(|(flag, _)| (*flag).to_owned())
            .collect();
        let mut add = |flag: &str, value: &str| words.push(format!("{flag} {}", shell_quoted(value)));
        let retention = self.retention.map(|hours| format!("{hours}h"));
        for (flag, value) in [
            ("--shard-count", &self.shard_count),
            ("--retention", &retention),
            ("--kms-key", &self.kms_key),
            ("--monitoring", &self.monitoring),
        ] {
            if let Some(value) = value {
                add(flag, value);
            }
        }
        for (key, value) in &self.tags {
            add("--tag", &format!("{key}={value}"));
        }
        for key in &self.untag {
            add("--untag", key);
        }
        words.iter().map(|word| format!(" {word}")).collect()
    }

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
        if let Some(hours) = self.retention {
            set("retention_hours", "--retention", &hours.to_string());
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

/// The parameter that a flag sets: the one called `name`, else the one with the setting `name`.
fn parameter_of(manifest: &Manifest, name: &str) -> String {
    if manifest.parameters.contains_key(name) {
        return name.to_owned();
    }
    let takes = |setting: Option<Setting>| setting.is_some_and(|setting| setting.name() == name);
    let found = manifest.parameters.iter().find(|(_, one)| takes(one.setting));
    found.map_or(name, |(name, _)| name).to_owned()
}

/// Parses `NAME=VALUE`.
///
/// # Errors
/// The problem, as a sentence.
pub(crate) fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not of the form name=value"))?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

fn tag_key(text: &str) -> Result<String, String> {
    tags::check_key(text).map(|()| text.to_owned())
}
