//! Listings and deletions of many.

use aws_sdk_s3::types::{CommonPrefix, EncodingType};

use super::*;

fn prefixes(prefixes: &[CommonPrefix]) -> Vec<String> {
    prefixes
        .iter()
        .map(|one| one.prefix().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_common_prefix_is_listed_once_over_all_pages() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    for at in 0..25 {
        put(&s3, &format!("d{}/{at}", at % 3), "x").await;
    }
    put(&s3, "top", "x").await;
    let (mut found, mut keys, mut pages) = (Vec::new(), 0, 0);
    let mut token = None;
    loop {
        let page = ok!(s3
            .list_objects_v2()
            .bucket("orders")
            .delimiter("/")
            .max_keys(1)
            .set_continuation_token(token));
        assert_eq!(page.key_count(), Some(1));
        pages += 1;
        found.extend(prefixes(page.common_prefixes()));
        keys += page.contents().len();
        token = page.next_continuation_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(found, ["d0/", "d1/", "d2/"]);
    assert_eq!((keys, pages), (1, 4));

    let (mut found, mut marker) = (Vec::new(), None);
    loop {
        let page = ok!(s3
            .list_objects()
            .bucket("orders")
            .delimiter("/")
            .max_keys(1)
            .set_marker(marker));
        found.extend(prefixes(page.common_prefixes()));
        marker = page.next_marker;
        if page.is_truncated != Some(true) {
            break;
        }
    }
    assert_eq!(found, ["d0/", "d1/", "d2/"]);
    let none = ok!(s3.list_objects_v2().bucket("orders").max_keys(0));
    assert_eq!((none.key_count(), none.is_truncated()), (Some(0), Some(false)));
    let after = ok!(s3
        .list_objects_v2()
        .bucket("orders")
        .start_after("d2/8")
        .prefix("d2/"));
    assert!(after.contents().is_empty());
    let wrong = refused!(s3.list_objects_v2().bucket("orders").continuation_token("%"));
    assert_eq!(wrong.code(), Some("InvalidArgument"));
}

#[tokio::test]
async fn names_can_be_encoded() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    put(&s3, "a/ü +\u{1}.txt", "x").await;
    let page = ok!(s3
        .list_objects_v2()
        .bucket("orders")
        .encoding_type(EncodingType::Url));
    assert_eq!(page.contents()[0].key(), Some("a/%C3%BC%20%2B%01.txt"));
}

#[tokio::test]
async fn versions_are_listed_while_they_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    let versioning = |status| VersioningConfiguration::builder().status(status).build();
    put(&s3, "a", "null").await;
    ok!(s3
        .put_bucket_versioning()
        .bucket("orders")
        .versioning_configuration(versioning(BucketVersioningStatus::Enabled)));
    for body in ["1", "2"] {
        put(&s3, "a", body).await;
        put(&s3, "b", body).await;
    }
    let marker = ok!(s3.delete_object().bucket("orders").key("b"));
    assert_eq!(marker.delete_marker(), Some(true));
    let gone = refused!(s3.get_object().bucket("orders").key("b"));
    assert_eq!(gone.code(), Some("NoSuchKey"));
    let refused_marker = refused!(
        s3.get_object()
            .bucket("orders")
            .key("b")
            .version_id(marker.version_id().unwrap())
    );
    assert_eq!(refused_marker.code(), Some("MethodNotAllowed"));
    let old = ok!(s3.get_object().bucket("orders").key("a").version_id("null"));
    assert_eq!(old.body.collect().await.unwrap().to_vec(), b"null");
    let full = refused!(s3.delete_bucket().bucket("orders"));
    assert_eq!(full.code(), Some("BucketNotEmpty"));

    let (mut listed, mut markers) = (Vec::new(), (None, None));
    loop {
        let page = ok!(s3
            .list_object_versions()
            .bucket("orders")
            .max_keys(1)
            .set_key_marker(markers.0)
            .set_version_id_marker(markers.1));
        let versions = page.versions().iter().map(|one| (one.key(), one.version_id()));
        let both = versions.chain(
            page.delete_markers()
                .iter()
                .map(|one| (one.key(), one.version_id())),
        );
        for (key, id) in both {
            listed.push(format!("{} {}", key.unwrap(), id.unwrap()));
            // The marker of the next page is gone then.
            ok!(s3
                .delete_object()
                .bucket("orders")
                .key(key.unwrap())
                .version_id(id.unwrap()));
        }
        if page.is_truncated() != Some(true) {
            break;
        }
        markers = (page.next_key_marker, page.next_version_id_marker);
    }
    assert_eq!(listed.len(), 6, "{listed:?}");
    assert_eq!(listed[2], "a null");
    ok!(s3.delete_bucket().bucket("orders"));
}

#[tokio::test]
async fn a_suspended_bucket_keeps_old_versions() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    assert_eq!(ok!(s3.get_bucket_versioning().bucket("orders")).status(), None);
    for status in [BucketVersioningStatus::Enabled, BucketVersioningStatus::Suspended] {
        let versioning = VersioningConfiguration::builder().status(status.clone()).build();
        ok!(s3
            .put_bucket_versioning()
            .bucket("orders")
            .versioning_configuration(versioning));
        put(&s3, "k", status.as_str()).await;
        put(&s3, "k", &format!("{status} again")).await;
    }
    let versions = ok!(s3.list_object_versions().bucket("orders"));
    let ids: Vec<bool> = versions
        .versions()
        .iter()
        .map(|one| one.version_id() == Some("null"))
        .collect();
    assert_eq!(ids, [true, false, false]);
    ok!(s3.delete_object().bucket("orders").key("k"));
    let versions = ok!(s3.list_object_versions().bucket("orders"));
    assert_eq!(versions.versions().len(), 2);
    assert_eq!(versions.delete_markers()[0].version_id(), Some("null"));
    ok!(s3.delete_object().bucket("orders").key("k").version_id("null"));
    assert_eq!(get(&s3, "k").await, "Enabled again");
}

#[tokio::test]
async fn many_keys_are_deleted_at_once_and_too_many_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    let service = service(dir.path());
    let caller = Caller {
        region: "eu-west-1".to_owned(),
        ..Caller::default()
    };
    for at in 0..1000 {
        service
            .put(&caller, "orders", &format!("k{at}"), "x".into())
            .unwrap();
    }
    let delete = |count: usize, quiet| {
        let keys = (0..count).map(|at| ObjectIdentifier::builder().key(format!("k{at}")).build().unwrap());
        let delete = Delete::builder().set_objects(Some(keys.collect())).quiet(quiet);
        s3.delete_objects()
            .bucket("orders")
            .delete(delete.build().unwrap())
    };
    for count in [1001, 20_000] {
        assert_eq!(refused!(delete(count, false)).code(), Some("MalformedXML"));
    }
    assert_eq!(ok!(s3.list_objects_v2().bucket("orders")).key_count(), Some(1000));
    assert_eq!(ok!(delete(2, false)).deleted().len(), 2);
    let rest = ok!(delete(1000, true));
    assert!(rest.deleted().is_empty() && rest.errors().is_empty());
    ok!(s3.delete_bucket().bucket("orders"));
    // Hostile names are names like others.
    bucket(&s3, "orders").await;
    for key in ["../../etc/passwd", "a\0b", "C:\\x", &"k".repeat(1024), "-"] {
        put(&s3, key, key).await;
        assert_eq!(get(&s3, key).await, key);
    }
    let long = refused!(s3.put_object().bucket("orders").key("k".repeat(1025)));
    assert_eq!(long.code(), Some("KeyTooLongError"));
}
