//! The stream that a command acts on.

use clap::Args;

use super::Session;
use domain::context::Context;
use domain::settings::DEFAULT_STREAM;
use domain::stream::{StreamReference, whereabouts};
use ground::error::Result;

/// The stream to act on: a word, `--stream`, or the default stream.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct StreamArg {
    /// Stream, by name or ARN [default: STREAMCTL_STREAM, AWS_KINESIS_STREAM_NAME, streamctl.toml, concert-data-stream]
    #[arg(value_name = "STREAM", conflicts_with = "stream")]
    word: Option<String>,
    #[command(flatten)]
    flag: StreamFlag,
}

/// `--stream`, or the default stream: for commands whose words mean something else.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct StreamFlag {
    /// Stream to act on, by name or ARN
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: Option<String>,
}

impl StreamArg {
    /// Whether a word or `--stream` names the stream.
    pub(crate) fn is_named(&self) -> bool {
        self.word.is_some() || self.flag.stream.is_some()
    }

    /// `--stream`.
    pub(crate) fn flag(&self) -> &StreamFlag {
        &self.flag
    }

    /// The name of the stream. An ARN also chooses the region.
    ///
    /// # Errors
    /// Exit 2 when it is not a valid stream name or ARN, or the ARN is of another region than `--region`.
    pub(crate) fn resolve(&self, session: &Session) -> Result<String> {
        resolve(self.word.as_deref().or(self.flag.stream.as_deref()), session)
    }
}

impl StreamArg {
    /// The stream, which may be one of another account: for a command that only reads it. [`StreamReference::address`] says how
    /// to name it in calls.
    ///
    /// # Errors
    /// As [`StreamArg::resolve`].
    pub(crate) fn resolve_shared(&self, session: &Session) -> Result<StreamReference> {
        let given = self.word.as_deref().or(self.flag.stream.as_deref());
        shared(given.unwrap_or(&session.settings().stream), session)
    }
}

/// The stream that a command changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChosenStream {
    pub(crate) name: String,
    /// Whether the user chose it: false for the built-in default.
    pub(crate) is_chosen: bool,
}

impl StreamArg {
    /// As [`StreamArg::resolve`], for a command that changes the stream.
    ///
    /// # Errors
    /// As [`StreamArg::resolve`].
    pub(crate) fn choose(&self, session: &Session) -> Result<ChosenStream> {
        choose(self.word.as_deref().or(self.flag.stream.as_deref()), session)
    }
}

impl StreamFlag {
    /// As [`StreamArg::resolve`].
    ///
    /// # Errors
    /// As [`StreamArg::resolve`].
    pub(crate) fn resolve(&self, session: &Session) -> Result<String> {
        resolve(self.stream.as_deref(), session)
    }
}

/// The name of the stream `given`, or of the default stream.
///
/// # Errors
/// As [`StreamArg::resolve`].
pub(crate) fn resolve(given: Option<&str>, session: &Session) -> Result<String> {
    let text = given.unwrap_or(&session.settings().stream);
    let reference = StreamReference::parse(text)?;
    session.act_on(&reference)?;
    Ok(reference.name)
}

/// As [`resolve`], for a command that changes the stream.
///
/// # Errors
/// As [`StreamArg::resolve`].
pub(crate) fn choose(given: Option<&str>, session: &Session) -> Result<ChosenStream> {
    let name = resolve(given, session)?;
    let is_chosen = given.is_some() || name != DEFAULT_STREAM;
    Ok(ChosenStream { name, is_chosen })
}

/// `outcome`; an error because there is no stream `name` says where one may be.
///
/// # Errors
/// That of `outcome`.
pub(crate) async fn or_whereabouts<T>(context: &Context, name: &str, outcome: Result<T>) -> Result<T> {
    match outcome {
        Ok(value) => Ok(value),
        Err(error) => Err(whereabouts::explain(context, name, error).await),
    }
}

/// The stream `given`, by name or ARN, which may be one of another account. Call it before the target is chosen: an ARN
/// also chooses the region.
///
/// # Errors
/// As [`StreamArg::resolve`].
pub(crate) fn shared(given: &str, session: &Session) -> Result<StreamReference> {
    let reference = StreamReference::parse(given)?;
    session.act_on(&reference.clone().of_any_account())?;
    Ok(reference)
}

/// The ARN of a stream.
///
/// # Errors
/// Exit 4 when the account of the credentials cannot be found out.
pub(crate) async fn arn_of(context: &Context, stream: &StreamReference) -> Result<String> {
    let address = stream.address(context).await?;
    match address.starts_with("arn:") {
        true => Ok(address),
        false => context.stream_arn(&address).await,
    }
}
