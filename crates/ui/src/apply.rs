//! Output of a pipeline's plan, run and checks, and its progress with one line for each resource.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::report::{Report, lines};
use super::{Printer, Step, Style, width};
use domain::pipeline::CheckState;
use domain::pipeline::apply::RunReport;
use domain::pipeline::event::{Event, ResourceResult, What};
use domain::pipeline::plan::{Action, PlanReport, PlannedReport};
use domain::pipeline::verify::VerifyReport;

/// The longest title of a check that makes its column wider.
const LONGEST_TITLE: usize = 16;

/// Shows the progress of each resource: a spinner on a terminal, else a line for each step and each failure.
pub struct ApplyProgress<'a> {
    printer: &'a Printer,
    lines: Mutex<HashMap<String, Step>>,
}

impl<'a> ApplyProgress<'a> {
    pub fn new(printer: &'a Printer) -> Self {
        Self {
            printer,
            lines: Mutex::default(),
        }
    }

    /// Removes the lines if a table on the same terminal is to show the resources.
    pub fn finish(&self) {
        if self.printer.shows_tables_on_a_terminal() {
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.printer.progress().clear();
        }
    }

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
            // No line for a resource that needs no change.
            What::Finished(ResourceResult::Unchanged | ResourceResult::Absent, _)
                if !lines.contains_key(&event.id) => {}
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

/// The event as a line. `None` for waiting and success: the final table shows successes.
fn in_words(what: &What) -> Option<String> {
    match what {
        What::Doing(text) => Some(text.clone()),
        What::Finished(
            outcome @ (ResourceResult::Failed | ResourceResult::Stopped | ResourceResult::Skipped),
            detail,
        ) => Some(finished(*outcome, detail)),
        What::Waiting(_) | What::Finished(..) => None,
    }
}

fn finished(outcome: ResourceResult, detail: &str) -> String {
    match detail {
        "" => outcome.word().to_owned(),
        detail => format!("{}: {detail}", outcome.word()),
    }
}

/// The changes of one resource, one on each line.
fn changes(resource: &PlannedReport) -> String {
    if resource.action == Action::Create || resource.changes.is_empty() {
        return resource.detail.clone();
    }
    let lines = resource.changes.iter().map(ToString::to_string);
    lines.collect::<Vec<_>>().join("\n")
}

impl Report for PlanReport {
    fn table(&self, style: &Style) -> String {
        rows(
            style,
            ["RESOURCE", "ACTION", "CHANGES"],
            self.resources
                .iter()
                .map(|one| Row::new(&one.kind, [one.action.word()], named(&one.name, &changes(one)))),
        )
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
    fn table(&self, style: &Style) -> String {
        rows(
            style,
            ["RESOURCE", "RESULT", "DETAIL"],
            self.resources.iter().map(|one| {
                // A line for each change.
                let detail = one.detail.replace("; ", "\n");
                Row::new(&one.kind, [one.result.word()], named(&one.name, &detail))
            }),
        )
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
    /// Each resource is a heading with its checks below, so that long names do not narrow the details.
    fn table(&self, style: &Style) -> String {
        let checks = || self.resources.iter().flat_map(|one| &one.checks);
        let length = |text: &str| text.chars().count();
        // A longer title has its own line.
        let titles = checks().map(|check| length(&check.check));
        let title = titles.filter(|&title| title <= LONGEST_TITLE).max().unwrap_or(0);
        let states = checks().map(|check| length(word(check.state))).max().unwrap_or(0);
        let before = 2 + states + 2 + title + 2;
        let left = width().saturating_sub(before);
        let mut text = String::new();
        for resource in &self.resources {
            let heading = format!("{} {}", resource.kind.replace('_', " "), resource.name);
            text.push_str(&style.bold(&heading));
            text.push('\n');
            for check in &resource.checks {
                let state = word(check.state);
                let after = " ".repeat(states - length(state));
                let mut begin = format!("  {}{after}  {:title$}  ", style.state(state), check.check);
                if length(&check.check) > title && !check.detail.is_empty() {
                    text.push_str(begin.trim_end());
                    text.push('\n');
                    begin = " ".repeat(before);
                }
                for line in super::wrap(&check.detail, left) {
                    text.push_str(format!("{begin}{line}").trim_end());
                    text.push('\n');
                    begin = " ".repeat(before);
                }
            }
        }
        text
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

/// A row of a table whose last column takes the remaining width.
struct Row {
    narrow: Vec<String>,
    /// Lines of the last column, of any length.
    wide: Vec<String>,
}

impl Row {
    fn new<'a>(kind: &str, words: impl IntoIterator<Item = &'a str>, wide: Vec<String>) -> Self {
        let kind = kind.replace('_', " ");
        Self {
            narrow: std::iter::once(kind)
                .chain(words.into_iter().map(str::to_owned))
                .collect(),
            wide,
        }
    }
}

/// The name of a resource and the details below it.
fn named(name: &str, detail: &str) -> Vec<String> {
    let detail = detail.lines().map(str::to_owned);
    std::iter::once(name.to_owned()).chain(detail).collect()
}

/// A table that breaks its last column at spaces only, so that names and ARNs can be copied.
fn rows<const N: usize>(style: &Style, headings: [&str; N], rows: impl Iterator<Item = Row>) -> String {
    let heading = Row {
        narrow: headings[..N - 1].iter().map(|&word| word.to_owned()).collect(),
        wide: vec![headings[N - 1].to_owned()],
    };
    let rows: Vec<Row> = std::iter::once(heading).chain(rows).collect();
    let length = |text: &str| text.chars().count();
    let widths: Vec<usize> = (0..N - 1)
        .map(|column| {
            rows.iter()
                .map(|row| length(&row.narrow[column]))
                .max()
                .unwrap_or(0)
                + 2
        })
        .collect();
    let before: usize = widths.iter().sum();
    // As wide as the other tables: the terminal, or 80 columns.
    let left = width().saturating_sub(before);
    let mut text = String::new();
    for (number, row) in rows.into_iter().enumerate() {
        let is_heading = number == 0;
        let wide = row.wide.iter().flat_map(|line| super::wrap(line, left));
        for (index, line) in wide.enumerate() {
            if index > 0 {
                text.push_str(format!("{:before$}{line}", "").trim_end());
                text.push('\n');
                continue;
            }
            for (cell, column) in row.narrow.iter().zip(&widths) {
                let shown = if is_heading {
                    style.bold(cell)
                } else {
                    style.state(cell)
                };
                text.push_str(&format!("{shown}{}", " ".repeat(column - length(cell))));
            }
            text.push_str(&if is_heading { style.bold(&line) } else { line });
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
    }
    text
}

fn word(state: CheckState) -> &'static str {
    match state {
        CheckState::Good => "good",
        CheckState::Caution => "caution",
        CheckState::Fault => "fault",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::pipeline::{Change, Check};

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
            cost: None,
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
        RESOURCE        ACTION  CHANGES
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
            resources: vec![domain::pipeline::verify::VerifiedResource {
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
        stream orders
          good     exists
          caution  metrics  no datapoints of IncomingRecords yet in the last 5 minutes
        "#);
        assert!(
            report
                .text()
                .starts_with("orders\texists\tgood\t\norders\tmetrics\tcaution\tno datapoints")
        );
    }
}
