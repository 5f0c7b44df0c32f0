//! Hints about pipelines.

use super::{By, Row, check, output, row};
use crate::site;
use crate::support::{Cloud, block_on};
use crate::templates::OWN;

/// A manifest of a stream of its own, without sample events.
pub const ROWS: &[Row] = &[
    row(
        "crates/domain/src/pipeline/source.rs",
        "init",
        By::Run(&["setup", "nope"]),
    ),
    row(
        "crates/domain/src/pipeline/source.rs",
        "init TEMPLATE",
        By::Run(&["setup", "-f", "none.toml"]),
    )
    .fill(&[("TEMPLATE", "stream")]),
    row("src/cli/outputs.rs", "setup{}", By::Run(&["outputs"])),
    row(
        "src/cli/plan.rs",
        "setup{typed}",
        By::Run(&[
            "plan",
            "--stream",
            "planned",
            "--shard-count",
            "2",
            "--retention",
            "2d",
            "--tag",
            "Cost Centre=Live Music",
        ]),
    ),
    row(
        "crates/domain/src/pipeline/samples.rs",
        "init",
        By::Run(&["sample", "events", "-f", "my own.toml"]),
    ),
    row(
        "crates/domain/src/pipeline/samples.rs",
        "sample events",
        By::Run(&["sample", "load"]),
    ),
    row(
        "crates/domain/src/pipeline/resources/stream/checks.rs",
        "encrypt {name} --key {key}",
        By::Made(|cloud| {
            cloud.ok(["encrypt", "concert-data-stream", "--key", "none", "--yes"]);
            output(&cloud.machine, &["verify", "--no-put", "-o", "json"], &[])
        }),
    ),
    row(
        "src/cli/verify.rs",
        "setup{}",
        By::Run(&["verify", "-f", "my own.toml"]),
    ),
    row(
        "src/cli/open.rs",
        "outputs{arguments}",
        By::Run(&["open", "-f", "my own.toml"]),
    ),
    row(
        "src/cli/open.rs",
        "setup{arguments}",
        By::Made(|cloud| {
            site::write_files(cloud);
            output(&cloud.machine, &["open", "-f", "shop.toml"], &[])
        }),
    ),
];

/// The pipeline prices is not set up.
pub const PRICES: &[Row] = &[
    row(
        "src/cli/sample.rs",
        "setup{}",
        By::Run(&["sample", "load", "prices"]),
    ),
    row(
        "crates/domain/src/pipeline/resources/queue.rs",
        "dlq list {name}",
        By::Made(|cloud| {
            let sqs = cloud.sqs();
            let queues = block_on(sqs.list_queues().send()).unwrap();
            let url = queues.queue_urls()[0].clone();
            block_on(sqs.send_message().queue_url(url).message_body("{}").send()).unwrap();
            output(
                &cloud.machine,
                &["verify", "prices", "--no-put", "-o", "json"],
                &[],
            )
        }),
    ),
    row(
        "crates/domain/src/pipeline/follow/run.rs",
        "dlq list FUNCTION",
        By::Unprovoked("a handler has to lose an event that `verify` follows"),
    )
    .fill(&[("FUNCTION", "price-updater")]),
    row(
        "crates/domain/src/pipeline/follow/run.rs",
        "logs FUNCTION",
        By::Unprovoked("a handler has to lose an event that `verify` follows"),
    )
    .fill(&[("FUNCTION", "price-updater")]),
    row(
        "crates/domain/src/pipeline/follow/http.rs",
        "logs FUNCTION",
        By::Unprovoked("an API has to give a wrong answer to a request of `verify`"),
    )
    .fill(&[("FUNCTION", "products-api")]),
    row(
        "crates/domain/src/pipeline/samples/orders.rs",
        "logs {}",
        By::Unprovoked("the function has to fail to make features of the orders"),
    )
    .fill(&[("{}", "products-api")]),
    row(
        "crates/domain/src/pipeline/resources/event_source_mapping.rs",
        "detach {} --stream {}",
        By::Run(&["attach", "price-updater", "--from", "2026-11-21T10:00:00Z"]),
    ),
    row(
        "crates/domain/src/pipeline/resources/dashboard/body.rs",
        "setup{typed}",
        By::Made(|cloud| {
            cloud.ok(["setup", "retail"]);
            let client = aws_sdk_cloudwatch::Client::new(&cloud.sdk());
            let all = block_on(client.list_dashboards().send()).unwrap();
            let name = all.dashboard_entries()[0].dashboard_name().unwrap();
            let body = block_on(client.get_dashboard().dashboard_name(name).send());
            body.unwrap().dashboard_body.unwrap()
        }),
    ),
];

#[test]
fn hints_about_pipelines() {
    let cloud = Cloud::start();
    cloud.file("my own.toml", OWN);
    check(&cloud, ROWS);
}

#[test]
fn hints_about_a_pipeline_with_a_function() {
    check(&Cloud::start(), PRICES);
}
