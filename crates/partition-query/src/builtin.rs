//! The functions of jq that are offered. Source: "Builtin operators and functions", jq 1.6 Manual.

use std::rc::Rc;

use crate::eval::{Flow, Machine, Out, Scope, Stop, error};
use crate::items::has;
use crate::term::Term;
use crate::time;
use crate::value::{Num, Val};

impl Machine {
    pub fn call(
        &self,
        name: &str,
        arguments: &[Term],
        scope: Option<&Scope<'_>>,
        input: &Val,
        out: Out<'_>,
    ) -> Flow {
        match arguments {
            [] => self.plain(name, input, out),
            [inner] if is_of_term(name) => self.of_term(name, inner, scope, input, out),
            [generator, inner] if ["any", "all"].contains(&name) => {
                self.quantified(name == "any", generator, Some(inner), scope, input, out)
            }
            [count, inner] if name == "limit" => self.run(count, scope, input, &mut |count| {
                self.limited(&count, inner, scope, input, out)
            }),
            [expression, by, rest @ ..] if ["sub", "gsub"].contains(&name) => {
                let none = Term::Null;
                let flags = rest.first().unwrap_or(&none);
                self.run(expression, scope, input, &mut |expression| {
                    self.run(flags, scope, input, &mut |flags| {
                        out(self.substitute(name == "gsub", (&expression, by, &flags), scope, input)?)
                    })
                })
            }
            [first] => self.run(first, scope, input, &mut |first| {
                self.of_values(name, &[first], input, out)
            }),
            [first, second, ..] => self.run(second, scope, input, &mut |second| {
                self.run(first, scope, input, &mut |first| {
                    self.of_values(name, &[first, second.clone()], input, out)
                })
            }),
        }
    }

    /// Functions without arguments.
    fn plain(&self, name: &str, input: &Val, out: Out<'_>) -> Flow {
        let is = |kinds: &[&str]| kinds.contains(&input.kind());
        let chosen = match name {
            "arrays" => Some(is(&["array"])),
            "booleans" => Some(is(&["boolean"])),
            "iterables" => Some(is(&["array", "object"])),
            "nulls" => Some(is(&["null"])),
            "numbers" => Some(is(&["number"])),
            "objects" => Some(is(&["object"])),
            "scalars" => Some(!is(&["array", "object"])),
            "strings" => Some(is(&["string"])),
            "values" => Some(!is(&["null"])),
            "empty" => Some(false),
            _ => None,
        };
        match (chosen, name) {
            (Some(true), _) => out(input.clone()),
            (Some(false), _) => Ok(()),
            (None, "recurse") => self.recurse(input, out),
            (None, _) => out(self.value(name, input)?),
        }
    }

    fn value(&self, name: &str, input: &Val) -> Result<Val, Stop> {
        self.work(input.size())?;
        Ok(match (name, input) {
            ("not", _) => Val::Bool(!input.is_true()),
            ("type", _) => Val::text(input.kind()),
            ("tostring", Val::Str(_)) => input.clone(),
            ("tostring" | "tojson", _) => self.written(input)?,
            ("now", _) => Val::number(self.now_ms as f64 / 1000.0),
            ("error", _) => return Err(Stop::Error(input.clone())),
            ("length", _) => return length(input),
            ("utf8bytelength", Val::Str(text)) => Val::count(text.len()),
            ("tonumber", Val::Num(_)) => input.clone(),
            ("tonumber", Val::Str(text)) => match text.trim().parse::<i64>() {
                Ok(value) => Val::Num(Num::Int(value)),
                Err(_) => match text.trim().parse::<f64>() {
                    Ok(value) if !value.is_nan() => Val::number(value),
                    _ => return error("Invalid numeric literal"),
                },
            },
            ("fromjson", Val::Str(text)) => {
                self.reserve(text.len().saturating_mul(16))?;
                match serde_json::from_str(text) {
                    Ok(value) => value,
                    Err(_) => return error(format!("{text} (while parsing JSON)")),
                }
            }
            ("ascii_downcase", Val::Str(text)) => self.made(Val::text(text.to_ascii_lowercase()))?,
            ("ascii_upcase", Val::Str(text)) => self.made(Val::text(text.to_ascii_uppercase()))?,
            ("explode", Val::Str(text)) => {
                self.reserve(text.len().saturating_mul(40))?;
                Val::array(text.chars().map(|c| Val::number(u32::from(c).into())).collect())
            }
            ("floor" | "ceil" | "round" | "sqrt" | "fabs" | "isnan", Val::Num(number)) => {
                rounded(name, *number)
            }
            ("gmtime", Val::Num(number)) => time::gmtime(number.float())?,
            ("mktime", _) => time::mktime(input)?,
            ("todate" | "todateiso8601" | "date", _) => time::strftime(input, &Val::text(time::ISO_8601))?,
            ("fromdate" | "fromdateiso8601", _) => {
                time::mktime(&time::strptime(input, &Val::text(time::ISO_8601))?)?
            }
            (_, Val::Obj(_) | Val::Arr(_) | Val::Null) => return self.of_items(name, input),
            _ => return not_for(name, input),
        })
    }

    /// Functions whose argument is evaluated anew for each value.
    fn of_term(
        &self,
        name: &str,
        inner: &Term,
        scope: Option<&Scope<'_>>,
        input: &Val,
        out: Out<'_>,
    ) -> Flow {
        match name {
            "select" => self.run(inner, scope, input, &mut |value| match value.is_true() {
                true => out(input.clone()),
                false => Ok(()),
            }),
            "first" => match self.first(inner, scope, input)? {
                Some(value) => out(value),
                None => Ok(()),
            },
            "last" => {
                let mut last = None;
                self.run(inner, scope, input, &mut |value| {
                    last = Some(value);
                    Ok(())
                })?;
                last.map_or(Ok(()), out)
            }
            "map" => {
                let mut items = Vec::new();
                self.each(input, &mut |item| {
                    items.extend(self.collect(inner, scope, &item)?);
                    Ok(())
                })?;
                out(self.made(Val::array(items))?)
            }
            "map_values" => out(self.map_values(inner, scope, input)?),
            "with_entries" => {
                let entries = self.value("to_entries", input)?;
                let mut items = Vec::new();
                self.each(&entries, &mut |item| {
                    items.extend(self.collect(inner, scope, &item)?);
                    Ok(())
                })?;
                let made = self.made(Val::array(items))?;
                out(self.value("from_entries", &made)?)
            }
            "sort_by" => {
                let mut items = Vec::new();
                self.each(input, &mut |item| {
                    let key = self.made(Val::array(self.collect(inner, scope, &item)?))?;
                    self.work(key.size().saturating_mul(16))?;
                    items.push((key, item));
                    Ok(())
                })?;
                items.sort_by(|(a, _), (b, _)| a.order(b));
                out(self.made(Val::array(items.into_iter().map(|(_, item)| item).collect()))?)
            }
            "any" | "all" => {
                let each = Term::Each(Box::new(Term::Input));
                self.quantified(name == "any", &each, Some(inner), scope, input, out)
            }
            _ => not_for(name, input),
        }
    }

    fn map_values(&self, inner: &Term, scope: Option<&Scope<'_>>, input: &Val) -> Result<Val, Stop> {
        let first = |item: &Val| self.first(inner, scope, item);
        let made = match input {
            Val::Arr(array) => {
                let items: Result<Vec<_>, Stop> = array
                    .items
                    .iter()
                    .filter_map(|item| first(item).transpose())
                    .collect();
                Val::array(items?)
            }
            Val::Obj(object) => {
                let entries = object.entries.iter().filter_map(|(key, item)| {
                    let value = first(item).transpose()?;
                    Some(value.map(|value| (Rc::clone(key), value)))
                });
                Val::object(entries.collect::<Result<Vec<_>, Stop>>()?)
            }
            other => return error(format!("Cannot iterate over {}", other.kind())),
        };
        self.made(made)
    }

    fn quantified(
        &self,
        is_any: bool,
        generator: &Term,
        condition: Option<&Term>,
        scope: Option<&Scope<'_>>,
        input: &Val,
        out: Out<'_>,
    ) -> Flow {
        let mut result = !is_any;
        self.until(|stop| {
            self.run(generator, scope, input, &mut |item| {
                let condition = condition.unwrap_or(&Term::Input);
                self.run(condition, scope, &item, &mut |value| {
                    if value.is_true() == is_any {
                        result = is_any;
                        return Err(stop.clone());
                    }
                    Ok(())
                })
            })
        })?;
        out(Val::Bool(result))
    }

    fn limited(
        &self,
        count: &Val,
        inner: &Term,
        scope: Option<&Scope<'_>>,
        input: &Val,
        out: Out<'_>,
    ) -> Flow {
        let Val::Num(count) = count else {
            return error("limit needs a number");
        };
        let mut left = count.float();
        if left <= 0.0 {
            return Ok(());
        }
        self.until(|stop| {
            self.run(inner, scope, input, &mut |value| {
                left -= 1.0;
                out(value)?;
                match left > 0.0 {
                    true => Ok(()),
                    false => Err(stop.clone()),
                }
            })
        })
    }

    /// Functions of values.
    fn of_values(&self, name: &str, arguments: &[Val], input: &Val, out: Out<'_>) -> Flow {
        let first = arguments.first().unwrap_or(&Val::Null);
        let second = arguments.get(1).unwrap_or(&Val::Null);
        self.work(input.size().saturating_add(first.size()))?;
        match (name, input) {
            ("range", _) => {
                let (from, to) = match arguments {
                    [to] => (&Val::Num(Num::Int(0)), to),
                    _ => (first, second),
                };
                let (Val::Num(from), Val::Num(to)) = (from, to) else {
                    return error("Range bounds must be numeric");
                };
                let mut at = from.float();
                while at < to.float() {
                    self.charge(1)?;
                    out(Val::number(at))?;
                    at += 1.0;
                }
                Ok(())
            }
            ("scan", Val::Str(text)) => {
                for found in self.matches(text, first, second, true)? {
                    let groups = found
                        .groups
                        .iter()
                        .map(|(_, text)| text.as_deref().map_or(Val::Null, Val::text));
                    out(match found.groups.is_empty() {
                        true => Val::text(found.text.as_str()),
                        false => Val::array(groups.collect()),
                    })?;
                }
                Ok(())
            }
            ("capture", Val::Str(text)) => {
                let found = self.matches(text, first, second, false)?;
                found.iter().try_for_each(|found| out(found.object()))
            }
            ("splits", Val::Str(text)) => {
                let parts = self.split_by(text, first, second)?;
                parts.into_iter().try_for_each(out)
            }
            _ => out(self.of_value(name, (first, second), arguments.len(), input)?),
        }
    }

    fn of_value(
        &self,
        name: &str,
        (first, second): (&Val, &Val),
        count: usize,
        input: &Val,
    ) -> Result<Val, Stop> {
        Ok(match (name, input, first) {
            ("error", ..) => return Err(Stop::Error(first.clone())),
            ("has", ..) => has(input, first)?,
            ("in", ..) => has(first, input)?,
            ("contains", ..) => Val::Bool(self.contains(input, first)?),
            ("inside", ..) => Val::Bool(self.contains(first, input)?),
            ("startswith", Val::Str(text), Val::Str(part)) => Val::Bool(text.starts_with(&**part)),
            ("endswith", Val::Str(text), Val::Str(part)) => Val::Bool(text.ends_with(&**part)),
            ("ltrimstr", Val::Str(text), Val::Str(part)) => text
                .strip_prefix(&**part)
                .map_or_else(|| input.clone(), Val::text),
            ("rtrimstr", Val::Str(text), Val::Str(part)) => text
                .strip_suffix(&**part)
                .map_or_else(|| input.clone(), Val::text),
            ("ltrimstr" | "rtrimstr", ..) => input.clone(),
            ("split", Val::Str(text), Val::Str(separator)) if count == 1 => self.split(text, separator)?,
            ("split", Val::Str(text), _) => Val::array(self.split_by(text, first, second)?),
            ("test", Val::Str(text), _) => Val::Bool(!self.matches(text, first, second, false)?.is_empty()),
            ("join", Val::Arr(array), Val::Str(separator)) => self.joined(&array.items, separator)?,
            ("index" | "rindex", Val::Str(text), Val::Str(part)) => {
                self.work(text.len().saturating_mul(part.len().max(1)))?;
                let at = match name {
                    _ if part.is_empty() => None,
                    "index" => text.find(&**part),
                    _ => text.rfind(&**part),
                };
                at.map_or(Val::Null, Val::count)
            }
            ("index" | "rindex", Val::Null, _) => Val::Null,
            ("flatten", Val::Arr(_), Val::Num(depth)) if depth.float() >= 0.0 => {
                self.flat(input, depth.float())?
            }
            ("nth", Val::Arr(array), Val::Num(Num::Int(at))) if *at >= 0 => {
                let at = usize::try_from(*at).ok();
                at.and_then(|at| array.items.get(at))
                    .cloned()
                    .unwrap_or(Val::Null)
            }
            ("strftime", ..) => time::strftime(input, first)?,
            ("strptime", ..) => time::strptime(input, first)?,
            _ => return not_for(name, input),
        })
    }

    fn joined(&self, items: &[Val], separator: &str) -> Result<Val, Stop> {
        let mut text = String::new();
        for (at, item) in items.iter().enumerate() {
            let shown = match item {
                Val::Null => String::new(),
                Val::Str(_) | Val::Num(_) | Val::Bool(_) => item.shown(),
                other => return error(format!("string and {} cannot be added", other.kind())),
            };
            self.reserve(shown.len() + separator.len())?;
            text.push_str(if at > 0 { separator } else { "" });
            text.push_str(&shown);
        }
        self.made(Val::text(text))
    }

    /// The texts between the matches.
    fn split_by(&self, text: &str, expression: &Val, flags: &Val) -> Result<Vec<Val>, Stop> {
        let (mut parts, mut at) = (Vec::new(), 0);
        for found in self.matches(text, expression, flags, true)? {
            parts.push(Val::text(text.get(at..found.start).unwrap_or_default()));
            at = found.end;
        }
        parts.push(Val::text(text.get(at..).unwrap_or_default()));
        self.reserve(text.len())?;
        Ok(parts)
    }

    fn substitute(
        &self,
        is_global: bool,
        (expression, by, flags): (&Val, &Term, &Val),
        scope: Option<&Scope<'_>>,
        input: &Val,
    ) -> Result<Val, Stop> {
        let Val::Str(text) = input else {
            return error(format!(
                "{} cannot be matched, as it is not a string",
                input.kind()
            ));
        };
        let (mut made, mut at) = (String::new(), 0);
        for found in self.matches(text, expression, flags, is_global)? {
            let value = self.first(by, scope, &found.object())?.unwrap_or(Val::Null);
            let Val::Str(value) = value else {
                return error(format!("string and {} cannot be added", value.kind()));
            };
            self.reserve(value.len())?;
            made.push_str(text.get(at..found.start).unwrap_or_default());
            made.push_str(&value);
            at = found.end;
        }
        made.push_str(text.get(at..).unwrap_or_default());
        self.made(Val::text(made))
    }

    fn written(&self, value: &Val) -> Result<Val, Stop> {
        self.reserve(value.size())?;
        Ok(Val::text(value.to_string()))
    }
}

/// Whether the argument of a function is evaluated anew for each value.
fn is_of_term(name: &str) -> bool {
    [
        "select",
        "first",
        "last",
        "map",
        "map_values",
        "with_entries",
        "sort_by",
        "any",
        "all",
    ]
    .contains(&name)
}

pub(crate) fn not_for<T>(name: &str, input: &Val) -> Result<T, Stop> {
    error(format!("{name} is not defined for {}", input.kind()))
}

fn rounded(name: &str, number: Num) -> Val {
    let value = number.float();
    match (name, number) {
        ("isnan", _) => Val::Bool(value.is_nan()),
        ("sqrt", _) => Val::number(value.sqrt()),
        ("fabs", _) => Val::number(value.abs()),
        (_, Num::Int(_)) => Val::Num(number),
        ("floor", _) => Val::number(value.floor()),
        ("ceil", _) => Val::number(value.ceil()),
        _ => Val::number(value.round()),
    }
}

fn length(input: &Val) -> Result<Val, Stop> {
    Ok(match input {
        Val::Null => Val::Num(Num::Int(0)),
        Val::Bool(_) => return error("boolean has no length"),
        Val::Num(number) => Val::number(number.float().abs()),
        Val::Str(text) => Val::count(text.chars().count()),
        Val::Arr(array) => Val::count(array.items.len()),
        Val::Obj(object) => Val::count(object.entries.len()),
    })
}
