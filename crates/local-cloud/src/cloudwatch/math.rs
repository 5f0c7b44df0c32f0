//! Metric math, limited to the common part: numbers, ids, `+ - * / ^`, parentheses and a few functions.
//!
//! Source: "Using math expressions with CloudWatch metrics", CloudWatch user guide. Unsupported elements are rejected
//! with an error that names them.

use std::collections::BTreeMap;

/// Maximum nesting of an expression.
const MAX_DEPTH: usize = 32;

/// A time series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    /// Value by start of the period in milliseconds.
    pub(super) points: BTreeMap<i64, f64>,
    /// Seconds.
    pub(super) period: i64,
}

/// Result of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Scalar(f64),
    Series(Series),
    Many(Vec<Series>),
}

/// Access to the queries of a request.
pub(super) trait Scope {
    /// The query with this id.
    fn lookup(&mut self, id: &str) -> Result<Value, String>;
    /// All queries for metrics (not expressions), by id.
    fn metrics(&mut self) -> Result<Vec<(String, Series)>, String>;
    /// Accounts for work on `points` points.
    ///
    /// # Errors
    /// If the request exceeds its limit.
    fn spend(&mut self, points: i64) -> Result<(), String>;
    /// Start and end of the request in milliseconds.
    fn range(&self) -> (i64, i64);
}

/// Evaluates the expression `text`.
///
/// # Errors
/// A sentence that names what is invalid or unsupported.
pub(super) fn evaluate(text: &str, scope: &mut dyn Scope) -> Result<Value, String> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        scope,
        depth: 0,
    };
    let value = parser.sum()?;
    match parser.peek() {
        None => Ok(value),
        Some(token) => Err(format!("unexpected {token:?} in the expression")),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Word(String),
    Text(String),
    Sign(char),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = |accept: &dyn Fn(char) -> bool| rest.find(|c| !accept(c)).unwrap_or(rest.len());
        let used = if first.is_ascii_digit() || first == '.' {
            let used = length(&|c| c.is_ascii_digit() || c == '.');
            let number = rest[..used]
                .parse()
                .map_err(|_| format!("{:?} is not a number", &rest[..used]))?;
            found.push(Token::Number(number));
            used
        } else if first.is_ascii_alphabetic() {
            let used = length(&|c| c.is_ascii_alphanumeric() || c == '_');
            found.push(Token::Word(rest[..used].to_owned()));
            used
        } else if first == '"' || first == '\'' {
            let end = rest[1..]
                .find(first)
                .ok_or("a text in the expression does not end")?;
            found.push(Token::Text(rest[1..=end].to_owned()));
            end + 2
        } else if "+-*/^(),".contains(first) {
            found.push(Token::Sign(first));
            1
        } else {
            return Err(format!("the character {first:?} is not supported in expressions"));
        };
        rest = rest[used..].trim_start();
    }
    Ok(found)
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    scope: &'a mut dyn Scope,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, sign: char) -> Result<(), String> {
        if self.take(sign) {
            Ok(())
        } else {
            Err(format!("`{sign}` is missing in the expression"))
        }
    }

    fn sum(&mut self) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the expression nests too deep".to_owned());
        }
        let mut left = self.product()?;
        loop {
            if self.take('+') {
                left = combine(left, self.product()?, |a, b| a + b)?;
            } else if self.take('-') {
                left = combine(left, self.product()?, |a, b| a - b)?;
            } else {
                self.depth -= 1;
                return Ok(left);
            }
        }
    }

    fn product(&mut self) -> Result<Value, String> {
        let mut left = self.signed()?;
        loop {
            if self.take('*') {
                left = combine(left, self.signed()?, |a, b| a * b)?;
            } else if self.take('/') {
                left = combine(left, self.signed()?, |a, b| a / b)?;
            } else {
                return Ok(left);
            }
        }
    }

    fn signed(&mut self) -> Result<Value, String> {
        let mut negative = false;
        while self.take('-') {
            negative = !negative;
        }
        let base = self.atom()?;
        let value = if self.take('^') {
            combine(base, self.atom()?, f64::powf)?
        } else {
            base
        };
        if negative {
            combine(Value::Scalar(0.0), value, |a, b| a - b)
        } else {
            Ok(value)
        }
    }

    fn atom(&mut self) -> Result<Value, String> {
        let token = self.peek().cloned().ok_or("the expression ends too early")?;
        self.at += 1;
        match token {
            Token::Number(number) => Ok(Value::Scalar(number)),
            Token::Sign('(') => {
                let value = self.sum()?;
                self.need(')')?;
                Ok(value)
            }
            Token::Word(word) if self.take('(') => self.call(&word),
            Token::Word(word) => self.scope.lookup(&word),
            other => Err(format!("unexpected {other:?} in the expression")),
        }
    }

    fn call(&mut self, name: &str) -> Result<Value, String> {
        match name {
            "METRICS" => self.metrics(),
            "PERIOD" => match self.only()? {
                #[allow(clippy::cast_precision_loss, reason = "seconds of a period")]
                Value::Series(series) => Ok(Value::Scalar(series.period as f64)),
                _ => Err("PERIOD takes one metric".to_owned()),
            },
            "FILL" => self.fill(),
            "ABS" => combine(Value::Scalar(0.0), self.only()?, |_, b| b.abs()),
            "SUM" => reduce(name, self.only()?, |all| all.iter().sum()),
            "MIN" => reduce(name, self.only()?, |all| {
                all.iter().copied().fold(f64::INFINITY, f64::min)
            }),
            "MAX" => reduce(name, self.only()?, |all| {
                all.iter().copied().fold(f64::NEG_INFINITY, f64::max)
            }),
            #[allow(clippy::cast_precision_loss, reason = "number of points")]
            "AVG" => reduce(name, self.only()?, |all| {
                all.iter().sum::<f64>() / all.len() as f64
            }),
            other => Err(format!(
                "the function {other} is not supported by the local cloud"
            )),
        }
    }

    /// The single argument of a function.
    fn only(&mut self) -> Result<Value, String> {
        let value = self.sum()?;
        self.need(')')?;
        Ok(value)
    }

    fn metrics(&mut self) -> Result<Value, String> {
        let filter = match self.peek() {
            Some(Token::Text(text)) => Some(text.clone()),
            _ => None,
        };
        self.at += usize::from(filter.is_some());
        self.need(')')?;
        let all = self.scope.metrics()?;
        let wanted = all
            .into_iter()
            .filter(|(id, _)| filter.as_ref().is_none_or(|part| id.contains(part)));
        Ok(Value::Many(wanted.map(|(_, series)| series).collect()))
    }

    fn fill(&mut self) -> Result<Value, String> {
        let value = self.sum()?;
        self.need(',')?;
        let filler = match self.peek() {
            Some(Token::Word(word)) if word == "REPEAT" || word == "LINEAR" => {
                let word = word.clone();
                self.at += 1;
                if word == "LINEAR" {
                    return Err("FILL with LINEAR is not supported by the local cloud".to_owned());
                }
                None
            }
            _ => match self.sum()? {
                Value::Scalar(number) => Some(number),
                _ => return Err("FILL takes a number or REPEAT".to_owned()),
            },
        };
        self.need(')')?;
        let range = self.scope.range();
        let series = match &value {
            Value::Series(series) => std::slice::from_ref(series),
            Value::Many(all) => all,
            Value::Scalar(_) => &[],
        };
        for series in series {
            self.scope
                .spend((range.1 - range.0) / super::stat::period_ms(series.period))?;
        }
        match value {
            Value::Series(series) => Ok(Value::Series(filled(series, filler, range))),
            Value::Many(all) => Ok(Value::Many(
                all.into_iter()
                    .map(|series| filled(series, filler, range))
                    .collect(),
            )),
            Value::Scalar(_) => Err("FILL takes a metric".to_owned()),
        }
    }
}

fn filled(mut series: Series, filler: Option<f64>, (start, end): (i64, i64)) -> Series {
    let step = super::stat::period_ms(series.period);
    let mut last = None;
    let mut at = start;
    while at < end {
        match (series.points.get(&at), filler.or(last)) {
            (Some(value), _) => last = Some(*value),
            (None, Some(value)) => {
                series.points.insert(at, value);
            }
            (None, None) => {}
        }
        at += step;
    }
    series
}

/// Combines two values with an operator. Of two series, uses only the times that both have.
fn combine(left: Value, right: Value, operate: impl Fn(f64, f64) -> f64 + Copy) -> Result<Value, String> {
    let map = |mut series: Series, operate: &dyn Fn(f64) -> f64| {
        series
            .points
            .values_mut()
            .for_each(|value| *value = operate(*value));
        // A division by zero gives no datapoint.
        series.points.retain(|_, value| value.is_finite());
        series
    };
    Ok(match (left, right) {
        (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(operate(a, b)),
        (Value::Series(a), Value::Scalar(b)) => Value::Series(map(a, &|a| operate(a, b))),
        (Value::Scalar(a), Value::Series(b)) => Value::Series(map(b, &|b| operate(a, b))),
        (Value::Series(a), Value::Series(b)) => {
            let both = a
                .points
                .iter()
                .filter_map(|(at, value)| Some((*at, operate(*value, *b.points.get(at)?))));
            Value::Series(Series {
                points: both.filter(|(_, value)| value.is_finite()).collect(),
                period: a.period.max(b.period),
            })
        }
        (Value::Many(all), Value::Scalar(b)) => Value::Many(
            all.into_iter()
                .map(|series| map(series, &|a| operate(a, b)))
                .collect(),
        ),
        (Value::Scalar(a), Value::Many(all)) => Value::Many(
            all.into_iter()
                .map(|series| map(series, &|b| operate(a, b)))
                .collect(),
        ),
        _ => {
            return Err("arithmetic between lists of metrics is not supported by the local cloud".to_owned());
        }
    })
}

/// Reduces a series to one number, or several series to one.
fn reduce(name: &str, value: Value, reduce: impl Fn(&[f64]) -> f64) -> Result<Value, String> {
    match value {
        Value::Scalar(_) => Err(format!("{name} takes metrics, not a number")),
        Value::Series(series) => {
            let all: Vec<f64> = series.points.into_values().collect();
            Ok(Value::Scalar(if all.is_empty() { 0.0 } else { reduce(&all) }))
        }
        Value::Many(all) => {
            let period = all.iter().map(|series| series.period).max().unwrap_or(60);
            let mut by_time: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
            for (at, value) in all.into_iter().flat_map(|series| series.points) {
                by_time.entry(at).or_default().push(value);
            }
            let points = by_time
                .into_iter()
                .map(|(at, values)| (at, reduce(&values)))
                .collect();
            Ok(Value::Series(Series { points, period }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;

    fn series(points: &[(i64, f64)]) -> Series {
        Series {
            points: points.iter().map(|(minute, v)| (minute * 60_000, *v)).collect(),
            period: 60,
        }
    }

    impl Scope for Two {
        fn lookup(&mut self, id: &str) -> Result<Value, String> {
            self.metrics()?
                .into_iter()
                .find(|(known, _)| known == id)
                .map(|(_, series)| Value::Series(series))
                .ok_or_else(|| format!("no {id}"))
        }

        fn metrics(&mut self) -> Result<Vec<(String, Series)>, String> {
            let a = series(&[(0, 60.0), (1, 120.0)]);
            Ok(vec![("a".into(), a), ("b".into(), series(&[(1, 4.0), (2, 0.0)]))])
        }

        fn spend(&mut self, _: i64) -> Result<(), String> {
            Ok(())
        }

        fn range(&self) -> (i64, i64) {
            (0, 3 * 60_000)
        }
    }

    fn points(text: &str) -> Vec<(i64, f64)> {
        match evaluate(text, &mut Two).unwrap() {
            Value::Series(series) => series
                .points
                .into_iter()
                .map(|(at, v)| (at / 60_000, v))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arithmetic() {
        assert_eq!(points("a / PERIOD(a)"), [(0, 1.0), (1, 2.0)]);
        assert_eq!(points("100 * (b - 1) + -a / 60"), [(1, 298.0)]);
        assert_eq!(points("a / b"), [(1, 30.0)]);
        assert_eq!(points("2 ^ 3 + 0 * a"), [(0, 8.0), (1, 8.0)]);
    }

    #[test]
    fn functions() {
        assert_eq!(points("SUM(METRICS())"), [(0, 60.0), (1, 124.0), (2, 0.0)]);
        assert_eq!(points("FILL(b, 7)"), [(0, 7.0), (1, 4.0), (2, 0.0)]);
        assert_eq!(points("FILL(a, REPEAT)"), [(0, 60.0), (1, 120.0), (2, 120.0)]);
        assert_eq!(points("a * 0 + SUM(a)"), [(0, 180.0), (1, 180.0)]);
        assert_eq!(points("MAX(METRICS(\"b\"))"), [(1, 4.0), (2, 0.0)]);
    }

    #[test]
    fn unsupported_elements_are_reported() {
        for (text, says) in [
            ("ANOMALY_DETECTION_BAND(a)", "ANOMALY_DETECTION_BAND"),
            ("a >", "'>'"),
            ("c", "no c"),
            ("(a", "`)`"),
            ("a a", "Word"),
            ("", "ends too early"),
        ] {
            let error = evaluate(text, &mut Two).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_arbitrary_text_does_not_panic(text in "[ab0-9+*/^(),. \\-SUMETRICFLPOD\"]{0,60}") {
            let _ = evaluate(&text, &mut Two);
        }

        #[test]
        fn nesting_is_limited(depth in 0usize..3000) {
            let _ = evaluate(&"(".repeat(depth), &mut Two);
        }
    }
}
