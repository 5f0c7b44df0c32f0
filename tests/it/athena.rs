//! Glue databases and tables, and work groups of Athena: from a manifest of the user, and in the template `cart`.

use serde_json::{Value, json};

use crate::policies::{User, actions, without};
use crate::support::Cloud;
use crate::web::exchange;

const MANIFEST: &str = r#"
name = "shop"
description = "Orders for Athena"
instance = "main"

[[resources]]
kind = "bucket"
id = "lake"
[resources.properties]
name = "shop-lake-000000000000"

[[resources]]
kind = "glue_database"
id = "catalog"
[resources.properties]
name = "shop"
description = "Orders of the shop"
derived_tables = "s3://${lake.name}/athena/"

[[resources]]
kind = "glue_table"
id = "orders"
[resources.properties]
database = "${catalog.name}"
name = "orders"
location = "s3://${lake.name}/orders/"
columns = [{ name = "user_id", type = "bigint" }, { name = "products", type = "array<string>" }]
partition_keys = [{ name = "day", type = "string" }]

[[resources]]
kind = "athena_workgroup"
id = "queries"
[resources.properties]
name = "shop"
description = "Queries of the shop"
results = "s3://${lake.name}/athena/"
scan_limit_bytes = 1_000_000_000

[outputs]
database = "${catalog.name}"
table = "${orders.arn}"
workgroup = "${queries.name}"
"#;

/// The manifest with other properties.
fn changed() -> String {
    MANIFEST
        .replace("Orders of the shop", "All orders")
        .replace("array<string>", "array<int>")
        .replace("Queries of the shop", "All queries")
        .replace("1_000_000_000", "2_000_000_000")
}

/// Calls an operation, such as `AWSGlue.GetTable`.
fn call(cloud: &Cloud, target: &str, input: &Value) -> Value {
    let service = if target.starts_with("AWSGlue") {
        "glue"
    } else {
        "athena"
    };
    let headers = format!(
        "X-Amz-Target: {target}\r\nContent-Type: application/x-amz-json-1.1\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, \
         SignedHeaders=host, Signature=0\r\n"
    );
    let url = format!("{}/", cloud.endpoint);
    let answer = exchange("POST", &url, &headers, input.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    answer.json()
}

/// A table with its data at `location`, as CREATE TABLE AS of Athena makes it.
fn add_table(cloud: &Cloud, database: &str, name: &str, location: &str) {
    let table = json!({
        "Name": name, "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "presto_version": "0.215"},
        "StorageDescriptor": {"Location": location, "Columns": [{"Name": "a", "Type": "int"}]},
    });
    call(
        cloud,
        "AWSGlue.CreateTable",
        &json!({"DatabaseName": database, "TableInput": table}),
    );
}

/// The databases and work groups of the account, but for the work group that each account has.
fn all(cloud: &Cloud) -> Vec<String> {
    let names = |list: &Value| -> Vec<String> {
        let items = list.as_array().unwrap().iter();
        items
            .map(|one| one["Name"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut all = names(&call(cloud, "AWSGlue.GetDatabases", &json!({}))["DatabaseList"]);
    all.extend(names(
        &call(cloud, "AmazonAthena.ListWorkGroups", &json!({}))["WorkGroups"],
    ));
    all.retain(|name| name != "primary");
    all
}

#[test]
fn they_are_set_up_changed_kept_over_a_restart_and_destroyed() {
    let mut cloud = Cloud::start();
    cloud.file("shop.toml", MANIFEST);
    cloud.ok(["setup", "-f", "shop.toml"]);
    cloud.ok(["plan", "--check", "-f", "shop.toml"]);
    cloud.ok(["verify", "-f", "shop.toml"]);
    let outputs = cloud.json(["outputs", "-f", "shop.toml"]);
    assert_eq!(
        outputs,
        json!({
            "database": "shop", "workgroup": "shop",
            "table": "arn:aws:glue:us-east-1:000000000000:table/shop/orders",
        })
    );
    cloud.kill();
    cloud.restart();
    cloud.ok(["plan", "--check", "-f", "shop.toml"]);

    cloud.file("shop.toml", changed());
    cloud.fails(5, ["plan", "--check", "-f", "shop.toml"]);
    cloud.ok(["setup", "-f", "shop.toml", "--tag", "Team=blue"]);
    cloud.ok(["plan", "--check", "-f", "shop.toml"]);
    let named = json!({"DatabaseName": "shop", "Name": "orders"});
    let table = &call(&cloud, "AWSGlue.GetTable", &named)["Table"];
    assert_eq!(table["StorageDescriptor"]["Columns"][1]["Type"], "array<int>");
    assert_eq!(table["VersionId"], "1");

    cloud.file("shop.toml", MANIFEST.replace("name = \"day\"", "name = \"hour\""));
    let refused = cloud.fails(1, ["setup", "-f", "shop.toml"]);
    assert!(refused.contains("has other partition keys"), "{refused}");
    cloud.file("shop.toml", MANIFEST);
    cloud.ok(["destroy", "-f", "shop.toml", "--yes"]);
    assert_eq!(all(&cloud), Vec::<String>::new());
    assert_eq!(cloud.everything(), Vec::<String>::new());
}

#[test]
fn what_others_made_in_them_keeps_them() {
    let cloud = Cloud::start();
    cloud.file("shop.toml", MANIFEST);
    cloud.ok(["setup", "-f", "shop.toml"]);
    add_table(
        &cloud,
        "shop",
        "features",
        "s3://shop-lake-000000000000/athena/tables/1",
    );
    add_table(&cloud, "shop", "theirs", "s3://another/theirs/");
    let query =
        json!({"Name": "revenue", "Database": "shop", "QueryString": "SELECT 1", "WorkGroup": "shop"});
    let query = call(&cloud, "AmazonAthena.CreateNamedQuery", &query);
    let kept = cloud.fails(3, ["destroy", "-f", "shop.toml", "--yes"]);
    for words in [
        "is used by glue_table shop.theirs",
        "is used by saved query revenue",
        "delete what uses it",
    ] {
        assert!(kept.contains(words), "{words}: {kept}");
    }
    assert_eq!(all(&cloud), ["shop", "shop"]);
    let theirs = json!({"DatabaseName": "shop", "Name": "theirs"});
    call(&cloud, "AWSGlue.DeleteTable", &theirs);
    let plan = cloud.ok(["destroy", "-f", "shop.toml", "--dry-run"]);
    assert!(plan.contains("shop.features"), "{plan}");
    call(&cloud, "AmazonAthena.DeleteNamedQuery", &query);
    cloud.ok(["destroy", "-f", "shop.toml", "--yes"]);
    assert_eq!(all(&cloud), Vec::<String>::new());
}

/// Runs all changes as `operator`; what failed.
fn round(cloud: &Cloud, operator: &User<'_>) -> Option<String> {
    let run = |args: &[&str]| {
        let (code, said) = operator.run(args);
        (code != 0).then_some(said)
    };
    cloud.file("shop.toml", MANIFEST);
    if let Some(said) = run(&["setup", "-f", "shop.toml", "--tag", "Team=blue"]) {
        return Some(said);
    }
    cloud.file("shop.toml", changed());
    if let Some(said) = run(&["setup", "-f", "shop.toml", "--tag", "Stage=x", "--untag", "Team"]) {
        return Some(said);
    }
    add_table(
        cloud,
        "shop",
        "features",
        "s3://shop-lake-000000000000/athena/tables/1",
    );
    run(&["destroy", "-f", "shop.toml", "--yes"])
}

#[test]
fn an_operator_needs_each_action_of_the_policy() {
    /// Only to name saved queries, which keep a work group.
    const OF_SAVED_QUERIES: &str = "athena:BatchGetNamedQuery";
    let cloud = Cloud::start();
    cloud.file("shop.toml", MANIFEST);
    let output = cloud
        .streamctl(["plan", "-f", "shop.toml", "--iam"])
        .output()
        .unwrap();
    let whole: Value = serde_json::from_slice(&output.stdout).unwrap();
    let operator = User::new(&cloud, "operator");
    operator.allow(&whole);
    assert_eq!(round(&cloud, &operator), None);
    let all = actions(&whole);
    let ours = all.iter().filter(|action| {
        let service = action.split(':').next();
        matches!(service, Some("glue" | "athena")) && *action != OF_SAVED_QUERIES
    });
    let mut count = 0;
    for action in ours {
        operator.allow(&without(&whole, action));
        let failed = round(&cloud, &operator);
        assert!(failed.is_some(), "{action} is not needed");
        operator.allow(&whole);
        operator.may(&["destroy", "-f", "shop.toml", "--yes"]);
        count += 1;
    }
    assert_eq!(count, 22);
}

#[test]
fn an_operator_without_them_needs_no_permission_for_them() {
    let cloud = Cloud::start();
    let mut manifest = MANIFEST.replace(
        "instance = \"main\"",
        "instance = \"main\"\n[parameters.athena]\ntype = \"boolean\"\ndescription = \"Queries\"\ndefault = false",
    );
    for id in ["catalog", "orders", "queries"] {
        let id = format!("id = \"{id}\"\n");
        manifest = manifest.replace(&id, &format!("{id}when = \"athena\"\n"));
    }
    cloud.file("shop.toml", manifest);
    let operator = User::new(&cloud, "operator");
    operator.allow(&json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["s3:*", "sts:*", "tag:*"], "Resource": "*"},
    ]}));
    operator.may(&["setup", "-f", "shop.toml"]);
    let (code, said) = operator.run(&["destroy", "-f", "shop.toml", "--yes"]);
    assert_eq!(code, 0, "{said}");
    let words = "could not find out whether there is a glue database shop, which these parameters leave out";
    assert!(said.contains(words), "{said}");
    assert_eq!(cloud.everything(), Vec::<String>::new());
    // What they do not leave out must be seen.
    operator.may_not(&["destroy", "-f", "shop.toml", "--yes", "--param", "athena=true"]);
}

#[test]
fn the_cart_has_its_orders_in_athena() {
    let cloud = Cloud::start();
    let made = cloud.json(["setup", "cart"]);
    assert_eq!(made["outputs"].get("database_name"), None, "{made}");
    assert_eq!(all(&cloud), Vec::<String>::new());
    // Old results of queries are deleted: that is to be confirmed for a bucket that exists.
    let made = cloud.json(["setup", "cart", "--param", "athena=true", "--yes"]);
    let output = |name: &str| made["outputs"][name].as_str().unwrap().to_owned();
    assert_eq!(
        (output("database_name"), output("workgroup_name")),
        ("cart".into(), "cart".into())
    );
    let bucket = output("bucket_name");
    let again = cloud.json(["setup", "cart", "--param", "athena=true"]);
    let mut resources = again["resources"].as_array().unwrap().iter();
    assert!(resources.all(|one| one["result"] == "unchanged"), "{again}");

    // The table is the one of the statements in features.sql.
    let statements = include_str!("../../templates/cart/features.sql");
    let named = json!({"DatabaseName": "cart", "Name": "orders"});
    let table = &call(&cloud, "AWSGlue.GetTable", &named)["Table"];
    let storage = &table["StorageDescriptor"];
    for column in storage["Columns"].as_array().unwrap() {
        let text = |member: &str| column[member].as_str().unwrap();
        let written = format!(
            "    {} {}",
            text("Name"),
            text("Type").replace(':', ": ").replace(',', ", ")
        );
        assert!(statements.contains(&written), "{written}");
    }
    let serde = storage["SerdeInfo"]["SerializationLibrary"].as_str().unwrap();
    assert!(statements.contains(&format!("'{serde}'")), "{serde}");
    assert_eq!(storage["Location"], format!("s3://{bucket}/orders/"));
    for name in ["user_features", "product_features"] {
        assert!(statements.contains(&format!("CREATE TABLE {name} WITH")));
        add_table(
            &cloud,
            "cart",
            name,
            &format!("s3://{bucket}/athena/tables/{name}"),
        );
    }
    cloud.ok(["destroy", "cart", "--yes"]);
    assert_eq!(all(&cloud), Vec::<String>::new());
    assert_eq!(cloud.everything(), Vec::<String>::new());
}
