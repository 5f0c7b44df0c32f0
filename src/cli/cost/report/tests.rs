use domain::cost::{Delivery, Demand, Item, Load, Part};

use super::*;

fn workload(records: Rate, bytes: u32) -> Workload {
    Workload::new(&Demand {
        load: Load::steady(records, records.times(bytes, 1)),
        consumers: 1,
        fan_out_consumers: 0,
        retention_hours: 24,
    })
}

fn a_million_a_day() -> Workload {
    workload(Rate::new(1_000_000, 86_400), 1_024)
}

fn subject(region: &str, workload: Workload, parts: Vec<Part>) -> Subject {
    let name = (!parts.is_empty()).then(|| "stream orders".to_owned());
    Subject {
        name: "stream orders".to_owned(),
        scenario: Scenario {
            region: region.to_owned(),
            streams: vec![(name, workload)],
            parts,
        },
        measured_seconds: None,
        remarks: Vec::new(),
    }
}

fn screen(report: &CostReport) -> String {
    let text = report.table(&Style::plain());
    assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    text
}

#[test]
fn one_shard_line_by_line() {
    let report = CostReport::new(
        subject("us-east-1", a_million_a_day(), Vec::new()),
        None,
        false,
        None,
    );
    insta::assert_snapshot!(screen(&report), @r"
    stream orders, provisioned, 1 shard, 1 reader, kept 24 h; a month of 730 h in
    us-east-1, prices of 2026-11

    ITEM                             QUANTITY   PRICE                            USD
    shard hours                           730   0.015 / shard-hour             10.95
    PUT payload units                 30.4167   0.014 / million units           0.43
    total                                                                      11.38
    ");
    assert_eq!(
        report.text(),
        "-\tshard hours\t730\tshard-hours\t0.015\tshard-hour\t10.950000000\n\
         -\tPUT payload units\t30416667\tunits\t0.014\tmillion units\t0.425833338\n\
         total\t-\t-\t-\t-\t-\t11.375833338"
    );
    assert_eq!(
        report.csv().unwrap(),
        "resource,item,quantity,unit,unit_price,per,amount\n\
         ,shard hours,730,shard-hours,0.015,shard-hour,10.950000000\n\
         ,PUT payload units,30416667,units,0.014,million units,0.425833338"
    );
}

#[test]
fn resources_have_headings() {
    let part = |resource: &str, item, quantity| Part {
        resource: resource.to_owned(),
        item,
        quantity,
    };
    let parts = vec![
        part("function scorer", Item::LambdaRequests, 525_600),
        part("function scorer", Item::LambdaDuration, 525_600 * 100 * 256),
        part("alarm errors", Item::Alarms, 730),
    ];
    let mut stream = a_million_a_day();
    stream.delivery = Delivery {
        firehose: true,
        ..Delivery::default()
    };
    let mut subject = subject("us-east-1", stream, parts);
    subject.measured_seconds = Some(86_400);
    subject
        .remarks
        .push("Requests to buckets are not measured.".to_owned());
    let report = CostReport::new(subject, None, false, Money::parse("50"));
    insta::assert_snapshot!(screen(&report), @r"
    stream orders, provisioned, 1 shard, 1 reader, kept 24 h, measured over 1d; a
    month of 730 h in us-east-1, prices of 2026-11

    ITEM                             QUANTITY   PRICE                            USD
    stream orders
      shard hours                         730   0.015 / shard-hour             10.95
      PUT payload units               30.4167   0.014 / million units           0.43
      Firehose data                   145.038   0.029 / GB                      4.21
    function scorer
      invocations                      0.5256   0.20 / million requests         0.11
      duration (x86)                   13,140   0.0000166667 / GB-second        0.22
    alarm errors
      alarms                                1   0.10 / alarm-month              0.10
    total                                                                      16.01

    Within the budget of 50.00 USD
    Requests to buckets are not measured.
    ");
    assert_eq!(report.exit().unwrap(), Exit::Done);
}

#[test]
fn changes_are_shown_beside() {
    let changes = WhatIf {
        shards: Some(2),
        retention_hours: Some(168),
        ..WhatIf::default()
    };
    let report = CostReport::new(
        subject("us-east-1", a_million_a_day(), Vec::new()),
        Some(&changes),
        false,
        None,
    );
    insta::assert_snapshot!(screen(&report), @r"
    stream orders, provisioned, 1 shard, 1 reader, kept 24 h; a month of 730 h in
    us-east-1, prices of 2026-11

    ITEM                             QUANTITY   PRICE                            USD
    shard hours                           730   0.015 / shard-hour             10.95
    PUT payload units                 30.4167   0.014 / million units           0.43
    total                                                                      11.38

    With the changes: provisioned, 2 shards, 1 reader, kept 168 h
    ITEM                             QUANTITY   PRICE                            USD
    shard hours                         1,460   0.015 / shard-hour             21.90
    PUT payload units                 30.4167   0.014 / million units           0.43
    extended retention                  1,460   0.02 / shard-hour              29.20
    total                                                                      51.53
    Change: 11.38 → 51.53 USD a month (+40.15)
    ");
}

#[test]
fn modes_are_compared_with_their_break_even() {
    let mut ten = a_million_a_day();
    ten.shards = 10;
    ten.retention_hours = 168;
    let report = CostReport::new(subject("us-east-1", ten, Vec::new()), None, true, None);
    insta::assert_snapshot!(screen(&report), @r"
    stream orders, provisioned, 10 shards, 1 reader, kept 168 h; a month of 730 h in
    us-east-1, prices of 2026-11

    ITEM                             QUANTITY   PRICE                            USD
    shard hours                         7,300   0.015 / shard-hour            109.50
    PUT payload units                 30.4167   0.014 / million units           0.43
    extended retention                  7,300   0.02 / shard-hour             146.00
    total                                                                     255.93

    USD A MONTH       PROVISIONED  ON-DEMAND  ADVANTAGE
    shards or stream  109.50       29.20      -
    writes            0.43         2.32       0.93
    reads             -            1.16       0.46
    retention         146.00       0.57       0.13
    minimum           -            -          3078.30
    total             255.93       33.25      3079.82

    Cheapest: on-demand.
    Break-even: provisioned costs less than on-demand from 722/s on, with these
    records and shards.
    Break-even: advantage costs less than on-demand from 9,004/s on, with these
    records and shards.
    ");
}

#[test]
fn a_budget_is_kept_exceeded_or_not_known() {
    let exit = |region: &str, limit: &str| {
        let subject = subject(region, a_million_a_day(), Vec::new());
        CostReport::new(subject, None, false, Money::parse(limit)).exit()
    };
    assert_eq!(exit("us-east-1", "11.38").unwrap(), Exit::Done);
    assert_eq!(exit("us-east-1", "11.37").unwrap(), Exit::Faults);
    assert_eq!(exit("eu-central-1", "11").unwrap_err().exit(), Exit::Failed);
    // What is known is too much already.
    let mut subject = subject("us-east-1", a_million_a_day(), Vec::new());
    subject.scenario.streams[0].1.delivery.channel = true;
    let report = CostReport::new(subject, None, false, Money::parse("5"));
    assert_eq!(report.exit().unwrap(), Exit::Faults);
}

#[test]
fn a_region_without_prices_says_how_to_get_them() {
    let report = CostReport::new(
        subject("eu-central-1", a_million_a_day(), Vec::new()),
        None,
        true,
        None,
    );
    insta::assert_snapshot!(screen(&report), @r"
    stream orders, provisioned, 1 shard, 1 reader, kept 24 h; a month of 730 h in
    eu-central-1, no prices known

    ITEM                             QUANTITY   PRICE                            USD
    shard hours                           730   ? / shard-hour               unknown
    PUT payload units                 30.4167   ? / million units            unknown
    total                                                                    unknown

    USD A MONTH       PROVISIONED  ON-DEMAND  ADVANTAGE
    shards or stream  unknown      unknown    -
    writes            unknown      unknown    unknown
    reads             -            unknown    unknown
    minimum           -            -          unknown
    total             unknown      unknown    unknown

    The cheapest mode is not known: a price is missing.

    2 of 2 prices are not known:
    `streamctl cost --refresh --region eu-central-1 --target aws` reads those of
    AWS.
    ");
}

#[test]
fn the_json_of_a_line_is_stable() {
    let report = CostReport::new(
        subject("us-east-1", a_million_a_day(), Vec::new()),
        None,
        false,
        None,
    );
    let json = serde_json::to_value(&report).unwrap();
    insta::assert_snapshot!(json["lines"][1].to_string(), @r#"{"category":"writes","item":"PUT payload units","price":"put-units","quantity":30416667,"unit":"units","unit_price":"0.014","per":"million units","amount":"0.425833338"}"#);
    assert_eq!(json["total"], "11.375833338");
}

#[test]
fn fields_with_commas_are_quoted() {
    assert_eq!(field("a"), "a");
    assert_eq!(field("a,b"), "\"a,b\"");
    assert_eq!(field("say \"a\""), "\"say \"\"a\"\"\"");
}

#[test]
fn small_quantities_and_amounts_are_not_zero() {
    let report = CostReport::new(
        subject("us-east-1", workload(Rate::new(1, 86_400), 10), Vec::new()),
        None,
        false,
        None,
    );
    let shown: Vec<(String, String)> = report
        .estimate
        .lines
        .iter()
        .map(|line| (quantity(line), money(line.amount)))
        .collect();
    assert_eq!(shown[1], ("<0.0001".to_owned(), "<0.01".to_owned()));
}
