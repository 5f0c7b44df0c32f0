//! The data of objects: what is stored is what was sent.

use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, MetadataDirective, TaggingDirective};

use super::*;

/// Bodies that a parser of the request would take for parameters.
const PARSEABLE: &[&str] = &[
    "<a/>",
    "<?xml version=\"1.0\"?>\n<Tagging><TagSet/></Tagging>\n",
    "<Delete><Object><Key>k</Key></Object></Delete>",
    "{\"Bucket\": \"other\", \"__raw_body\": \"\"}",
    "[1, 2]",
    "Action=DeleteBucket&Bucket=orders",
    "",
    " ",
];

#[tokio::test]
async fn well_formed_documents_are_stored_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    for body in PARSEABLE {
        put(&s3, "sdk", body).await;
        assert_eq!(get(&s3, "sdk").await, *body);
        for kind in [
            "application/xml",
            "application/json",
            "application/x-www-form-urlencoded",
            "application/cbor",
        ] {
            let headers = format!("Content-Type: {kind}\r\n");
            let (status, answer) = running
                .request("PUT", "/orders/raw", &headers, body.as_bytes())
                .await;
            assert_eq!(status, 200, "{answer}");
            assert_eq!(get(&s3, "raw").await, *body, "{kind}");
        }
        let upload = ok!(s3.create_multipart_upload().bucket("orders").key("parts"));
        let id = upload.upload_id().unwrap();
        let path = format!("/orders/parts?partNumber=1&uploadId={id}");
        let (status, answer) = running.request("PUT", &path, "", body.as_bytes()).await;
        assert_eq!(status, 200, "{answer}");
        let parts = ok!(s3.list_parts().bucket("orders").key("parts").upload_id(id));
        assert_eq!(parts.parts()[0].size(), Some(i64::try_from(body.len()).unwrap()));
        uploads::complete(&s3, "parts", id, &[parts.parts()[0].e_tag().unwrap()]).await;
        assert_eq!(get(&s3, "parts").await, *body);
    }
}

#[tokio::test]
async fn chunked_bodies_are_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    let headers = "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\nx-amz-decoded-content-length: 9\r\n\
                   Content-Encoding: aws-chunked,gzip\r\nx-amz-trailer: x-amz-checksum-crc32\r\n";
    let body = b"4\r\n1234\r\n5\r\n56789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n";
    let (status, answer) = running.request("PUT", "/orders/k", headers, body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(get(&s3, "k").await, "123456789");
    let head = ok!(s3
        .head_object()
        .bucket("orders")
        .key("k")
        .checksum_mode(ChecksumMode::Enabled));
    assert_eq!(head.content_encoding(), Some("gzip"));
    assert_eq!(head.checksum_crc32(), Some("y/Q5Jg=="));
    let wrong = b"9\r\n123456780\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n";
    let (status, answer) = running.request("PUT", "/orders/k", headers, wrong).await;
    assert_eq!(status, 400);
    assert!(answer.contains("<Code>BadDigest</Code>"), "{answer}");
    assert_eq!(get(&s3, "k").await, "123456789", "the object is as it was");
    let files = std::fs::read_dir(dir.path().join("services/s3-objects"))
        .unwrap()
        .count();
    assert_eq!(files, 1, "nothing is left of what was refused");
}

#[tokio::test]
async fn every_checksum_is_verified_and_returned() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        let put = ok!(s3
            .put_object()
            .bucket("orders")
            .key("k")
            .checksum_algorithm(algorithm.clone())
            .body(ByteStream::from_static(b"123456789")));
        let sums = [
            put.checksum_crc32(),
            put.checksum_crc32_c(),
            put.checksum_crc64_nvme(),
            put.checksum_sha1(),
            put.checksum_sha256(),
        ];
        assert_eq!(sums.iter().flatten().count(), 1, "{algorithm}");
        // The SDK compares the checksum of the response.
        let got = ok!(s3
            .get_object()
            .bucket("orders")
            .key("k")
            .checksum_mode(ChecksumMode::Enabled));
        let returned = [
            got.checksum_crc32(),
            got.checksum_crc32_c(),
            got.checksum_crc64_nvme(),
            got.checksum_sha1(),
            got.checksum_sha256(),
        ];
        assert_eq!(returned, sums);
        assert_eq!(got.checksum_type().unwrap().as_str(), "FULL_OBJECT");
        let part = ok!(s3
            .get_object()
            .bucket("orders")
            .key("k")
            .range("bytes=-3")
            .checksum_mode(ChecksumMode::Enabled));
        assert_eq!(part.content_range(), Some("bytes 6-8/9"));
        assert_eq!(part.body.collect().await.unwrap().to_vec(), b"789");
    }
    let (_, _) = running.request("PUT", "/orders/plain", "", b"123456789").await;
    let head = ok!(s3
        .head_object()
        .bucket("orders")
        .key("plain")
        .checksum_mode(ChecksumMode::Enabled));
    assert_eq!(head.checksum_crc64_nvme(), Some("rosUhgp5mIg="), "S3's default");
    assert_eq!(head.e_tag(), Some("\"25f9e794323b453885f5181f1b624d0b\""));
    assert_eq!(head.server_side_encryption(), Some(&ServerSideEncryption::Aes256));
    let md5 = "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let (status, answer) = running.request("PUT", "/orders/plain", md5, b"1").await;
    assert!(
        status == 400 && answer.contains("<Code>BadDigest</Code>"),
        "{answer}"
    );
}

#[tokio::test]
async fn ranges_conditions_and_overrides() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    put(&s3, "k", "0123456789").await;
    let get = || s3.get_object().bucket("orders").key("k");
    for (range, expected) in [
        ("bytes=2-4", "234"),
        ("bytes=7-", "789"),
        ("bytes=-3", "789"),
        ("bytes=8-99", "89"),
    ] {
        let part = ok!(get().range(range));
        assert_eq!(
            part.content_length(),
            Some(i64::try_from(expected.len()).unwrap())
        );
        assert_eq!(part.body.collect().await.unwrap().to_vec(), expected.as_bytes());
    }
    let beyond = refused!(get().range("bytes=10-"));
    assert_eq!(beyond.code(), Some("InvalidRange"));
    assert_eq!(beyond.raw_response().unwrap().status().as_u16(), 416);
    assert_eq!(ok!(get().range("bytes=1-2,4-5")).content_length(), Some(10));
    assert_eq!(ok!(get().part_number(1)).content_range(), Some("bytes 0-9/10"));
    assert_eq!(refused!(get().part_number(2)).code(), Some("InvalidPartNumber"));

    let head = ok!(s3.head_object().bucket("orders").key("k"));
    let (etag, modified) = (head.e_tag().unwrap(), *head.last_modified().unwrap());
    let earlier = aws_sdk_s3::primitives::DateTime::from_secs(modified.secs() - 10);
    let status = |error: aws_sdk_s3::error::SdkError<_, _>| {
        error
            .raw_response()
            .map(|raw: &aws_smithy_runtime_api::http::Response<_>| raw.status().as_u16())
    };
    ok!(get().if_match(etag).if_unmodified_since(earlier));
    assert_eq!(status(refused!(get().if_match("\"x\""))), Some(412));
    assert_eq!(status(refused!(get().if_unmodified_since(earlier))), Some(412));
    assert_eq!(status(refused!(get().if_none_match(etag))), Some(304));
    assert_eq!(status(refused!(get().if_modified_since(modified))), Some(304));
    ok!(get().if_none_match("\"x\"").if_modified_since(modified));
    let shown = ok!(get()
        .response_content_type("text/plain")
        .response_content_disposition("attachment"));
    assert_eq!(shown.content_type(), Some("text/plain"));
    assert_eq!(shown.content_disposition(), Some("attachment"));

    let put = || {
        s3.put_object()
            .bucket("orders")
            .body(ByteStream::from_static(b"new"))
    };
    assert_eq!(
        refused!(put().key("k").if_none_match("*")).code(),
        Some("PreconditionFailed")
    );
    assert_eq!(
        refused!(put().key("k").if_match("\"x\"")).code(),
        Some("PreconditionFailed")
    );
    assert_eq!(
        refused!(put().key("none").if_match(etag)).code(),
        Some("NoSuchKey")
    );
    ok!(put().key("none").if_none_match("*"));
    ok!(put().key("k").if_match(etag));
}

#[tokio::test]
async fn copies_keep_or_replace() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    ok!(s3
        .put_object()
        .bucket("orders")
        .key("from")
        .content_type("text/csv")
        .cache_control("no-store")
        .metadata("who", "me")
        .tagging("a=1")
        .body(ByteStream::from_static(b"data")));
    let copy = |to: &str| {
        s3.copy_object()
            .bucket("orders")
            .key(to)
            .copy_source("orders/from")
    };
    let head = |key: &str| s3.head_object().bucket("orders").key(key);
    let copied = ok!(copy("same"));
    assert_eq!(
        copied.copy_object_result().unwrap().e_tag(),
        Some("\"8d777f385d3dfec8815d20f7496026dc\"")
    );
    let same = ok!(head("same"));
    assert_eq!(
        (same.content_type(), same.cache_control()),
        (Some("text/csv"), Some("no-store"))
    );
    assert_eq!(same.metadata().unwrap()["who"], "me");
    assert_eq!(same.tag_count(), Some(1));
    ok!(copy("other")
        .metadata_directive(MetadataDirective::Replace)
        .content_type("text/plain")
        .metadata("to", "you")
        .tagging_directive(TaggingDirective::Replace)
        .tagging("b=2&c=3"));
    let other = ok!(head("other"));
    assert_eq!(
        (other.content_type(), other.cache_control()),
        (Some("text/plain"), None)
    );
    assert_eq!(other.metadata().unwrap().len(), 1);
    assert_eq!(other.metadata().unwrap()["to"], "you");
    assert_eq!(other.tag_count(), Some(2));
    assert_eq!(refused!(copy("from")).code(), Some("InvalidRequest"));
    ok!(copy("from")
        .metadata_directive(MetadataDirective::Replace)
        .content_type("text/html"));
    assert_eq!(ok!(head("from")).content_type(), Some("text/html"));
    assert_eq!(get(&s3, "from").await, "data");
    assert_eq!(
        refused!(copy("x").copy_source_if_match("\"y\"")).code(),
        Some("PreconditionFailed")
    );
    assert_eq!(
        refused!(copy("x").copy_source("orders/none")).code(),
        Some("NoSuchKey")
    );
    assert_eq!(
        refused!(copy("x").copy_source("none/from")).code(),
        Some("NoSuchBucket")
    );
}

#[tokio::test]
async fn a_large_object_is_streamed() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    let body: Vec<u8> = (0..9_000_000_u32)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    ok!(s3
        .put_object()
        .bucket("orders")
        .key("big")
        .body(ByteStream::from(body.clone())));
    let got = ok!(s3
        .get_object()
        .bucket("orders")
        .key("big")
        .checksum_mode(ChecksumMode::Enabled));
    assert_eq!(got.content_length(), Some(9_000_000));
    assert!(got.body.collect().await.unwrap().to_vec() == body);
    let part = ok!(s3
        .get_object()
        .bucket("orders")
        .key("big")
        .range("bytes=1000000-7999999"));
    assert!(part.body.collect().await.unwrap().to_vec() == body[1_000_000..8_000_000]);

    let file = std::fs::read_dir(dir.path().join("services/s3-objects"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut damaged = body;
    damaged[5_000_000] ^= 1;
    std::fs::write(file, damaged).unwrap();
    let got = ok!(s3.get_object().bucket("orders").key("big"));
    assert!(
        got.body.collect().await.is_err(),
        "damage breaks the response off"
    );
}
