//! The error type of the whole program: one sentence, its cause, a hint, an exit code.
//!
//! Domain modules build one where a failure has a meaning for the user; `main` prints it. Failures of AWS
//! calls become one in [`aws`].

pub mod aws;

use std::fmt;

use crate::exit::Exit;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure as the user reads it.
#[derive(Debug)]
pub struct Error {
    exit: Exit,
    message: String,
    hint: Option<String>,
    /// The service's error code, where the failure came from an AWS call.
    code: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure with the exit code `exit`. `message` is one sentence without a full stop.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
            code: None,
            source: None,
        }
    }

    /// The operation failed (exit 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The user's input is wrong (exit 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The target could not be reached or refused the credentials (exit 4).
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what caused it.
    #[must_use]
    pub fn cause(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the service's error code, such as `ResourceNotFoundException`.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The exit code this failure asks for.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The service's error code, if an AWS call failed.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Whether an AWS call failed with the error code `code`.
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// What to do next, if known.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The sentence and the causes below it, each once, outermost first.
    pub fn chain(&self) -> Vec<String> {
        let mut lines = vec![self.message.clone()];
        let mut next = self
            .source
            .as_deref()
            .map(|e| e as &(dyn std::error::Error + 'static));
        while let Some(error) = next {
            let text = error.to_string();
            // Wrappers often repeat what they wrap.
            if !lines.iter().any(|line| line.contains(&text)) {
                lines.push(text);
            }
            next = error.source();
        }
        lines
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_says_each_cause_once() {
        let inner = std::io::Error::other("disk is full");
        let error = Error::failed("could not write the log: disk is full").cause(inner);
        assert_eq!(error.chain(), ["could not write the log: disk is full"]);

        let error = Error::failed("could not write the log").cause(std::io::Error::other("disk is full"));
        assert_eq!(error.chain(), ["could not write the log", "disk is full"]);
    }
}
