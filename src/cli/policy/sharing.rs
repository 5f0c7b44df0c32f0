//! `streamctl policy allow|show|delete`: the resource policy of a stream or consumer.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::PurposeArg;
use crate::cli::shared::change::{existing, to_change};
use crate::cli::shared::{Session, StreamArg};
use crate::ui::{Format, Report, Style};
use domain::context::Context;
use domain::policy::is_aws_managed;
use domain::policy::sharing::{self, Grant};
use domain::stream::StreamState;
use domain::stream::consumers::{check_consumer_name, consumer, no_consumer};
use ground::error::Result;
use ground::exit::Exit;

#[derive(Debug, Subcommand)]
pub(super) enum SharingAction {
    /// Let another account put records into a stream, or read it
    ///
    /// Adds a statement to the resource policy of the stream, or of a registered consumer. The other account must also
    /// allow its roles and users the same actions.
    #[command(after_help = "\
Examples:
  streamctl policy allow orders --account 123456789012 --for consumer
  streamctl policy allow orders --consumer analytics --account 123456789012 --for consumer
  streamctl policy allow orders --account arn:aws:iam::123456789012:role/checkout --for producer")]
    Allow(AllowArgs),
    /// Print the resource policy of a stream or consumer
    #[command(after_help = "\
Examples:
  streamctl policy show orders
  streamctl policy show orders --consumer analytics | jq '.Statement[].Principal'")]
    Show(ShowArgs),
    /// Delete the resource policy, or what it allows one account
    #[command(after_help = "\
Examples:
  streamctl policy delete orders --account 123456789012
  streamctl policy delete orders --yes")]
    Delete(DeleteArgs),
}

/// The stream, or one of its consumers.
#[derive(Debug, Args)]
struct ResourceArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// A registered consumer of the stream, in place of the stream
    #[arg(long, value_name = "CONSUMER")]
    consumer: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct AllowArgs {
    #[command(flatten)]
    resource: ResourceArgs,
    /// The other account, or the ARN of a role or user of it
    #[arg(long, value_name = "ID")]
    account: String,
    /// What it may do: producer or consumer
    #[arg(long = "for", value_enum, value_name = "PURPOSE", hide_possible_values = true)]
    purpose: PurposeArg,
    /// Show the new policy and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    resource: ResourceArgs,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    resource: ResourceArgs,
    /// Delete only what this account is allowed
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

/// A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct SharingReport {
    /// ARN of the stream or of the consumer.
    resource: String,
    /// Whether it was changed; false for a dry run.
    changed: bool,
    /// The resource policy after the change.
    policy: Option<Value>,
}

impl Report for SharingReport {
    fn table(&self, _style: &Style) -> String {
        self.policy.as_ref().map_or_else(String::new, pretty)
    }

    fn text(&self) -> String {
        let policy = self
            .policy
            .as_ref()
            .map_or_else(|| "-".to_owned(), Value::to_string);
        [self.resource.clone(), self.changed.to_string(), policy].join("\t")
    }
}

fn pretty(policy: &Value) -> String {
    format!("{policy:#}")
}

pub(super) async fn run(action: SharingAction, session: &Session) -> Result<Exit> {
    match action {
        SharingAction::Allow(args) => allow(&args, session).await,
        SharingAction::Show(args) => show(&args, session).await,
        SharingAction::Delete(args) => delete(&args, session).await,
    }
}

impl ResourceArgs {
    fn check(&self) -> Result<()> {
        self.consumer.as_deref().map_or(Ok(()), check_consumer_name)
    }

    /// The ARN of the stream, or of the consumer.
    async fn arn(&self, context: &Context, stream: &StreamState) -> Result<String> {
        let Some(name) = &self.consumer else {
            return Ok(stream.arn.clone());
        };
        let found = consumer(context, &stream.arn, name).await?;
        found
            .map(|consumer| consumer.arn)
            .ok_or_else(|| no_consumer(&stream.name, name))
    }
}

async fn allow(args: &AllowArgs, session: &Session) -> Result<Exit> {
    let grant = Grant::new(&args.account, args.purpose.into())?;
    args.resource.check()?;
    let chosen = args.resource.stream.choose(session)?;
    let printer = session.printer();
    let context = session.context_for_change_unless(args.dry_run).await?;
    let stream = to_change(context, &chosen).await?;
    let resource = args.resource.arn(context, &stream).await?;
    let before = sharing::read(context, &resource).await?;
    let policy = sharing::with_grant(before.as_ref(), &resource, &grant);
    let is_new = before.as_ref() != Some(&policy);
    if !is_new {
        printer.note("Nothing to change: the policy allows this already");
    }
    if let Some(key) = &stream.encryption {
        // Source: "AWS managed keys", KMS developer guide: their policies cannot be changed.
        match is_aws_managed(key) {
            true => printer.warn(&format!(
                "stream {} is encrypted with a key that AWS manages, which no other account can use\n\
                 `streamctl encrypt {} --key KEY` changes it to a key of your own",
                stream.name, stream.name
            )),
            false => printer.note(&format!(
                "The policy of the key {key} must allow account {} to use it as well",
                grant.account()
            )),
        }
    }
    let changed = is_new && !args.dry_run;
    if changed {
        sharing::write(context, &resource, Some(&policy)).await?;
    }
    printer.report(&SharingReport {
        resource,
        changed,
        policy: Some(policy),
    })?;
    if args.dry_run {
        printer.note("Dry run: nothing was changed");
    }
    Ok(Exit::Done)
}

async fn show(args: &ShowArgs, session: &Session) -> Result<Exit> {
    args.resource.check()?;
    let name = args.resource.stream.resolve(session)?;
    let context = session.context().await?;
    let stream = existing(context, &name).await?;
    let resource = args.resource.arn(context, &stream).await?;
    match sharing::read(context, &resource).await? {
        Some(policy) => session.printer().document(&policy)?,
        None => {
            let printer = session.printer();
            printer.note(&format!("{resource} has no resource policy"));
            if matches!(printer.format(), Format::Json | Format::Yaml) {
                printer.document(&Value::Null)?;
            }
        }
    }
    Ok(Exit::Done)
}

async fn delete(args: &DeleteArgs, session: &Session) -> Result<Exit> {
    args.resource.check()?;
    let chosen = args.resource.stream.choose(session)?;
    let context = session.context_for_change().await?;
    let stream = to_change(context, &chosen).await?;
    let resource = args.resource.arn(context, &stream).await?;
    let before = sharing::read(context, &resource).await?;
    let after = match (&before, &args.account) {
        (Some(policy), Some(account)) => sharing::without_account(policy, account),
        _ => None,
    };
    let changed = before != after;
    if changed {
        let action = match &args.account {
            Some(account) => format!("end the access of account {account} to {resource}"),
            None => format!("delete the resource policy of {resource}"),
        };
        let name = args.resource.consumer.as_deref().unwrap_or(&stream.name);
        session.confirm_by_name(&action, name, args.yes).await?;
        sharing::write(context, &resource, after.as_ref()).await?;
    } else {
        session
            .printer()
            .note("Nothing to delete: there is no such access");
    }
    session.printer().report(&SharingReport {
        resource,
        changed,
        policy: after,
    })?;
    Ok(Exit::Done)
}
