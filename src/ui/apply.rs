//! How a pipeline's plan, its run and its checks look; and its progress, one line for each resource.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use comfy_table::{ColumnConstraint, Table};

use super::report::{Report, table};
use super::{Printer, Step, Style};
use crate::pipeline::CheckState;
use crate::pipeline::apply::RunReport;
use crate::pipeline::event::{Event, Outcome, What};
use crate::pipeline::plan::{Action, PlanReport, PlannedReport};
use crate::pipeline::verify::VerifyReport;

/// Shows what happens to each resource: a moving line on a terminal, else a line for each thing that begins.
pub struct ApplyProgress<'a> {
    printer: &'a Printer,
    lines: Mutex<HashMap<String, Step>>,
}

impl<'a> ApplyProgress<'a> {
    /// Progress on `printer`'s stderr.
    pub fn new(printer: &'a Printer) -> Self {
        Self {
            printer,
            lines: Mutex::default(),
        }
    }

    /// Shows `event`.
    pub fn show(&self, event: &Event) {
        let title = format!("{} {}", event.kind.replace('_', " "), event.name);
        if self.printer.progress().is_hidden() {
            if let Some(text) = in_words(&event.what) {
                self.printer.note(&format!("{title}: {text}"));
            }
            return;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match &event.what {
            // What needs nothing does not flash by.
            What::Finished(Outcome::Unchanged | Outcome::Absent, _) if !lines.contains_key(&event.id) => {}
            What::Doing(text) | What::Waiting(text) => {
                let line = lines
                    .entry(event.id.clone())
                    .or_insert_with(|| self.printer.progress().step(title));
                line.message(text);
            }
            What::Finished(outcome, detail) => {
                let line = lines
                    .remove(&event.id)
                    .unwrap_or_else(|| self.printer.progress().step(title));
                line.finish(finished(*outcome, detail));
            }
        }
    }
}

/// The event as a line of its own; waiting is not worth one.
fn in_words(what: &What) -> Option<String> {
    match what {
        What::Doing(text) => Some(text.clone()),
        What::Waiting(_) | What::Finished(Outcome::Unchanged | Outcome::Absent, _) => None,
        What::Finished(outcome, detail) => Some(finished(*outcome, detail)),
    }
}

fn finished(outcome: Outcome, detail: &str) -> String {
    match detail {
        "" => outcome.word().to_owned(),
        detail => format!("{}: {detail}", outcome.word()),
    }
}

/// The changes of one resource, a line each.
fn changes(resource: &PlannedReport) -> String {
    if resource.action == Action::Create || resource.changes.is_empty() {
        return resource.detail.clone();
    }
    let lines = resource.changes.iter().map(ToString::to_string);
    lines.collect::<Vec<_>>().join("\n")
}

impl Report for PlanReport {
    fn table(&self, _style: &Style) -> String {
        let mut table = table(["RESOURCE", "ACTION", "NAME AND CHANGES"]);
        for one in &self.resources {
            table.add_row([
                kind_in_words(&one.kind),
                one.action.word().to_owned(),
                below(&one.name, &changes(one)),
            ]);
        }
        whole_words(table)
    }

    fn text(&self) -> String {
        lines(self.resources.iter().map(|one| {
            let changes = changes(one).replace('\n', "; ");
            vec![
                one.name.clone(),
                one.kind.clone(),
                one.action.word().to_owned(),
                changes,
            ]
        }))
    }
}

impl Report for RunReport {
    fn table(&self, _style: &Style) -> String {
        let mut table = table(["RESOURCE", "RESULT", "NAME AND DETAIL"]);
        for one in &self.resources {
            // A line for each change.
            let detail = one.detail.replace("; ", "\n");
            table.add_row([
                kind_in_words(&one.kind),
                one.result.word().to_owned(),
                below(&one.name, &detail),
            ]);
        }
        whole_words(table)
    }

    fn text(&self) -> String {
        lines(self.resources.iter().map(|one| {
            vec![
                one.name.clone(),
                one.kind.clone(),
                one.result.word().to_owned(),
                one.detail.clone(),
            ]
        }))
    }
}

impl Report for VerifyReport {
    fn table(&self, _style: &Style) -> String {
        let mut table = table(["RESOURCE", "CHECK", "STATE", "DETAIL"]);
        for resource in &self.resources {
            for check in &resource.checks {
                table.add_row([
                    kind_in_words(&resource.kind),
                    check.check.clone(),
                    word(check.state).to_owned(),
                    check.detail.clone(),
                ]);
            }
        }
        whole_words(table)
    }

    fn text(&self) -> String {
        lines(self.resources.iter().flat_map(|resource| {
            resource.checks.iter().map(|check| {
                vec![
                    resource.name.clone(),
                    check.check.clone(),
                    word(check.state).to_owned(),
                    check.detail.clone(),
                ]
            })
        }))
    }
}

/// A kind as people say it: `managed policy`.
fn kind_in_words(kind: &str) -> String {
    kind.replace('_', " ")
}

/// A name, and what there is to say about it on the lines below.
fn below(name: &str, detail: &str) -> String {
    match detail {
        "" => name.to_owned(),
        detail => format!("{name}\n{detail}"),
    }
}

/// Only the last column wraps. No blanks at the ends of lines.
fn whole_words(mut table: Table) -> String {
    let last = table.column_count().saturating_sub(1);
    for index in 0..last {
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.trim_fmt()
}

fn word(state: CheckState) -> &'static str {
    match state {
        CheckState::Good => "good",
        CheckState::Caution => "caution",
        CheckState::Fault => "FAULT",
    }
}

fn lines(rows: impl Iterator<Item = Vec<String>>) -> String {
    rows.map(|row| row.join("\t")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Change, Check};

    fn plan() -> PlanReport {
        let one = |id: &str, kind: &str, name: &str, action, detail: &str, changes| PlannedReport {
            id: id.into(),
            kind: kind.into(),
            name: name.into(),
            action,
            detail: detail.into(),
            changes,
        };
        PlanReport {
            template: "stream".into(),
            pipeline: "stream/orders".into(),
            changes: 3,
            resources: vec![
                one(
                    "stream",
                    "stream",
                    "orders",
                    Action::Update,
                    "",
                    vec![
                        Change::update("shards", 1, 5),
                        Change::update("retention", "24 h", "48 h"),
                    ],
                ),
                one(
                    "policy",
                    "managed_policy",
                    "ConcertDataIngestionKinesisPolicy-orders",
                    Action::Create,
                    "",
                    vec![Change::Create],
                ),
            ],
        }
    }

    #[test]
    fn a_plan_fits_80_columns() {
        insta::assert_snapshot!(plan().table(&Style::plain()), @r#"
        RESOURCE        ACTION  NAME AND CHANGES
        stream          update  orders
                                shards: 1 → 5
                                retention: 24 h → 48 h
        managed policy  create  ConcertDataIngestionKinesisPolicy-orders
        "#);
    }

    #[test]
    fn a_plan_as_json_is_stable() {
        insta::assert_snapshot!(serde_json::to_string(&plan()).unwrap(), @r#"{"template":"stream","pipeline":"stream/orders","changes":3,"resources":[{"id":"stream","kind":"stream","name":"orders","action":"update","detail":"","changes":[{"action":"update","field":"shards","from":"1","to":"5"},{"action":"update","field":"retention","from":"24 h","to":"48 h"}]},{"id":"policy","kind":"managed_policy","name":"ConcertDataIngestionKinesisPolicy-orders","action":"create","detail":"","changes":[{"action":"create"}]}]}"#);
    }

    #[test]
    fn checks_fit_80_columns() {
        let report = VerifyReport {
            template: "stream".into(),
            pipeline: "stream/orders".into(),
            state: CheckState::Caution,
            resources: vec![crate::pipeline::verify::VerifiedResource {
                id: "stream".into(),
                kind: "stream".into(),
                name: "orders".into(),
                checks: vec![
                    Check::new(CheckState::Good, "exists", ""),
                    Check::new(
                        CheckState::Caution,
                        "metrics",
                        "no datapoints of IncomingRecords yet in the last 5 minutes",
                    ),
                ],
            }],
        };
        insta::assert_snapshot!(report.table(&Style::plain()), @r#"
        RESOURCE  CHECK    STATE    DETAIL
        stream    exists   good
        stream    metrics  caution  no datapoints of IncomingRecords yet in the last 5
                                    minutes
        "#);
        assert!(
            report
                .text()
                .starts_with("orders\texists\tgood\t\norders\tmetrics\tcaution\tno datapoints")
        );
    }
}
