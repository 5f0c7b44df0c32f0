//! The result of `doctor` in all formats.

use serde::Serialize;

use super::count;
use crate::ui::{Report, Style, TargetFlags, lines, width, wrap};
use domain::context::Context;
use domain::observe::doctor::{Checked, Finding, Severity};

/// Spaces before evidence and fixes.
const INDENT: usize = 2 + LABEL;
/// Width of `safe fix` and a space.
const LABEL: usize = 9;

/// What was found. Its fields are a contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct DoctorReport {
    pub(super) target: String,
    pub(super) region: String,
    /// `stream orders`, `pipeline retail/dev` or `account`.
    pub(super) subject: String,
    pub(super) faults: usize,
    pub(super) cautions: usize,
    /// Checks that could not run.
    pub(super) skipped: usize,
    pub(super) checks: Vec<Checked>,
}

impl DoctorReport {
    /// The commands of streamctl repeat `flags`.
    pub(super) fn new(
        context: &Context,
        subject: String,
        mut checks: Vec<Checked>,
        flags: &TargetFlags,
    ) -> Self {
        let fixes = checks.iter_mut().flat_map(|check| &mut check.findings);
        for fix in fixes.flat_map(|finding| &mut finding.fixes) {
            if fix.words().is_some() {
                fix.command = flags.complete(&fix.command);
            }
        }
        Self {
            target: context.target_name(),
            region: context.region().to_owned(),
            subject,
            faults: count(&checks, Severity::Fault),
            cautions: count(&checks, Severity::Caution),
            skipped: checks.iter().filter(|check| check.skipped.is_some()).count(),
            checks,
        }
    }

    /// Why checks could not run, each reason once, with its checks.
    fn reasons(&self) -> Vec<(&str, Vec<&'static str>)> {
        let mut reasons: Vec<(&str, Vec<&'static str>)> = Vec::new();
        for check in &self.checks {
            let Some(reason) = check.skipped.as_deref() else {
                continue;
            };
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, checks)) => checks.push(check.check),
                None => reasons.push((reason, vec![check.check])),
            }
        }
        reasons
    }

    /// The findings, faults first, else in the order of the checks.
    fn findings(&self) -> Vec<&Finding> {
        let mut findings: Vec<&Finding> = self.checks.iter().flat_map(|check| &check.findings).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings
    }
}

/// `stream orders refused 12 records …`.
pub(super) fn headline(finding: &Finding) -> String {
    format!("{} {}", finding.subject, finding.summary)
}

/// `label` in the first columns and `text` in the others, broken at spaces.
fn block(label: &str, text: &str, width: usize) -> String {
    let mut block = String::new();
    for (index, line) in wrap(text, width).iter().enumerate() {
        let label = if index == 0 { label } else { "" };
        block.push_str(format!("  {label:LABEL$}{line}").trim_end());
        block.push('\n');
    }
    block
}

/// One finding: what is wrong, the evidence, the fixes. Commands are never broken: they are copied.
fn shown(finding: &Finding, style: &Style, width: usize) -> String {
    let word = finding.severity.word();
    let painted = match finding.severity {
        Severity::Fault => style.bad(word),
        Severity::Caution => style.caution(word),
    };
    let mut text = String::new();
    for (index, line) in wrap(&headline(finding), width).iter().enumerate() {
        match index {
            0 => text.push_str(&format!("{painted}{:1$}{line}\n", "", INDENT - word.len())),
            _ => text.push_str(&format!("{:INDENT$}{line}\n", "")),
        }
    }
    text.push_str(&style.dim(&block("check", finding.check, width)));
    for (index, fact) in finding.evidence.iter().enumerate() {
        let label = if index == 0 { "seen" } else { "" };
        text.push_str(&block(label, fact, width));
    }
    for (index, fix) in finding.fixes.iter().enumerate() {
        let label = match (index, fix.is_safe) {
            (_, true) => "safe fix",
            (0, false) => "fix",
            _ => "or",
        };
        text.push_str(&format!("  {label:LABEL$}{}\n", fix.command));
    }
    text
}

impl Report for DoctorReport {
    fn table(&self, style: &Style) -> String {
        let width = width().saturating_sub(INDENT);
        let mut parts: Vec<String> = self
            .findings()
            .into_iter()
            .map(|finding| shown(finding, style, width))
            .collect();
        let skipped: Vec<String> = self
            .reasons()
            .into_iter()
            .map(|(reason, checks)| match checks.as_slice() {
                [one] => block("", &format!("{one}: {reason}"), width),
                many => block("", &format!("{} checks: {reason}", many.len()), width),
            })
            .collect();
        if !skipped.is_empty() {
            parts.push(format!("{}\n{}", style.bold("Could not run"), skipped.concat()));
        }
        parts.join("\n")
    }

    /// `fault`, check, subject, summary and the first fix; `skipped`, check and the reason.
    fn text(&self) -> String {
        let row = |words: [&str; 5]| words.map(str::to_owned);
        let findings = self.findings().into_iter().map(|finding| {
            let fix = finding.fixes.first().map_or("", |fix| fix.command.as_str());
            let severity = finding.severity.word();
            row([severity, finding.check, &finding.subject, &finding.summary, fix])
        });
        let skipped = self.checks.iter().filter_map(|check| {
            let reason = check.skipped.as_deref()?;
            Some(row(["skipped", check.check, &self.subject, reason, ""]))
        });
        lines(findings.chain(skipped))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use domain::observe::doctor::State;

    pub(in crate::cli::doctor) fn report() -> DoctorReport {
        let stamped = |check: &'static str, mut finding: Finding| {
            finding.check = check;
            finding
        };
        let fault = Finding::fault("function scorer", "is 12h18m behind stream orders")
            .evidence("the stream keeps records for 1d")
            .evidence("+60 s a minute: records are lost from 2026-11-28 23:42 UTC on, at this rate")
            .fix(&["attach", "scorer", "--stream", "orders", "--parallelization", "2"])
            .safe_fix(&["retention", "orders", "7d"]);
        let caution = Finding::caution(
            "log group /aws/lambda/scorer",
            "keeps everything <for ever>: its cost only grows",
        )
        .other_fix(
            "aws logs put-retention-policy --log-group-name /aws/lambda/scorer --retention-in-days 30",
        );
        DoctorReport {
            target: "AWS".to_owned(),
            region: "us-east-1".to_owned(),
            subject: "stream orders".to_owned(),
            faults: 1,
            cautions: 1,
            skipped: 1,
            checks: vec![
                Checked {
                    check: "log-retention",
                    title: "logs expire",
                    state: State::Caution,
                    skipped: None,
                    findings: vec![stamped("log-retention", caution)],
                },
                Checked {
                    check: "iterator-age",
                    title: "readers keep up with the stream",
                    state: State::Fault,
                    skipped: None,
                    findings: vec![stamped("iterator-age", fault)],
                },
                Checked {
                    check: "shard-quota",
                    title: "the account has shards left",
                    state: State::Skipped,
                    skipped: Some(
                        "could not read the account's limits: AccessDeniedException: not authorized to perform \
                         kinesis:DescribeLimits"
                            .to_owned(),
                    ),
                    findings: Vec::new(),
                },
                Checked {
                    check: "stream-status",
                    title: "the stream is ACTIVE",
                    state: State::Good,
                    skipped: None,
                    findings: Vec::new(),
                },
            ],
        }
    }

    #[test]
    fn faults_come_first_with_evidence_and_commands() {
        let text = report().table(&Style::plain());
        insta::assert_snapshot!(text);
        let prose = |line: &&str| !line.contains("aws logs");
        assert!(
            text.lines().filter(prose).all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }

    #[test]
    fn equal_reasons_are_shown_once() {
        let mut report = report();
        let skipped = report.checks[2].clone();
        report.checks.extend([skipped.clone(), skipped]);
        let table = report.table(&Style::plain());
        let (_, shown) = table.split_once("Could not run\n").unwrap();
        assert!(
            shown
                .trim_start()
                .starts_with("3 checks: could not read the account's limits"),
            "{shown}"
        );
        assert_eq!(shown.matches("could not read").count(), 1, "{shown}");
        assert_eq!(report.text().matches("skipped\t").count(), 3);
    }

    #[test]
    fn text_has_one_line_for_each_finding() {
        insta::assert_snapshot!(report().text());
    }

    #[test]
    fn json_is_a_contract() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&report()).unwrap());
    }
}
