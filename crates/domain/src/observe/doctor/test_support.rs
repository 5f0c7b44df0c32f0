//! Facts for the tests of checks.

use std::collections::{BTreeMap, BTreeSet};

use crate::context::Context;
use crate::functions::function::FunctionState;
use crate::functions::mapping::{self, Mapping};
use crate::observe::doctor::subject::Function;
use crate::settings::Settings;
use crate::stream::{Mode, Status, StreamState};

/// A context that no call is made with.
pub async fn context() -> Context {
    let settings = Settings::of_endpoint("http://127.0.0.1:9");
    Context::connect(settings).await.unwrap()
}

/// A provisioned stream of one shard.
pub fn stream(name: &str) -> StreamState {
    StreamState {
        name: name.to_owned(),
        arn: arn(name),
        status: Status::Active,
        mode: Mode::Provisioned,
        open_shards: 1,
        retention_hours: 24,
        encryption: None,
        monitoring: BTreeSet::new(),
        tags: BTreeMap::new(),
        consumer_count: 0,
        created: "2026-11-28T12:00:00Z".parse().ok(),
        max_record_size_kib: 1024,
        warm_throughput_mibps: None,
        record_distribution: None,
    }
}

fn arn(stream: &str) -> String {
    format!("arn:aws:kinesis:us-east-1:000000000000:stream/{stream}")
}

/// An enabled mapping with Lambda's defaults.
pub fn mapping(function: &str, stream: &str) -> Mapping {
    Mapping {
        id: "6cb2b1a8".to_owned(),
        function_arn: format!("arn:aws:lambda:us-east-1:000000000000:function:{function}"),
        stream_arn: arn(stream),
        state: "Enabled".to_owned(),
        last_result: "OK".to_owned(),
        settings: mapping::Settings {
            batch_size: Some(100),
            window_seconds: Some(0),
            parallelization: Some(1),
            retries: Some(-1),
            max_record_age_seconds: Some(-1),
            bisect: Some(false),
            partial_failures: Some(false),
            tumbling_window_seconds: Some(0),
            on_failure: Some(String::new()),
            filters: Some(Vec::new()),
            enabled: Some(true),
            starting_position: None,
        },
        ..Mapping::default()
    }
}

/// An active function with a timeout of 60 seconds.
pub fn function(name: &str) -> Function {
    Function {
        name: name.to_owned(),
        state: FunctionState {
            arn: format!("arn:aws:lambda:us-east-1:000000000000:function:{name}"),
            runtime: "provided.al2023".to_owned(),
            memory_mb: 128,
            timeout_seconds: 60,
            log_group: format!("/aws/lambda/{name}"),
            state: "Active".to_owned(),
            last_update: "Successful".to_owned(),
            ..FunctionState::default()
        },
        tags: BTreeMap::new(),
    }
}
