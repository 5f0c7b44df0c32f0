//! What the kinds for IAM share: names that are unique in an account, paths that show the owner, and changes that become
//! visible late.

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::time::Instant;

use super::kind::{Kind, Managed, TagMap};
use crate::pipeline::resource::Location;
use crate::pipeline::tags::{MANAGED_BY, PIPELINE};
use ground::backoff::{self, Backoff};
use ground::error::{Error, Result};

pub(super) const EXISTS: &[&str] = &["EntityAlreadyExists"];

impl<D> Managed<'_, D>
where
    Self: Kind,
{
    /// The ARN of an entity of this name under `path`. Entities that streamctl creates are under the pipeline's path, those
    /// created by hand usually under `/`.
    pub(super) fn entity_arn(&self, path: &str) -> String {
        let Location {
            account, partition, ..
        } = self.location;
        format!(
            "arn:{partition}:iam::{account}:{}{path}{}",
            Self::NOUN,
            Kind::name(self)
        )
    }

    /// Adds the tags of ownership to `tags`: the pipeline's path shows the owner as well as they do.
    pub(super) fn add_owner_tags(&self, tags: &mut TagMap) {
        let mut wanted = self.spec.tags.all();
        tags.extend(
            [MANAGED_BY, PIPELINE]
                .into_iter()
                .filter_map(|key| wanted.remove_entry(key)),
        );
    }

    /// The error where another entity has this name.
    pub(super) fn name_taken(&self) -> Error {
        Error::failed(format!(
            "there is another {} named {} in this account",
            Self::NOUN,
            Kind::name(self)
        ))
        .hint("delete or rename it, then run the same command again")
    }

    /// What a listing of entities or tags found.
    pub(super) fn listing<T, E>(
        &self,
        action: &str,
        listing: Result<Vec<T>, SdkError<E, HttpResponse>>,
    ) -> Result<Vec<T>>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        self.response_if_exists(action, listing)
            .map(Option::unwrap_or_default)
    }
}

/// How long a change may take to be visible everywhere in IAM.
/// Source: "Changes that I make are not always immediately visible", IAM user guide.
const LAG: Duration = Duration::from_secs(10);

/// Makes a call again while it is refused with `code`, which may only mean that an earlier change is not visible yet.
pub(super) async fn until_consistent<T, E, Sending>(
    code: &str,
    send: impl FnMut() -> Sending,
) -> Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata,
    Sending: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let deadline = Instant::now() + LAG;
    let until = |error: &SdkError<E, HttpResponse>| (error.code() == Some(code)).then_some(deadline);
    let pauses = Backoff::constant(Duration::from_millis(500));
    backoff::retry(pauses, send, until, |_, _| true).await
}
