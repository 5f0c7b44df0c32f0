//! jq expressions. The record's data is `.`; `$key`, `$shard`, `$seq`, `$time` are its other parts.

use jaq_core::data::JustLut;
use jaq_core::load::{self, Arena, File, Loader, span};
use jaq_core::{Compiler, Ctx, Vars};
use jaq_json::Val;

use super::Item;
use ground::error::{Error, Result};

/// The variables of an expression: partition key, shard id, sequence number, and arrival in seconds since the Unix epoch,
/// as jq's functions take it, such as `todate`.
const VARIABLES: [&str; 4] = ["$key", "$shard", "$seq", "$time"];

/// A compiled expression.
pub(super) struct Jq(jaq_core::Filter<JustLut<Val>>);

impl Jq {
    /// # Errors
    /// Exit 2 with the position of the fault.
    pub(super) fn new(text: &str) -> Result<Self> {
        let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let funs = jaq_core::funs::<JustLut<Val>>()
            .chain(jaq_std::funs())
            .chain(jaq_json::funs());
        let arena = Arena::default();
        let program = File { code: text, path: () };
        let modules = Loader::new(defs)
            .load(&arena, program)
            .map_err(|errors| unread(text, errors.into_iter().next().map(|(_, error)| error)))?;
        let filter = Compiler::default()
            .with_funs(funs)
            .with_global_vars(VARIABLES)
            .compile(modules)
            .map_err(|errors| {
                let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
                let (part, what) = first.map_or((text, "name"), |(part, what)| (part, what.as_str()));
                let hint = format!(
                    "the record is `.`, and the variables are {}",
                    VARIABLES.join(", ")
                );
                refused(text, part, &format!("there is no {what} {part}")).hint(hint)
            })?;
        Ok(Self(filter))
    }

    /// Whether one of the values of the expression is neither false nor null. A failure after it does not count.
    pub(super) fn is_true(&self, item: &Item<'_>) -> std::result::Result<bool, String> {
        let record = item.record;
        let text = |text: &str| Val::from(text.to_owned());
        #[allow(clippy::cast_precision_loss, reason = "milliseconds of centuries are exact")]
        let time = record
            .arrival_ms
            .map_or(Val::Null, |ms| Val::from(ms as f64 / 1000.0));
        let variables = [
            text(item.partition_key),
            text(&record.shard_id),
            text(&record.sequence_number),
            time,
        ];
        let ctx = Ctx::<JustLut<Val>>::new(&self.0.lut, Vars::new(variables));
        for value in self.0.id.run((ctx, value(item))) {
            match value {
                Ok(Val::Null | Val::Bool(false)) => {}
                Ok(_) => return Ok(true),
                Err(exception) => {
                    return Err(match exception.get_err() {
                        Ok(error) => error.to_string(),
                        Err(_) => "the expression calls halt".to_owned(),
                    });
                }
            }
        }
        Ok(false)
    }
}

/// The data as a value: JSON as what it is, other text as a string, anything else as a string of bytes.
fn value(item: &Item<'_>) -> Val {
    let Some(text) = item.text() else {
        return Val::byte_str(item.data.clone());
    };
    // serde_json bounds the depth, so that the other parser does not overflow the stack.
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    match is_json.then(|| jaq_json::read::parse_single(text.as_bytes())) {
        Some(Ok(value)) => value,
        _ => Val::utf8_str(item.data.clone()),
    }
}

/// An expression that cannot be parsed.
fn unread(text: &str, error: Option<load::Error<&str>>) -> Error {
    let (part, what) = match error {
        Some(load::Error::Lex(errors)) => first(text, errors, |expected| expected.as_str()),
        Some(load::Error::Parse(errors)) => first(text, errors, |expected| expected.as_str()),
        Some(load::Error::Io(errors)) => {
            let part = errors.first().map_or(text, |(part, _)| part);
            return refused(text, part, "modules cannot be imported");
        }
        None => (text, "expression"),
    };
    let found = match part.chars().next() {
        None => "the expression ends".to_owned(),
        Some(_) => format!("found {:?}", part.chars().take(10).collect::<String>()),
    };
    refused(text, part, &format!("{found} where jq expects: {what}"))
}

fn first<'a, E>(
    text: &'a str,
    errors: Vec<(E, &'a str)>,
    name: impl Fn(&E) -> &'a str,
) -> (&'a str, &'a str) {
    let first = errors.into_iter().next();
    first.map_or((text, "expression"), |(expected, part)| (part, name(&expected)))
}

/// `part` is the piece of `text` that is wrong.
fn refused(text: &str, part: &str, what: &str) -> Error {
    let start = span(text, part).start;
    let at = text.get(..start).map_or(0, |before| before.chars().count()) + 1;
    Error::usage(format!(
        "{text:?} is not valid for --filter: at character {at}, {what}"
    ))
    .hint("it is a jq expression, such as '.user.id == 7' or '.kind | test(\"^sale\")'")
}
