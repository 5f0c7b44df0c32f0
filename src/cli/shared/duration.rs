//! Value parsers of flags that take a length of time.

use std::time::Duration;

use ground::duration::{Parser, Unit};

/// Whole seconds; a bare number is a number of them.
pub(crate) const SECONDS: Parser = Parser::whole(Unit::Second).or_bare();

/// A flag that holds a [`Duration`].
pub(crate) fn length(parser: Parser) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync {
    move |text| parser.parse(text)
}

/// A flag that holds a number of seconds.
pub(crate) fn seconds<T: TryFrom<u64>>(
    parser: Parser,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync {
    move |text| {
        let seconds = parser.parse(text)?.as_secs();
        T::try_from(seconds).map_err(|_| "is too long".to_owned())
    }
}

/// A retention in whole hours, 24 to 8,760.
/// Source of the range: IncreaseStreamRetentionPeriod, Kinesis API reference.
pub(crate) fn retention_hours(text: &str) -> Result<u32, String> {
    const HOUR: Duration = Duration::from_secs(3_600);
    const RETENTION: Parser = Parser::whole(Unit::Hour)
        .or_bare()
        .between(HOUR.saturating_mul(24), HOUR.saturating_mul(8_760));
    let hours = RETENTION.parse(text)?.as_secs() / HOUR.as_secs();
    u32::try_from(hours).map_err(|_| "is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;

    const FLAGS: [&str; 13] = [
        "attach scorer --window",
        "attach scorer --tumbling-window",
        "attach scorer --max-record-age",
        "attach --local x --timeout",
        "deploy scorer --timeout",
        "invoke --local x --timeout",
        "local start --iterator-lifetime",
        "metrics --since",
        "metrics --period",
        "put --retry-for",
        "create orders --retention",
        "retention orders",
        "setup --retention",
    ];

    /// What `flag` says to `text`; `None` where it takes it.
    fn said(flag: &str, text: &str) -> Option<String> {
        let words = format!("streamctl {flag}")
            .split(' ')
            .map(str::to_owned)
            .collect();
        let words = [words, vec![text.to_owned()]].concat();
        let error = Cli::parse_words(words).err()?.to_string();
        let first = error.lines().next().unwrap_or_default();
        Some(first.rsplit(">': ").next().unwrap_or_default().to_owned())
    }

    #[test]
    fn retention_is_read_in_hours_and_days() {
        use super::retention_hours;
        assert_eq!(
            ["24h", "7d", "168"].map(|text| retention_hours(text).unwrap()),
            [24, 168, 168]
        );
        for bad in ["", "h", "23h", "8761h", "24h30m", "-1d"] {
            assert!(retention_hours(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_flag_has_the_same_grammar_and_shows_it() {
        let mut lines = Vec::new();
        for flag in FLAGS {
            let texts = ["60", "60s", "1m", "1h30m", "1h 30m", "2d"];
            let taken: Vec<&str> = texts
                .into_iter()
                .filter(|text| said(flag, text).is_none())
                .collect();
            lines.push(format!("{flag}: {}", taken.join(", ")));
            lines.push(format!("  1x: {}", said(flag, "1x").unwrap()));
            for text in ["", "1 h", "1.5h", "99999999999999999999d"] {
                assert!(said(flag, text).is_some(), "{flag} {text}");
            }
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        attach scorer --window: 60, 60s, 1m, 1h30m, 1h 30m, 2d
          1x: not a length of time; write it like 90s, 1h30m or 2d, or as a number of seconds
        attach scorer --tumbling-window: 60, 60s, 1m, 1h30m, 1h 30m, 2d
          1x: not a length of time; write it like 90s, 1h30m or 2d, or as a number of seconds
        attach scorer --max-record-age: 60, 60s, 1m, 1h30m, 1h 30m, 2d
          1x: not a length of time; write it like 90s, 1h30m or 2d, or as a number of seconds, or -1 for no limit
        attach --local x --timeout: 60, 60s, 1m
          1x: not a length of time; write it like 90s, 1h30m or 2d, or as a number of seconds
        deploy scorer --timeout: 60, 60s, 1m
          1x: not a length of time; write it like 90s, 1h30m or 2d, or as a number of seconds
        invoke --local x --timeout: 60, 60s, 1m
          1x: not a length of time; write it like 90s, 1h30m or 2d, or as a number of seconds
        local start --iterator-lifetime: 60s, 1m, 1h30m, 1h 30m, 2d
          1x: not a length of time; write it like 20ms, 30s or 5m
        metrics --since: 60s, 1m, 1h30m, 1h 30m, 2d
          1x: not a length of time; write it like 90s, 1h30m or 2d
        metrics --period: 60, 60s, 1m, 1h30m, 1h 30m, 2d
          1x: not a length of time; write it like 90s, 1h30m or 2d, or as a number of seconds
        put --retry-for: 60, 60s, 1m
          1x: not a length of time; write it like 90s, 1h30m or 2d, or as a number of seconds
        create orders --retention: 60, 2d
          1x: not a length of time; write it like 36h, 7d or 1d12h, or as a number of hours
        retention orders: 60, 2d
          1x: not a length of time; write it like 36h, 7d or 1d12h, or as a number of hours
        setup --retention: 60, 2d
          1x: not a length of time; write it like 36h, 7d or 1d12h, or as a number of hours
        ");
    }
}
