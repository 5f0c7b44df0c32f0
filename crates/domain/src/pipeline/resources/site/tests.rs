use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::super::test_support::*;
use super::*;
use crate::context::Context;
use crate::pipeline::resource::{Observed, Resource, Spec};

const ID: &str = "E1";

/// A directory with a page, for a manifest beside it.
fn web(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("web")).unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join("web").join(name), text).unwrap();
    }
    dir
}

fn spec_of_site(dir: &tempfile::TempDir, name: &str, more: &str) -> Spec {
    let base = serde_json::to_string(dir.path().to_str().unwrap()).unwrap();
    let properties = format!(
        "name = \"{name}\"\nbucket = \"shop-pages\"\nfiles = {{ base = {{ beside = {base} }}, path = \"web\" }}\n{more}"
    );
    spec("site", &properties, &[])
}

async fn site_with<'a>(context: &'a Context, dir: &tempfile::TempDir, more: &str) -> Result<Site<'a>> {
    Managed::new(context, location(), spec_of_site(dir, "shop", more))
}

/// A distribution as declared, with these files.
fn facts(site: &Site<'_>) -> Facts {
    let wanted = site.wanted_files(false).unwrap();
    let stored = wanted.iter().map(|(key, file)| {
        let stored = json!({
            "hash": file.known_hash(), "content_type": file.content_type(), "cache_control": site.cache_control(),
        });
        (key.clone(), serde_json::from_value(stored).unwrap())
    });
    Facts {
        id: ID.to_owned(),
        domain: "e1.cloudfront.localhost:4566".to_owned(),
        deployed: true,
        settings: site.wanted_settings("E2"),
        access_control: Some("E2".to_owned()),
        permitted: true,
        files: stored.collect(),
    }
}

#[tokio::test]
async fn what_cannot_be_a_site_is_refused() {
    let context = context().await;
    let dir = web(&[("index.html", "x")]);
    for (more, problem) in [
        ("index = \"start.html\"", "there is no file start.html in web"),
        ("index = \"a b.html\"", "has characters other than"),
        ("error_page = \"404.html\"", "there is no file 404.html in web"),
        ("error_status = 404", "error_status goes with error_page"),
        (
            "error_page = \"index.html\"\nerror_status = 500",
            "error_status is 200 or 404",
        ),
        ("config_file = \"a.js\"", "config_file goes with config"),
        (
            "config = {}\nconfig_file = \"a.css\"",
            "config_file ends with .js or .json",
        ),
        (
            "price_class = \"PriceClass_1\"",
            "price_class is one of PriceClass_100",
        ),
        (
            "cache_control = \"a\\nb\"",
            "cache_control is the value of a header",
        ),
    ] {
        let refused = refusal(site_with(&context, &dir, more).await);
        assert!(refused.contains(problem), "{more}: {refused}");
    }
    let empty = web(&[]);
    let refused = refusal(site_with(&context, &empty, "").await);
    assert!(refused.contains("there are no files in web"), "{refused}");
    // The name of the origin access control.
    let long = spec_of_site(&dir, &"x".repeat(65), "");
    let refused = refusal(Managed::<Declared>::new(&context, location(), long));
    assert!(refused.contains("1 to 64 characters"), "{refused}");
}

#[tokio::test]
async fn nothing_changes_where_it_is_as_declared() {
    let context = context().await;
    let dir = web(&[("index.html", "x")]);
    let site = site_with(&context, &dir, "config = { api_url = \"http://a\" }")
        .await
        .unwrap();
    let facts = facts(&site);
    assert_eq!(
        facts.files.keys().collect::<Vec<_>>(),
        ["config.js", "index.html"]
    );
    assert_eq!(changes(&site, &there(facts, &[])), "");
}

#[tokio::test]
async fn each_difference_is_a_change() {
    let context = context().await;
    let dir = web(&[("index.html", "x")]);
    let site = site_with(&context, &dir, "error_page = \"index.html\"")
        .await
        .unwrap();
    let whole = facts(&site);
    let different = |change: &dyn Fn(&mut Facts)| {
        let mut facts = whole.clone();
        change(&mut facts);
        changes(&site, &there(facts, &[]))
    };
    assert_eq!(
        different(&|facts| facts.settings.enabled = false),
        "settings: disabled → enabled"
    );
    assert_eq!(
        different(&|facts| facts.settings.price_class = "PriceClass_All".to_owned()),
        "",
        "the default does not change a site"
    );
    assert_eq!(
        different(&|facts| facts.access_control = None),
        "settings: another origin access control → ours"
    );
    assert_eq!(
        different(&|facts| facts.permitted = false),
        "bucket policy: none → lets the distribution read"
    );
    std::fs::write(dir.path().join("web/index.html"), "y").unwrap();
    std::fs::write(dir.path().join("web/app.js"), "z").unwrap();
    assert_eq!(
        different(&|facts| {
            facts
                .files
                .insert("old.css".to_owned(), facts.files["index.html"].clone());
        }),
        "files: 2 files → 1 new (app.js), 1 changed (index.html), 1 gone (old.css)"
    );
    // What a run left is completed.
    assert_eq!(
        changes(
            &site,
            &there(
                Facts {
                    access_control: Some("E2".to_owned()),
                    ..Facts::default()
                },
                &[]
            )
        ),
        "create"
    );
}

#[tokio::test]
async fn an_unfinished_site_is_invalidated_again() {
    let context = context().await;
    let dir = web(&[("index.html", "x")]);
    let site = site_with(&context, &dir, "").await.unwrap();
    let observed = there(facts(&site), &[("streamctl:unfinished", "files")]);
    let all = changes(&site, &observed);
    assert!(all.starts_with("files: 1 file → as declared"), "{all}");
}

#[tokio::test]
async fn a_value_that_is_not_known_yet_is_no_change() {
    let context = context().await;
    let dir = web(&[("index.html", "x")]);
    let known = site_with(&context, &dir, "config = { api_url = \"http://a\" }")
        .await
        .unwrap();
    let facts = facts(&known);
    let unknown = format!(
        "config = {{ api_url = \"{}/x\" }}",
        crate::pipeline::resource::UNKNOWN
    );
    let site = site_with(&context, &dir, &unknown).await.unwrap();
    assert_eq!(changes(&site, &there(facts, &[])), "");
}

/// CloudFront and the bucket, as far as a site needs them.
#[derive(Default)]
struct Service {
    access_control: Option<String>,
    /// The DistributionConfig.
    distribution: Option<String>,
    tags: BTreeMap<String, String>,
    policy: Option<String>,
    objects: BTreeMap<String, String>,
    invalidations: usize,
}

impl Service {
    fn answer(&mut self, call: &str, body: &str) -> (u16, String) {
        let (method, path) = call.split_once(' ').unwrap();
        match path.strip_prefix("/2020-05-31/") {
            Some(path) => self.cloudfront(method, path, body),
            None => self.s3(method, path, body),
        }
    }

    fn cloudfront(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        let missing = |code: &str| {
            (
                404,
                format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"),
            )
        };
        let config = |document: &str| {
            let node = ground::xml::Node::read(document.as_bytes()).unwrap();
            node.child("DistributionConfig").unwrap_or(&node).to_xml("")
        };
        let described = |config: &str| {
            format!(
                "<Distribution><Id>{ID}</Id><Status>Deployed</Status><DomainName>e1.cloudfront.localhost:1</DomainName>{}\
                 </Distribution>",
                config.replace(" xmlns=\"\"", "")
            )
        };
        match (method, path.split('?').next().unwrap()) {
            ("GET", "distribution") => {
                let item = format!(
                    "<DistributionSummary><Id>{ID}</Id><Comment>shop</Comment></DistributionSummary>"
                );
                let items = self
                    .distribution
                    .as_ref()
                    .map_or(String::new(), |_| format!("<Items>{item}</Items>"));
                (200, format!("<DistributionList>{items}</DistributionList>"))
            }
            ("POST", "distribution") => {
                let document = ground::xml::Node::read(body.as_bytes()).unwrap();
                self.tag(document.child("Tags").unwrap());
                self.distribution = Some(config(body));
                (201, described(self.distribution.as_ref().unwrap()))
            }
            ("GET", "distribution/E1") => match &self.distribution {
                Some(config) => (200, described(config)),
                None => missing("NoSuchDistribution"),
            },
            ("PUT", "distribution/E1/config") => {
                self.distribution = Some(config(body));
                (200, described(self.distribution.as_ref().unwrap()))
            }
            ("DELETE", "distribution/E1") => {
                assert!(self.distribution.take().unwrap().contains("<Enabled>false"));
                (204, String::new())
            }
            ("POST", "distribution/E1/invalidation") => {
                self.invalidations += 1;
                (201, "<Invalidation/>".to_owned())
            }
            ("GET", "origin-access-control") => {
                let item = |description: &String| {
                    format!(
                        "<Items><OriginAccessControlSummary><Id>E2</Id><Name>shop</Name><Description>{description}</Description>\
                         </OriginAccessControlSummary></Items>"
                    )
                };
                let items = self.access_control.as_ref().map_or(String::new(), item);
                (
                    200,
                    format!("<OriginAccessControlList>{items}</OriginAccessControlList>"),
                )
            }
            ("POST", "origin-access-control") if self.access_control.is_some() => (
                409,
                "<ErrorResponse><Error><Code>OriginAccessControlAlreadyExists</Code></Error></ErrorResponse>"
                    .to_owned(),
            ),
            ("POST", "origin-access-control") => {
                let document = ground::xml::Node::read(body.as_bytes()).unwrap();
                self.access_control = document.text_of("Description").map(str::to_owned);
                (
                    201,
                    "<OriginAccessControl><Id>E2</Id></OriginAccessControl>".to_owned(),
                )
            }
            ("GET", "origin-access-control/E2") => (200, "<OriginAccessControl/>".to_owned()),
            ("DELETE", "origin-access-control/E2") => {
                assert!(self.distribution.is_none());
                self.access_control = None;
                (204, String::new())
            }
            ("GET", "tagging") => {
                let tags = self.tags.iter();
                let tags =
                    tags.map(|(key, value)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"));
                (
                    200,
                    format!("<Tags><Items>{}</Items></Tags>", tags.collect::<String>()),
                )
            }
            ("POST", "tagging") => {
                let document = ground::xml::Node::read(body.as_bytes()).unwrap();
                match document.name.as_str() {
                    "Tags" => self.tag(&document),
                    _ => {
                        let keys: Vec<&str> = document
                            .child("Items")
                            .unwrap()
                            .all("Key")
                            .map(|key| key.text.as_str())
                            .collect();
                        self.tags.retain(|key, _| !keys.contains(&key.as_str()));
                    }
                }
                (204, String::new())
            }
            other => panic!("{other:?}"),
        }
    }

    fn tag(&mut self, tags: &ground::xml::Node) {
        for tag in tags.child("Items").unwrap().all("Tag") {
            let text = |name: &str| tag.text_of(name).unwrap().to_owned();
            self.tags.insert(text("Key"), text("Value"));
        }
    }

    fn s3(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let key = path.strip_prefix("/shop-pages").unwrap().trim_start_matches('/');
        match (method, key) {
            ("GET", "") if query.contains("policy") => match &self.policy {
                Some(policy) => (200, policy.clone()),
                None => (404, "<Error><Code>NoSuchBucketPolicy</Code></Error>".to_owned()),
            },
            ("PUT", "") => {
                self.policy = Some(body.to_owned());
                (204, String::new())
            }
            ("DELETE", "") => {
                self.policy = None;
                (204, String::new())
            }
            ("GET", "") => {
                let keys = self.objects.keys();
                let keys = keys.map(|key| format!("<Contents><Key>{key}</Key></Contents>"));
                (
                    200,
                    format!(
                        "<ListBucketResult>{}</ListBucketResult>",
                        keys.collect::<String>()
                    ),
                )
            }
            ("HEAD", _) => (200, String::new()),
            ("PUT", key) => {
                self.objects.insert(key.to_owned(), body.to_owned());
                (200, String::new())
            }
            ("DELETE", key) => {
                self.objects.remove(key);
                (204, String::new())
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_site_is_made_and_deleted_with_all_that_belongs_to_it() {
    let service = Arc::new(Mutex::new(Service::default()));
    let theirs = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Theirs"}]}"#;
    service.lock().unwrap().policy = Some(theirs.to_owned());
    let behind = Arc::clone(&service);
    let endpoint = Endpoint::start(move |call, body| behind.lock().unwrap().answer(call, body)).await;
    let dir = web(&[("index.html", "page")]);
    let site = site_with(&endpoint.context, &dir, "config = { a = 1 }")
        .await
        .unwrap();
    assert_eq!(Resource::observe(&site).await.unwrap(), Observed::Absent);
    let (made, _) = with_step(async |step| Kind::create(&site, step).await).await;
    made.unwrap();
    {
        let service = service.lock().unwrap();
        let config = service.distribution.as_ref().unwrap();
        for part in [
            "<DomainName>shop-pages.s3.us-east-1.amazonaws.com</DomainName>",
            "<OriginAccessControlId>E2</OriginAccessControlId>",
            "<ViewerProtocolPolicy>redirect-to-https</ViewerProtocolPolicy>",
            "<DefaultRootObject>index.html</DefaultRootObject>",
        ] {
            assert!(config.contains(part), "{part}: {config}");
        }
        assert_eq!(service.access_control.as_deref(), Some("streamctl demo/one"));
        assert_eq!(
            service.objects.keys().collect::<Vec<_>>(),
            ["config.js", "index.html"]
        );
        let policy = service.policy.as_ref().unwrap();
        assert!(
            policy.contains("Theirs") && policy.contains("distribution/E1"),
            "{policy}"
        );
        assert_eq!(service.tags["streamctl:pipeline"], "demo/one");
        assert!(!service.tags.contains_key("streamctl:unfinished"));
    }
    // The objects have no metadata here: they count as those of somebody else, and stay.
    let observed = Resource::observe(&site).await.unwrap();
    let (deleted, said) = with_step(async |step| Resource::delete(&site, &observed, step).await).await;
    deleted.unwrap();
    assert!(said.contains(&"disabling".to_owned()), "{said:?}");
    let service = service.lock().unwrap();
    assert_eq!((&service.distribution, &service.access_control), (&None, &None));
    assert_eq!(
        serde_json::from_str::<Value>(service.policy.as_ref().unwrap()).unwrap(),
        serde_json::from_str::<Value>(theirs).unwrap()
    );
}

#[tokio::test]
async fn what_a_run_left_is_found_and_the_name_of_another_is_refused() {
    let service = Arc::new(Mutex::new(Service::default()));
    service.lock().unwrap().access_control = Some("streamctl demo/one".to_owned());
    let behind = Arc::clone(&service);
    let endpoint = Endpoint::start(move |call, body| behind.lock().unwrap().answer(call, body)).await;
    let dir = web(&[("index.html", "page")]);
    let site = site_with(&endpoint.context, &dir, "").await.unwrap();
    let observed = Resource::observe(&site).await.unwrap();
    assert_eq!(changes(&site, &observed), "create");
    let (deleted, _) = with_step(async |step| Resource::delete(&site, &observed, step).await).await;
    deleted.unwrap();
    assert_eq!(service.lock().unwrap().access_control, None);

    service.lock().unwrap().access_control = Some("made by somebody".to_owned());
    assert_eq!(Resource::observe(&site).await.unwrap(), Observed::Absent);
    let (made, _) = with_step(async |step| Kind::create(&site, step).await).await;
    let error = refusal(made);
    assert!(error.contains("give the site another name"), "{error}");
    assert!(service.lock().unwrap().distribution.is_none());
}
