//! Hints about functions, their mappings, and what they fail at.

use super::{By, Row, check, output, row};
use crate::functions::with_scorer;
use crate::support::Cloud;

/// The function scorer, which reads nothing yet, the stream orders with a record that it refuses, and the queue failed.
pub const ROWS: &[Row] = &[
    row(
        "crates/domain/src/functions/invoke.rs",
        "handlers",
        By::Run(&["invoke", "nobody", "--payload", "{}"]),
    ),
    row(
        "crates/domain/src/functions/invoke.rs",
        "deploy HANDLER",
        By::Run(&["invoke", "nobody", "--payload", "{}"]),
    )
    .fill(&[("HANDLER", "price-updater")]),
    row(
        "crates/domain/src/functions/mapping/service.rs",
        "deploy HANDLER",
        By::Run(&["attach", "nobody", "--stream", "orders"]),
    )
    .fill(&[("HANDLER", "price-updater")]),
    row(
        "crates/domain/src/functions/mapping/service.rs",
        "list",
        By::Run(&["attach", "nobody", "--stream", "orders"]),
    ),
    row(
        "crates/domain/src/functions/mapping/service.rs",
        "mappings",
        By::Unprovoked("a mapping has to be in transition for longer than a command waits"),
    ),
    row(
        "crates/domain/src/functions/mapping/settings.rs",
        "attach --help",
        By::Run(&[
            "attach",
            "scorer",
            "--stream",
            "orders",
            "--parallelization",
            "99",
        ]),
    ),
    row(
        "crates/domain/src/observe/metrics/selection.rs",
        "handlers",
        By::Run(&["metrics", "--function", "nobody"]),
    ),
    row(
        "crates/domain/src/observe/alarms/subjects.rs",
        "mappings",
        By::Run(&["alarms", "set", "--function", "nobody"]),
    ),
    row(
        "crates/domain/src/pipeline/resources/function.rs",
        "handlers",
        By::Run(&["deploy", "nobody"]),
    ),
    row(
        "src/cli/policy/function.rs",
        "handlers",
        By::Run(&["policy", "--function", "nobody"]),
    ),
    row(
        "src/cli/invoke.rs",
        "logs {name}",
        By::Run(&["invoke", "scorer", "--payload", r#"{"do":"throw Boom it broke"}"#]),
    ),
    row(
        "src/cli/invoke.rs",
        "put STREAM --file FILE",
        By::Run(&["invoke", "scorer", "--records", "many.ndjson"]),
    )
    .fill(&[("STREAM", "orders"), ("FILE", "many.ndjson")]),
    row(
        "src/cli/shared/given_up.rs",
        "put --stream {stream} --file {}",
        By::Made(given_up),
    ),
    row(
        "src/cli/attach.rs",
        "attach {name} --stream orders",
        By::Run(&["attach", "scorer"]),
    ),
    row(
        "crates/domain/src/functions/dead_letter/source.rs",
        "attach {what} --stream {stream} --on-failure queue:NAME",
        By::Run(&["dlq", "list", "scorer"]),
    )
    .fill(&[("NAME", "failed")]),
    row(
        "src/cli/attach/report.rs",
        "detach {function} --stream {stream}",
        By::Run(&["attach", "scorer", "--stream", "orders", "--from", "trim"]),
    ),
    row(
        "src/cli/mappings.rs",
        "attach FUNCTION --stream STREAM",
        By::Run(&["mappings"]),
    )
    .fill(&[("FUNCTION", "scorer"), ("STREAM", "orders")]),
    row(
        "src/cli/top/draw.rs",
        "deploy --help",
        By::Unprovoked("it is drawn on a terminal"),
    ),
    row(
        "src/cli/top/draw.rs",
        "attach --help",
        By::Unprovoked("it is drawn on a terminal"),
    ),
];

/// A function that runs here gives a record up.
fn given_up(cloud: &Cloud) -> String {
    let code = crate::functions::compiled::executable().to_str().unwrap();
    let words = [
        "tail",
        "orders",
        "--from",
        "trim",
        "--no-follow",
        "--invoke-local",
        code,
    ];
    let fails = ["--env", "SCRIPT=fail-if poison", "--retries", "0"];
    let file = ["--failed-file", "given up.ndjson"];
    output(&cloud.machine, &words, &[&fails[..], &file].concat())
}

#[test]
fn hints_about_functions() {
    let cloud = with_scorer(&[]);
    cloud.stream("orders", 1);
    cloud.queue("failed");
    crate::contents::put(&cloud, "orders", [("k", "poison")]);
    let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(900_000));
    cloud.file("many.ndjson", line.repeat(8));
    check(&cloud, ROWS);
}
