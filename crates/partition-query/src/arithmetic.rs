//! Operators on two values. Source: "Builtin operators and functions", jq 1.6 Manual.

use std::rc::Rc;

use crate::eval::{Machine, Stop, error};
use crate::term::Operator;
use crate::value::{Num, Val};

impl Machine {
    pub fn operate(&self, operator: Operator, left: &Val, right: &Val) -> Result<Val, Stop> {
        match operator {
            Operator::Add => self.add(left, right),
            Operator::Subtract => self.subtract(left, right),
            Operator::Multiply => self.multiply(left, right),
            Operator::Divide => self.divide(left, right),
            Operator::Remainder => remainder(left, right),
            _ => {
                self.work(left.size().min(right.size()))?;
                let order = left.order(right);
                Ok(Val::Bool(match operator {
                    Operator::Equal => order.is_eq(),
                    Operator::NotEqual => order.is_ne(),
                    Operator::Less => order.is_lt(),
                    Operator::LessOrEqual => order.is_le(),
                    Operator::Greater => order.is_gt(),
                    _ => order.is_ge(),
                }))
            }
        }
    }

    pub fn add(&self, left: &Val, right: &Val) -> Result<Val, Stop> {
        self.reserve(left.size().saturating_add(right.size()))?;
        Ok(match (left, right) {
            (Val::Null, other) | (other, Val::Null) => other.clone(),
            (Val::Num(Num::Int(a)), Val::Num(Num::Int(b))) if a.checked_add(*b).is_some() => {
                Val::Num(Num::Int(a.saturating_add(*b)))
            }
            (Val::Num(a), Val::Num(b)) => Val::number(a.float() + b.float()),
            (Val::Str(a), Val::Str(b)) => Val::text(format!("{a}{b}")),
            (Val::Arr(a), Val::Arr(b)) => Val::array(a.items.iter().chain(&b.items).cloned().collect()),
            (Val::Obj(a), Val::Obj(b)) => Val::object(a.entries.iter().chain(&b.entries).cloned().collect()),
            _ => return two(left, right, "added"),
        })
    }

    fn subtract(&self, left: &Val, right: &Val) -> Result<Val, Stop> {
        Ok(match (left, right) {
            (Val::Num(Num::Int(a)), Val::Num(Num::Int(b))) if a.checked_sub(*b).is_some() => {
                Val::Num(Num::Int(a.saturating_sub(*b)))
            }
            (Val::Num(a), Val::Num(b)) => Val::number(a.float() - b.float()),
            (Val::Arr(a), Val::Arr(b)) => {
                self.charge(a.items.len().saturating_mul(b.items.len().max(1)))?;
                self.reserve(left.size())?;
                let is_in = |item: &&Val| b.items.iter().any(|other| item.order(other).is_eq());
                Val::array(a.items.iter().filter(|item| !is_in(item)).cloned().collect())
            }
            _ => return two(left, right, "subtracted"),
        })
    }

    fn multiply(&self, left: &Val, right: &Val) -> Result<Val, Stop> {
        Ok(match (left, right) {
            (Val::Num(a), Val::Num(b)) => Val::number(a.float() * b.float()),
            (Val::Str(text), Val::Num(count)) | (Val::Num(count), Val::Str(text)) => {
                let count = count.float();
                if count <= 0.0 {
                    return Ok(Val::Null);
                }
                let count = count.max(1.0) as usize;
                self.reserve(text.len().saturating_mul(count))?;
                Val::text(text.repeat(count))
            }
            (Val::Obj(_), Val::Obj(_)) => {
                self.reserve(left.size().saturating_add(right.size()))?;
                merged(left, right)
            }
            _ => return two(left, right, "multiplied"),
        })
    }

    fn divide(&self, left: &Val, right: &Val) -> Result<Val, Stop> {
        match (left, right) {
            (Val::Num(_), Val::Num(b)) if b.float() == 0.0 => {
                two(left, right, "divided because the divisor is zero")
            }
            (Val::Num(a), Val::Num(b)) => Ok(Val::number(a.float() / b.float())),
            (Val::Str(text), Val::Str(separator)) => self.split(text, separator),
            _ => two(left, right, "divided"),
        }
    }

    pub fn split(&self, text: &str, separator: &str) -> Result<Val, Stop> {
        self.reserve(text.len().saturating_mul(2))?;
        let items: Vec<Val> = match (text, separator) {
            ("", _) => Vec::new(),
            (_, "") => text.chars().map(|c| Val::text(c.to_string())).collect(),
            _ => text.split(separator).map(Val::text).collect(),
        };
        self.made(Val::array(items))
    }
}

/// Merges objects, and the objects in them.
fn merged(left: &Val, right: &Val) -> Val {
    match (left, right) {
        (Val::Obj(a), Val::Obj(b)) => {
            let mut entries = a.entries.clone();
            for (key, value) in &b.entries {
                let value = a
                    .get(key)
                    .map_or_else(|| value.clone(), |there| merged(there, value));
                entries.push((Rc::clone(key), value));
            }
            Val::object(entries)
        }
        _ => right.clone(),
    }
}

fn remainder(left: &Val, right: &Val) -> Result<Val, Stop> {
    match (left, right) {
        (Val::Num(a), Val::Num(b)) => {
            let (a, b) = (a.float() as i64, b.float() as i64);
            match b.unsigned_abs() {
                0 => two(left, right, "divided because the divisor is zero"),
                b => {
                    let rest = i64::try_from(a.unsigned_abs() % b).unwrap_or_default();
                    Ok(Val::Num(Num::Int(if a < 0 { -rest } else { rest })))
                }
            }
        }
        _ => two(left, right, "divided"),
    }
}

/// Source of the words: jq 1.6.
fn two<T>(left: &Val, right: &Val, what: &str) -> Result<T, Stop> {
    error(format!("{} and {} cannot be {what}", left.kind(), right.kind()))
}
