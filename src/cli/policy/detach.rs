//! `streamctl policy detach`.

use std::collections::BTreeSet;

use clap::Args;
use serde::Serialize;

use super::{AccessArgs, completed};
use crate::cli::shared::Session;
use crate::ui::{Report, Style, or_dash, visible, wrap};
use domain::policy::managed::{Identity, ManagedPolicy};
use ground::error::Result;
use ground::exit::Exit;

#[derive(Debug, Args)]
pub(super) struct DetachArgs {
    #[command(flatten)]
    access: AccessArgs,
    /// Whom to detach it from: role/NAME, user/NAME, group/NAME, or an ARN
    #[arg(long, value_name = "WHO")]
    from: Identity,
    /// Show what would be lost and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

/// A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "PolicyDetachReport"))]
pub(in crate::cli) struct DetachReport {
    #[serde(flatten)]
    policy: ManagedPolicy,
    /// Whom it was attached to, such as `role checkout`.
    from: String,
    /// Whether it was attached.
    attached: bool,
    /// Whether it was detached; false for a dry run, and if it was not attached.
    changed: bool,
    /// The actions that no other policy allows; `null` where IAM does not tell.
    loses: Option<BTreeSet<String>>,
}

impl DetachReport {
    fn loss(&self) -> String {
        match &self.loses {
            None => "everything that no other policy allows".to_owned(),
            Some(actions) if actions.is_empty() => "nothing: other policies allow it too".to_owned(),
            Some(actions) => actions.iter().cloned().collect::<Vec<_>>().join(", "),
        }
    }
}

impl Report for DetachReport {
    fn table(&self, _style: &Style) -> String {
        if !self.attached {
            return String::new();
        }
        let word = match self.changed {
            true => "was detached",
            false => "would be detached",
        };
        format!(
            "Policy {word}:\n  {}\nFrom {}, which loses\n  {}",
            visible(&self.policy.arn),
            visible(&self.from),
            wrap(&self.loss(), 76).join("\n  ")
        )
    }

    /// Policy, ARN, whom, and what is lost, with commas.
    fn text(&self) -> String {
        let loses = self.loses.as_ref().map(|actions| {
            let all: Vec<&str> = actions.iter().map(String::as_str).collect();
            all.join(",")
        });
        [
            self.policy.name.clone(),
            self.policy.arn.clone(),
            self.from.clone(),
            or_dash(loses.filter(|loses| !loses.is_empty())),
        ]
        .join("\t")
    }
}

pub(super) async fn detach(args: &DetachArgs, session: &Session) -> Result<Exit> {
    let of = &args.access;
    let name = of.stream.resolve(session)?;
    let access = of.options.wanted(of.purpose.into())?;
    let context = session.context_for_change_unless(args.dry_run).await?;
    let access = completed(access, &name, context, session).await?;
    let policy = ManagedPolicy::of(&access);
    let from = &args.from;
    let printer = session.printer();
    let mut report = DetachReport {
        policy: policy.clone(),
        from: from.to_string(),
        attached: policy.is_attached(context, from).await?,
        changed: false,
        loses: Some(BTreeSet::new()),
    };
    if !report.attached {
        printer.note(&format!(
            "Nothing to detach: policy {} is not attached to {from}",
            policy.name
        ));
        printer.report(&report)?;
        return Ok(Exit::Done);
    }
    report.loses = match policy.allowed_by_it_alone(context, &access, from).await {
        Ok(actions) => Some(actions),
        Err(error) => {
            let why = error.chain().join(": ");
            printer.warn(&format!("it is not known what {from} loses ({why})"));
            None
        }
    };
    if args.dry_run {
        printer.report(&report)?;
        printer.note("Dry run: nothing was changed");
        return Ok(Exit::Done);
    }
    let action = format!("detach policy {}: {from} loses {}", policy.name, report.loss());
    session.confirm_by_name(&action, &from.name, args.yes).await?;
    policy.detach(context, from).await?;
    report.changed = true;
    printer.report(&report)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_is_lost() {
        let mut report = DetachReport {
            policy: ManagedPolicy {
                name: "streamctl-orders-producer-us-east-1".to_owned(),
                arn: "arn:aws:iam::123456789012:policy/streamctl/streamctl-orders-producer-us-east-1"
                    .to_owned(),
            },
            from: "role checkout".to_owned(),
            attached: true,
            changed: true,
            loses: Some(
                ["kinesis:PutRecord", "kinesis:PutRecords"]
                    .map(str::to_owned)
                    .into(),
            ),
        };
        insta::assert_snapshot!(report.table(&Style::plain()), @r"
        Policy was detached:
          arn:aws:iam::123456789012:policy/streamctl/streamctl-orders-producer-us-east-1
        From role checkout, which loses
          kinesis:PutRecord, kinesis:PutRecords
        ");
        assert!(
            report
                .text()
                .ends_with("\trole checkout\tkinesis:PutRecord,kinesis:PutRecords")
        );
        report.loses = Some(BTreeSet::new());
        assert!(
            report
                .table(&Style::plain())
                .contains("nothing: other policies allow it too")
        );
        assert!(report.text().ends_with("\t-"));
    }
}
