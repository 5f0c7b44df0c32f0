//! Arithmetic in `${…}`: numbers, names, `+ - * /` and parentheses, such as `${timeout * 800}` for 80 % of a timeout in
//! seconds, as milliseconds.

use serde_json::Value;

/// Limit of nested parentheses.
const MAX_DEPTH: usize = 16;

/// A parsed formula.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Formula {
    Number(f64),
    Name(String),
    Of(Box<Formula>, char, Box<Formula>),
}

impl Formula {
    /// Parses `text`, which is more than a name.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text, depth: 0 };
        let formula = reader
            .sum()
            .map_err(|problem| format!("${{{text}}}: {problem}"))?;
        if reader.peek().is_some() {
            return Err(format!("${{{text}}}: unexpected {:?}", reader.rest.trim()));
        }
        Ok(formula)
    }

    pub(super) fn names(&self, into: &mut Vec<String>) {
        match self {
            Self::Number(_) => {}
            Self::Name(name) => into.push(name.clone()),
            Self::Of(left, _, right) => {
                left.names(into);
                right.names(into);
            }
        }
    }

    /// Its value, as an integer if it is whole; `Null` if a name in it has no value.
    pub(super) fn value(&self, look: &mut dyn FnMut(&str) -> Result<Value, String>) -> Result<Value, String> {
        let Some(number) = self.number(look)? else {
            return Ok(Value::Null);
        };
        // 2^53: above it, a double does not hold every integer.
        const WHOLE: f64 = 9_007_199_254_740_992.0;
        if number.fract() == 0.0 && number.abs() < WHOLE {
            #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
            return Ok(Value::from(number as i64));
        }
        serde_json::Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| "the result is not a number".to_owned())
    }

    fn number(&self, look: &mut dyn FnMut(&str) -> Result<Value, String>) -> Result<Option<f64>, String> {
        match self {
            Self::Number(number) => Ok(Some(*number)),
            Self::Name(name) => match look(name)? {
                Value::Null => Ok(None),
                value => match value.as_f64() {
                    Some(number) => Ok(Some(number)),
                    None => Err(format!("{name} is not a number")),
                },
            },
            Self::Of(left, operator, right) => {
                let (Some(left), Some(right)) = (left.number(look)?, right.number(look)?) else {
                    return Ok(None);
                };
                Ok(Some(match operator {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    _ => left / right,
                }))
            }
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, allowed: impl Fn(char) -> bool) -> &str {
        let end = self.rest.find(|c| !allowed(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn sum(&mut self) -> Result<Formula, String> {
        let mut left = self.product()?;
        while let Some(operator @ ('+' | '-')) = self.peek() {
            self.rest = &self.rest[1..];
            left = Formula::Of(Box::new(left), operator, Box::new(self.product()?));
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Formula, String> {
        let mut left = self.operand()?;
        while let Some(operator @ ('*' | '/')) = self.peek() {
            self.rest = &self.rest[1..];
            left = Formula::Of(Box::new(left), operator, Box::new(self.operand()?));
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Formula, String> {
        match self.peek() {
            Some('(') => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err("too many parentheses".to_owned());
                }
                self.rest = &self.rest[1..];
                let inner = self.sum()?;
                if self.peek() != Some(')') {
                    return Err("a `)` is missing".to_owned());
                }
                self.rest = &self.rest[1..];
                Ok(inner)
            }
            Some(c) if c.is_ascii_digit() => {
                let text = self.take(|c| c.is_ascii_digit() || c == '.');
                text.parse()
                    .map(Formula::Number)
                    .map_err(|_| format!("{text} is not a number"))
            }
            Some(c) if c.is_ascii_alphabetic() => {
                let name = self.take(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
                Ok(Formula::Name(name.to_owned()))
            }
            Some(c) => Err(format!("unexpected {c:?}: expected a number or a name")),
            None => Err("the expression is incomplete".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value(text: &str) -> Result<Value, String> {
        Formula::read(text)?.value(&mut |name| match name {
            "timeout" => Ok(json!(120)),
            "nothing" => Ok(Value::Null),
            "text" => Ok(json!("x")),
            other => Err(format!("{other} is not known")),
        })
    }

    #[test]
    fn arithmetic_follows_the_usual_precedence() {
        assert_eq!(value("timeout * 1000 * 80 / 100"), Ok(json!(96000)));
        assert_eq!(value("(1 + 2) * 3 - 4 / 2"), Ok(json!(7)));
        assert_eq!(value("timeout / 16"), Ok(json!(7.5)));
        assert_eq!(value("nothing * 2"), Ok(Value::Null));
    }

    #[test]
    fn mistakes_are_errors() {
        for text in ["1 +", "text * 2", "(1", "1 2", "other + 1", "1 / 0", "€", "1.2.3"] {
            assert!(value(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ ()+*/0-9a-z.€-]{0,60}") {
            let _ = value(&text);
        }
    }
}
