//! `streamctl detach`.

use clap::Args;
use serde::Serialize;

use super::shared::Session;
use super::shared::function::{function_name, with_mapper};
use super::shared::stream::{arn_of, shared};
use super::shared::template::PartArgs;
use crate::ui::{Report, Style, lines};
use domain::functions::mapping;
use domain::pipeline::access;
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Detach a function from a stream
///
/// Deletes the event source mapping and waits until it is deleted. Its position in the stream is lost: a new mapping starts
/// at its starting position. The function and the stream are kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl detach retail-processor
  streamctl detach scorer --stream orders      if it reads several streams")]
pub struct DetachArgs {
    /// A bundled handler, or the name of any function
    #[arg(value_name = "FUNCTION")]
    function: String,
    #[command(flatten)]
    part: PartArgs,
}

/// A stable contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DetachReport {
    function: String,
    streams: Vec<String>,
}

impl Report for DetachReport {
    fn table(&self, _style: &Style) -> String {
        if self.streams.is_empty() {
            return String::new();
        }
        format!("{} no longer reads {}", self.function, self.streams.join(", "))
    }

    fn text(&self) -> String {
        lines(
            self.streams
                .iter()
                .map(|stream| [self.function.clone(), stream.clone()]),
        )
    }
}

pub(super) async fn run(args: DetachArgs, session: &Session) -> Result<Exit> {
    let stream = args
        .part
        .stream()
        .map(|given| shared(given, session))
        .transpose()?;
    let context = session.context_for_change().await?;
    let function = function_name(session, context, &args.function, &args.part).await?;
    let stream_arn = match &stream {
        Some(stream) => Some(arn_of(context, stream).await?),
        None => None,
    };
    let found = mapping::list(context, Some(&function), stream_arn.as_deref()).await?;
    let mut report = DetachReport {
        function: function.clone(),
        streams: Vec::new(),
    };
    if found.is_empty() {
        session.printer().note(&match args.part.stream() {
            Some(stream) => format!("Nothing to do: {function} does not read {stream}"),
            None => format!("Nothing to do: {function} reads no stream"),
        });
        session.printer().report(&report)?;
        return Ok(Exit::Done);
    }
    if found.len() > 1 && stream_arn.is_none() {
        let streams: Vec<&str> = found.iter().map(mapping::Mapping::stream).collect();
        return Err(Error::usage(format!("{function} reads {}", streams.join(", ")))
            .hint("name one of them with --stream"));
    }
    for mapping in &found {
        with_mapper(session, context, &function, async |mapper| {
            mapper.delete(&mapping.id).await
        })
        .await?;
        if let Err(error) = access::revoke(context, &function, &mapping.stream_arn).await {
            let stream = mapping.stream();
            session.printer().warn(&format!(
                "{error}: the role of {function} may still be allowed to read {stream}"
            ));
        }
        report.streams.push(mapping.stream().to_owned());
    }
    session.printer().report(&report)?;
    Ok(Exit::Done)
}
