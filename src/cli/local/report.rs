//! What `streamctl local status`, `stop`, `clock` and `reset` print.

use std::time::Duration;

use serde::Serialize;

use crate::cli::shared::damage::damage_text;
use crate::ui::{Report, Style, lines, or_dash, units};
use daemon::{Clock, Reset, Status};
use ground::duration;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(in crate::cli) struct StatusReport(pub(super) Status);

impl StatusReport {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let Status {
            running,
            endpoint,
            pid,
            version,
            uptime_seconds,
            resident_bytes,
            streams,
            requests,
            clock_offset_ms,
            home,
            log,
            damage,
        } = &self.0;
        let text = |value: Option<u64>| value.map(|value| value.to_string());
        let uptime = uptime_seconds.map(|seconds| duration::format(Duration::from_secs(seconds)));
        let rows = [
            (
                "Local cloud",
                Some(if *running { "running" } else { "not running" }.to_owned()),
            ),
            ("Endpoint", endpoint.clone()),
            ("Process", pid.map(|pid| pid.to_string())),
            ("Version", version.clone()),
            ("Uptime", uptime),
            ("Memory", resident_bytes.map(units::bytes)),
            ("Streams", text(*streams)),
            ("Requests", text(*requests)),
            ("Clock", clock_offset_ms.filter(|offset| *offset != 0).map(apart)),
            ("Home", Some(home.clone())),
            ("Log", Some(log.clone())),
        ];
        let damage = damage.iter().map(|damage| ("Damaged", Some(damage_text(damage))));
        rows.into_iter()
            .chain(damage)
            .filter_map(|(name, value)| value.map(|value| (name, value)))
            .collect()
    }
}

impl Report for StatusReport {
    fn table(&self, style: &Style) -> String {
        let lines: Vec<String> = self
            .rows()
            .iter()
            .map(|(name, value)| format!("{}  {value}", style.dim(&format!("{name:<11}"))))
            .collect();
        lines.join("\n")
    }

    fn text(&self) -> String {
        lines(
            self.rows()
                .into_iter()
                .map(|(name, value)| [name.to_owned(), value]),
        )
    }
}

/// How far a clock is from that of the machine.
fn apart(offset_ms: i64) -> String {
    let length = duration::measured(Duration::from_millis(offset_ms.unsigned_abs()));
    match offset_ms {
        0 => "this machine's time".to_owned(),
        ..0 => format!("{length} behind this machine"),
        _ => format!("{length} ahead of this machine"),
    }
}

// For people, a note on stderr says it.
/// What was stopped.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct StopReport {
    /// False if it did not run.
    pub(super) stopped: bool,
    pub(super) pid: Option<u32>,
}

impl Report for StopReport {
    fn table(&self, _style: &Style) -> String {
        String::new()
    }

    fn text(&self) -> String {
        format!("{}\t{}", self.stopped, or_dash(self.pid))
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(in crate::cli) struct ClockReport(pub(super) Clock);

impl Report for ClockReport {
    fn table(&self, _style: &Style) -> String {
        let time = self.0.time.strftime("%Y-%m-%d %H:%M:%S UTC");
        format!("{time}, {}", apart(self.0.offset_ms))
    }

    fn text(&self) -> String {
        format!("{}\t{}", self.0.time, self.0.offset_ms)
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(in crate::cli) struct ResetReport(pub(super) Reset);

impl Report for ResetReport {
    fn table(&self, _style: &Style) -> String {
        let Reset {
            stopped,
            deleted,
            data,
        } = &self.0;
        let mut lines = Vec::new();
        if *stopped {
            lines.push("Stopped the local cloud".to_owned());
        }
        lines.push(if *deleted {
            format!("Deleted {data}; the next command starts with an empty local cloud")
        } else {
            "There was no data to delete".to_owned()
        });
        lines.join("\n")
    }

    fn text(&self) -> String {
        format!("{}\t{}\t{}", self.0.stopped, self.0.deleted, self.0.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon::protocol::Damage;
    use serde_json::Value;

    fn status(running: bool) -> StatusReport {
        StatusReport(Status {
            running,
            endpoint: running.then(|| "http://127.0.0.1:4566".to_owned()),
            pid: running.then_some(4711),
            version: running.then(|| "0.1.0".to_owned()),
            uptime_seconds: running.then_some(7385),
            resident_bytes: running.then_some(43 << 20),
            streams: running.then_some(3),
            requests: running.then_some(1200),
            clock_offset_ms: running.then_some(0),
            home: "/home/ada/.local/share/streamctl/local".to_owned(),
            log: "/home/ada/.local/share/streamctl/local/daemon.log".to_owned(),
            damage: Vec::new(),
        })
    }

    #[test]
    fn status_of_a_running_cloud() {
        insta::assert_snapshot!(status(true).table(&Style::plain()), @r"
        Local cloud  running
        Endpoint     http://127.0.0.1:4566
        Process      4711
        Version      0.1.0
        Uptime       2h3m5s
        Memory       43 MiB
        Streams      3
        Requests     1200
        Home         /home/ada/.local/share/streamctl/local
        Log          /home/ada/.local/share/streamctl/local/daemon.log
        ");
    }

    #[test]
    fn status_names_damaged_files() {
        let mut report = status(true);
        let damage = |file: &str, records, message: &str| Damage {
            file: file.to_owned(),
            resource: None,
            records,
            message: message.to_owned(),
        };
        report.0.damage = vec![
            damage(
                "/home/ada/a.log",
                3,
                "a part of the log file is damaged or missing; the rest is served",
            ),
            damage("/home/ada/sqs.db", 0, "the database is damaged"),
        ];
        let table = report.table(&Style::plain());
        let (_, shown) = table.split_once("daemon.log\n").unwrap();
        insta::assert_snapshot!(shown, @r"
        Damaged      /home/ada/a.log: a part of the log file is damaged or missing; the rest is served (3 records lost)
        Damaged      /home/ada/sqs.db: the database is damaged
        ");
    }

    #[test]
    fn the_clock_is_shown_where_it_is_not_that_of_the_machine() {
        let mut report = status(true);
        assert!(!report.text().contains("Clock"));
        report.0.clock_offset_ms = Some(-8 * 86_400_000);
        assert!(
            report.text().contains("Clock\t8d behind this machine"),
            "{}",
            report.text()
        );
        let clock = ClockReport(Clock {
            time: "2026-11-28T12:00:00Z".parse().unwrap(),
            offset_ms: 3_600_000,
        });
        insta::assert_snapshot!(
            clock.table(&Style::plain()),
            @"2026-11-28 12:00:00 UTC, 1h ahead of this machine"
        );
        let json = serde_json::to_value(&clock).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"time": "2026-11-28T12:00:00Z", "offset_ms": 3_600_000})
        );
        assert_eq!(clock.text(), "2026-11-28T12:00:00Z\t3600000");
    }

    #[test]
    fn status_of_a_stopped_cloud() {
        insta::assert_snapshot!(status(false).table(&Style::plain()), @r"
        Local cloud  not running
        Home         /home/ada/.local/share/streamctl/local
        Log          /home/ada/.local/share/streamctl/local/daemon.log
        ");
        let json = serde_json::to_value(status(false)).unwrap();
        assert_eq!(json["running"], false);
        assert_eq!(json["endpoint"], Value::Null);
    }
}
