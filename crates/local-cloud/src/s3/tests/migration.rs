//! Homes of earlier versions.

use rusqlite::Connection;
use serde_json::Value;

use super::*;
use crate::test_support::{ok, refused};

/// The tables as the version before made them.
const TABLES: &str = "
    CREATE TABLE buckets (account TEXT NOT NULL, bucket TEXT NOT NULL, description TEXT NOT NULL, PRIMARY KEY (account, bucket)) WITHOUT ROWID;
    CREATE TABLE objects (account TEXT NOT NULL, bucket TEXT NOT NULL, key TEXT NOT NULL, versions TEXT NOT NULL, PRIMARY KEY (account, bucket, key));
    CREATE TABLE uploads (account TEXT NOT NULL, bucket TEXT NOT NULL, id TEXT NOT NULL, upload TEXT NOT NULL, PRIMARY KEY (account, bucket, id));
    CREATE TABLE garbage (file TEXT PRIMARY KEY) WITHOUT ROWID;
";
const ACCOUNT: &str = "000000000000";

/// A home as the version before left it: a recording of its database.
fn old_home(dir: &std::path::Path) -> Connection {
    let recorded: Value = serde_json::from_str(include_str!("old_home.json")).unwrap();
    let files = dir.join("services/s3-objects");
    std::fs::create_dir_all(&files).unwrap();
    for (at, body) in ["", "hello", "one", "two", "part one"].iter().enumerate() {
        std::fs::write(files.join(format!("file-{at}")), body).unwrap();
    }
    let db = Connection::open(dir.join("services/s3.db")).unwrap();
    db.execute_batch(TABLES).unwrap();
    let text = |value: &Value| value.to_string();
    db.execute(
        "INSERT INTO buckets VALUES (?1, 'orders', ?2)",
        [ACCOUNT, &text(&recorded["bucket"])],
    )
    .unwrap();
    for object in recorded["objects"].as_array().unwrap() {
        db.execute(
            "INSERT INTO objects VALUES (?1, 'orders', ?2, ?3)",
            [
                ACCOUNT,
                object["key"].as_str().unwrap(),
                &text(&object["versions"]),
            ],
        )
        .unwrap();
    }
    let upload = &recorded["upload"];
    db.execute(
        "INSERT INTO uploads VALUES (?1, 'orders', ?2, ?3)",
        [ACCOUNT, upload["upload_id"].as_str().unwrap(), &text(upload)],
    )
    .unwrap();
    db.execute("INSERT INTO garbage VALUES ('file-gone')", [])
        .unwrap();
    db
}

#[tokio::test]
async fn everything_of_an_earlier_version_is_there() {
    let dir = tempfile::tempdir().unwrap();
    drop(old_home(dir.path()));
    for _ in 0..2 {
        let running = Running::on(dir.path()).await;
        let s3 = client(&running);
        assert_eq!(get(&s3, "a/b").await, "hello");
        let head = ok!(s3.head_object().bucket("orders").key("a/b"));
        assert_eq!(head.content_type(), Some("text/csv"));
        assert_eq!(head.cache_control(), Some("no-store"));
        assert_eq!(head.metadata().unwrap()["who"], "me");
        assert_eq!(head.e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
        assert_eq!(head.tag_count(), Some(1));
        assert_eq!(get(&s3, "v").await, "two");
        let versions = ok!(s3.list_object_versions().bucket("orders"));
        let ids: Vec<_> = versions
            .versions()
            .iter()
            .filter_map(|one| one.version_id())
            .collect();
        assert_eq!(
            ids,
            [
                "null",
                "null",
                "ed6883958db747cea40968ed7955f5c0",
                "5552e068fdf14a3482d36f6a501533b5"
            ]
        );
        assert_eq!(versions.delete_markers().len(), 1);
        assert_eq!(
            ok!(s3.get_bucket_versioning().bucket("orders")).status(),
            Some(&BucketVersioningStatus::Enabled)
        );
        assert_eq!(ok!(s3.get_bucket_tagging().bucket("orders")).tag_set().len(), 2);
        let rules = ok!(s3.get_bucket_lifecycle_configuration().bucket("orders"))
            .rules
            .unwrap();
        assert_eq!(rules[0].transitions().len(), 2);
        assert_eq!(rules[0].filter().unwrap().prefix(), Some("raw/"));
        let cors = ok!(s3.get_bucket_cors().bucket("orders")).cors_rules.unwrap();
        assert_eq!(cors[0].allowed_methods(), ["GET", "PUT"]);
        let block = ok!(s3.get_public_access_block().bucket("orders"));
        let block = block.public_access_block_configuration.unwrap();
        assert_eq!(block.restrict_public_buckets(), Some(true));
        let website = ok!(s3.get_bucket_website().bucket("orders"));
        assert_eq!(website.index_document().unwrap().suffix(), "index.html");
        let policy = ok!(s3.get_bucket_policy().bucket("orders"));
        assert!(policy.policy().unwrap().contains("2012-10-17"));
        let controls = ok!(s3.get_bucket_ownership_controls().bucket("orders"));
        assert_eq!(controls.ownership_controls().unwrap().rules().len(), 1);
    }
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    let id = "30db9020-b53b-4875-baf8-ee1b69753829";
    let parts = ok!(s3.list_parts().bucket("orders").key("up").upload_id(id));
    uploads::complete(&s3, "up", id, &[parts.parts()[0].e_tag().unwrap()]).await;
    assert_eq!(get(&s3, "up").await, "part one");
}

#[tokio::test]
async fn what_cannot_be_read_stays() {
    let dir = tempfile::tempdir().unwrap();
    let db = old_home(dir.path());
    db.execute("UPDATE objects SET versions = '{\"torn' WHERE key = 'a/b'", [])
        .unwrap();
    std::fs::remove_file(dir.path().join("services/s3-objects/file-3")).unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    assert_eq!(
        refused!(s3.get_object().bucket("orders").key("a/b")).code(),
        Some("NoSuchKey")
    );
    let missing = refused!(s3.get_object().bucket("orders").key("v"));
    assert_eq!(
        missing.code(),
        Some("InternalError"),
        "an object without its file is not an empty one"
    );
    let left: String = db
        .query_row("SELECT key FROM objects", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, "a/b");
}
