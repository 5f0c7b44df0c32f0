//! Hints about alarms, dashboards and costs.

use super::{By, Row, check, output, row};
use crate::proxy::{Call, Fate};
use crate::support::Cloud;

/// The stream orders.
pub const ROWS: &[Row] = &[
    row(
        "src/cli/alarms/list.rs",
        "alarms set STREAM",
        By::Run(&["alarms", "list"]),
    )
    .fill(&[("STREAM", "orders")]),
    row(
        "src/cli/alarms/set.rs",
        "alarms subscribe EMAIL",
        By::Run(&["alarms", "set", "orders", "--dry-run"]),
    )
    .fill(&[("EMAIL", "me@example.com")]),
    row(
        "src/cli/alarms/subscribe.rs",
        "local status",
        By::Run(&["alarms", "subscribe", "me@example.com"]),
    ),
    row(
        "src/cli/alarms/subscribe.rs",
        "alarms set STREAM",
        By::Run(&["alarms", "subscribe", "me@example.com"]),
    )
    .fill(&[("STREAM", "orders")]),
    row(
        "src/cli/alarms/set.rs",
        "alarms delete {names}",
        By::Made(|cloud| {
            cloud.ok(["consumer", "register", "orders", "analytics"]);
            cloud.ok(["alarms", "set", "orders"]);
            cloud.ok(["consumer", "deregister", "orders", "analytics", "--yes"]);
            output(&cloud.machine, &["alarms", "set", "orders"], &[])
        }),
    ),
    row(
        "src/cli/alarms/delete.rs",
        "alarms list",
        By::Run(&["alarms", "delete", "none", "--yes"]),
    ),
    row(
        "crates/domain/src/observe/alarms/list.rs",
        "alarms list",
        By::Run(&["alarms", "mute", "none"]),
    ),
    row(
        "crates/domain/src/observe/alarms/list.rs",
        "alarms set STREAM",
        By::Run(&["setup", "--stream", "quiet"]),
    )
    .fill(&[("STREAM", "quiet")]),
    row(
        "crates/domain/src/observe/alarms/mute.rs",
        "alarms unmute {}",
        By::Through(&["alarms", "mute", "orders-late", "--for", "2h"], no_mute_rules),
    ),
    row(
        "crates/domain/src/observe/alarms/trial.rs",
        "alarms history {}",
        By::Unprovoked("an alarm has to go off without its actions"),
    )
    .fill(&[("{}", "orders-late")]),
    row(
        "crates/domain/src/observe/dashboards/show.rs",
        "dashboard create STREAM",
        By::Run(&["dashboard", "show", "none"]),
    )
    .fill(&[("STREAM", "orders")]),
    row(
        "crates/domain/src/observe/usage.rs",
        "cost --template {}",
        By::Run(&["cost", "--pipeline", "retail"]),
    ),
    row(
        "src/cli/size/report.rs",
        "account show",
        By::Run(&["size", "--records", "10/s", "--record-size", "1KB"]),
    ),
];

fn no_mute_rules(call: &Call) -> Fate {
    match call.path.ends_with("/operation/PutAlarmMuteRule") {
        true => Fate::Refuse(400, "UnknownOperation"),
        false => Fate::Pass,
    }
}

#[test]
fn hints_about_alarms_and_costs() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    check(&cloud, ROWS);
}
