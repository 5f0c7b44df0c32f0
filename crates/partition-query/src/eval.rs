//! Runs a query. Each value goes on to a callback, so that one value after another is made, and none is kept.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::regex::Compiled;
use crate::term::{Format, Operator, Piece, Term};
use crate::value::Val;

/// Steps beside those for the size of the record.
const STEPS: u64 = 200_000;
/// Bytes of all values that a run makes, beside those for the size of the record.
const MEMORY: usize = 16 << 20;
/// Calls in one another.
const DEPTH: usize = 150;
/// Bytes of text that are one step.
const BYTES_A_STEP: usize = 16;

/// Why a run ends.
#[derive(Debug, Clone)]
pub(crate) enum Stop {
    /// The caller has what it needs.
    Done,
    /// The function with this number has what it needs.
    Break(u64),
    /// An error of the query, which `try` catches.
    Error(Val),
    /// A bound is reached. Nothing catches it.
    Limit(&'static str),
}

impl Stop {
    pub fn message(&self) -> String {
        match self {
            Self::Done | Self::Break(_) => String::new(),
            Self::Error(value) => value.shown(),
            Self::Limit(what) => format!("the query needs too {what}"),
        }
    }
}

pub(crate) type Flow = Result<(), Stop>;

/// Where the values of a term go.
pub(crate) type Out<'a> = &'a mut dyn FnMut(Val) -> Flow;

pub(crate) fn error<T>(message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Error(Val::text(message.into())))
}

/// A variable, and those before it.
pub(crate) struct Scope<'a> {
    name: &'a str,
    value: &'a Val,
    outer: Option<&'a Self>,
}

/// One run.
pub(crate) struct Machine {
    steps: Cell<u64>,
    most_steps: u64,
    memory: Cell<usize>,
    most_memory: usize,
    depth: Cell<usize>,
    breaks: Cell<u64>,
    pub now_ms: i64,
    pub expressions: RefCell<HashMap<String, Rc<Compiled>>>,
}

impl Machine {
    pub fn new(record_bytes: usize, now_ms: i64) -> Self {
        Self {
            steps: Cell::new(0),
            most_steps: STEPS + 2 * record_bytes as u64,
            memory: Cell::new(0),
            most_memory: MEMORY.saturating_add(record_bytes.saturating_mul(4)),
            depth: Cell::new(0),
            breaks: Cell::new(0),
            now_ms,
            expressions: RefCell::default(),
        }
    }

    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    pub fn charge(&self, steps: usize) -> Flow {
        let all = self.steps.get().saturating_add(steps as u64);
        self.steps.set(all);
        match all > self.most_steps {
            true => Err(Stop::Limit("many steps")),
            false => Ok(()),
        }
    }

    /// Charges for work on this many bytes.
    pub fn work(&self, bytes: usize) -> Flow {
        self.charge(bytes / BYTES_A_STEP + 1)
    }

    /// Charges for memory before it is used.
    pub fn reserve(&self, bytes: usize) -> Flow {
        let all = self.memory.get().saturating_add(bytes);
        if all > self.most_memory {
            return Err(Stop::Limit("much memory"));
        }
        self.memory.set(all);
        self.work(bytes)
    }

    /// Charges for a value that was made.
    pub fn made(&self, value: Val) -> Result<Val, Stop> {
        self.reserve(value.size())?;
        Ok(value)
    }

    /// Runs a term. Each value goes to `out`.
    pub fn run(&self, term: &Term, scope: Option<&Scope<'_>>, input: &Val, out: Out<'_>) -> Flow {
        self.charge(1)?;
        let depth = self.depth.get();
        if depth >= DEPTH {
            return Err(Stop::Limit("much depth"));
        }
        self.depth.set(depth + 1);
        let flow = self.term(term, scope, input, out);
        self.depth.set(depth);
        flow
    }

    fn term(&self, term: &Term, scope: Option<&Scope<'_>>, input: &Val, out: Out<'_>) -> Flow {
        match term {
            Term::Input => out(input.clone()),
            Term::Recurse => self.recurse(input, out),
            Term::Null => out(Val::Null),
            Term::Bool(value) => out(Val::Bool(*value)),
            Term::Number(value) => out(Val::number(*value)),
            Term::Text(format, pieces) => self.text(*format, pieces, scope, input, String::new(), out),
            Term::Format(format) => out(self.format(*format, input)?),
            Term::Array(None) => out(Val::array(Vec::new())),
            Term::Array(Some(items)) => {
                let items = self.collect(items, scope, input)?;
                out(self.made(Val::array(items))?)
            }
            Term::Object(entries) => self.object(entries, scope, input, &mut Vec::new(), out),
            Term::Negative(inner) => self.run(inner, scope, input, &mut |value| match value {
                Val::Num(number) => out(Val::number(-number.float())),
                other => error(format!("{} cannot be negated", other.kind())),
            }),
            Term::Pipe(first, rest) => self.run(first, scope, input, &mut |value| {
                self.run(rest, scope, &value, out)
            }),
            Term::Binary(operator, left, right) => self.binary(*operator, (left, right), scope, input, out),
            Term::Bind(source, name, body) => self.run(source, scope, input, &mut |value| {
                let inner = Scope {
                    name,
                    value: &value,
                    outer: scope,
                };
                self.run(body, Some(&inner), input, out)
            }),
            Term::Reduce {
                source,
                name,
                start,
                update,
            } => self.reduce((source, name, start, update), scope, input, out),
            Term::If(condition, then, other) => self.run(condition, scope, input, &mut |value| {
                let branch = if value.is_true() { then } else { other };
                self.run(branch, scope, input, out)
            }),
            Term::Try(body, handler) => self.attempt(body, handler.as_deref(), scope, input, out),
            Term::Variable(name) => {
                let mut at = scope;
                while let Some(found) = at {
                    if found.name == name {
                        return out(found.value.clone());
                    }
                    at = found.outer;
                }
                error(format!("there is no variable ${name}"))
            }
            Term::Call(name, arguments) => self.call(name, arguments, scope, input, out),
            Term::Index(target, key) => self.run(target, scope, input, &mut |target| {
                self.run(key, scope, input, &mut |key| out(self.index(&target, &key)?))
            }),
            Term::Slice(target, from, to) => self.run(target, scope, input, &mut |target| {
                self.optional(from.as_deref(), scope, input, &mut |from| {
                    self.optional(to.as_deref(), scope, input, &mut |to| {
                        out(self.slice(&target, &from, &to)?)
                    })
                })
            }),
            Term::Each(target) => self.run(target, scope, input, &mut |target| self.each(&target, out)),
        }
    }

    fn optional(&self, term: Option<&Term>, scope: Option<&Scope<'_>>, input: &Val, out: Out<'_>) -> Flow {
        match term {
            Some(term) => self.run(term, scope, input, out),
            None => out(Val::Null),
        }
    }

    /// All values of a term.
    pub fn collect(&self, term: &Term, scope: Option<&Scope<'_>>, input: &Val) -> Result<Vec<Val>, Stop> {
        let mut values = Vec::new();
        self.run(term, scope, input, &mut |value| {
            self.reserve(size_of::<Val>())?;
            values.push(value);
            Ok(())
        })?;
        Ok(values)
    }

    /// The first value of a term.
    pub fn first(&self, term: &Term, scope: Option<&Scope<'_>>, input: &Val) -> Result<Option<Val>, Stop> {
        let mut first = None;
        self.until(|stop| {
            self.run(term, scope, input, &mut |value| {
                first = Some(value);
                Err(stop.clone())
            })
        })?;
        Ok(first)
    }

    /// Runs what may end itself with the `Stop` that it is given.
    pub fn until(&self, run: impl FnOnce(Stop) -> Flow) -> Flow {
        let number = self.breaks.get();
        self.breaks.set(number + 1);
        match run(Stop::Break(number)) {
            Err(Stop::Break(found)) if found == number => Ok(()),
            other => other,
        }
    }

    fn attempt(
        &self,
        body: &Term,
        handler: Option<&Term>,
        scope: Option<&Scope<'_>>,
        input: &Val,
        out: Out<'_>,
    ) -> Flow {
        // An error of what follows is not an error of the body.
        let mut after = None;
        let flow = self.run(body, scope, input, &mut |value| {
            out(value).map_err(|stop| {
                after = Some(stop);
                Stop::Done
            })
        });
        match (flow, after) {
            (_, Some(stop)) => Err(stop),
            (Err(Stop::Error(value)), None) => match handler {
                Some(handler) => self.run(handler, scope, &value, out),
                None => Ok(()),
            },
            (flow, None) => flow,
        }
    }

    fn reduce(
        &self,
        (source, name, start, update): (&Term, &str, &Term, &Term),
        scope: Option<&Scope<'_>>,
        input: &Val,
        out: Out<'_>,
    ) -> Flow {
        self.run(start, scope, input, &mut |state| {
            let mut state = state;
            self.run(source, scope, input, &mut |value| {
                let inner = Scope {
                    name,
                    value: &value,
                    outer: scope,
                };
                // The last value counts; without one, the state is null.
                let mut last = Val::Null;
                self.run(update, Some(&inner), &state, &mut |value| {
                    last = value;
                    Ok(())
                })?;
                state = last;
                Ok(())
            })?;
            out(state)
        })
    }

    fn text(
        &self,
        format: Option<Format>,
        pieces: &[Piece],
        scope: Option<&Scope<'_>>,
        input: &Val,
        before: String,
        out: Out<'_>,
    ) -> Flow {
        let mut text = before;
        for (at, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Value(term) => {
                    return self.run(term, scope, input, &mut |value| {
                        let shown = self.format(format.unwrap_or(Format::Text), &value)?.shown();
                        self.reserve(text.len() + shown.len())?;
                        self.text(
                            format,
                            &pieces[at + 1..],
                            scope,
                            input,
                            format!("{text}{shown}"),
                            out,
                        )
                    });
                }
            }
        }
        out(self.made(Val::text(text))?)
    }

    fn object(
        &self,
        entries: &[(Term, Term)],
        scope: Option<&Scope<'_>>,
        input: &Val,
        made: &mut Vec<(Rc<str>, Val)>,
        out: Out<'_>,
    ) -> Flow {
        let Some(((key, value), rest)) = entries.split_first() else {
            return out(self.made(Val::object(made.clone()))?);
        };
        self.run(key, scope, input, &mut |key| {
            let Val::Str(key) = key else {
                return error(format!("Object keys must be strings, not {}", key.kind()));
            };
            self.run(value, scope, input, &mut |value| {
                made.push((Rc::clone(&key), value));
                let flow = self.object(rest, scope, input, made, out);
                made.pop();
                flow
            })
        })
    }

    fn binary(
        &self,
        operator: Operator,
        (left, right): (&Term, &Term),
        scope: Option<&Scope<'_>>,
        input: &Val,
        out: Out<'_>,
    ) -> Flow {
        match operator {
            Operator::Comma => {
                self.run(left, scope, input, out)?;
                self.run(right, scope, input, out)
            }
            Operator::Or2 => self.alternative(left, right, scope, input, out),
            Operator::And | Operator::Or => self.run(left, scope, input, &mut |left| {
                let decides = left.is_true() == (operator == Operator::Or);
                if decides {
                    return out(Val::Bool(left.is_true()));
                }
                self.run(right, scope, input, &mut |right| out(Val::Bool(right.is_true())))
            }),
            // jq evaluates the right side first.
            _ => self.run(right, scope, input, &mut |right| {
                self.run(left, scope, input, &mut |left| {
                    out(self.operate(operator, &left, &right)?)
                })
            }),
        }
    }

    /// The values of `left` that are neither false nor null, or else those of `right`. Errors of `left` end its values.
    fn alternative(
        &self,
        left: &Term,
        right: &Term,
        scope: Option<&Scope<'_>>,
        input: &Val,
        out: Out<'_>,
    ) -> Flow {
        let (mut found, mut after) = (false, None);
        let flow = self.run(left, scope, input, &mut |value| {
            if !value.is_true() {
                return Ok(());
            }
            found = true;
            out(value).map_err(|stop| {
                after = Some(stop);
                Stop::Done
            })
        });
        match (flow, after) {
            (_, Some(stop)) => Err(stop),
            (Ok(()) | Err(Stop::Error(_)), None) if !found => self.run(right, scope, input, out),
            (Err(Stop::Error(_)), None) => Ok(()),
            (flow, None) => flow,
        }
    }

    fn index(&self, target: &Val, key: &Val) -> Result<Val, Stop> {
        self.charge(1)?;
        match (target, key) {
            (Val::Null, Val::Str(_) | Val::Num(_) | Val::Null) => Ok(Val::Null),
            (Val::Obj(object), Val::Str(key)) => Ok(object.get(key).cloned().unwrap_or(Val::Null)),
            (Val::Arr(array), Val::Num(number)) => {
                let at = position(number.float().floor(), array.items.len());
                Ok(at
                    .and_then(|at| array.items.get(at))
                    .cloned()
                    .unwrap_or(Val::Null))
            }
            (_, Val::Str(key)) => error(format!("Cannot index {} with {:?}", target.kind(), &**key)),
            _ => error(format!("Cannot index {} with {}", target.kind(), key.kind())),
        }
    }

    fn slice(&self, target: &Val, from: &Val, to: &Val) -> Result<Val, Stop> {
        let bound = |value: &Val, length: usize, default: usize| match value {
            Val::Null => Ok(default),
            Val::Num(number) => {
                let at = number.float();
                let at = if at < 0.0 { at + length as f64 } else { at };
                Ok(at.clamp(0.0, length as f64) as usize)
            }
            _ => error("Start and end indices of an array slice must be numbers"),
        };
        match target {
            Val::Null => Ok(Val::Null),
            Val::Str(text) => {
                self.work(text.len())?;
                let length = text.chars().count();
                let (from, to) = (bound(from, length, 0)?, bound(to, length, length)?);
                let part: String = text.chars().skip(from).take(to.saturating_sub(from)).collect();
                self.made(Val::text(part))
            }
            Val::Arr(array) => {
                let length = array.items.len();
                let (from, to) = (bound(from, length, 0)?, bound(to, length, length)?);
                let part = array.items.get(from..to.max(from)).unwrap_or_default();
                self.made(Val::array(part.to_vec()))
            }
            other => error(format!("Cannot index {} with object", other.kind())),
        }
    }

    pub fn each(&self, target: &Val, out: Out<'_>) -> Flow {
        let each = |value: &Val, out: Out<'_>| {
            self.charge(1)?;
            out(value.clone())
        };
        match target {
            Val::Arr(array) => array.items.iter().try_for_each(|item| each(item, out)),
            Val::Obj(object) => object.entries.iter().try_for_each(|(_, item)| each(item, out)),
            other => error(format!("Cannot iterate over {}", other.kind())),
        }
    }

    /// The value and all values in it.
    pub fn recurse(&self, input: &Val, out: Out<'_>) -> Flow {
        let mut waiting = vec![input.clone()];
        while let Some(value) = waiting.pop() {
            self.charge(1)?;
            match &value {
                Val::Arr(array) => waiting.extend(array.items.iter().rev().cloned()),
                Val::Obj(object) => waiting.extend(object.entries.iter().rev().map(|(_, item)| item.clone())),
                _ => {}
            }
            self.reserve(waiting.len() * size_of::<Val>() / 8)?;
            out(value)?;
        }
        Ok(())
    }
}

/// An index from the start, or from the end if it is negative.
fn position(at: f64, length: usize) -> Option<usize> {
    let at = if at < 0.0 { at + length as f64 } else { at };
    (at >= 0.0 && at < length as f64).then_some(at as usize)
}
