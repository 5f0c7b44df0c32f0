use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

const EPOCH_MS: i64 = 1_795_255_200_000;

fn shard(number: u32) -> String {
    format!("shardId-{number:012}")
}

fn sequence(shard_number: u32, number: &str) -> Start {
    Start::Sequence {
        shard_id: shard(shard_number),
        number: number.into(),
    }
}

fn at(text: &str) -> Start {
    text.parse::<StartRule>().unwrap().resolve(EPOCH_MS, &[]).unwrap()
}

#[test]
fn places_to_start_from() {
    for text in ["trim", "start", "beginning", "trim-horizon", "TRIM_HORIZON"] {
        assert_eq!(at(text), Start::TrimHorizon, "{text}");
    }
    for text in ["latest", "end", "LATEST"] {
        assert_eq!(at(text), Start::Latest, "{text}");
    }
    for text in ["10m", "-10m", "@-10m"] {
        assert_eq!(at(text), Start::Timestamp(EPOCH_MS - 600_000), "{text}");
    }
    assert_eq!(at("1h30m"), Start::Timestamp(EPOCH_MS - 5_400_000));
    for text in [
        "2026-11-21T10:00:00Z",
        "2026-11-21T10:00Z",
        "2026-11-21T10:00",
        "2026-11-21T12:00:00+02:00",
        "2026-11-21T10:00:00",
        "2026-11-21 10:00:00",
        "@2026-11-21T10:00:00Z",
        "@1795255200",
        "@1795255200000",
        "s@1795255200000",
    ] {
        assert_eq!(at(text), Start::Timestamp(EPOCH_MS), "{text}");
    }
    assert_eq!(at("2026-11-21"), Start::Timestamp(EPOCH_MS - 36_000_000));
    assert_eq!(at("@1795255199.25"), Start::Timestamp(EPOCH_MS - 750));
    assert_eq!(at("seq:3:495"), sequence(3, "495"));
    assert_eq!(at("seq:shardId-000000000003:495"), sequence(3, "495"));
    let with_shard = "seq:495"
        .parse::<StartRule>()
        .unwrap()
        .resolve(EPOCH_MS, &[shard(3)]);
    assert_eq!(with_shard.unwrap(), sequence(3, "495"));
    assert_eq!(at("-1"), Start::Last(1));
    assert_eq!(at("-1000"), Start::Last(1000));
}

/// A start and an end, as the user writes them.
fn span(from: &str, until: Option<&str>) -> (Start, Option<Until>) {
    let until = until.map(|until| until.parse().unwrap());
    from.parse::<Span>()
        .unwrap()
        .resolve(until, EPOCH_MS, &[])
        .unwrap()
}

#[test]
fn ranges() {
    const HOUR: i64 = 3_600_000;
    let times = |from: i64, until: i64| {
        (
            Start::Timestamp(EPOCH_MS + from),
            Some(Until::Timestamp(EPOCH_MS + until)),
        )
    };
    assert_eq!(span("@-48h:-24h", None), times(-48 * HOUR, -24 * HOUR));
    assert_eq!(span("@-2h:1h", None), times(-2 * HOUR, -HOUR));
    assert_eq!(span("@2026-11-21:1h", None), times(-10 * HOUR, -9 * HOUR));
    assert_eq!(
        span("@2026-11-21T08:00:00Z:2026-11-21T09:00:00Z", None),
        times(-2 * HOUR, -HOUR)
    );
    assert_eq!(
        span("@2026-11-21T08:00Z:30m", None),
        times(-2 * HOUR, -2 * HOUR + HOUR / 2)
    );
    assert_eq!(span("@1795248000:1795251600", None), times(-2 * HOUR, -HOUR));
    assert_eq!(span("@-1h:", None), (Start::Timestamp(EPOCH_MS - HOUR), None));
    assert_eq!(
        span("@-1h:end", None),
        (Start::Timestamp(EPOCH_MS - HOUR), Some(Until::Now))
    );
    assert_eq!(span(":end", None), (Start::TrimHorizon, Some(Until::Now)));
    let to_an_hour_ago = (Start::TrimHorizon, Some(Until::Timestamp(EPOCH_MS - HOUR)));
    assert_eq!(span("@:-1h", None), to_an_hour_ago);
    assert_eq!(span("e@1795251600000", None), to_an_hour_ago);
    // A time alone is no range.
    assert_eq!(
        span("@2026-11-21T08:00", None),
        (Start::Timestamp(EPOCH_MS - 2 * HOUR), None)
    );
}

#[test]
fn places_to_end_at() {
    let until = |text: &str| span("trim", Some(text)).1.unwrap();
    for text in ["end", "latest", "now", "LATEST"] {
        assert_eq!(until(text), Until::Now, "{text}");
    }
    for text in ["10m", "-10m", "@-10m"] {
        assert_eq!(until(text), Until::Timestamp(EPOCH_MS - 600_000), "{text}");
    }
    assert_eq!(until("+10m"), Until::Timestamp(EPOCH_MS + 600_000));
    assert_eq!(
        until("2026-11-22T10:00Z"),
        Until::Timestamp(EPOCH_MS + 86_400_000)
    );
    assert_eq!(until("@1795255300"), Until::Timestamp(EPOCH_MS + 100_000));
    assert_eq!(until("e@1795255300000"), Until::Timestamp(EPOCH_MS + 100_000));
    let number = Until::Sequence {
        shard_id: shard(3),
        number: "495".into(),
    };
    assert_eq!(until("seq:3:495"), number);
    assert_eq!(span("seq:3:490", Some("seq:495")).1, Some(number));
}

/// What is said to a value of `--from`.
fn refused(text: &str) -> String {
    match text.parse::<Span>() {
        Ok(span) => span.resolve(None, EPOCH_MS, &[]).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn places_that_make_no_sense() {
    let all = [
        "",
        "yesterday",
        "10",
        "10m5",
        "10x",
        "5m1h",
        "1h1h",
        "-",
        "-0",
        "-9999999",
        "-5x",
        "@",
        "@12x",
        "@1.5x",
        "@-",
        "@-5",
        "@99999999999999999999",
        "s@x",
        "e@",
        "seq:3:x",
        "seq:3:",
        "seq:a b:1",
        "seq:495",
        "2026-11-2",
        "2026-13-01",
        "2026-11-21X10:00",
        "2026-11-21T10:00:00Q",
        "2026-11-21T1",
        "2030-01-01",
        "@-1h:x",
        "@x:1h",
        "@-1h:-2h",
        "@2026-11-21T08:00Z:1q",
        "größer",
    ];
    let said: String = all.iter().map(|text| format!("{}\n", refused(text))).collect();
    assert_snapshot!(said);
    let until: String = ["", "x", "+", "+1", "-5", "@x", "seq:1", "seq:a b:5"]
        .iter()
        .map(|text| match text.parse::<UntilRule>() {
            Ok(rule) => {
                let trim = "trim".parse::<Span>().unwrap();
                format!("{}\n", trim.resolve(Some(rule), EPOCH_MS, &[]).unwrap_err())
            }
            Err(error) => format!("{error}\n"),
        })
        .collect();
    assert_snapshot!(until);
}

#[test]
fn ranges_of_arrival_times() {
    let range = |text: &str| {
        let range = ArrivalRange::parse(text, EPOCH_MS).unwrap();
        (range.from_ms, range.until_ms)
    };
    const HOUR: i64 = 3_600_000;
    assert_eq!(range("@-48h:-24h"), (EPOCH_MS - 48 * HOUR, EPOCH_MS - 24 * HOUR));
    assert_eq!(
        range("@2026-11-21T08:00Z:1h"),
        (EPOCH_MS - 2 * HOUR, EPOCH_MS - HOUR)
    );
    assert_eq!(range("@:-1h"), (i64::MIN, EPOCH_MS - HOUR));
    assert_eq!(range("10m"), (EPOCH_MS - HOUR / 6, i64::MAX));
    assert_eq!(range("2026-11-22"), (EPOCH_MS + 14 * HOUR, i64::MAX));
    assert_eq!(range("latest"), (EPOCH_MS, i64::MAX));
    assert_eq!(range(":end"), (i64::MIN, EPOCH_MS));
    let refused = |text: &str| ArrivalRange::parse(text, EPOCH_MS).unwrap_err().to_string();
    let all = [
        "",
        "-5",
        "seq:3:495",
        "@-1h:-2h",
        "@-1h:x",
        "@-1h:25q",
        "yesterday",
    ];
    assert_snapshot!(all.map(refused).join("\n"));
    let all = ["@-2h:-1h", "@-4h:-3h"].map(|text| ArrivalRange::parse(text, EPOCH_MS).unwrap());
    let around = ArrivalRange::around(&all).unwrap();
    assert_eq!(around, ArrivalRange::parse("@-4h:-1h", EPOCH_MS).unwrap());
    assert_eq!(around.start(EPOCH_MS), StartRule::At(EPOCH_MS - 4 * HOUR));
    assert_eq!(around.start(EPOCH_MS - 5 * HOUR), StartRule::Latest);
    assert_eq!(
        ArrivalRange::parse("@:end", 7).unwrap().start(7),
        StartRule::TrimHorizon
    );
    assert_eq!(ArrivalRange::around(&[]), None);
}

#[test]
fn ends_that_contradict_the_start() {
    let error = |from: &str, until: &str, shards: &[String]| {
        let until = Some(until.parse().unwrap());
        let span = from.parse::<Span>().unwrap();
        span.resolve(until, EPOCH_MS, shards).unwrap_err().to_string()
    };
    assert_snapshot!(error("@-2h:-1h", "end", &[]), @"--from is a range with its own end, and --until gives another end");
    assert_snapshot!(error("1h", "2h", &[]), @"the end is before the start");
    assert_snapshot!(error("latest", "1m", &[]), @"the end is before the start");
    assert_snapshot!(error("seq:3:500", "seq:3:99", &[]), @"the end is before the start");
    assert_snapshot!(error("seq:3:500", "seq:4:600", &[]), @"--until seq: and another option name different shards");
    assert_snapshot!(error("trim", "seq:5", &[]), @"a sequence number belongs to one shard");
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,40}", grammar in "[@:0-9smhdT+ .-]{0,30}", until in "[@:0-9smhdTZ+ .-]{0,20}") {
        for text in [&text, &grammar] {
            let _ = text.parse::<Span>().map(|span| span.resolve(None, EPOCH_MS, &[]));
            let _ = ArrivalRange::parse(text, EPOCH_MS);
        }
        let _ = until.parse::<UntilRule>();
    }
}
