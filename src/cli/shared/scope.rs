//! Arguments that choose a stream, a function or a pipeline, for commands that watch what it consists of.

use clap::Args;
use clap_complete::ArgValueCompleter;

use super::candidates::templates;
use super::template::{TemplateArgs, parameter};
use super::{Session, StreamArg};
use domain::context::Context;
use domain::observe::alarms::Metric;
use domain::observe::doctor::Scope;
use domain::pipeline::resources::Kinds;
use domain::stream;
use ground::error::Result;

/// A stream with what reads it, one function, or all resources of a pipeline.
#[derive(Debug, Clone, Args)]
pub(crate) struct ScopeArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Template or manifest file of a pipeline; all its resources are watched
    #[arg(long, value_name = "NAME", conflicts_with = "word", add = ArgValueCompleter::new(templates))]
    pipeline: Option<String>,
    /// Set a parameter of the template (repeatable)
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter, requires = "pipeline")]
    parameters: Vec<(String, String)>,
    /// A function instead of a stream
    #[arg(long, value_name = "FUNCTION", conflicts_with_all = ["word", "stream", "pipeline"])]
    function: Option<String>,
}

/// What was chosen.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    /// Short name, such as `orders` or `retail-dev`.
    pub(crate) name: String,
    /// As in "stream orders".
    pub(crate) title: String,
    pub(crate) scope: Scope,
    /// Metrics of failed events that the pipeline declares.
    pub(crate) failed_events: Vec<Metric>,
}

impl ScopeArgs {
    /// Checks the names. Makes no call.
    ///
    /// # Errors
    /// Exit 2 for a name that is not valid.
    pub(crate) fn check(&self, session: &Session) -> Result<()> {
        match (&self.pipeline, &self.function) {
            (None, None) => self.stream.resolve(session).map(drop),
            (Some(_), _) => match &self.stream.flag().stream {
                Some(name) => stream::check_name(name),
                None => Ok(()),
            },
            (None, Some(name)) => domain::functions::function::rules::check_name(name),
        }
    }

    /// # Errors
    /// Exit 2 for a template that does not exist or parameters that are not valid.
    pub(crate) async fn resolve(&self, session: &Session, context: &Context) -> Result<Chosen> {
        if let Some(function) = &self.function {
            return Ok(Chosen {
                name: function.clone(),
                title: format!("function {function}"),
                scope: Scope {
                    functions: vec![function.clone()],
                    ..Scope::default()
                },
                failed_events: Vec::new(),
            });
        }
        let Some(pipeline) = &self.pipeline else {
            let name = self.stream.resolve(session)?;
            return Ok(Chosen {
                title: format!("stream {name}"),
                scope: Scope::stream(&name),
                name,
                failed_events: Vec::new(),
            });
        };
        let flag = self.stream.flag().clone();
        let template = TemplateArgs::named(pipeline.clone(), flag, self.parameters.clone());
        let kinds = Kinds::new(context).await?;
        let bound = template.draft(session, None, false).await?.bind(&kinds)?;
        // Also the alarms that a parameter leaves out: they name the metrics of the application.
        let whole = template.draft(session, None, true).await?.bind(&kinds)?;
        let mut failed_events: Vec<Metric> = whole
            .specs()?
            .iter()
            .filter_map(Metric::of_failed_events)
            .collect();
        failed_events.dedup();
        let identity = bound.identity();
        Ok(Chosen {
            name: format!("{}-{}", identity.template(), identity.instance()),
            title: format!("pipeline {identity}"),
            scope: Scope::pipeline(&bound)?,
            failed_events,
        })
    }
}
