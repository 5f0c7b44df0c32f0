//! Regular expressions. Their engine takes time in proportion to the expression and the text, and both are charged.

use std::rc::Rc;

use regex_lite::{Regex, RegexBuilder};

use crate::eval::{Machine, Stop, error};
use crate::value::Val;

/// Bytes of a compiled expression.
const COMPILED: usize = 32 << 10;
/// Expressions that a run keeps.
const KEPT: usize = 64;

#[derive(Debug)]
pub(crate) struct Compiled {
    regex: Regex,
    /// Flag `g`.
    is_global: bool,
    /// Characters of the expression.
    length: usize,
}

/// A match: its text, and its groups with their names.
pub(crate) struct Found {
    pub start: usize,
    pub end: usize,
    pub text: String,
    pub groups: Vec<(Option<String>, Option<String>)>,
}

impl Found {
    /// The named groups, as `capture` makes them.
    pub fn object(&self) -> Val {
        let named = self.groups.iter().filter_map(|(name, text)| {
            let text = text.as_deref().map_or(Val::Null, Val::text);
            Some((Rc::from(name.as_deref()?), text))
        });
        Val::object(named.collect())
    }
}

impl Machine {
    /// All matches, or the first one without the flag `g`.
    pub fn matches(
        &self,
        text: &str,
        expression: &Val,
        flags: &Val,
        always_all: bool,
    ) -> Result<Vec<Found>, Stop> {
        let compiled = self.compiled(expression, flags)?;
        self.work(text.len().saturating_mul(compiled.length.max(16)))?;
        let most = match compiled.is_global || always_all {
            true => usize::MAX,
            false => 1,
        };
        let names: Vec<Option<String>> = compiled
            .regex
            .capture_names()
            .map(|name| name.map(str::to_owned))
            .collect();
        let mut found = Vec::new();
        for captures in compiled.regex.captures_iter(text).take(most) {
            let Some(whole) = captures.get(0) else { continue };
            self.reserve(128 + whole.len().saturating_mul(1 + captures.len()))?;
            let groups = captures.iter().zip(&names).skip(1);
            found.push(Found {
                start: whole.start(),
                end: whole.end(),
                text: whole.as_str().to_owned(),
                groups: groups
                    .map(|(group, name)| (name.clone(), group.map(|group| group.as_str().to_owned())))
                    .collect(),
            });
        }
        Ok(found)
    }

    fn compiled(&self, expression: &Val, flags: &Val) -> Result<Rc<Compiled>, Stop> {
        let (Val::Str(expression), Val::Str(_) | Val::Null) = (expression, flags) else {
            return error(format!(
                "{} cannot be matched, as it is not a string",
                expression.kind()
            ));
        };
        let flags = match flags {
            Val::Str(flags) => &**flags,
            _ => "",
        };
        let key = format!("{flags}/{expression}");
        let mut kept = self.expressions.borrow_mut();
        if let Some(found) = kept.get(&key) {
            return Ok(Rc::clone(found));
        }
        self.work(expression.len().saturating_mul(64))?;
        if let Some(flag) = flags.chars().find(|flag| !"gixsn".contains(*flag)) {
            return error(format!("{flag} is not a valid modifier string"));
        }
        // In jq, the dot matches a line feed with the flag s only, as here.
        let regex = RegexBuilder::new(expression)
            .case_insensitive(flags.contains('i'))
            .ignore_whitespace(flags.contains('x'))
            .dot_matches_new_line(flags.contains('s'))
            .size_limit(COMPILED)
            .build();
        let regex = regex.or_else(|_| {
            error(format!(
                "{expression} is not a regular expression that is offered"
            ))
        })?;
        let compiled = Rc::new(Compiled {
            regex,
            is_global: flags.contains('g'),
            length: expression.len(),
        });
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, Rc::clone(&compiled));
        Ok(compiled)
    }
}
