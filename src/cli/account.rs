//! `streamctl account`.

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::shared::Session;
use crate::ui::units::{count, time};
use crate::ui::{Report, Style, lines, or_dash, table, visible, wrap};
use domain::context::Context;
use domain::cost::{self, HOURS_A_MONTH, Money, Usage};
use domain::stream::account::{self, Commitment, LEAST_COMMITMENT_HOURS, Limits, Used};
use ground::error::Result;
use ground::exit::Exit;

/// Show the limits of the account, and its commitment
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl account show
  streamctl account show -o json | jq .limits.shards
  streamctl account set --commitment enabled --dry-run
  streamctl account set --commitment enabled")]
pub struct AccountArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the shards and streams used, their limits, and the commitment
    #[command(after_help = "\
Examples:
  streamctl account show
  streamctl account show --region eu-west-1 -o text")]
    Show,
    /// Enable or disable the minimum throughput billing commitment
    ///
    /// With the commitment (On-demand Advantage), the on-demand streams of the account in this region cost less for each GB
    /// and nothing by the hour, and can be kept ready for a write throughput (`warm-throughput`). The account pays for at
    /// least 25 MiB/s written and 25 MiB/s read. A commitment lasts at least 24 hours.
    #[command(after_help = "\
Examples:
  streamctl account set --commitment enabled --dry-run   show the price
  streamctl account set --commitment enabled
  streamctl account set --commitment disabled --yes")]
    Set(SetArgs),
}

#[derive(Debug, Args)]
struct SetArgs {
    /// The commitment: enabled or disabled
    #[arg(long, value_enum, value_name = "STATE", hide_possible_values = true)]
    commitment: State,
    /// Show what would be changed and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Enabled,
    Disabled,
}

/// A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct AccountReport {
    /// `None` where there is no STS to ask.
    account: Option<String>,
    region: String,
    limits: Limits,
    /// `None` where the endpoint has no such setting.
    commitment: Option<Commitment>,
}

impl AccountReport {
    fn used(&self) -> Vec<(&'static str, Used)> {
        let limits = &self.limits;
        let channels = limits.channels.map(|used| ("channels", used));
        [
            ("shards", limits.shards),
            ("on-demand streams", limits.on_demand_streams),
        ]
        .into_iter()
        .chain(channels)
        .collect()
    }
}

impl Report for AccountReport {
    fn table(&self, _style: &Style) -> String {
        let account = self.account.as_deref().unwrap_or("unknown");
        let mut text = format!(
            "Account {}, region {}\n\n",
            visible(account),
            visible(&self.region)
        );
        let mut used = table(["LIMIT", "USED", "OF", "LEFT"]);
        for (name, one) in self.used() {
            let left = one.limit.saturating_sub(one.used);
            let [used_up, limit, left] = [one.used, one.limit, left].map(|number| count(number.into()));
            used.add_row([name.to_owned(), used_up, limit, left]);
        }
        text.push_str(&used.trim_fmt());
        text.push_str("\n\n");
        text.push_str(&match &self.commitment {
            Some(commitment) => commitment_lines(commitment),
            None => "On-demand Advantage: unknown, the endpoint does not have this setting".to_owned(),
        });
        text
    }

    fn text(&self) -> String {
        let used = self
            .used()
            .into_iter()
            .map(|(name, one)| [name.to_owned(), one.used.to_string(), one.limit.to_string()]);
        let commitment = self.commitment.iter().map(|one| {
            [
                "commitment".to_owned(),
                visible(&one.status.to_string()),
                or_dash(one.earliest_end),
            ]
        });
        lines(used.chain(commitment))
    }
}

fn commitment_lines(commitment: &Commitment) -> String {
    let mut text = format!("On-demand Advantage: {}", visible(&commitment.status.to_string()));
    for (name, when) in [
        ("started", commitment.started),
        ("ended", commitment.ended),
        ("earliest end", commitment.earliest_end),
    ] {
        if when.is_some() {
            text.push_str(&format!("\n  {name:<14}{}", time(when)));
        }
    }
    text
}

/// A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "AccountSetReport"))]
pub(super) struct SetReport {
    region: String,
    /// Whether it was changed; false for a dry run.
    changed: bool,
    /// As it is now.
    commitment: Commitment,
}

impl Report for SetReport {
    fn table(&self, _style: &Style) -> String {
        commitment_lines(&self.commitment)
    }

    fn text(&self) -> String {
        let commitment = &self.commitment;
        [
            self.changed.to_string(),
            visible(&commitment.status.to_string()),
            or_dash(commitment.earliest_end),
        ]
        .join("\t")
    }
}

pub(super) async fn run(args: AccountArgs, session: &Session) -> Result<Exit> {
    match args.action {
        Action::Show => show(session).await,
        Action::Set(args) => set(&args, session).await,
    }
}

async fn show(session: &Session) -> Result<Exit> {
    let context = session.context().await?;
    let (account, limits, commitment) = tokio::join!(
        context.known_account(),
        account::limits(context),
        account::commitment(context)
    );
    let commitment = match commitment {
        Ok(commitment) => Some(commitment),
        Err(error) if account::is_absent(&error) => None,
        Err(error) => return Err(error),
    };
    session.printer().report(&AccountReport {
        account: account?.map(str::to_owned),
        region: context.region().to_owned(),
        limits: limits?,
        commitment,
    })?;
    Ok(Exit::Done)
}

async fn set(args: &SetArgs, session: &Session) -> Result<Exit> {
    let enabled = args.commitment == State::Enabled;
    let context = session.context_for_change_unless(args.dry_run).await?;
    let printer = session.printer();
    let region = context.region().to_owned();
    let now = account::commitment(context).await?;
    if now.is(enabled) {
        printer.note(&format!(
            "Nothing to change: the commitment in {region} is {}",
            now.status
        ));
    } else {
        for note in consequences(context, enabled, &now) {
            // Lines after the first are indented.
            printer.note(&wrap(&note, 78).join("\n"));
        }
    }
    let changed = !args.dry_run && !now.is(enabled);
    let commitment = match changed {
        true => {
            let action = match enabled {
                true => format!("commit the account to a minimum throughput in {region}"),
                false => format!("end the commitment of the account in {region}"),
            };
            session.confirm_by_name(&action, &region, args.yes).await?;
            account::set_commitment(context, enabled).await?
        }
        false => now,
    };
    printer.report(&SetReport {
        region,
        changed,
        commitment,
    })?;
    if args.dry_run {
        printer.note("Dry run: nothing was changed");
    }
    Ok(Exit::Done)
}

/// What the change means, before it is made.
fn consequences(context: &Context, enabled: bool, now: &Commitment) -> Vec<String> {
    let region = context.region();
    if !enabled {
        let mut notes = vec![
            "On-demand streams are then billed at the usual on-demand rates, by the hour and for each GB; their \
             warm throughput ends."
                .to_owned(),
        ];
        if now.earliest_end.is_some_and(|end| end > jiff::Timestamp::now()) {
            notes.push(format!(
                "A commitment lasts at least {LEAST_COMMITMENT_HOURS} hours: this one ends at {}.",
                time(now.earliest_end)
            ));
        }
        return notes;
    }
    let price = match (
        minimum(region, LEAST_COMMITMENT_HOURS),
        minimum(region, HOURS_A_MONTH),
    ) {
        (Some(day), Some(month)) => format!(
            "That is {} USD in {LEAST_COMMITMENT_HOURS} hours and {} USD in a month, even without traffic{}.",
            day.rounded(2),
            month.rounded(2),
            match context.is_local() {
                true => " (on AWS; the local cloud costs nothing)",
                false => "",
            }
        ),
        _ => format!(
            "The price in {region} is not known here: see https://aws.amazon.com/kinesis/data-streams/pricing/"
        ),
    };
    vec![
        format!(
            "A commitment lasts at least {LEAST_COMMITMENT_HOURS} hours, and applies to all on-demand streams of the \
             account in {region}. The account pays for at least 25 MiB/s written and 25 MiB/s read."
        ),
        price,
    ]
}

/// What the commitment costs at least.
fn minimum(region: &str, hours: u64) -> Option<Money> {
    cost::so_far(&Usage::idle(region, cost::Mode::Advantage, hours)).total
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::stream::account::CommitmentStatus;

    fn report(commitment: Option<Commitment>) -> AccountReport {
        AccountReport {
            account: Some("123456789012".to_owned()),
            region: "us-east-1".to_owned(),
            limits: Limits {
                shards: Used {
                    used: 1_204,
                    limit: 20_000,
                },
                on_demand_streams: Used { used: 3, limit: 50 },
                channels: None,
            },
            commitment,
        }
    }

    #[test]
    fn the_account_at_a_glance() {
        let commitment = Commitment {
            status: CommitmentStatus::Enabled,
            started: "2026-11-01T12:00:00Z".parse().ok(),
            ended: None,
            earliest_end: "2026-11-02T12:00:00Z".parse().ok(),
        };
        let report = report(Some(commitment));
        insta::assert_snapshot!(report.table(&Style::plain()), @r"
        Account 123456789012, region us-east-1

        LIMIT              USED   OF      LEFT
        shards             1,204  20,000  18,796
        on-demand streams  3      50      47

        On-demand Advantage: enabled
          started       2026-11-01 12:00:00 UTC
          earliest end  2026-11-02 12:00:00 UTC
        ");
        insta::assert_snapshot!(report.text(), @r"
        shards	1204	20000
        on-demand streams	3	50
        commitment	enabled	2026-11-02T12:00:00Z
        ");
    }

    #[test]
    fn a_day_and_a_month_of_the_minimum() {
        let cost = |hours| minimum("us-east-1", hours).map(|money| money.rounded(2));
        assert_eq!(cost(24).as_deref(), Some("101.25"));
        assert_eq!(cost(730).as_deref(), Some("3079.69"));
        assert_eq!(minimum("eu-central-1", 24), None);
    }
}
