//! The result of `attach`.

use serde::Serialize;

use crate::ui::{Report, Style, table};
use domain::functions::mapping::{Difference, Mapping, Settings, resource_name};
use ground::error::{Error, Result};

/// A stable contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct AttachReport {
    function: String,
    stream: String,
    /// `create`, `update` or `none`.
    action: &'static str,
    /// The UUID of the mapping; `None` if there is none yet.
    id: Option<String>,
    /// `None` if there is no mapping yet.
    state: Option<String>,
    pub(super) changes: Vec<Difference>,
    settings: Settings,
}

impl AttachReport {
    /// The planned change, where `there` is the existing mapping.
    ///
    /// # Errors
    /// Exit 2 for another starting position: it cannot change.
    pub(super) fn new(
        function: &str,
        stream_arn: &str,
        there: Option<&Mapping>,
        wanted: &Settings,
    ) -> Result<Self> {
        let stream = resource_name(stream_arn).to_owned();
        if let Some((found, asked)) = there.and_then(|there| wanted.other_start(&there.settings)) {
            return Err(Error::usage(format!(
                "{function} started to read {stream} at {found}; the starting position cannot change to {asked}"
            ))
            .hint(format!(
                "run `streamctl detach {function} --stream {stream}` first, then attach it again"
            )));
        }
        let changes = there
            .map(|there| wanted.differences(&there.settings))
            .unwrap_or_default();
        Ok(Self {
            function: function.to_owned(),
            action: match there {
                None => "create",
                Some(_) if changes.is_empty() => "none",
                Some(_) => "update",
            },
            id: there.map(|there| there.id.clone()),
            state: there.map(|there| there.state.clone()),
            settings: there.map_or(wanted, |there| &there.settings).clone(),
            stream,
            changes,
        })
    }

    /// Takes over the state after the change.
    pub(super) fn settle(&mut self, settled: &Mapping) {
        self.id = Some(settled.id.clone());
        self.state = Some(settled.state.clone());
        self.settings = settled.settings.clone();
    }

    pub(super) fn is_change(&self) -> bool {
        self.action != "none"
    }
}

impl Report for AttachReport {
    fn table(&self, _style: &Style) -> String {
        let (function, stream) = (&self.function, &self.stream);
        let state = self.state.as_deref().unwrap_or("not created yet").to_lowercase();
        let head = match self.action {
            "create" => format!("{function} reads {stream} ({state})"),
            "update" => format!("{function} reads {stream} with new settings ({state})"),
            _ => format!("{function} reads {stream}, nothing changed ({state})"),
        };
        let mut rows = table(["SETTING", "VALUE"]);
        for (name, value) in self.settings.in_words() {
            let Some(value) = value else { continue };
            let change = self.changes.iter().find(|change| change.setting == name);
            rows.add_row([
                name.replace('_', " ").trim_end_matches(" seconds").to_owned(),
                change.map_or(value, |change| format!("{} → {}", change.from, change.to)),
            ]);
        }
        format!("{head}\n\n{}", rows.trim_fmt())
    }

    fn text(&self) -> String {
        let id = self.id.as_deref().unwrap_or("-");
        let state = self.state.as_deref().unwrap_or("-");
        [&self.function, &self.stream, self.action, id, state].join("\t")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::functions::mapping::StartingPosition;

    fn there() -> Mapping {
        Mapping {
            id: "1".to_owned(),
            state: "Enabled".to_owned(),
            settings: Settings {
                batch_size: Some(100),
                window_seconds: Some(0),
                retries: Some(-1),
                bisect: Some(false),
                starting_position: Some(StartingPosition::Latest),
                ..Settings::default()
            },
            ..Mapping::default()
        }
    }

    const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";

    #[test]
    fn a_change_is_shown_before_and_after() {
        let wanted = Settings {
            window_seconds: Some(5),
            retries: Some(3),
            ..Settings::default()
        };
        let report = AttachReport::new("scorer", STREAM, Some(&there()), &wanted).unwrap();
        insta::assert_snapshot!(report.table(&Style::new(false, false)), @r"
        scorer reads orders with new settings (enabled)

        SETTING            VALUE
        batch size         100
        window             0s → 5s
        retries            no limit → 3
        bisect             no
        starting position  latest
        ");
        assert_eq!(report.text(), "scorer\torders\tupdate\t1\tEnabled");
    }

    #[test]
    fn another_start_is_refused() {
        let wanted = Settings {
            starting_position: Some(StartingPosition::TrimHorizon),
            ..Settings::default()
        };
        let error = AttachReport::new("scorer", STREAM, Some(&there()), &wanted).unwrap_err();
        insta::assert_snapshot!(error, @"scorer started to read orders at latest; the starting position cannot change to trim");
        let report = AttachReport::new("scorer", STREAM, None, &wanted).unwrap();
        assert_eq!(report.text(), "scorer\torders\tcreate\t-\t-");
    }
}
