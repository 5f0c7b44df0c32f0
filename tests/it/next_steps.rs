//! What a command says to type next works as it is printed.

use crate::harvest::{unattended, words};
use crate::provision::run;
use crate::support::Cloud;

/// The commands below "Next:" in `stderr`.
fn next_steps(stderr: &str) -> Vec<Vec<String>> {
    let after = stderr.split_once("Next:").map_or("", |(_, after)| after);
    // A long command goes on in the next line.
    let parts: Vec<&str> = after.split(" \\\n").collect();
    let after = parts[..1]
        .iter()
        .copied()
        .chain(parts[1..].iter().map(|part| part.trim_start()))
        .collect::<Vec<_>>()
        .join(" ");
    let lines = after.lines().skip(1).take_while(|line| line.starts_with("  "));
    let commands = lines.map(|line| line.trim_start().split("  ").next().unwrap());
    // What follows ends with Ctrl-C.
    commands
        .map(|command| words(&command.replace(" --follow", "")))
        .collect()
}

/// Runs what `stderr` says to do next, in its order.
fn follow(cloud: &Cloud, stderr: &str) {
    let steps = next_steps(stderr);
    assert!(!steps.is_empty(), "no next step in {stderr}");
    for words in steps {
        let output = cloud.streamctl(&words).args(unattended(&words)).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{words:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn after_setup_of_a_stream() {
    let cloud = Cloud::start();
    follow(&cloud, &run(&cloud, ["setup"]).stderr);
    assert_eq!(cloud.everything(), Vec::<String>::new());
}

#[test]
fn after_setup_of_prices() {
    let cloud = Cloud::start();
    let setup = run(&cloud, ["setup", "prices"]);
    follow(&cloud, &setup.stderr);
    assert_eq!(cloud.everything(), Vec::<String>::new());
}

#[test]
fn after_setup_of_cart() {
    let cloud = Cloud::start();
    // `verify` waits for the buffer.
    let setup = run(&cloud, ["setup", "cart", "--param", "buffer_seconds=0"]);
    follow(&cloud, &setup.stderr);
    assert_eq!(cloud.everything(), Vec::<String>::new());
}

#[test]
fn after_setup_of_realtime() {
    let cloud = Cloud::start();
    follow(&cloud, &run(&cloud, ["setup", "realtime"]).stderr);
}

#[test]
fn after_setup_of_retail() {
    let cloud = Cloud::start();
    follow(&cloud, &run(&cloud, ["setup", "retail"]).stderr);
}

#[test]
fn after_setup_of_concert() {
    let cloud = Cloud::start();
    follow(&cloud, &run(&cloud, ["setup", "concert"]).stderr);
}

#[test]
fn after_setup_of_a_manifest_of_ones_own() {
    let cloud = Cloud::start();
    let written = run(&cloud, ["init", "prices", "--to", "shop.toml"]);
    assert_eq!(written.code, 0, "{}", written.stderr);
    let setup = run(
        &cloud,
        ["setup", "-f", "shop.toml", "--param", "stream=shop-prices"],
    );
    follow(&cloud, &setup.stderr);
}

#[test]
fn after_deploying_a_bundled_handler() {
    let cloud = Cloud::start();
    follow(&cloud, &run(&cloud, ["deploy", "price-updater"]).stderr);
}

#[test]
fn after_attaching_a_function() {
    let cloud = crate::functions::with_scorer(&[]);
    cloud.stream("orders", 1);
    follow(
        &cloud,
        &run(&cloud, ["attach", "scorer", "--stream", "orders"]).stderr,
    );
}

#[test]
fn after_writing_a_template() {
    let cloud = Cloud::start();
    let written = run(&cloud, ["init", "stream", "--to", "my templates"]);
    follow(&cloud, &written.stderr);
}

/// Sample products are loaded first, so that no sample event is refused.
#[test]
fn sample_events_of_prices_leave_no_dead_letter() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "prices"]);
    let missing = run(&cloud, ["sample", "load", "retail"]);
    assert_eq!(missing.code, 1, "{}", missing.stderr);
    let loaded = cloud.json(["sample", "load", "prices"]);
    assert_eq!(loaded[0]["table"], "products");
    assert_eq!(
        cloud.json(["sample", "load", "prices"]),
        loaded,
        "the second time"
    );
    cloud.file("events.json", cloud.ok(["sample", "events", "prices"]));
    cloud.ok([
        "put",
        "--stream",
        "ProductPricesStream",
        "--file",
        "events.json",
        "--partition-key-field",
        "product_id",
    ]);
    let verified = cloud.json(["verify", "prices"]);
    let checks = verified["resources"].as_array().unwrap().iter();
    let cautions = checks
        .flat_map(|one| one["checks"].as_array().unwrap())
        .filter(|check| check["check"] == "messages");
    assert_eq!(cautions.count(), 0, "{verified}");
}

#[test]
fn dead_letters_are_worth_a_look() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "prices"]);
    cloud.file("events.json", "{\"product_id\": \"nobody\", \"price\": 1}\n");
    cloud.ok(["put", "--stream", "ProductPricesStream", "--file", "events.json"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(50);
    loop {
        // Its alarms may be faults.
        let verified = run(&cloud, ["verify", "prices", "--no-put", "-o", "json"]).stdout;
        if verified.contains("holds about 1 message") {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{verified}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}
