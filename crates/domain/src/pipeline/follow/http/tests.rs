use super::super::tests::Memory;
use super::*;
use crate::pipeline::manifest::Manifest;

const SECTION: &str = r#"
    stream = "s"
    partition_key = "k"
    event = {}
    expect = []
    [[http]]
    name = "API"
    requests = [
      { method = "POST", url = "http://a/products", body = { name = "x", price = 29.99 }, status = 201, keep = { product = "id" } },
      { method = "GET", url = "http://a/products/${product}?x=secret", answer = { id = "${product}", price = 29.99 }, wait = true },
      { method = "PUT", url = "http://a/image", body_base64 = "aGk=", content_type = "image/jpeg" },
    ]
"#;

/// The requests of a section without references to resources.
fn sequence(section: &str) -> Sequence {
    let declared: super::super::Declared = toml::from_str(section).unwrap();
    assert_eq!(declared.problems(), Vec::<String>::new());
    let own: Vec<&str> = declared.http[0].kept().collect();
    let fill = |value: &Value| {
        let lookup = |name: &str| {
            own.contains(&name).then(|| substitute::Filled {
                value: format!("{OPEN}{name}{CLOSE}").into(),
                origin: None,
            })
        };
        Ok(substitute::fill(value, &lookup).unwrap().value)
    };
    declared.http[0].filled_with(&fill).unwrap()
}

fn run(sequence: &Sequence, answers: &[(&str, &[(u16, &str)])]) -> (Check, Vec<String>) {
    let services = Memory::default();
    for (line, some) in answers {
        let some = some.iter().map(|(status, body)| (*status, (*body).to_owned()));
        let mut all = services.answers.lock().unwrap();
        all.insert((*line).to_owned(), some.collect());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let limit = Duration::from_secs(30);
    let check = runtime.block_on(sequence.run(&services, limit, &Stop::default()));
    (check, services.calls())
}

const CREATED: (&str, &[(u16, &str)]) = ("POST http://a/products", &[(201, r#"{"id":"p1"}"#)]);

#[test]
fn requests_are_sent_in_order_with_values_of_earlier_answers() {
    let late: &[(u16, &str)] = &[
        (404, ""),
        (503, "busy"),
        (200, r#"{"id":"p1","price":29.990,"name":"x"}"#),
    ];
    let (check, calls) = run(
        &sequence(SECTION),
        &[
            CREATED,
            ("GET http://a/products/p1?x=secret", late),
            ("PUT http://a/image", &[(200, "")]),
        ],
    );
    assert_eq!((check.check.as_str(), check.state), ("API", CheckState::Good));
    insta::assert_snapshot!(check.detail, @"3 requests answered, after 130 ms");
    insta::assert_snapshot!(calls.join("\n"), @r#"
    POST http://a/products application/json {"name":"x","price":29.99}
    GET http://a/products/p1?x=secret
    GET http://a/products/p1?x=secret
    GET http://a/products/p1?x=secret
    PUT http://a/image image/jpeg hi
    "#);
}

#[test]
fn the_first_answer_that_is_not_as_expected_ends_it() {
    let get = "GET http://a/products/p1?x=secret";
    let put = ("PUT http://a/image", &[(200, "")][..]);
    let fault = |answers: &[(&str, &[(u16, &str)])]| {
        let (check, _) = run(&sequence(SECTION), answers);
        assert_eq!(check.state, CheckState::Fault);
        check.detail
    };
    insta::assert_snapshot!(fault(&[("POST http://a/products", &[(500, r#"{"message":"no"}"#)])]), @r#"POST http://a/products answered 500 {"message":"no"}, expected 201; 2 more were not sent; `streamctl logs FUNCTION` may show the cause"#);
    insta::assert_snapshot!(fault(&[("POST http://a/products", &[(201, r#"{"id":""}"#)])]), @r#"POST http://a/products answered 201 {"id":""}, expected a member id; 2 more were not sent; `streamctl logs FUNCTION` may show the cause"#);
    insta::assert_snapshot!(fault(&[("POST http://a/products", &[(201, "<html>")])]), @"POST http://a/products answered 201 <html>, expected JSON; 2 more were not sent; `streamctl logs FUNCTION` may show the cause");
    // It waits until the deadline, and shows no query.
    insta::assert_snapshot!(fault(&[CREATED, (get, &[(200, r#"{"id":"p2"}"#)])]), @r#"GET http://a/products/p1 answered 200 {"id":"p2"}, expected {"id":"p1","price":29.99}; 1 more were not sent; `streamctl logs FUNCTION` may show the cause"#);
    let there: &[(u16, &str)] = &[(200, r#"{"id":"p1","price":29.99}"#)];
    insta::assert_snapshot!(fault(&[CREATED, (get, there)]), @"could not send PUT http://a/image; `streamctl logs FUNCTION` may show the cause");
    let (check, _) = run(&sequence(SECTION), &[CREATED, (get, there), put]);
    assert_eq!(check.state, CheckState::Good);
}

#[test]
fn an_answer_that_may_be_missing_is_a_caution_soon() {
    let mut sequence = sequence(SECTION);
    sequence.caution = Some("`streamctl sample load shop` makes it".to_owned());
    let get = ("GET http://a/products/p1?x=secret", &[(404, "")][..]);
    let (check, calls) = run(&sequence, &[CREATED, get]);
    assert_eq!(check.state, CheckState::Caution);
    insta::assert_snapshot!(check.detail, @"GET http://a/products/p1 answered 404, expected 200; 1 more were not sent; `streamctl sample load shop` makes it");
    // Five seconds with pauses of up to two.
    assert!((5..20).contains(&calls.len()), "{calls:?}");
}

#[test]
fn a_stop_ends_it_after_the_request_that_was_sent() {
    let services = Memory::default();
    let answers = [(201, r#"{"id":"p1"}"#.to_owned())];
    let mut all = services.answers.lock().unwrap();
    all.insert("POST http://a/products".to_owned(), answers.to_vec());
    drop(all);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let stop = Stop::default();
    stop.set();
    let check = runtime.block_on(sequence(SECTION).run(&services, Duration::from_secs(30), &stop));
    insta::assert_snapshot!(check.detail, @"stopped after 1 of 3 requests");
    assert_eq!(services.calls().len(), 1);
}

#[test]
fn an_invalid_request_is_refused() {
    let section = |requests: &str| {
        let text = format!(
            "stream = \"s\"\npartition_key = \"k\"\nevent = {{}}\nexpect = []\nhttp = [{{ name = \"API\", requests = [{requests}] }}]"
        );
        let declared: super::super::Declared = toml::from_str(&text).unwrap();
        declared.problems().join("\n")
    };
    assert_eq!(section(r#"{ method = "GET", url = "http://a" }"#), "");
    insta::assert_snapshot!(section(""), @"http API: it has no requests");
    insta::assert_snapshot!(section(r#"{ method = "get", url = "u" }"#), @r#"http API: "get" is not a method; use DELETE, GET, HEAD, PATCH, POST, PUT"#);
    insta::assert_snapshot!(section(r#"{ method = "GET", url = "u", status = 1 }"#), @"http API: `status` must be from 100 to 599");
    insta::assert_snapshot!(section(r#"{ method = "PUT", url = "u", body = {}, body_base64 = "AA==" }"#), @"http API: a request has either `body` or `body_base64`");
    insta::assert_snapshot!(section(r#"{ method = "PUT", url = "u", body_base64 = "?" }"#), @"http API: `body_base64` is not base64");
    insta::assert_snapshot!(section(r#"{ method = "GET", url = "${id}", keep = { id = "id" } }"#), @"http API: ${id} is kept by a later request");
}

#[test]
fn a_kept_name_is_no_other_name() {
    let manifest = |name: &str, used: &str| {
        let text = format!(
            r#"
            name = "shop"
            description = "x"
            instance = "one"
            resources = []
            [parameters.stream]
            type = "string"
            description = "x"
            default = "s"
            [verify]
            stream = "s"
            partition_key = "k"
            event = {{}}
            expect = []
            [[verify.http]]
            name = "API"
            requests = [
              {{ method = "GET", url = "http://a", keep = {{ {name} = "id" }} }},
              {{ method = "GET", url = "http://a/{used}" }},
            ]
            "#
        );
        match Manifest::parse("shop", &text, &|_| None) {
            Ok(_) => String::new(),
            Err(error) => error.chain().join(": "),
        }
    };
    assert_eq!(manifest("product", "${product}"), "");
    for name in ["stream", "marker", "Product"] {
        assert!(
            manifest(name, "").contains("`keep` cannot use the name"),
            "{name}"
        );
    }
    assert!(manifest("product", "${other}").contains("${other} is not known"));
}

#[test]
fn kept_values_are_inserted_as_they_are() {
    let kept = Kept::from([
        ("a".to_owned(), json!("x${a}\u{f8f0}a\u{f8f1}")),
        ("n".to_owned(), json!(7)),
    ]);
    let name = |name: &str| format!("{OPEN}{name}{CLOSE}");
    assert_eq!(
        with_kept(&format!("<{}|{}>", name("a"), name("n")), &kept),
        "<x${a}\u{f8f0}a\u{f8f1}|7>"
    );
    assert_eq!(with_kept(&name("gone"), &kept), "");
    assert_eq!(with_kept("\u{f8f0}open", &kept), "\u{f8f0}open");
    let value = json!({"quoted": [name("a")], "same": 1});
    assert_eq!(
        value_with_kept(&value, &kept),
        json!({"quoted": ["x${a}\u{f8f0}a\u{f8f1}"], "same": 1})
    );
}
