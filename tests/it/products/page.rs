//! The page of the pipeline `prices`. tests/web drives it in a browser.

use super::Shop;
use crate::provision::run;
use crate::support::Cloud;
use crate::web::exchange;

#[test]
fn the_page_is_served_with_the_address_of_the_api_and_opened() {
    let cloud = Cloud::start();
    let missing = run(&cloud, ["open", "prices"]);
    assert_eq!(missing.code, 1, "{}", missing.stderr);
    cloud.ok(["setup", "prices"]);
    let url = cloud.json(["outputs", "prices"])["page_url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(cloud.ok(["open", "prices", "--print"]).trim(), url);
    let host = url.strip_prefix("http://").unwrap();
    let id = host.split('.').next().unwrap().to_uppercase();
    let shop = Shop::on(cloud);
    let get = |path: &str| {
        let url = format!("{}/_cloudfront/{id}/{path}", shop.cloud.endpoint);
        let answer = exchange("GET", &url, "", b"");
        assert_eq!(answer.status, 200, "{path}: {}", answer.head);
        answer
    };
    let index = get("");
    assert_eq!(
        index.text(),
        include_str!("../../../templates/prices/web/index.html")
    );
    assert_eq!(get("config.json").json()["api_url"], shop.api.as_str());
    assert_eq!(
        get("products.js").header("content-type"),
        ["text/javascript; charset=utf-8"]
    );
    // The API and the bucket of the images answer the page.
    let page = format!("Origin: {url}\r\nAccess-Control-Request-Method: PUT\r\n");
    let asked = exchange("OPTIONS", &format!("{}/products/a", shop.api), &page, b"");
    assert_eq!(asked.header("access-control-allow-origin"), ["*"]);
    let upload = format!("{}/{}/a.jpg", shop.cloud.endpoint, shop.bucket);
    let asked = exchange("OPTIONS", &upload, &page, b"");
    assert_eq!(asked.status, 200, "{}", asked.head);
    assert_eq!(asked.header("access-control-allow-origin"), ["*"]);

    let verified = shop.cloud.ok(["verify", "prices", "--no-put"]);
    assert!(verified.contains("products-page"), "{verified}");
    shop.cloud.ok(["destroy", "prices", "--yes"]);
    assert_eq!(shop.cloud.everything(), Vec::<String>::new());
}

#[test]
fn the_page_can_be_left_out() {
    let cloud = Cloud::start();
    let made = cloud.json(["setup", "prices", "--param", "page=false"]);
    assert!(made["outputs"]["api_url"].is_string(), "{made}");
    assert_eq!(made["outputs"].get("page_url"), None, "{made}");
    let everything = cloud.everything();
    for word in ["product-pages", "products-page"] {
        assert!(everything.iter().all(|one| !one.contains(word)), "{everything:?}");
    }
    let none = cloud.fails(2, ["open", "prices", "--param", "page=false"]);
    assert!(none.contains("has no page"), "{none}");
    cloud.ok(["destroy", "prices", "--yes"]);
    assert_eq!(cloud.everything(), Vec::<String>::new());
}
