//! Images: uploads through presigned URLs, their three sizes, and files that cannot be processed.

use serde_json::json;

use super::{JPEG, PAGE, PICTURE, Shop};
use crate::running::until;
use crate::web::exchange;

const SIZES: [(&str, u16, u16); 3] = [("small", 192, 108), ("medium", 1280, 720), ("large", 1920, 1080)];
const PNG: &[u8] = include_bytes!("../../../handlers/src/images/samples/rgba.png");
const WEBP: &[u8] = include_bytes!("../../../handlers/src/images/samples/lossy.webp");

/// Width and height of a JPEG.
fn dimensions(jpeg: &[u8]) -> (u16, u16) {
    let number = |at: usize| u16::from_be_bytes([jpeg[at], jpeg[at + 1]]);
    let mut at = 2;
    while !(0xc0..=0xc2).contains(&jpeg[at + 1]) {
        at += 2 + usize::from(number(at + 2));
    }
    (number(at + 7), number(at + 5))
}

/// Why images were refused, in order, as the log of the function says.
fn refused(shop: &Shop, count: usize) -> Vec<String> {
    let logs = aws_sdk_cloudwatchlogs::Client::new(&shop.cloud.sdk());
    until("the refused images in the log", || {
        let call = logs
            .filter_log_events()
            .log_group_name("/aws/lambda/image-processor");
        let found = crate::support::block_on(call.filter_pattern("\"image refused\"").send()).unwrap();
        let lines: Vec<String> = found
            .events()
            .iter()
            .filter_map(|one| one.message.clone())
            .collect();
        (lines.len() >= count).then_some(lines)
    })
}

#[test]
fn an_upload_gets_three_sizes() {
    let shop = Shop::new();
    let id = shop.create(r#"{"name":"Tea"}"#);
    shop.illustrate(&id);
    for (size, width, height) in SIZES {
        let url = shop.download_url(&id, &format!("?type=main&size={size}"));
        let image = exchange("GET", &url, PAGE, b"");
        assert_eq!(image.status, 200, "{}", image.text());
        assert_eq!(image.header("Content-Type"), ["image/jpeg"]);
        assert_eq!(dimensions(&image.body), (width, height), "{size}");
    }
    // The content decides about the format, and each type has its own images.
    for (kind, image) in [("front", PNG), ("back", WEBP)] {
        assert_eq!(shop.upload(&id, kind, image).status, 200);
        shop.sizes_appear(&id, kind);
    }
    let product = shop.get(&format!("/products/{id}"));
    assert_eq!(product["images"].as_object().unwrap().len(), 3, "{product}");
    // A change of the product keeps them.
    let changed = shop.call("PUT", &format!("/products/{id}"), r#"{"price":5}"#);
    assert_eq!(changed.json()["images"], product["images"]);
}

#[test]
fn an_image_that_cannot_be_processed_is_reported_and_stops_none() {
    let shop = Shop::new();
    let id = shop.create(r#"{"name":"Tea"}"#);
    // A PNG of 65,535 by 65,535 pixels.
    let mut bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\x02\0\0\0".to_vec();
    bomb.extend(0x3967_4e07_u32.to_be_bytes());
    let bad: [(&[u8], &str); 4] = [
        (b"", "the file is empty"),
        (b"not an image", "not a JPEG, PNG or WebP"),
        (&PICTURE[..PICTURE.len() / 2], "damaged"),
        (&bomb, "65535 by 65535 pixels"),
    ];
    // Of uploads of one type, only the newest counts.
    for (kind, (image, _)) in ["a", "b", "c", "d"].into_iter().zip(bad) {
        assert_eq!(shop.upload(&id, kind, image).status, 200);
    }
    let lines = refused(&shop, bad.len());
    for (_, reason) in bad {
        assert!(
            lines.iter().any(|line| line.contains(reason)),
            "{reason}: {lines:?}"
        );
    }
    assert_eq!(shop.get(&format!("/products/{id}")).get("images"), None);
    // An image of a product that is gone.
    let gone = shop.create(r#"{"name":"Pot"}"#);
    let url = shop.upload_url(&gone, "");
    shop.call("DELETE", &format!("/products/{gone}"), "");
    let headers = format!("{PAGE}{JPEG}");
    assert_eq!(exchange("PUT", &url, &headers, PICTURE).status, 200);
    let lines = refused(&shop, bad.len() + 1);
    assert!(
        lines.iter().any(|line| line.contains("no such product")),
        "{lines:?}"
    );
    shop.illustrate(&id);
    let keys: Vec<String> = shop.cloud.objects(&shop.bucket).into_keys().collect();
    let sizes = keys.iter().filter(|key| key.starts_with("product_images/"));
    assert_eq!(sizes.count(), SIZES.len(), "{keys:?}");
}

#[test]
fn a_url_allows_one_upload_and_nothing_else() {
    let shop = Shop::new();
    let id = shop.create(r#"{"name":"Tea"}"#);
    let url = shop.upload_url(&id, "");
    let headers = format!("{PAGE}{JPEG}");
    let other = url.replace("/main.jpg", "/other.jpg");
    assert_eq!(
        exchange("PUT", &other, &headers, PICTURE).status,
        403,
        "another key"
    );
    assert_eq!(exchange("DELETE", &url, PAGE, b"").status, 403, "another method");
    assert_eq!(exchange("GET", &url, PAGE, b"").status, 403, "another method");
    let html = format!("{PAGE}Content-Type: text/html\r\n");
    assert_eq!(exchange("PUT", &url, &html, PICTURE).status, 403, "another type");
    // The browser asks first.
    let preflight = format!(
        "{PAGE}Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: content-type\r\n"
    );
    let allowed = exchange("OPTIONS", &url, &preflight, b"");
    assert_eq!(allowed.status, 200, "{}", allowed.text());
    assert_eq!(allowed.header("Access-Control-Allow-Origin"), ["*"]);
    assert_eq!(exchange("PUT", &url, &headers, PICTURE).status, 200);
    shop.sizes_appear(&id, "main");
    assert_eq!(
        shop.get(&format!("/products/{id}"))["images"],
        json!({"main": ["small", "medium", "large"]})
    );
}
