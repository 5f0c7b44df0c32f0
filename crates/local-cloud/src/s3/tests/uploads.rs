//! Uploads in parts.

use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType};

use super::*;

pub(super) async fn complete(s3: &Client, key: &str, id: &str, etags: &[&str]) {
    ok!(s3
        .complete_multipart_upload()
        .bucket("orders")
        .key(key)
        .upload_id(id)
        .multipart_upload(listed(etags)));
}

fn listed(etags: &[&str]) -> CompletedMultipartUpload {
    let parts = etags
        .iter()
        .zip(1..)
        .map(|(etag, number)| CompletedPart::builder().part_number(number).e_tag(*etag).build());
    CompletedMultipartUpload::builder()
        .set_parts(Some(parts.collect()))
        .build()
}

async fn part(s3: &Client, id: &str, number: i32, body: Vec<u8>) -> String {
    let sent = ok!(s3
        .upload_part()
        .bucket("orders")
        .key("big")
        .upload_id(id)
        .part_number(number)
        .body(ByteStream::from(body)));
    sent.e_tag.unwrap()
}

const PART: usize = 5 << 20;

#[tokio::test]
async fn an_upload_keeps_what_its_beginning_said() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    let upload = ok!(s3
        .create_multipart_upload()
        .bucket("orders")
        .key("big")
        .content_type("text/csv")
        .cache_control("max-age=60")
        .content_disposition("attachment")
        .metadata("who", "me")
        .tagging("a=1&b=2"));
    let id = upload.upload_id().unwrap().to_owned();
    let first = part(&s3, &id, 1, vec![b'a'; PART]).await;
    let replaced = part(&s3, &id, 2, b"old".to_vec()).await;
    let second = part(&s3, &id, 2, b"end".to_vec()).await;
    part(&s3, &id, 3, b"not listed".to_vec()).await;
    let done = || {
        s3.complete_multipart_upload()
            .bucket("orders")
            .key("big")
            .upload_id(&id)
    };
    let code = |etags: &[&str]| {
        let call = done().multipart_upload(listed(etags));
        async move { call.send().await.unwrap_err().code().unwrap().to_owned() }
    };
    assert_eq!(code(&[&first, &replaced]).await, "InvalidPart");
    assert_eq!(code(&[]).await, "MalformedXML");
    let reversed = CompletedMultipartUpload::builder()
        .parts(CompletedPart::builder().part_number(2).e_tag(&second).build())
        .parts(CompletedPart::builder().part_number(1).e_tag(&first).build())
        .build();
    assert_eq!(
        refused!(done().multipart_upload(reversed)).code(),
        Some("InvalidPartOrder")
    );
    let made = ok!(done().multipart_upload(listed(&[&first, &second])));
    assert!(made.e_tag().unwrap().ends_with("-2\""));
    let again = ok!(done().multipart_upload(listed(&[&first, &second])));
    assert_eq!(
        again.e_tag(),
        made.e_tag(),
        "a repeated request gets the same answer"
    );

    let head = ok!(s3
        .head_object()
        .bucket("orders")
        .key("big")
        .checksum_mode(ChecksumMode::Enabled));
    assert_eq!(head.content_type(), Some("text/csv"));
    assert_eq!(head.cache_control(), Some("max-age=60"));
    assert_eq!(head.content_disposition(), Some("attachment"));
    assert_eq!(head.metadata().unwrap()["who"], "me");
    assert_eq!(head.checksum_type(), Some(&ChecksumType::FullObject));
    assert!(head.checksum_crc64_nvme().is_some());
    let tags = ok!(s3.get_object_tagging().bucket("orders").key("big"));
    assert_eq!(tags.tag_set().len(), 2);
    // The SDK compares the checksum with the data.
    let got = ok!(s3
        .get_object()
        .bucket("orders")
        .key("big")
        .checksum_mode(ChecksumMode::Enabled));
    assert_eq!(got.body.collect().await.unwrap().to_vec().len(), PART + 3);
    let last = ok!(s3.get_object().bucket("orders").key("big").part_number(2));
    assert_eq!(last.parts_count(), Some(2));
    assert_eq!(
        last.content_range().unwrap(),
        format!("bytes {PART}-{}/{}", PART + 2, PART + 3)
    );
    assert_eq!(last.body.collect().await.unwrap().to_vec(), b"end");
    ok!(s3
        .copy_object()
        .bucket("orders")
        .key("copy")
        .copy_source("orders/big"));
    assert_eq!(
        ok!(s3.head_object().bucket("orders").key("copy")).content_length(),
        Some(5_242_883)
    );
    drop(running);
    service(dir.path()).sweep();
    let files = std::fs::read_dir(dir.path().join("services/s3-objects"))
        .unwrap()
        .count();
    assert_eq!(files, 3, "two parts and the copy");
}

#[tokio::test]
async fn checksums_of_parts_make_that_of_the_object() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    for (algorithm, kind, expected) in [
        (ChecksumAlgorithm::Crc32, None, "COMPOSITE"),
        (
            ChecksumAlgorithm::Crc32,
            Some(ChecksumType::FullObject),
            "FULL_OBJECT",
        ),
        (
            ChecksumAlgorithm::Crc32C,
            Some(ChecksumType::FullObject),
            "FULL_OBJECT",
        ),
        (ChecksumAlgorithm::Crc64Nvme, None, "FULL_OBJECT"),
        (ChecksumAlgorithm::Sha256, None, "COMPOSITE"),
    ] {
        let upload = ok!(s3
            .create_multipart_upload()
            .bucket("orders")
            .key("big")
            .checksum_algorithm(algorithm.clone())
            .set_checksum_type(kind));
        let id = upload.upload_id().unwrap();
        let mut parts = Vec::new();
        for (number, body) in [(1, vec![b'a'; PART]), (2, b"end".to_vec())] {
            let sent = ok!(s3
                .upload_part()
                .bucket("orders")
                .key("big")
                .upload_id(id)
                .part_number(number)
                .checksum_algorithm(algorithm.clone())
                .body(ByteStream::from(body)));
            parts.push(
                CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(sent.e_tag)
                    .set_checksum_crc32(sent.checksum_crc32)
                    .set_checksum_crc32_c(sent.checksum_crc32_c)
                    .set_checksum_crc64_nvme(sent.checksum_crc64_nvme)
                    .set_checksum_sha256(sent.checksum_sha256)
                    .build(),
            );
        }
        let other = refused!(
            s3.upload_part()
                .bucket("orders")
                .key("big")
                .upload_id(id)
                .part_number(3)
                .checksum_algorithm(ChecksumAlgorithm::Sha1)
                .body(ByteStream::from_static(b"x"))
        );
        assert_eq!(other.code(), Some("InvalidRequest"));
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let done = s3
            .complete_multipart_upload()
            .bucket("orders")
            .key("big")
            .upload_id(id);
        let done = ok!(done.multipart_upload(parts));
        assert_eq!(done.checksum_type().unwrap().as_str(), expected, "{algorithm}");
        let got = ok!(s3
            .get_object()
            .bucket("orders")
            .key("big")
            .checksum_mode(ChecksumMode::Enabled));
        assert_eq!(got.body.collect().await.unwrap().to_vec().len(), PART + 3);
    }
    let wrong = refused!(
        s3.create_multipart_upload()
            .bucket("orders")
            .key("big")
            .checksum_algorithm(ChecksumAlgorithm::Sha1)
            .checksum_type(ChecksumType::FullObject)
    );
    assert_eq!(wrong.code(), Some("InvalidRequest"));
}

#[tokio::test]
async fn uploads_are_listed_copied_into_and_aborted() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    put(&s3, "from", "0123456789").await;
    let mut ids = Vec::new();
    for key in ["big", "big", "d/1", "d/2"] {
        let upload = ok!(s3.create_multipart_upload().bucket("orders").key(key));
        ids.push(upload.upload_id.unwrap());
    }
    let page = ok!(s3
        .list_multipart_uploads()
        .bucket("orders")
        .delimiter("/")
        .max_uploads(1));
    assert_eq!(page.uploads()[0].upload_id(), Some(ids[0].as_str()));
    let page = ok!(s3
        .list_multipart_uploads()
        .bucket("orders")
        .delimiter("/")
        .set_key_marker(page.next_key_marker)
        .set_upload_id_marker(page.next_upload_id_marker));
    assert_eq!(page.uploads()[0].upload_id(), Some(ids[1].as_str()));
    assert_eq!((page.uploads().len(), page.common_prefixes().len()), (1, 1));

    let copy = |range: &str| {
        s3.upload_part_copy()
            .bucket("orders")
            .key("big")
            .upload_id(&ids[0])
            .part_number(1)
            .copy_source("orders/from")
            .copy_source_range(range)
    };
    ok!(copy("bytes=2-4"));
    assert_eq!(refused!(copy("bytes=2-10")).code(), Some("InvalidArgument"));
    let parts = ok!(s3.list_parts().bucket("orders").key("big").upload_id(&ids[0]));
    let etag = parts.parts()[0].e_tag().unwrap();
    complete(&s3, "big", &ids[0], &[etag]).await;
    assert_eq!(get(&s3, "big").await, "234");

    let small = part(&s3, &ids[1], 1, b"small".to_vec()).await;
    let next = part(&s3, &ids[1], 2, b"next".to_vec()).await;
    let done = s3
        .complete_multipart_upload()
        .bucket("orders")
        .key("big")
        .upload_id(&ids[1]);
    let refused_small = refused!(done.multipart_upload(listed(&[&small, &next])));
    assert_eq!(refused_small.code(), Some("EntityTooSmall"));
    let abort = || {
        s3.abort_multipart_upload()
            .bucket("orders")
            .key("big")
            .upload_id(&ids[1])
    };
    ok!(abort());
    assert_eq!(refused!(abort()).code(), Some("NoSuchUpload"));
    let gone = refused!(
        s3.upload_part()
            .bucket("orders")
            .key("big")
            .upload_id(&ids[1])
            .part_number(1)
            .body(ByteStream::from_static(b"x"))
    );
    assert_eq!(gone.code(), Some("NoSuchUpload"));
    for key in ["from", "big"] {
        ok!(s3.delete_object().bucket("orders").key(key));
    }
    ok!(s3.delete_bucket().bucket("orders"));
    drop(running);
    service(dir.path()).sweep();
    let files = std::fs::read_dir(dir.path().join("services/s3-objects"))
        .unwrap()
        .count();
    assert_eq!(files, 0);
}
