//! Operators and functions of metric math.
//!
//! Source: "Metric math syntax and functions", CloudWatch user guide. A number is S there, a series TS, several TS[].

use std::collections::BTreeMap;

use super::parse::{Expression, Function, Operator};
use super::{Scope, Series, Value};
use crate::cloudwatch::stat::period_ms;

pub(super) fn value(expression: &Expression, scope: &mut dyn Scope) -> Result<Value, String> {
    match expression {
        Expression::Number(number) => Ok(Value::Scalar(*number)),
        Expression::Id(id) => scope.lookup(id),
        Expression::Keyword(word) => Err(format!("unexpected {word} in the expression")),
        Expression::Text(text) => Err(format!("unexpected text {text:?} in the expression")),
        Expression::List(all) => list(all, scope),
        Expression::Negative(inner) => combine(Value::Scalar(0.0), value(inner, scope)?, |a, b| a - b),
        Expression::Chain(first, rest) => {
            let mut left = value(first, scope)?;
            for (operator, operand) in rest {
                left = combine(left, value(operand, scope)?, operation(*operator))?;
            }
            Ok(left)
        }
        Expression::Call(function, arguments) => call(*function, arguments, scope),
    }
}

/// A list of series.
fn list(all: &[Expression], scope: &mut dyn Scope) -> Result<Value, String> {
    let mut found = Vec::new();
    for one in all {
        match value(one, scope)? {
            Value::Series(series) => found.push(series),
            Value::Many(many) => found.extend(many),
            Value::Scalar(_) => return Err("a list takes metrics, not numbers".to_owned()),
        }
    }
    Ok(Value::Many(found))
}

/// A comparison is 1 where it holds, else 0; 0 is false, and any other number true.
fn operation(operator: Operator) -> fn(f64, f64) -> f64 {
    fn number(holds: bool) -> f64 {
        f64::from(u8::from(holds))
    }
    #[allow(clippy::float_cmp, reason = "metric math compares exactly")]
    match operator {
        Operator::Or => |a, b| number(a != 0.0 || b != 0.0),
        Operator::And => |a, b| number(a != 0.0 && b != 0.0),
        Operator::Less => |a, b| number(a < b),
        Operator::AtMost => |a, b| number(a <= b),
        Operator::Greater => |a, b| number(a > b),
        Operator::AtLeast => |a, b| number(a >= b),
        Operator::Equal => |a, b| number(a == b),
        Operator::Unequal => |a, b| number(a != b),
        Operator::Add => |a, b| a + b,
        Operator::Subtract => |a, b| a - b,
        Operator::Multiply => |a, b| a * b,
        Operator::Divide => |a, b| a / b,
        Operator::Power => f64::powf,
    }
}

fn call(function: Function, arguments: &[Expression], scope: &mut dyn Scope) -> Result<Value, String> {
    let name = function.name();
    match (function, arguments) {
        (Function::Metrics, _) => metrics(arguments, scope),
        (Function::Fill, [filled, filler]) => fill(value(filled, scope)?, filler, scope),
        (Function::If, [condition, then]) => choose(value(condition, scope)?, &value(then, scope)?, None),
        (Function::If, [condition, then, otherwise]) => {
            let (then, otherwise) = (value(then, scope)?, value(otherwise, scope)?);
            choose(value(condition, scope)?, &then, Some(&otherwise))
        }
        (Function::Fill, _) => Err("FILL takes a metric, and a number, REPEAT or LINEAR".to_owned()),
        (Function::If, _) => Err("IF takes a condition and one or two values".to_owned()),
        (_, [argument]) => one(function, value(argument, scope)?),
        _ => Err(format!("{name} takes one argument")),
    }
}

/// The functions with one argument.
#[allow(
    clippy::cast_precision_loss,
    reason = "numbers of points, and seconds of a period"
)]
fn one(function: Function, argument: Value) -> Result<Value, String> {
    let name = function.name();
    match function {
        Function::Abs => map(argument, f64::abs),
        Function::Ceil => map(argument, f64::ceil),
        Function::Floor => map(argument, f64::floor),
        Function::Diff => pairs(name, argument, |value, before, _| value - before),
        Function::Rate => pairs(name, argument, |value, before, seconds| {
            (value - before) / seconds
        }),
        Function::RunningSum => each(name, argument, |mut series| {
            let mut sum = 0.0;
            series.points.values_mut().for_each(|value| {
                sum += *value;
                *value = sum;
            });
            series
        }),
        Function::Period => match argument {
            Value::Series(series) => Ok(Value::Scalar(series.period as f64)),
            _ => Err("PERIOD takes one metric".to_owned()),
        },
        Function::MetricCount => match argument {
            Value::Many(all) => Ok(Value::Scalar(all.len() as f64)),
            _ => Err("METRIC_COUNT takes a list of metrics".to_owned()),
        },
        Function::Sum => reduce(name, argument, |all, _| all.iter().sum()),
        Function::Min => reduce(name, argument, |all, _| {
            all.iter().copied().fold(f64::INFINITY, f64::min)
        }),
        Function::Max => reduce(name, argument, |all, _| {
            all.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        }),
        // Source: AVG, "Missing values are treated as 0".
        Function::Avg => reduce(name, argument, |all, of| all.iter().sum::<f64>() / of as f64),
        Function::Fill | Function::If | Function::Metrics => Err(format!("{name} is not written like this")),
    }
}

fn metrics(arguments: &[Expression], scope: &mut dyn Scope) -> Result<Value, String> {
    let filter = match arguments {
        [] => None,
        [Expression::Text(text)] => Some(text),
        _ => return Err("METRICS takes nothing, or a part of an id in quotation marks".to_owned()),
    };
    let all = scope.metrics()?;
    let wanted = all
        .into_iter()
        .filter(|(id, _)| filter.is_none_or(|part| id.contains(part.as_str())));
    Ok(Value::Many(wanted.map(|(_, series)| series).collect()))
}

/// Applies `change` to a series, or to each of several.
fn each(name: &str, value: Value, change: impl Fn(Series) -> Series) -> Result<Value, String> {
    match value {
        Value::Series(series) => Ok(Value::Series(change(series))),
        Value::Many(all) => Ok(Value::Many(all.into_iter().map(change).collect())),
        Value::Scalar(_) => Err(format!("{name} takes metrics, not a number")),
    }
}

fn map(value: Value, change: fn(f64) -> f64) -> Result<Value, String> {
    combine(Value::Scalar(0.0), value, move |_, value| change(value))
}

/// Each value with the one before it, and the seconds between them. The first value has none before it.
fn pairs(name: &str, value: Value, change: fn(f64, f64, f64) -> f64) -> Result<Value, String> {
    each(name, value, |series| {
        let points = series.points.iter().zip(series.points.iter().skip(1));
        #[allow(clippy::cast_precision_loss, reason = "milliseconds between two points")]
        let points = points.map(|((before_at, before), (at, value))| {
            (*at, change(*value, *before, (at - before_at) as f64 / 1000.0))
        });
        Series {
            points: points.filter(|(_, value)| value.is_finite()).collect(),
            period: series.period,
        }
    })
}

/// The value at a time: a number has it at all times.
fn at(value: &Value, time: i64) -> Result<Option<f64>, String> {
    match value {
        Value::Scalar(number) => Ok(Some(*number)),
        Value::Series(series) => Ok(series.points.get(&time).copied()),
        Value::Many(_) => Err("IF takes numbers and single metrics".to_owned()),
    }
}

/// IF. Without `otherwise` there is no datapoint where the condition does not hold.
fn choose(condition: Value, then: &Value, otherwise: Option<&Value>) -> Result<Value, String> {
    match condition {
        Value::Scalar(number) if number != 0.0 => Ok(then.clone()),
        Value::Scalar(_) => match otherwise {
            Some(otherwise) => Ok(otherwise.clone()),
            None => Err("IF with a number as its condition needs a value for both cases".to_owned()),
        },
        Value::Series(mut series) => {
            let mut points = BTreeMap::new();
            for (time, holds) in &series.points {
                let chosen = if *holds != 0.0 { Some(then) } else { otherwise };
                if let Some(value) = chosen.map(|value| at(value, *time)).transpose()?.flatten() {
                    points.insert(*time, value);
                }
            }
            series.points = points;
            Ok(Value::Series(series))
        }
        Value::Many(_) => Err("IF takes numbers and single metrics".to_owned()),
    }
}

/// What FILL puts where there is no value.
#[derive(Debug, Clone, Copy)]
enum Filler {
    Number(f64),
    /// The value before.
    Repeat,
    /// On the line between the values before and after.
    Linear,
}

fn fill(filled: Value, filler: &Expression, scope: &mut dyn Scope) -> Result<Value, String> {
    let filler = match filler {
        Expression::Keyword(word) if word == "REPEAT" => Filler::Repeat,
        Expression::Keyword(word) if word == "LINEAR" => Filler::Linear,
        other => match value(other, scope)? {
            Value::Scalar(number) => Filler::Number(number),
            _ => return Err("FILL takes a number, REPEAT or LINEAR".to_owned()),
        },
    };
    let range = scope.range();
    let series = match &filled {
        Value::Series(series) => std::slice::from_ref(series),
        Value::Many(all) => all,
        Value::Scalar(_) => &[],
    };
    for series in series {
        scope.spend((range.1 - range.0) / period_ms(series.period))?;
    }
    each("FILL", filled, |series| with_gaps_filled(series, filler, range))
}

fn with_gaps_filled(mut series: Series, filler: Filler, (start, end): (i64, i64)) -> Series {
    let step = period_ms(series.period);
    let known = series.points.clone();
    let mut time = start;
    while time < end {
        if !known.contains_key(&time) {
            let before = known.range(..time).next_back();
            let after = known.range(time..).next();
            let value = match (filler, before, after) {
                (Filler::Number(number), ..) => Some(number),
                (Filler::Repeat, Some((_, before)), _) => Some(*before),
                #[allow(clippy::cast_precision_loss, reason = "milliseconds between two points")]
                (Filler::Linear, Some((from, low)), Some((to, high))) => {
                    Some(low + (high - low) * (time - from) as f64 / (to - from) as f64)
                }
                (Filler::Repeat | Filler::Linear, ..) => None,
            };
            series.points.extend(value.map(|value| (time, value)));
        }
        time += step;
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

/// Reduces a series to one number, or several series to one. `reduce` takes the values that there are, and the number
/// of values that there could be.
fn reduce(name: &str, value: Value, reduce: impl Fn(&[f64], usize) -> f64) -> Result<Value, String> {
    match value {
        Value::Scalar(_) => Err(format!("{name} takes metrics, not a number")),
        Value::Series(series) => {
            let all: Vec<f64> = series.points.into_values().collect();
            let number = if all.is_empty() {
                0.0
            } else {
                reduce(&all, all.len())
            };
            Ok(Value::Scalar(number))
        }
        Value::Many(all) => {
            let (of, period) = (all.len(), all.iter().map(|series| series.period).max());
            let mut by_time: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
            for (at, value) in all.into_iter().flat_map(|series| series.points) {
                by_time.entry(at).or_default().push(value);
            }
            let points = by_time
                .into_iter()
                .map(|(at, values)| (at, reduce(&values, of)))
                .collect();
            let period = period.unwrap_or(60);
            Ok(Value::Series(Series { points, period }))
        }
    }
}
