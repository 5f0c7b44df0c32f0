//! What is refused.

use super::*;

#[tokio::test]
async fn what_is_not_offered_or_wrong_is_refused() {
    let world = World::new();
    let access = world.access_control("a").await;
    let whole = config("one", &access, "");
    let more = |more: &str| config("one", &access, more);
    let with = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from}");
        whole.replace(from, to)
    };
    let behavior = |more: &str| {
        with(
            "</DefaultCacheBehavior>",
            &format!("{more}</DefaultCacheBehavior>"),
        )
    };
    let methods = |methods: &[&str]| {
        let items: String = methods
            .iter()
            .map(|one| format!("<Method>{one}</Method>"))
            .collect();
        behavior(&format!(
            "<AllowedMethods><Quantity>{}</Quantity><Items>{items}</Items></AllowedMethods>",
            methods.len()
        ))
    };
    let errors = |error: &str| {
        more(&format!(
            "<CustomErrorResponses><Quantity>1</Quantity><Items><CustomErrorResponse>{error}</CustomErrorResponse></Items>\
             </CustomErrorResponses>"
        ))
    };
    for (body, code) in [
        (String::new(), "MissingBody"),
        ("<DistributionConfig>".to_owned(), "MalformedXML"),
        ("<Other/>".to_owned(), "MalformedXML"),
        (with("<Enabled>true</Enabled>", ""), "InvalidArgument"),
        (with("<Enabled>true", "<Enabled>maybe"), "InvalidArgument"),
        (with(&access, "E123"), "InvalidOriginAccessControl"),
        (with("<Quantity>1", "<Quantity>2"), "InconsistentQuantities"),
        (
            with("site.s3.us-east-1.amazonaws.com", "example.com"),
            "InvalidArgument",
        ),
        (with("<TargetOriginId>o<", "<TargetOriginId>p<"), "NoSuchOrigin"),
        (with("658327ea", "00000000"), "NoSuchCachePolicy"),
        (with("67f7725c", "00000000"), "NoSuchResponseHeadersPolicy"),
        (with("index.html", "/index.html"), "InvalidDefaultRootObject"),
        (with("redirect-to-https", "http-only"), "InvalidArgument"),
        (methods(&["GET", "HEAD", "PUT"]), "InvalidArgument"),
        (
            behavior("<SmoothStreaming>true</SmoothStreaming>"),
            "InvalidArgument",
        ),
        (
            behavior("<ForwardedValues><QueryString>false</QueryString></ForwardedValues>"),
            "InvalidArgument",
        ),
        (more("<WebACLId>arn</WebACLId>"), "InvalidArgument"),
        (
            more("<Aliases><Quantity>1</Quantity><Items><CNAME>a.example</CNAME></Items></Aliases>"),
            "InvalidArgument",
        ),
        (
            more("<Logging><Enabled>true</Enabled></Logging>"),
            "InvalidArgument",
        ),
        (more("<Unknown>x</Unknown>"), "InvalidArgument"),
        (errors("<ErrorCode>401</ErrorCode>"), "InvalidErrorCode"),
        (
            errors(
                "<ErrorCode>403</ErrorCode><ResponsePagePath>/e</ResponsePagePath><ResponseCode>201</ResponseCode>",
            ),
            "InvalidResponseCode",
        ),
        (
            errors("<ErrorCode>403</ErrorCode><ResponsePagePath>/e</ResponsePagePath>"),
            "InvalidArgument",
        ),
    ] {
        let seen = world.ask("POST", "distribution", "", &body).await;
        assert_eq!(seen.code(), code, "{body}");
        assert!((400..410).contains(&seen.status));
    }
    assert_eq!(
        world
            .ask("POST", "distribution", "", &methods(&["HEAD", "GET"]))
            .await
            .status,
        201
    );
    assert_eq!(
        world.get("streaming-distribution").await.code(),
        "InvalidArgument"
    );
}

#[tokio::test]
async fn an_origin_access_control_has_at_most_100_distributions() {
    let world = World::new();
    let access = world.access_control("a").await;
    let mut last = (String::new(), String::new());
    for at in 0..100 {
        let body = config(&at.to_string(), &access, "");
        let made = world.ask("POST", "distribution", "", &body).await;
        assert_eq!(made.status, 201, "{at}: {:?}", made.node);
        last = (made.text("Id").to_owned(), made.etag);
    }
    let more = world
        .ask("POST", "distribution", "", &config("more", &access, ""))
        .await;
    assert_eq!(
        (more.status, more.code()),
        (400, "TooManyDistributionsAssociatedToOriginAccessControl")
    );
    // A change of one that is there already is no further one.
    let (id, etag) = last;
    let path = format!("distribution/{id}/config");
    let same = world.ask("PUT", &path, &etag, &config("99", &access, "")).await;
    assert_eq!(same.status, 200, "{:?}", same.node);
}
