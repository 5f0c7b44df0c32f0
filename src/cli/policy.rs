//! `streamctl policy`.

pub(super) mod detach;
pub(super) mod function;
pub(super) mod sharing;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;
use serde::Serialize;
use serde_json::Value;

use super::shared::candidates::handlers;
use super::shared::stream::resolve;
use super::shared::template::PartArgs;
use super::shared::{Session, StreamArg};
use crate::ui::{Report, Style, lines, shell_quoted, table, visible};
use domain::context::Context;
use domain::policy::managed::{Identity, ManagedPolicy, Outcome};
use domain::policy::simulate::{Checked, simulate};
use domain::policy::{Access, Purpose, is_aws_managed};
use domain::stream::{self, keys};
use ground::error::Result;
use ground::exit::Exit;

/// Print, create and check policies of a stream or function
///
/// `--for` prints a least-privilege IAM policy as a JSON document: what `put`, `tail`, the commands on streams, or the
/// role of a function need for one stream. Subcommands create a managed policy from it, attach it, simulate it, and
/// share a stream with another account. `--function` prints what a function is allowed to do.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(override_usage = "\
streamctl policy [STREAM] --for <PURPOSE> [OPTIONS]
       streamctl policy --function <HANDLER|NAME> [OPTIONS]
       streamctl policy <COMMAND>")]
#[command(after_help = "\
Examples:
  streamctl policy orders --for producer
  streamctl policy orders --for consumer --kcl scores --fan-out
  streamctl policy attach orders --for producer --to role/checkout
  streamctl policy simulate orders --for consumer --as role/scorer
  streamctl policy allow orders --account 123456789012 --for consumer
  streamctl policy --function retail-processor            policies of its role
  streamctl policy --function retail-processor --template those of its template
  streamctl policy --function scorer | jq '.policies[].document'")]
pub struct PolicyArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    print: PrintArgs,
}

#[derive(Debug, Args)]
struct PrintArgs {
    /// Stream, by name or ARN [default: that of --stream]
    #[arg(value_name = "STREAM", conflicts_with_all = ["stream", "function"])]
    word: Option<String>,
    /// Print the policy that this purpose needs: producer, consumer, operator or lambda
    #[arg(long = "for", value_enum, value_name = "PURPOSE", hide_possible_values = true)]
    #[arg(required_unless_present = "function", conflicts_with = "function")]
    purpose: Option<PurposeArg>,
    #[command(flatten)]
    options: OptionArgs,
    /// Print the policies of a function: a bundled handler, or the name of a function
    #[arg(long, value_name = "HANDLER|NAME", add = ArgValueCompleter::new(handlers))]
    function: Option<String>,
    /// Print the policies of the function's template, even if the function is deployed
    #[arg(long, requires = "function")]
    template: bool,
    #[command(flatten)]
    part: PartArgs,
}

/// What a purpose needs besides the stream.
#[derive(Debug, Clone, Default, Args)]
struct OptionArgs {
    /// Also read with enhanced fan-out (consumer, lambda)
    #[arg(long)]
    fan_out: bool,
    /// Also what the Kinesis Client Library needs for this application (consumer)
    #[arg(long, value_name = "APPLICATION")]
    kcl: Option<String>,
    /// KMS key of the stream: alias, id or ARN [default: its current key]
    #[arg(long, value_name = "KEY")]
    encrypted: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PurposeArg {
    Producer,
    Consumer,
    Operator,
    Lambda,
}

impl From<PurposeArg> for Purpose {
    fn from(arg: PurposeArg) -> Self {
        match arg {
            PurposeArg::Producer => Self::Producer,
            PurposeArg::Consumer => Self::Consumer,
            PurposeArg::Operator => Self::Operator,
            PurposeArg::Lambda => Self::Lambda,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a managed policy, or change the existing one
    ///
    /// The name of the policy says what it allows, so the same command finds it again.
    #[command(after_help = "\
Examples:
  streamctl policy create orders --for producer
  streamctl policy create orders --for consumer --fan-out -o json | jq -r .arn")]
    Create(CreateArgs),
    /// Attach the policy to a role, user or group, and create it if needed
    #[command(after_help = "\
Examples:
  streamctl policy attach orders --for producer --to role/checkout
  streamctl policy attach orders --for operator --to group/operators --dry-run")]
    Attach(AttachArgs),
    /// Detach the policy from a role, user or group
    ///
    /// First shows which actions no other policy allows. The policy is kept, even if it is attached to nobody.
    #[command(after_help = "\
Examples:
  streamctl policy detach orders --for producer --from role/checkout --dry-run
  streamctl policy detach orders --for producer --from role/checkout --yes")]
    Detach(detach::DetachArgs),
    /// Check with IAM's policy simulator whether somebody has the permissions
    ///
    /// Ends with exit 5 if an action is not allowed. Resource policies, such as that of a KMS key, are not simulated.
    #[command(after_help = "\
Examples:
  streamctl policy simulate orders --for producer --as role/checkout
  streamctl policy simulate orders --for consumer --as user/ann -o text | grep -v allowed")]
    Simulate(SimulateArgs),
    #[command(flatten)]
    Sharing(sharing::SharingAction),
}

/// The stream and the purpose of a policy.
#[derive(Debug, Args)]
struct AccessArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// What the policy is for: producer, consumer, operator or lambda
    #[arg(long = "for", value_enum, value_name = "PURPOSE", hide_possible_values = true)]
    purpose: PurposeArg,
    #[command(flatten)]
    options: OptionArgs,
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    access: AccessArgs,
    /// Show what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct AttachArgs {
    #[command(flatten)]
    access: AccessArgs,
    /// Whom to attach it to: role/NAME, user/NAME, group/NAME, or an ARN
    #[arg(long, value_name = "WHO")]
    to: Identity,
    /// Show what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct SimulateArgs {
    #[command(flatten)]
    access: AccessArgs,
    /// Whom to check: role/NAME, user/NAME, group/NAME, or an ARN
    #[arg(long = "as", value_name = "WHO")]
    identity: Identity,
}

/// A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ManagedReport {
    #[serde(flatten)]
    policy: ManagedPolicy,
    /// What was done to the policy; with a dry run, what would be done.
    result: Outcome,
    /// Whom it was attached to.
    #[serde(skip_serializing_if = "Option::is_none")]
    attached_to: Option<String>,
    /// Whether this was a dry run.
    dry_run: bool,
    document: Value,
}

impl Report for ManagedReport {
    fn table(&self, _style: &Style) -> String {
        let word = match (self.dry_run, self.result) {
            (true, Outcome::Created) => "would be created",
            (true, Outcome::Updated) => "would be updated",
            (_, Outcome::Unchanged) => "is unchanged",
            (false, Outcome::Created) => "was created",
            (false, Outcome::Updated) => "was updated",
        };
        let mut text = format!("Policy {word}:\n  {}", visible(&self.policy.arn));
        if let Some(to) = &self.attached_to {
            let verb = if self.dry_run {
                "Would be attached"
            } else {
                "Attached"
            };
            text.push_str(&format!("\n{verb} to {}", visible(to)));
        }
        text
    }

    fn text(&self) -> String {
        [
            self.policy.name.clone(),
            self.policy.arn.clone(),
            self.result.to_string(),
            self.attached_to.clone().unwrap_or_else(|| "-".to_owned()),
        ]
        .join("\t")
    }
}

/// A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SimulationReport {
    principal: String,
    purpose: &'static str,
    /// Whether all actions are allowed.
    allowed: bool,
    actions: Vec<Checked>,
}

impl Report for SimulationReport {
    fn table(&self, _style: &Style) -> String {
        let mut rows = table(["ACTION", "DECISION", "POLICY"]);
        for one in &self.actions {
            let decision = one.decision.name().to_owned();
            rows.add_row([visible(&one.action), decision, visible(&policies(one))]);
        }
        format!("{}\n\n{}", visible(&self.principal), rows.trim_fmt())
    }

    fn text(&self) -> String {
        lines(self.actions.iter().map(|one| {
            [
                one.action.clone(),
                one.decision.name().to_owned(),
                one.resource.clone(),
                policies(one),
            ]
        }))
    }
}

fn policies(one: &Checked) -> String {
    match one.policies.is_empty() {
        true => "-".to_owned(),
        false => one.policies.iter().cloned().collect::<Vec<_>>().join(", "),
    }
}

pub(super) async fn run(args: PolicyArgs, session: &Session) -> Result<Exit> {
    match args.action {
        None => print(&args.print, session).await,
        Some(Action::Create(args)) => create(&args.access, None, args.dry_run, session).await,
        Some(Action::Attach(args)) => create(&args.access, Some(&args.to), args.dry_run, session).await,
        Some(Action::Detach(args)) => detach::detach(&args, session).await,
        Some(Action::Simulate(args)) => check(&args, session).await,
        Some(Action::Sharing(action)) => sharing::run(action, session).await,
    }
}

async fn print(args: &PrintArgs, session: &Session) -> Result<Exit> {
    let Some(purpose) = args.purpose else {
        let function = args.function.as_deref().unwrap_or_default();
        return function::print(function, args.template, &args.part, session).await;
    };
    let given = args.word.as_deref().or(args.part.stream());
    let name = resolve(given, session)?;
    let access = args.options.wanted(purpose.into())?;
    let access = completed(access, &name, session.context().await?, session).await?;
    session.printer().document(&access.document())?;
    Ok(Exit::Done)
}

/// Makes the policy, and attaches it to `to`.
async fn create(args: &AccessArgs, to: Option<&Identity>, dry_run: bool, session: &Session) -> Result<Exit> {
    let name = args.stream.resolve(session)?;
    let access = args.options.wanted(args.purpose.into())?;
    let context = session.context_for_change_unless(dry_run).await?;
    let access = completed(access, &name, context, session).await?;
    let policy = ManagedPolicy::of(&access);
    let document = access.document();
    let result = match dry_run {
        true => policy.outcome(context, &document).await?,
        false => {
            if let Some(to) = to {
                // No policy is made for somebody who does not exist.
                to.arn(context).await?;
            }
            policy.ensure(context, &access).await?
        }
    };
    if let Some(to) = to.filter(|_| !dry_run) {
        policy.attach(context, to).await?;
    }
    session.printer().report(&ManagedReport {
        policy,
        result,
        attached_to: to.map(Identity::to_string),
        dry_run,
        document,
    })?;
    if dry_run {
        session.printer().note("Dry run: nothing was changed");
    }
    Ok(Exit::Done)
}

async fn check(args: &SimulateArgs, session: &Session) -> Result<Exit> {
    let of = &args.access;
    let name = of.stream.resolve(session)?;
    let purpose = Purpose::from(of.purpose);
    let access = of.options.wanted(purpose)?;
    let context = session.context().await?;
    let access = completed(access, &name, context, session).await?;
    let principal = args.identity.arn(context).await?;
    let actions = simulate(context, &principal, &access.statements(), &[]).await?;
    let denied = actions.iter().filter(|one| !one.is_allowed()).count();
    let report = SimulationReport {
        principal,
        purpose: purpose.name(),
        allowed: denied == 0,
        actions,
    };
    session.printer().report(&report)?;
    if denied == 0 {
        return Ok(Exit::Done);
    }
    session.printer().note(&format!(
        "{denied} of {} actions are not allowed: `streamctl policy attach {name} --for {purpose} --to {}{}` allows them",
        report.actions.len(),
        args.identity.to_string().replacen(' ', "/", 1),
        of.options.typed()
    ));
    Ok(Exit::Faults)
}

impl OptionArgs {
    /// The flags, for a command line to copy.
    fn typed(&self) -> String {
        let mut typed = String::new();
        if self.fan_out {
            typed.push_str(" --fan-out");
        }
        for (flag, value) in [("--kcl", &self.kcl), ("--encrypted", &self.encrypted)] {
            if let Some(value) = value {
                typed.push_str(&format!(" {flag} {}", shell_quoted(value)));
            }
        }
        typed
    }

    /// What the arguments ask for, before the stream is known.
    fn wanted(&self, purpose: Purpose) -> Result<Access> {
        let access = Access {
            purpose,
            stream_arn: String::new(),
            key: self.encrypted.clone(),
            fan_out: self.fan_out,
            kcl: self.kcl.clone(),
        };
        access.check()?;
        Ok(access)
    }
}

/// `access` to the stream `name`. Asks for the key of the stream, unless it is named.
async fn completed(mut access: Access, name: &str, context: &Context, session: &Session) -> Result<Access> {
    access.stream_arn = context.stream_arn(name).await?;
    if access.key.is_none() {
        access.key = key_of(context, name, session).await;
    }
    if let Some(key) = access.key.as_ref().filter(|key| !is_aws_managed(key))
        && let Some(arn) = keys::arn_of(context, key).await
    {
        access.key = Some(arn);
    }
    Ok(access)
}

/// The key that encrypts the stream. A policy can be printed before the stream exists, and by somebody who may not see it.
async fn key_of(context: &Context, name: &str, session: &Session) -> Option<String> {
    match stream::observe(context, name).await {
        Ok(Some(state)) => state.encryption,
        Ok(None) => {
            let note = format!("Stream {name} does not exist yet: the policy assumes no KMS key of its own");
            session.printer().note(&note);
            None
        }
        Err(error) => {
            session.printer().warn(&format!(
                "it is not known whether stream {name} has a KMS key of its own ({}): add --encrypted KEY if it has one",
                error.chain().join(": ")
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::policy::simulate::Decision;

    #[test]
    fn a_simulation_names_what_decided() {
        let checked = |action: &str, decision, policies: &[&str]| Checked {
            action: action.to_owned(),
            resource: "arn:aws:kinesis:us-east-1:123456789012:stream/orders".to_owned(),
            decision,
            policies: policies.iter().map(|one| (*one).to_owned()).collect(),
        };
        let report = SimulationReport {
            principal: "arn:aws:iam::123456789012:role/checkout".to_owned(),
            purpose: "producer",
            allowed: false,
            actions: vec![
                checked(
                    "kinesis:PutRecord",
                    Decision::Allowed,
                    &["streamctl-orders-producer"],
                ),
                checked("kinesis:PutRecords", Decision::ImplicitDeny, &[]),
            ],
        };
        insta::assert_snapshot!(report.table(&Style::plain()), @r"
        arn:aws:iam::123456789012:role/checkout

        ACTION              DECISION      POLICY
        kinesis:PutRecord   allowed       streamctl-orders-producer
        kinesis:PutRecords  implicitDeny  -
        ");
    }
}
