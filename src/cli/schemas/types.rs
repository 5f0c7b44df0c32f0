//! What each command prints: the types of all documents that it may print with `-o json`.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::written::{PolicyDocument, PutEntry, RecordedLine, ResourcePolicy};
use crate::cli::shared::{change::ChangeReport, sending::report as sending};
use crate::cli::{
    account, alarms, attach, channel, config, consumer, copy, cost, dashboard, delete, demo, describe,
    detach, dlq, doctor, group, handlers, init, invoke, list, local, logs, mappings, metrics, open, outputs,
    policy, reshard, sample, size, tag, tail, top,
};
use domain::pipeline::{apply::RunReport, plan::PlanReport, verify::VerifyReport};

/// Makes the schema of a type.
pub(super) type Make = fn(&mut SchemaGenerator) -> Schema;

pub(super) fn make<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

macro_rules! types {
    ($($command:literal: $($kind:ty)|+;)*) => {
        /// The commands, each with the types of what it prints.
        pub(super) fn types() -> Vec<(&'static str, Vec<Make>)> {
            vec![$(($command, vec![$(make::<$kind> as Make),+])),*]
        }
    };
}

types! {
    "account set": account::SetReport;
    "account show": account::AccountReport;
    "alarms delete": alarms::delete::Deleted;
    "alarms history": alarms::history::History;
    "alarms list": alarms::list::Alarms;
    "alarms mute": alarms::mute::MuteReport;
    "alarms set": RunReport | PlanReport;
    "alarms subscribe": RunReport | PlanReport;
    "alarms test": alarms::trial::Tried;
    "alarms unmute": alarms::mute::MuteReport;
    "attach": attach::report::AttachReport | RunReport | PlanReport;
    "channel create": channel::Created;
    "channel delete": channel::Deleted;
    "channel describe": channel::One;
    "channel list": channel::Channels;
    "channel update": ChangeReport;
    "config get": config::Setting;
    "config path": config::Location;
    "config set": config::Changed;
    "config show": config::Settings;
    "config trust": config::Trusted;
    "config untrust": config::Trusted;
    "consumer deregister": consumer::Deregistered;
    "consumer describe": consumer::One;
    "consumer list": consumer::Consumers;
    "consumer register": consumer::One;
    "copy": copy::CopyReport;
    "cost": cost::report::CostReport | cost::report::Refresh;
    "cost actual": cost::billed::ActualReport;
    "cost so-far": cost::billed::SoFarReport;
    "create": ChangeReport;
    "dashboard create": RunReport | PlanReport;
    "dashboard delete": RunReport | PlanReport;
    "dashboard open": dashboard::Address | dashboard::show::Shown;
    "dashboard show": dashboard::show::Shown;
    "delete": delete::DeleteReport;
    "demo": demo::report::DemoReport;
    "deploy": RunReport | PlanReport;
    "describe": describe::report::DescribeReport;
    "destroy": RunReport | PlanReport;
    "detach": detach::DetachReport;
    "dlq list": dlq::Messages;
    "dlq replay": dlq::Messages;
    "doctor": doctor::report::DoctorReport;
    "encrypt": ChangeReport;
    "generate": PutEntry | sending::PutReport;
    "group list": group::Groups;
    "group reset": group::Reset;
    "group show": group::Positions;
    "handlers": handlers::HandlersReport;
    "init": init::Templates | init::Written;
    "invoke": invoke::InvokeReport<'static>;
    "list": list::ListReport;
    "local clock": local::report::ClockReport;
    "local env": BTreeMap<String, Option<String>>;
    "local reset": local::report::ResetReport;
    "local start": local::report::StatusReport;
    "local status": local::report::StatusReport;
    "local stop": local::report::StopReport;
    "logs": logs::JsonLine<'static>;
    "mappings": mappings::MappingsReport;
    "metrics": metrics::shape::Shape<'static>;
    "mode": ChangeReport;
    "monitoring disable": ChangeReport;
    "monitoring enable": ChangeReport;
    "open": open::Page;
    "outputs": outputs::Outputs;
    "plan": PlanReport | PolicyDocument;
    "policy": PolicyDocument | policy::function::PolicyReport;
    "policy allow": policy::sharing::SharingReport;
    "policy attach": policy::ManagedReport;
    "policy create": policy::ManagedReport;
    "policy delete": policy::sharing::SharingReport;
    "policy detach": policy::detach::DetachReport;
    "policy show": Option<ResourcePolicy>;
    "policy simulate": policy::SimulationReport;
    "put": sending::PutReport | sending::DryRunReport;
    "record-size": ChangeReport;
    "reshard": reshard::report::ReshardReport | reshard::auto::Line<'static>;
    "retention": ChangeReport;
    "sample load": sample::Loaded;
    "setup": RunReport | PlanReport;
    "size": size::report::SizeReport;
    "tag add": ChangeReport;
    "tag list": tag::Tags;
    "tag remove": ChangeReport;
    "tail": RecordedLine | tail::stats::StatsReport | tail::invoke::Line<'static>;
    "top": top::report::Shape<'static>;
    "undeploy": RunReport | PlanReport;
    "verify": VerifyReport;
    "warm-throughput": ChangeReport;
}
