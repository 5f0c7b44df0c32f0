use super::*;

#[test]
fn help_fits_eighty_columns() {
    let command = clap::Command::new("metrics")
        .term_width(80)
        .disable_help_flag(true);
    let help = MetricsArgs::augment_args(command).render_help().to_string();
    insta::assert_snapshot!("help", help);
    assert!(help.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn an_end_is_a_time_or_how_long_ago() {
    let now = 1_795_251_600;
    assert_eq!(until("2h", now).unwrap(), now - 7_200);
    assert_eq!(until("2026-11-21T08:00:00Z", now).unwrap(), now - 3_600);
    assert_eq!(until("2026-11-21T10:00:00+02:00", now).unwrap(), now - 3_600);
    for bad in ["", "yesterday", "-1h", "12"] {
        assert!(until(bad, now).is_err(), "{bad}");
    }
}

fn parsed(words: &[&str]) -> std::result::Result<MetricsArgs, clap::Error> {
    use clap::FromArgMatches as _;
    let command = MetricsArgs::augment_args(clap::Command::new("metrics"));
    let all = ["metrics"].iter().chain(words);
    MetricsArgs::from_arg_matches(&command.try_get_matches_from(all)?)
}

#[test]
fn what_does_not_belong_together_is_refused() {
    for bad in [
        &["orders", "--function", "scorer"][..],
        &["orders", "--pipeline", "retail"],
        &["--function", "scorer", "--per-shard"],
        &["--watch", "--until", "2h"],
        &["--watch", "--png", "x.png"],
        &["--every", "5s"],
        &["--watch", "--every", "0s"],
        &["--param", "a=b"],
    ] {
        assert!(parsed(bad).is_err(), "{bad:?}");
    }
    let plot = parsed(&["--plot"]).unwrap();
    assert!(check(&plot, Format::Json).is_err());
    assert!(check(&plot, Format::Table).is_ok());
    let watch = parsed(&["--watch"]).unwrap();
    assert!(check(&watch, Format::Yaml).is_err());
    assert!(parsed(&["--shard-level"]).unwrap().per_shard);
    assert!(
        parsed(&["--until", "2030-01-01T00:00:00Z"])
            .unwrap()
            .range()
            .is_err()
    );
}
