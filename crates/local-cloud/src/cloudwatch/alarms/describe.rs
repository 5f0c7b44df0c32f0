//! DescribeAlarms and DescribeAlarmsForMetric.

use super::{Alarms, MAX_NAMES};
use crate::Caller;
use crate::cloudwatch::alarm::{Alarm, State, name_of};
use crate::cloudwatch::error::ApiError;
use crate::cloudwatch::input::Fields;
use crate::cloudwatch::put;
use crate::cloudwatch::wire::Out;

/// Source: DescribeAlarms, `MaxRecords`.
const MAX_RECORDS: i64 = 100;

/// What DescribeAlarms asks for.
struct Filter<'a> {
    names: Vec<&'a str>,
    prefix: Option<&'a str>,
    state: Option<State>,
    action: Option<&'a str>,
    types: Vec<&'a str>,
    /// The alarms in the rule of this one.
    children: Option<Vec<String>>,
    /// The composite alarms with this one in their rule.
    parents_of: Option<&'a str>,
}

impl<'a> Filter<'a> {
    fn read(input: &Fields<'a>, alarms: &Alarms, caller: &Caller) -> Result<Self, ApiError> {
        let names = input.words("AlarmNames", MAX_NAMES)?;
        let prefix = input.text("AlarmNamePrefix", 255)?;
        if !names.is_empty() && prefix.is_some() {
            return Err(ApiError::combination(
                "AlarmNames and AlarmNamePrefix must not be given together.",
            ));
        }
        let state = match input.text("StateValue", 255)? {
            Some(word) => Some(State::parse(word).ok_or_else(|| input.invalid("StateValue", word))?),
            None => None,
        };
        let children = input.text("ChildrenOfAlarmName", 255)?.map(|name| {
            let parent = alarms.of(caller).find(|alarm| alarm.name == name);
            let rule = parent
                .and_then(Alarm::composite)
                .and_then(|composite| composite.parsed());
            let names = rule.iter().flat_map(|rule| rule.names());
            names.map(str::to_owned).collect()
        });
        Ok(Self {
            names,
            prefix,
            state,
            action: input.text("ActionPrefix", 1024)?,
            types: input.words("AlarmTypes", 3)?,
            children,
            parents_of: input.text("ParentsOfAlarmName", 255)?,
        })
    }

    fn accepts(&self, alarm: &Alarm) -> bool {
        // Without types, only metric alarms; both where the relation asks for composite alarms.
        let related = self.children.is_some() || self.parents_of.is_some();
        let of_type = match self.types.as_slice() {
            [] => related || alarm.metric().is_some(),
            types => types.contains(&alarm.type_name()),
        };
        let in_rule = |name: &str| {
            let rule = alarm.composite().and_then(|composite| composite.parsed());
            rule.is_some_and(|rule| rule.names().contains(&name))
        };
        of_type
            && (self.names.is_empty() || self.names.iter().any(|name| name_of(name) == alarm.name))
            && self.prefix.is_none_or(|prefix| alarm.name.starts_with(prefix))
            && self.state.is_none_or(|state| alarm.state == state)
            && self
                .action
                .is_none_or(|action| alarm.all_actions().any(|arn| arn.starts_with(action)))
            && self
                .children
                .as_ref()
                .is_none_or(|children| children.contains(&alarm.name))
            && self.parents_of.is_none_or(in_rule)
    }
}

impl Alarms {
    pub(in crate::cloudwatch) fn describe(
        &self,
        caller: &Caller,
        input: &Fields<'_>,
    ) -> Result<Out, ApiError> {
        let filter = Filter::read(input, self, caller)?;
        let max = input.integer("MaxRecords")?.unwrap_or(50);
        if !(1..=MAX_RECORDS).contains(&max) {
            return Err(input.invalid("MaxRecords", max));
        }
        let after = input.text("NextToken", 1024)?;
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut page: Vec<&Alarm> = self
            .of(caller)
            .filter(|alarm| after.is_none_or(|after| alarm.name.as_str() > after))
            .filter(|alarm| filter.accepts(alarm))
            .take(max + 1)
            .collect();
        let more = page.len() > max;
        page.truncate(max);
        let next = page.last().filter(|_| more).map(|alarm| alarm.name.clone());
        let (metric, composite): (Vec<&Alarm>, Vec<&Alarm>) =
            page.into_iter().partition(|alarm| alarm.metric().is_some());
        let list = |all: Vec<&Alarm>| Out::List(all.iter().map(|alarm| alarm.out(caller)).collect());
        let mut out = vec![
            ("MetricAlarms", list(metric)),
            ("CompositeAlarms", list(composite)),
        ];
        out.extend(next.map(|next| ("NextToken", Out::Text(next))));
        Ok(Out::Struct(out))
    }

    pub(in crate::cloudwatch) fn describe_for_metric(
        &self,
        caller: &Caller,
        input: &Fields<'_>,
    ) -> Result<Out, ApiError> {
        let metric = input.need_text("MetricName", 255)?;
        let namespace = put::namespace(input)?.ok_or_else(|| ApiError::missing("Namespace"))?;
        let mut dimensions = input.dimensions(30)?;
        dimensions.sort();
        let alarms = self.of(caller).filter(|alarm| {
            let watched = alarm.metric();
            watched.is_some_and(|watched| watched.watches(namespace, metric, &dimensions))
        });
        let alarms = alarms.map(|alarm| alarm.out(caller)).collect();
        Ok(Out::Struct(vec![("MetricAlarms", Out::List(alarms))]))
    }
}
