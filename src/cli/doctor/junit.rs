//! The result of `doctor` as JUnit XML: a test case for each check.

use quick_xml::escape::escape;

use super::report::{DoctorReport, headline};
use domain::observe::doctor::{Checked, Finding, Severity};

/// The document. Cautions are failures only if `strict`, else they are output of their test case.
pub(super) fn document(report: &DoctorReport, strict: bool) -> String {
    let failures = report
        .checks
        .iter()
        .filter(|check| check.findings.iter().any(|finding| is_failure(finding, strict)))
        .count();
    let counts = format!(
        "tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{}\"",
        report.checks.len(),
        report.skipped
    );
    let cases: String = report.checks.iter().map(|check| case(check, strict)).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"streamctl doctor\" {counts}>\n  \
         <testsuite name=\"{}\" {counts}>\n{cases}  </testsuite>\n</testsuites>\n",
        text(&report.subject)
    )
}

fn is_failure(finding: &Finding, strict: bool) -> bool {
    strict || finding.severity == Severity::Fault
}

fn case(check: &Checked, strict: bool) -> String {
    let head = format!(
        "    <testcase classname=\"streamctl.doctor\" name=\"{}: {}\"",
        check.check,
        text(check.title)
    );
    let mut body = String::new();
    if let Some(reason) = &check.skipped {
        body.push_str(&format!("      <skipped message=\"{}\"/>\n", text(reason)));
    }
    // At most one element of a kind is allowed.
    let failures: Vec<&Finding> = check
        .findings
        .iter()
        .filter(|one| is_failure(one, strict))
        .collect();
    if let [first, others @ ..] = failures.as_slice() {
        let more = match others.len() {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let all: Vec<String> = failures
            .iter()
            .map(|finding| format!("{}\n{}", headline(finding), details(finding)))
            .collect();
        body.push_str(&format!(
            "      <failure type=\"{}\" message=\"{}{more}\">{}</failure>\n",
            first.severity.word(),
            text(&headline(first)),
            text(&all.join("\n"))
        ));
    }
    let others: Vec<String> = check
        .findings
        .iter()
        .filter(|one| !is_failure(one, strict))
        .map(|finding| format!("caution: {}\n{}", headline(finding), details(finding)))
        .collect();
    if !others.is_empty() {
        body.push_str(&format!(
            "      <system-out>{}</system-out>\n",
            text(&others.join("\n"))
        ));
    }
    match body.is_empty() {
        true => format!("{head}/>\n"),
        false => format!("{head}>\n{body}    </testcase>\n"),
    }
}

fn details(finding: &Finding) -> String {
    let fixes = finding.fixes.iter().map(|fix| format!("fix: {}", fix.command));
    let all: Vec<String> = finding.evidence.iter().cloned().chain(fixes).collect();
    all.join("\n")
}

/// `raw` as the text of an element or attribute, without the characters that XML does not allow.
fn text(raw: &str) -> String {
    let is_allowed =
        |c: &char| matches!(c, '\t' | '\n' | '\r') || (*c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'));
    let allowed: String = raw.chars().filter(is_allowed).collect();
    escape(allowed.as_str()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn each_check_is_a_test_case() {
        insta::assert_snapshot!(document(&report(), false));
    }

    #[test]
    fn strict_makes_cautions_failures() {
        let strict = document(&report(), true);
        assert!(
            strict.contains("failures=\"2\"") && !strict.contains("<system-out>"),
            "{strict}"
        );
    }

    #[test]
    fn text_is_escaped_and_clean() {
        assert_eq!(
            text("a <b> & \"c\"\u{1b}[2J"),
            "a &lt;b&gt; &amp; &quot;c&quot;[2J"
        );
    }
}
