//! What a check says: its findings with evidence and fixes, or why it could not look.
//!
//! Knows neither the checks nor how findings are shown.

use serde::Serialize;

use ground::error::Error;
use ground::shell::quoted;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Not wrong yet, or possibly intended: worth a look.
    Caution,
    /// Wrong: records are lost, late or refused, or will be.
    Fault,
}

impl Severity {
    pub fn word(self) -> &'static str {
        match self {
            Self::Caution => "caution",
            Self::Fault => "fault",
        }
    }
}

/// A command that repairs what a finding describes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Fix {
    /// The command line, quoted for a POSIX shell.
    pub command: String,
    /// Whether `doctor --fix` may run it: it loses no data, changes no cost by much and can be taken back.
    pub is_safe: bool,
    /// The arguments of streamctl, if it is a streamctl command.
    #[serde(skip)]
    words: Option<Vec<String>>,
}

impl Fix {
    /// The streamctl command with the arguments `words`.
    fn streamctl(words: &[&str], is_safe: bool) -> Self {
        let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        Self {
            command: format!("streamctl {}", quoted.join(" ")),
            is_safe,
            words: Some(words.iter().map(|&word| word.to_owned()).collect()),
        }
    }

    /// The arguments of streamctl, if it is a streamctl command.
    pub fn words(&self) -> Option<&[String]> {
        self.words.as_deref()
    }
}

/// Something that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Finding {
    // The runner sets it.
    /// Id of the check, such as `write-throttles`.
    pub check: &'static str,
    /// What it is about: `stream orders`, `function scorer`.
    pub subject: String,
    pub severity: Severity,
    /// One sentence, without a full stop.
    pub summary: String,
    /// What was seen, one fact each.
    pub evidence: Vec<String>,
    /// The best first.
    pub fixes: Vec<Fix>,
}

impl Finding {
    fn new(severity: Severity, subject: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            check: "",
            subject: subject.into(),
            severity,
            summary: summary.into(),
            evidence: Vec::new(),
            fixes: Vec::new(),
        }
    }

    pub fn fault(subject: impl Into<String>, summary: impl Into<String>) -> Self {
        Self::new(Severity::Fault, subject, summary)
    }

    pub fn caution(subject: impl Into<String>, summary: impl Into<String>) -> Self {
        Self::new(Severity::Caution, subject, summary)
    }

    /// Adds a fact that was seen.
    #[must_use]
    pub fn evidence(mut self, fact: impl Into<String>) -> Self {
        self.evidence.push(fact.into());
        self
    }

    /// Adds a fact, if there is one.
    #[must_use]
    pub fn evidence_if(mut self, fact: Option<String>) -> Self {
        self.evidence.extend(fact);
        self
    }

    /// Adds the streamctl command with these arguments: the user decides whether to run it.
    #[must_use]
    pub fn fix(mut self, words: &[&str]) -> Self {
        self.fixes.push(Fix::streamctl(words, false));
        self
    }

    /// Adds the streamctl command with these arguments, which `doctor --fix` may run.
    #[must_use]
    pub fn safe_fix(mut self, words: &[&str]) -> Self {
        self.fixes.push(Fix::streamctl(words, true));
        self
    }

    /// Adds a command line of another program, such as the AWS CLI.
    #[must_use]
    pub fn other_fix(mut self, command: impl Into<String>) -> Self {
        self.fixes.push(Fix {
            command: command.into(),
            is_safe: false,
            words: None,
        });
        self
    }
}

/// Why something could not be looked at, as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped(pub String);

impl From<&Error> for Skipped {
    fn from(error: &Error) -> Self {
        Self(error.chain().join(": "))
    }
}

impl From<Error> for Skipped {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

/// The result of a check's look.
pub type Looked = Result<Vec<Finding>, Skipped>;

/// Result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// What it found; nothing where all is well.
    Findings(Vec<Finding>),
    /// It could not look, for this reason.
    Skipped(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_quoted_for_a_shell() {
        let finding = Finding::fault("stream orders", "is full")
            .fix(&["reshard", "orders", "--to", "4"])
            .safe_fix(&["tag", "add", "orders", "note=it's full"])
            .other_fix("aws sts get-caller-identity");
        let commands: Vec<&str> = finding.fixes.iter().map(|fix| fix.command.as_str()).collect();
        assert_eq!(
            commands,
            [
                "streamctl reshard orders --to 4",
                r"streamctl tag add orders 'note=it'\''s full'",
                "aws sts get-caller-identity",
            ]
        );
        assert_eq!(
            finding.fixes[0].words().unwrap(),
            ["reshard", "orders", "--to", "4"]
        );
        assert_eq!(finding.fixes[2].words(), None);
        assert_eq!(
            [0, 1, 2].map(|at: usize| finding.fixes[at].is_safe),
            [false, true, false]
        );
    }

    #[test]
    fn a_fault_is_worse_than_a_caution() {
        assert!(Severity::Fault > Severity::Caution);
    }
}
