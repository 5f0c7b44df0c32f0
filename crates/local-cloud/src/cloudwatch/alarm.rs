//! An alarm: its configuration and state, read from a request and written to an answer.
//!
//! Source: PutMetricAlarm, PutCompositeAlarm, DescribeAlarms and the types MetricAlarm and CompositeAlarm, CloudWatch API
//! reference.

mod metric;

use serde::{Deserialize, Serialize};

pub(super) use self::metric::{LowSamples, MetricAlarm, OneMetric, Watched, Window};

use super::error::ApiError;
use super::input::Fields;
use super::rule::Rule;
use super::wire::Out;
use crate::{Caller, partition};

/// Actions per state. Source: PutMetricAlarm, `AlarmActions`.
const MAX_ACTIONS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    #[serde(rename = "OK")]
    Ok,
    #[serde(rename = "ALARM")]
    Alarm,
    #[serde(rename = "INSUFFICIENT_DATA")]
    InsufficientData,
}

impl State {
    pub(super) const ALL: [Self; 3] = [Self::InsufficientData, Self::Alarm, Self::Ok];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// When a datapoint is breaching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Comparison {
    AtLeast,
    Above,
    Below,
    AtMost,
}

impl Comparison {
    const ALL: [(&'static str, Self, &'static str); 4] = [
        (
            "GreaterThanOrEqualToThreshold",
            Self::AtLeast,
            "greater than or equal to",
        ),
        ("GreaterThanThreshold", Self::Above, "greater than"),
        ("LessThanThreshold", Self::Below, "less than"),
        (
            "LessThanOrEqualToThreshold",
            Self::AtMost,
            "less than or equal to",
        ),
    ];

    fn parse(word: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|(name, ..)| *name == word);
        known.map(|(_, comparison, _)| comparison)
    }

    pub(super) fn name(self) -> &'static str {
        let known = Self::ALL.into_iter().find(|(_, one, _)| *one == self);
        known.map_or("", |(name, ..)| name)
    }

    /// In AWS's wording for a state's reason.
    pub(super) fn words(self) -> &'static str {
        let known = Self::ALL.into_iter().find(|(_, one, _)| *one == self);
        known.map_or("", |(.., words)| words)
    }

    pub(super) fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::AtLeast => value >= threshold,
            Self::Above => value > threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
        }
    }
}

/// Treatment of periods without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MissingData {
    Breaching,
    NotBreaching,
    Ignore,
    Missing,
}

impl MissingData {
    const ALL: [(&'static str, Self); 4] = [
        ("breaching", Self::Breaching),
        ("notBreaching", Self::NotBreaching),
        ("ignore", Self::Ignore),
        ("missing", Self::Missing),
    ];

    pub(super) fn name(self) -> &'static str {
        let known = Self::ALL.into_iter().find(|(_, one)| *one == self);
        known.map_or("missing", |(name, _)| name)
    }
}

/// An alarm of either type. Both share their names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Alarm {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) actions_enabled: bool,
    pub(super) ok_actions: Vec<String>,
    pub(super) alarm_actions: Vec<String>,
    pub(super) insufficient_data_actions: Vec<String>,
    /// Milliseconds since the Unix epoch, like the other times.
    pub(super) configured_ms: i64,
    pub(super) state: State,
    pub(super) reason: String,
    pub(super) reason_data: Option<String>,
    pub(super) state_updated_ms: i64,
    pub(super) state_changed_ms: i64,
    #[serde(flatten)]
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Kind {
    Composite(CompositeAlarm),
    Metric(MetricAlarm),
}

/// An alarm on other alarms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct CompositeAlarm {
    /// As given. Valid, since it was parsed when the alarm was created.
    pub(super) rule: String,
}

impl CompositeAlarm {
    pub(super) fn parsed(&self) -> Option<Rule> {
        Rule::parse(&self.rule).ok()
    }
}

impl Alarm {
    /// Parses PutMetricAlarm.
    pub(super) fn read_metric(input: &Fields<'_>, now_ms: i64) -> Result<Self, ApiError> {
        let kind = Kind::Metric(MetricAlarm::read(input)?);
        Self::read(input, kind, now_ms)
    }

    /// Parses PutCompositeAlarm.
    pub(super) fn read_composite(input: &Fields<'_>, now_ms: i64) -> Result<Self, ApiError> {
        if input.has("ActionsSuppressor") {
            return Err(ApiError::validation(
                "The local cloud does not offer the suppression of actions (ActionsSuppressor).",
            ));
        }
        // Source: PutCompositeAlarm, `AlarmRule`: at most 10,240 characters.
        let rule = input.need_text("AlarmRule", 10_240)?;
        Rule::parse(rule).map_err(|problem| {
            ApiError::validation(format!("The parameter AlarmRule is not valid: {problem}."))
        })?;
        let rule = rule.to_owned();
        Self::read(input, Kind::Composite(CompositeAlarm { rule }), now_ms)
    }

    fn read(input: &Fields<'_>, kind: Kind, now_ms: i64) -> Result<Self, ApiError> {
        let words = |name: &str| -> Result<Vec<String>, ApiError> {
            let words = input.words(name, MAX_ACTIONS)?;
            Ok(words.into_iter().map(str::to_owned).collect())
        };
        Ok(Self {
            name: input.need_text("AlarmName", 255)?.to_owned(),
            description: input.text_or_empty("AlarmDescription", 1024)?.map(str::to_owned),
            actions_enabled: input.flag("ActionsEnabled")?.unwrap_or(true),
            ok_actions: words("OKActions")?,
            alarm_actions: words("AlarmActions")?,
            insufficient_data_actions: words("InsufficientDataActions")?,
            configured_ms: now_ms,
            state: State::InsufficientData,
            reason: "Unchecked: Initial alarm creation".to_owned(),
            reason_data: None,
            state_updated_ms: now_ms,
            state_changed_ms: now_ms,
            kind,
        })
    }

    /// Takes over the state of the replaced alarm. Source: PutMetricAlarm: "its state is left unchanged".
    pub(super) fn replacing(mut self, before: &Self) -> Self {
        self.state = before.state;
        self.reason.clone_from(&before.reason);
        self.reason_data.clone_from(&before.reason_data);
        self.state_updated_ms = before.state_updated_ms;
        self.state_changed_ms = before.state_changed_ms;
        self
    }

    pub(super) fn composite(&self) -> Option<&CompositeAlarm> {
        match &self.kind {
            Kind::Composite(composite) => Some(composite),
            Kind::Metric(_) => None,
        }
    }

    pub(super) fn metric(&self) -> Option<&MetricAlarm> {
        match &self.kind {
            Kind::Metric(metric) => Some(metric),
            Kind::Composite(_) => None,
        }
    }

    /// `MetricAlarm` or `CompositeAlarm`.
    pub(super) fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Metric(_) => "MetricAlarm",
            Kind::Composite(_) => "CompositeAlarm",
        }
    }

    /// The actions for the current state.
    pub(super) fn actions(&self) -> &[String] {
        match self.state {
            State::Ok => &self.ok_actions,
            State::Alarm => &self.alarm_actions,
            State::InsufficientData => &self.insufficient_data_actions,
        }
    }

    /// The actions for all states.
    pub(super) fn all_actions(&self) -> impl Iterator<Item = &String> {
        self.ok_actions
            .iter()
            .chain(&self.alarm_actions)
            .chain(&self.insufficient_data_actions)
    }

    /// The alarm as DescribeAlarms returns it.
    pub(super) fn out(&self, caller: &Caller) -> Out {
        let list = |words: &[String]| Out::List(words.iter().map(|word| text(word)).collect());
        let mut fields = vec![
            ("AlarmName", text(&self.name)),
            ("AlarmArn", Out::Text(arn(caller, &self.name))),
            (
                "AlarmConfigurationUpdatedTimestamp",
                Out::Time(self.configured_ms),
            ),
            ("ActionsEnabled", Out::Flag(self.actions_enabled)),
            ("OKActions", list(&self.ok_actions)),
            ("AlarmActions", list(&self.alarm_actions)),
            ("InsufficientDataActions", list(&self.insufficient_data_actions)),
            ("StateValue", text(self.state.word())),
            ("StateReason", text(&self.reason)),
            ("StateUpdatedTimestamp", Out::Time(self.state_updated_ms)),
            ("StateTransitionedTimestamp", Out::Time(self.state_changed_ms)),
        ];
        let optional = [
            ("AlarmDescription", self.description.as_deref()),
            ("StateReasonData", self.reason_data.as_deref()),
        ];
        fields.extend(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((name, text(value?)))),
        );
        match &self.kind {
            Kind::Metric(metric) => fields.extend(metric.out()),
            Kind::Composite(composite) => fields.push(("AlarmRule", text(&composite.rule))),
        }
        Out::Struct(fields)
    }
}

fn text(text: &str) -> Out {
    Out::Text(text.to_owned())
}

pub(super) fn arn(caller: &Caller, name: &str) -> String {
    let Caller { account, region } = caller;
    format!(
        "arn:{}:cloudwatch:{region}:{account}:alarm:{name}",
        partition(region)
    )
}

/// The name of the alarm that `reference` names: an ARN, or the name itself.
pub(super) fn name_of(reference: &str) -> &str {
    let is_arn = reference.starts_with("arn:");
    match reference.split_once(":alarm:") {
        Some((_, name)) if is_arn => name,
        _ => reference,
    }
}
