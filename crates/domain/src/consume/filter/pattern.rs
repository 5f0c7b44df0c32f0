//! Regular expressions on bytes, which need not be text.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};

use ground::error::{Error, Result};

/// Memory of a compiled expression, in bytes.
const MOST_BYTES: usize = 4 << 20;

/// A regular expression.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// `flag` names the argument in messages.
    ///
    /// # Errors
    /// Exit 2 with the position of the fault.
    pub fn new(text: &str, flag: &str) -> Result<Self> {
        let fault = match regex_syntax::Parser::new().parse(text) {
            Ok(_) => None,
            Err(regex_syntax::Error::Parse(error)) => Some((error.span().start, error.kind().to_string())),
            Err(regex_syntax::Error::Translate(error)) => {
                // Expressions on bytes may match what is not text.
                let is_of_text = matches!(error.kind(), regex_syntax::hir::ErrorKind::InvalidUtf8);
                (!is_of_text).then(|| (error.span().start, error.kind().to_string()))
            }
            Err(error) => {
                return Err(refused(text, flag, &error.to_string()));
            }
        };
        if let Some((start, what)) = fault {
            let at = text
                .get(..start.offset)
                .map_or(0, |before| before.chars().count())
                + 1;
            return Err(refused(text, flag, &format!("at character {at}, {what}")));
        }
        RegexBuilder::new(text)
            .size_limit(MOST_BYTES)
            .build()
            .map(Self)
            .map_err(|error| refused(text, flag, &error.to_string()))
    }

    pub fn is_match(&self, data: &[u8]) -> bool {
        self.0.is_match(data)
    }

    /// The matches in `text` that are not empty.
    pub fn matches(&self, text: &str) -> impl Iterator<Item = Range<usize>> {
        self.0
            .find_iter(text.as_bytes())
            .map(|found| found.range())
            .filter(|range| !range.is_empty())
    }
}

fn refused(text: &str, flag: &str, what: &str) -> Error {
    Error::usage(format!("{text:?} is not valid for {flag}: {what}"))
        .hint("it is a regular expression; put a backslash before a character such as ( to match it as it is")
}
