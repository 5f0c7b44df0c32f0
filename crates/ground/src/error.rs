//! The error type of the program: one sentence, its cause, a hint, an exit code.
//!
//! Domain modules create one where a failure concerns the user. `main` prints it. [`aws`] converts errors of AWS calls.

pub mod aws;
pub mod machine;

use std::fmt;

use self::aws::Class;
use crate::exit::Exit;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The first error of the type `E` in the chain of `error` and its causes.
pub fn find_cause<'e, E>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e E>
where
    E: std::error::Error + 'static,
{
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.find_map(|error| error.downcast_ref())
}

/// An error as shown to the user.
#[derive(Debug)]
pub struct Error {
    exit: Exit,
    message: String,
    hint: Option<String>,
    /// The service's error code, if an AWS call failed.
    code: Option<String>,
    /// What the failure of an AWS call means.
    class: Option<Class>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// `message` is one sentence without a full stop.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
            code: None,
            class: None,
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

    /// Adds the next step for the user.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Changes the next step for the user, if there is one.
    #[must_use]
    pub fn map_hint(mut self, change: impl FnOnce(&str) -> String) -> Self {
        self.hint = self.hint.map(|hint| change(&hint));
        self
    }

    #[must_use]
    pub fn cause(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the service's error code, such as `ResourceNotFoundException`.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        let code = code.into();
        self.class = self.class.or_else(|| aws::class_of(&code, ""));
        self.code = Some(code);
        self
    }

    /// Adds what the failure of an AWS call means.
    #[must_use]
    pub fn with_class(mut self, class: Class) -> Self {
        self.class = Some(class);
        self
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The service's error code, if an AWS call failed.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Whether the credentials are missing, unknown or expired, and not only this machine's clock or the region is wrong;
    /// `Some(false)` if there are none.
    pub fn bad_credentials(&self) -> Option<bool> {
        if self.class != Some(Class::Credentials) {
            return None;
        }
        match self.code.as_deref() {
            None => Some(!self.message.contains(aws::NO_CREDENTIALS)),
            Some(code) => aws::is_about_keys(code, self.hint_text()).then_some(true),
        }
    }

    /// What the failure of an AWS call means.
    pub fn class(&self) -> Option<Class> {
        self.class
    }

    /// Whether an AWS call failed because there is no such resource.
    pub fn is_not_found(&self) -> bool {
        self.class == Some(Class::NotFound)
    }

    /// Whether an AWS call failed with the error code `code`.
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The message and its causes without repetitions, outermost first.
    pub fn chain(&self) -> Vec<String> {
        let mut lines = vec![self.message.clone()];
        let mut next = self
            .source
            .as_deref()
            .map(|e| e as &(dyn std::error::Error + 'static));
        while let Some(error) = next {
            let text = error.to_string();
            // Wrappers often repeat the text of what they wrap.
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
    fn chain_lists_each_cause_once() {
        let inner = std::io::Error::other("disk is full");
        let error = Error::failed("could not write the log: disk is full").cause(inner);
        assert_eq!(error.chain(), ["could not write the log: disk is full"]);

        let error = Error::failed("could not write the log").cause(std::io::Error::other("disk is full"));
        assert_eq!(error.chain(), ["could not write the log", "disk is full"]);
    }
}
