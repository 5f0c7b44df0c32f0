//! The stream that a command acts on.

use clap::Args;

use super::Session;
use domain::context::Context;
use domain::stream::check_name;
use ground::error::Result;

/// `--stream`, or the default stream.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct StreamArg {
    /// Stream to act on [default: STREAMCTL_STREAM, AWS_KINESIS_STREAM_NAME, streamctl.toml, concert-data-stream]
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: Option<String>,
}

impl StreamArg {
    /// The stream that was named, or the default one.
    ///
    /// # Errors
    /// Exit 2 when it is not a valid stream name.
    pub(crate) fn resolve(&self, session: &Session) -> Result<String> {
        let name = self.stream.as_deref().unwrap_or(&session.settings().stream);
        check_name(name)?;
        Ok(name.to_owned())
    }
}

/// The ARN of the stream `name`, if one is named.
///
/// # Errors
/// Exit 2 when it is not a valid stream name, exit 4 when the account cannot be found out.
pub(crate) async fn arn_of(context: &Context, name: Option<&str>) -> Result<Option<String>> {
    let Some(name) = name else { return Ok(None) };
    check_name(name)?;
    context.stream_arn(name).await.map(Some)
}
