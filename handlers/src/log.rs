//! Structured logs: one JSON object per line on stdout, which Lambda sends to CloudWatch Logs.

use std::io::Write;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::clock::{Clock, SystemClock, rfc3339_ms};
use crate::environment::{Environment, InvalidVariable};
use crate::event::Entry;
use crate::invalid::Invalid;

/// Maximum number of rejected records that one batch logs separately: CloudWatch Logs bills by size.
const REJECTED_LINES: usize = 10;

/// Log level, most severe first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Data was lost or will be retried.
    Error,
    /// A record was rejected.
    Warn,
    /// One line per batch.
    Info,
    Debug,
}

impl Level {
    /// The level in `LOG_LEVEL`: error, warn, info or debug. Default info.
    ///
    /// # Errors
    /// The value is not a level.
    pub fn from_environment(environment: &Environment) -> Result<Self, InvalidVariable> {
        let Some(name) = environment.optional("LOG_LEVEL") else {
            return Ok(Self::Info);
        };
        let levels = [Self::Error, Self::Warn, Self::Info, Self::Debug];
        let named = levels
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(name));
        named.ok_or_else(|| {
            InvalidVariable(format!(
                "the environment variable LOG_LEVEL is `{name}`: it takes error, warn, info or debug"
            ))
        })
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }
}

pub trait Output: Send + Sync {
    /// Writes `line` and a line break.
    fn line(&self, line: &str);
}

/// Standard output. Write errors are ignored: there is no other place to report them.
#[derive(Clone, Copy, Debug)]
pub struct Stdout;

impl Output for Stdout {
    fn line(&self, line: &str) {
        let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
    }
}

/// The log of one invocation.
#[derive(Clone)]
pub struct Log {
    level: Level,
    request_id: String,
    output: Arc<dyn Output>,
}

impl Log {
    /// A log outside an invocation.
    pub fn new(level: Level, output: Arc<dyn Output>) -> Self {
        Self {
            level,
            request_id: String::new(),
            output,
        }
    }

    /// The log of the invocation `request_id`.
    pub fn of_request(&self, request_id: &str) -> Self {
        Self {
            request_id: request_id.to_owned(),
            ..self.clone()
        }
    }

    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Writes `line` unchanged, at every level.
    pub fn raw(&self, line: &str) {
        self.output.line(line);
    }

    /// Writes `message` with the object `fields`, if the level is enabled.
    pub fn write(&self, level: Level, message: &str, fields: impl FnOnce() -> Value) {
        if level > self.level {
            return;
        }
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), rfc3339_ms(SystemClock.now_ms()).into());
        line.insert("level".to_owned(), level.as_str().into());
        line.insert("message".to_owned(), message.into());
        if !self.request_id.is_empty() {
            line.insert("requestId".to_owned(), self.request_id.as_str().into());
        }
        if let Value::Object(fields) = fields() {
            line.extend(fields);
        }
        self.output.line(&Value::Object(line).to_string());
    }

    /// Logs which records were rejected and why, never their data.
    pub fn rejected(&self, rejected: &[(&Entry<'_>, Invalid)]) {
        for (entry, invalid) in rejected.iter().take(REJECTED_LINES) {
            self.write(Level::Warn, "record refused", || {
                serde_json::json!({
                    "errorType": invalid.kind.as_str(),
                    "error": invalid.message,
                    "recordId": entry.id(),
                })
            });
        }
        if rejected.len() > REJECTED_LINES {
            self.write(
                Level::Warn,
                "more records refused",
                || serde_json::json!({"count": rejected.len() - REJECTED_LINES}),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Lines;

    #[test]
    fn a_line_is_json_and_lesser_levels_are_left_out() {
        let lines = Arc::new(Lines::default());
        let log = Log::new(Level::Info, lines.clone()).of_request("r-1");
        log.write(Level::Debug, "unseen", || serde_json::json!({}));
        log.write(Level::Info, "batch done", || serde_json::json!({"total": 3}));
        let seen = lines.json();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0]["level"], "INFO");
        assert_eq!(seen[0]["message"], "batch done");
        assert_eq!(seen[0]["requestId"], "r-1");
        assert_eq!(seen[0]["total"], 3);
    }

    #[test]
    fn log_level_is_checked() {
        let level = |text| Level::from_environment(&Environment::of(&[("LOG_LEVEL", text)]));
        assert_eq!(level("debug"), Ok(Level::Debug));
        assert_eq!(level(""), Ok(Level::Info));
        assert_eq!(
            level("loud").unwrap_err().to_string(),
            "the environment variable LOG_LEVEL is `loud`: it takes error, warn, info or debug"
        );
    }
}
