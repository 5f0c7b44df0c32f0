//! JSON templates with fakers: `{"id": "{{uuid}}", "n": {{int 1 6}}}`.

use serde::de::IgnoredAny;

use super::{Dice, Event, Model, rfc3339};
use ground::error::{Error, Result};

const FIRST_NAMES: [&str; 12] = [
    "Ana", "Ben", "Chloe", "David", "Elif", "Femi", "Grace", "Hiro", "Ines", "Jonas", "Kira", "Liam",
];
const LAST_NAMES: [&str; 12] = [
    "Adams", "Berg", "Costa", "Diaz", "Evans", "Fischer", "Garcia", "Haas", "Ito", "Jensen", "Khan", "Lopez",
];
const CITIES: [&str; 10] = [
    "Berlin", "Cairo", "Dublin", "Lagos", "Lima", "Lisbon", "Osaka", "Oslo", "Quito", "Toronto",
];
const COUNTRIES: [&str; 10] = ["DE", "EG", "IE", "NG", "PE", "PT", "JP", "NO", "EC", "CA"];
const WORDS: [&str; 16] = [
    "amber", "bridge", "cloud", "delta", "ember", "field", "garden", "harbour", "island", "jungle", "kernel",
    "lantern", "meadow", "north", "orbit", "pebble",
];
/// The most digits that a faker makes.
const MOST_DIGITS: u64 = 1024;

/// The fakers, as a hint lists them.
const FAKERS: &str = "seq, uuid, hex N, int MIN MAX, float MIN MAX [DECIMALS], bool, pick A B …, weighted A 3 B 1 …, name, \
                      first_name, last_name, email, city, country, word, sentence, ip, now, now_ms and now_s";

pub(super) struct Template {
    pieces: Vec<Piece>,
    /// Number of the last event.
    number: u64,
}

enum Piece {
    Text(String),
    Faker(Faker),
}

enum Faker {
    Seq,
    Uuid,
    Hex(usize),
    Int(i64, i64),
    Float {
        min: f64,
        max: f64,
        decimals: usize,
    },
    Bool,
    /// Texts and their weights, escaped for JSON.
    Pick(Vec<(String, u64)>),
    Name,
    FirstName,
    LastName,
    Email,
    City,
    Country,
    Word,
    Sentence,
    Ip,
    Now,
    NowMs,
    NowS,
}

impl Template {
    /// Reads a template, and makes an event of it to see whether that is JSON.
    pub(super) fn parse(text: &str, now_ms: i64) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut rest = text.trim();
        while let Some((before, after)) = rest.split_once("{{") {
            let (faker, after) = after
                .split_once("}}")
                .ok_or_else(|| Error::usage("the template has a `{{` without its `}}`"))?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Faker(Faker::parse(faker)?));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let mut template = Self { pieces, number: 0 };
        let sample = template.next(&mut Dice::new(0), now_ms).data;
        template.number = 0;
        match serde_json::from_str::<IgnoredAny>(&sample) {
            Ok(_) => Ok(template),
            Err(error) => Err(Error::usage("the template does not produce JSON")
                .cause(format!("{error}, in {sample}"))
                .hint(
                    "put a faker that produces text in quotes: {\"id\": \"{{uuid}}\", \"n\": {{int 1 6}}}",
                )),
        }
    }
}

impl Model for Template {
    fn next(&mut self, dice: &mut Dice, now_ms: i64) -> Event {
        self.number += 1;
        let mut data = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => data.push_str(text),
                Piece::Faker(faker) => data.push_str(&faker.make(dice, now_ms, self.number)),
            }
        }
        Event { data, key: None }
    }
}

impl Faker {
    fn parse(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Self::of(&words).ok_or_else(|| {
            Error::usage(format!("{{{{{text}}}}} is not a faker")).hint(format!("fakers are {FAKERS}"))
        })
    }

    fn of(words: &[&str]) -> Option<Self> {
        Some(match words {
            ["seq"] => Self::Seq,
            ["uuid"] => Self::Uuid,
            ["hex", digits] => {
                let digits = digits
                    .parse()
                    .ok()
                    .filter(|digits| (1..=MOST_DIGITS).contains(digits))?;
                Self::Hex(usize::try_from(digits).ok()?)
            }
            ["int", min, max] => {
                let (min, max) = (min.parse().ok()?, max.parse().ok()?);
                (min <= max).then_some(Self::Int(min, max))?
            }
            ["float", min, max, decimals @ ..] => {
                let decimals = match decimals {
                    [] => 2,
                    [decimals] => decimals.parse().ok().filter(|decimals| *decimals <= 12)?,
                    _ => return None,
                };
                let (min, max): (f64, f64) = (min.parse().ok()?, max.parse().ok()?);
                (min.is_finite() && max.is_finite() && min <= max).then_some(Self::Float {
                    min,
                    max,
                    decimals,
                })?
            }
            ["bool"] => Self::Bool,
            ["pick", items @ ..] if !items.is_empty() => {
                Self::Pick(items.iter().map(|item| (escaped(item), 1)).collect())
            }
            ["weighted", items @ ..] => Self::weighted(items)?,
            ["name"] => Self::Name,
            ["first_name"] => Self::FirstName,
            ["last_name"] => Self::LastName,
            ["email"] => Self::Email,
            ["city"] => Self::City,
            ["country"] => Self::Country,
            ["word"] => Self::Word,
            ["sentence"] => Self::Sentence,
            ["ip"] => Self::Ip,
            ["now"] => Self::Now,
            ["now_ms"] => Self::NowMs,
            ["now_s"] => Self::NowS,
            _ => return None,
        })
    }

    /// `A 3 B 1`: texts, each with its weight.
    fn weighted(words: &[&str]) -> Option<Self> {
        let pair = |pair: &[&str]| match pair {
            [item, weight] => Some((escaped(item), u64::from(weight.parse::<u32>().ok()?))),
            _ => None,
        };
        let items: Vec<(String, u64)> = words.chunks(2).map(pair).collect::<Option<_>>()?;
        items
            .iter()
            .any(|(_, weight)| *weight > 0)
            .then_some(Self::Pick(items))
    }

    /// The text, as it stands in JSON.
    fn make(&self, dice: &mut Dice, now_ms: i64, number: u64) -> String {
        match self {
            Self::Seq => number.to_string(),
            Self::Uuid => dice.uuid(),
            Self::Hex(digits) => dice.hex(*digits),
            Self::Int(min, max) => dice.between(*min, *max).to_string(),
            Self::Float { min, max, decimals } => {
                // Not `min + (max - min) * u`, which is infinite for the widest range.
                let part = dice.unit();
                format!("{:.decimals$}", min * (1.0 - part) + max * part)
            }
            Self::Bool => dice.chance(50).to_string(),
            Self::Pick(items) => items[dice.weighted(items.iter().map(|(_, weight)| *weight))]
                .0
                .clone(),
            Self::Name => format!("{} {}", dice.pick(&FIRST_NAMES), dice.pick(&LAST_NAMES)),
            Self::FirstName => (*dice.pick(&FIRST_NAMES)).to_owned(),
            Self::LastName => (*dice.pick(&LAST_NAMES)).to_owned(),
            Self::Email => {
                let name = format!("{}.{}", dice.pick(&FIRST_NAMES), dice.pick(&LAST_NAMES));
                // Reserved for examples. Source: RFC 2606.
                format!("{}{}@example.com", name.to_lowercase(), dice.below(100))
            }
            Self::City => (*dice.pick(&CITIES)).to_owned(),
            Self::Country => (*dice.pick(&COUNTRIES)).to_owned(),
            Self::Word => (*dice.pick(&WORDS)).to_owned(),
            Self::Sentence => {
                let words: Vec<&str> = (0..5 + dice.below(6)).map(|_| *dice.pick(&WORDS)).collect();
                format!("{}.", words.join(" "))
            }
            // Reserved for benchmarks. Source: RFC 2544.
            Self::Ip => format!(
                "198.{}.{}.{}",
                18 + dice.below(2),
                dice.below(256),
                1 + dice.below(254)
            ),
            Self::Now => rfc3339(now_ms),
            Self::NowMs => now_ms.to_string(),
            Self::NowS => now_ms.div_euclid(1000).to_string(),
        }
    }
}

/// `text` as it stands between the quotes of a JSON string.
fn escaped(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}
