//! The options of what is written, and where.

use std::path::PathBuf;

use clap::Args;
use jiff::tz::{Offset, TimeZone};

use super::files::Files;
use super::line::{LineFormat, People};
use super::pattern::{Pattern, Separator};
use super::sink::{Sink, Target};
use crate::ui::{Format, no_csv};
use domain::consume::ArrivalRange;
use domain::consume::decode::Decode;
use domain::consume::filter::{self, Filter, FilterRule};
use domain::consume::stats::Stats;
use ground::error::{Error, Result};

/// Bytes of a file of --out-dir, unless --rotate says otherwise.
const ROTATE: &str = "64MiB";

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArgs {
    /// Write each record as this text, with tokens such as %k and %v and escapes such as \n
    #[arg(long, value_name = "TEXT")]
    format: Option<String>,
    /// With -o raw or text: what follows each record; length-delimited and varint-delimited precede it
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "format",
        allow_hyphen_values = true
    )]
    separator: Option<String>,
    /// With -o json: write data that is a JSON object or array as JSON, not as text
    #[arg(long, conflicts_with = "format")]
    json_data: bool,
    /// Show JSON on several lines
    #[arg(long, conflicts_with_all = ["format", "json_data", "separator"])]
    indent: bool,
    /// Time zone of arrival times for people and of %t: UTC, local, Europe/Berlin or +02:00
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = time_zone, allow_hyphen_values = true)]
    timezone: TimeZone,
    /// Show what matches this regular expression in another colour (repeatable)
    #[arg(long, value_name = "REGEX", conflicts_with = "format")]
    highlight: Vec<String>,
    /// Count records by shard and by key, and show only the counts
    #[arg(long, conflicts_with_all = ["format", "separator", "json_data", "indent", "highlight", "out_dir"])]
    stats: bool,
    /// Write to files in this directory, one after another for each shard; JSON unless -o or --format is given
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
    /// Size at which a file of --out-dir is followed by the next
    #[arg(long, value_name = "SIZE", default_value = ROTATE, requires = "out_dir", value_parser = file_size)]
    rotate: u64,
}

/// The options of what is decoded and shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Content")]
pub(super) struct ContentArgs {
    /// auto, none, or steps such as base64,gzip [default: auto for people and --stats, else none]
    #[arg(long, value_name = "HOW")]
    decode: Option<String>,
    /// Only records that arrived in this range of time, such as @-2h:-1h or @TIME:10m (repeatable: any of them)
    #[arg(long = "where", value_name = "RANGE", allow_hyphen_values = true)]
    arrived: Vec<String>,
    /// Only records for which this jq expression is true, such as '.user.id == 7'
    #[arg(long, value_name = "JQ")]
    filter: Option<String>,
    /// Only records whose data matches this regular expression (repeatable: any of them)
    #[arg(long, value_name = "REGEX")]
    include: Vec<String>,
    /// No records whose data matches this regular expression (repeatable)
    #[arg(long, value_name = "REGEX")]
    exclude: Vec<String>,
    /// Only records whose partition key matches this regular expression (repeatable: any of them)
    #[arg(long, value_name = "REGEX")]
    key_regex: Vec<String>,
}

impl ContentArgs {
    /// How data is decoded that is written as `chosen`.
    ///
    /// # Errors
    /// Exit 2 for what is no encoding.
    pub(super) fn decode(&self, output: &OutputArgs, chosen: Format) -> Result<Decode> {
        match &self.decode {
            Some(text) => text.parse(),
            None => Ok(
                match output.stats || (chosen == Format::Table && output.is_for_people()) {
                    true => Decode::Auto,
                    false => Decode::None,
                },
            ),
        }
    }

    /// The ranges of --where at the time `now_ms`.
    ///
    /// # Errors
    /// Exit 2 for what is no range.
    pub(super) fn arrived(&self, now_ms: i64) -> Result<Vec<ArrivalRange>> {
        let ranges = self.arrived.iter();
        ranges.map(|text| ArrivalRange::parse(text, now_ms)).collect()
    }

    /// What is shown: records with `key`, the value of --key, that arrived in `arrived`.
    ///
    /// # Errors
    /// Exit 2 for an expression that cannot be read.
    pub(super) fn filter(&self, key: Option<&str>, arrived: &[ArrivalRange]) -> Result<Filter> {
        Filter::new(&FilterRule {
            arrived,
            include: &self.include,
            exclude: &self.exclude,
            key: &self.key_regex,
            exact_key: key,
            jq: self.filter.as_deref(),
        })
    }
}

impl OutputArgs {
    /// Whether the form without -o is that for people.
    fn is_for_people(&self) -> bool {
        self.format.is_none() && (self.out_dir.is_none() || self.indent)
    }

    /// Where records go that are shown; `chosen` is the format of `-o`. Makes the directory of --out-dir.
    ///
    /// # Errors
    /// As [`OutputArgs::line_format`].
    pub(super) fn sink(&self, chosen: Format, names_streams: bool) -> Result<Sink> {
        let target = if self.stats {
            match chosen {
                Format::Raw => {
                    return Err(
                        Error::usage("--stats prints counts, so there are no raw records to write")
                            .hint("leave out -o raw, or --stats"),
                    );
                }
                Format::Csv => return Err(no_csv()),
                Format::Table | Format::Json | Format::Yaml | Format::Text => Target::Stats(Stats::default()),
            }
        } else {
            let format = self.line_format(chosen)?;
            match &self.out_dir {
                None => Target::Stdout(format),
                Some(directory) => {
                    let files = Files::new(directory, format.extension(), self.rotate)?;
                    Target::Files(format, files)
                }
            }
        };
        Ok(Sink {
            target,
            zone: self.timezone.clone(),
            names_streams,
        })
    }

    /// How records are written; `chosen` is the format of `-o`.
    ///
    /// # Errors
    /// Exit 2 for a format or options that are not valid, or do not go together.
    fn line_format(&self, chosen: Format) -> Result<LineFormat> {
        if let Some(text) = &self.format {
            return match chosen {
                Format::Table => Pattern::parse(text).map(LineFormat::Pattern),
                _ => Err(Error::usage("--format and -o exclude each other")),
            };
        }
        let separator = |default: &str| Separator::parse(self.separator.as_deref().unwrap_or(default));
        let format = match chosen {
            Format::Table if self.out_dir.is_some() && !self.indent => {
                LineFormat::Json { data: self.json_data }
            }
            Format::Table => {
                let pattern = |text: &String| filter::Pattern::new(text, "--highlight");
                LineFormat::People(People {
                    indent: self.indent,
                    highlight: self.highlight.iter().map(pattern).collect::<Result<_>>()?,
                })
            }
            Format::Json => LineFormat::Json { data: self.json_data },
            Format::Text => LineFormat::Raw(separator(r"\n")?),
            Format::Raw => LineFormat::Raw(separator("none")?),
            Format::Csv => return Err(no_csv()),
            Format::Yaml => {
                return Err(
                    Error::usage("tail does not write YAML").hint("use -o json, -o text, or no -o at all")
                );
            }
        };
        let unused = [
            (
                self.separator.is_some() && !matches!(format, LineFormat::Raw(_)),
                "--separator",
                "-o raw or -o text",
            ),
            (
                self.json_data && !matches!(format, LineFormat::Json { .. }),
                "--json-data",
                "-o json",
            ),
            (
                !self.highlight.is_empty() && !matches!(format, LineFormat::People(_)),
                "--highlight",
                "the default format, without -o",
            ),
            (
                self.indent && chosen != Format::Table,
                "--indent",
                "the default format, without -o",
            ),
        ];
        match unused.into_iter().find(|(is_unused, ..)| *is_unused) {
            Some((_, flag, with)) => Err(Error::usage(format!("{flag} needs {with}"))),
            None => Ok(format),
        }
    }
}

/// A time zone: `UTC`, `local`, a name of the IANA database, or an offset.
fn time_zone(text: &str) -> std::result::Result<TimeZone, String> {
    match text.to_ascii_lowercase().as_str() {
        "utc" | "z" => return Ok(TimeZone::UTC),
        "local" => {
            return TimeZone::try_system().map_err(|e| format!("the zone of this machine is not known: {e}"));
        }
        _ => {}
    }
    if text.starts_with(['+', '-']) {
        return offset(text)
            .map(TimeZone::fixed)
            .ok_or_else(|| "not an offset; write it like +02:00".to_owned());
    }
    TimeZone::get(text)
        .map_err(|_| "not a time zone; write it like UTC, local, Europe/Berlin or +02:00".to_owned())
}

/// `+02:00`, `-0330`, `+2`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let number = |text: &str| {
        let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse::<i32>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    // Source: RFC 3339, `time-numoffset`.
    (hours < 24 && minutes < 60).then(|| Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok())?
}

/// A size such as `64MiB`, at least 1 KiB.
fn file_size(text: &str) -> std::result::Result<u64, String> {
    const GRAMMAR: &str = "not a size; write it like 64MiB or 1GiB";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(GRAMMAR.to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| GRAMMAR.to_owned())?;
    let bytes = number.saturating_mul(factor);
    match bytes < 1024 {
        true => Err("must be at least 1KiB".to_owned()),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_and_sizes() {
        let shown =
            |text: &str| super::super::line::arrival(Some(1_795_255_200_007), &time_zone(text).unwrap());
        assert_eq!(shown("utc"), "2026-11-21T10:00:00.007Z");
        assert_eq!(shown("+02:00"), "2026-11-21T12:00:00.007+02:00");
        assert_eq!(shown("-0330"), "2026-11-21T06:30:00.007-03:30");
        assert_eq!(shown("+1"), "2026-11-21T11:00:00.007+01:00");
        for bad in [
            "",
            "Nowhere/City",
            "+25:00",
            "+1:60",
            "+",
            "-1:2:3",
            "+ü123",
            "+-1",
        ] {
            assert!(time_zone(bad).is_err(), "{bad}");
        }
        assert_eq!(
            ["1024", "1KiB", "64 MiB", "2g"].map(|text| file_size(text).unwrap()),
            [1024, 1024, 64 << 20, 2 << 30]
        );
        for bad in ["", "1", "MiB", "1.5MiB", "1TB", "-1", "99999999999999999999"] {
            assert!(file_size(bad).is_err(), "{bad}");
        }
    }
}
