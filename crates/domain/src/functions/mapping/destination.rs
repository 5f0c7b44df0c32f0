//! Whether the on-failure destination of a mapping is there. Lambda accepts one that is not, and then loses the failed
//! records.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::resource_name;
use crate::context::Context;
use ground::error::{self, Error, Result};

/// Checks that the queue, topic or bucket `arn` is there; an empty ARN is none. A caller that may not look learns nothing.
///
/// # Errors
/// Exit 1 if there is none.
pub async fn check(context: &Context, arn: &str) -> Result<()> {
    let name = resource_name(arn);
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, _, service, region, account, _] = parts[..] else {
        return Ok(());
    };
    let (kind, is_absent) = match service {
        "sqs" if region == context.region() => {
            let call = context.sqs().get_queue_url().queue_name(name);
            let answer = call.queue_owner_aws_account_id(account).send().await;
            ("queue", is_absent(answer))
        }
        "sns" if region == context.region() => {
            let call = context.sns().get_topic_attributes().topic_arn(arn);
            ("topic", is_absent(call.send().await))
        }
        "s3" => {
            let call = context.s3().head_bucket().bucket(name);
            ("bucket", is_absent(call.send().await))
        }
        _ => return Ok(()),
    };
    match is_absent {
        false => Ok(()),
        true => Err(
            Error::failed(format!("there is no {kind} {name} in {}", context.region()))
                .cause("records that fail would be lost")
                .hint(format!(
                    "create the {kind} first, or name another one with --on-failure"
                )),
        ),
    }
}

fn is_absent<T, E: ProvideErrorMetadata>(answer: Result<T, SdkError<E, HttpResponse>>) -> bool {
    answer.is_err_and(|failure| error::aws::is_not_found(&failure))
}
