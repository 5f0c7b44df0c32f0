//! What queries make of records, compared with the manual of jq and with `jaq`; and what bounds them.

use proptest::prelude::*;

use super::*;

/// 2026-01-01T00:00:00Z.
const NOW_MS: i64 = 1_767_225_600_000;

/// The value of the key `a`.
fn of(query: &str, record: &str) -> Result<String, String> {
    let query = Query::parse(&format!("{{a: ({query})}}")).unwrap_or_else(|error| panic!("{query}: {error}"));
    let keys = query.extract(record.as_bytes(), NOW_MS).keys?;
    Ok(keys["a"].clone())
}

fn refusal(query: &str) -> Fault {
    match Query::parse(query) {
        Ok(_) => panic!("{query} is valid"),
        Err(fault) => fault,
    }
}

/// The record of the developer guide.
const CLICK: &str = r#"{"type": {"device": "mobile", "event": "user_clicked_submit_button"}, "customer_id": "1234567890",
    "event_timestamp": 1565382027, "region": "sample_region"}"#;

#[test]
fn the_example_of_the_guide_makes_its_keys() {
    let query = Query::parse(
        r#"{customer_id:.customer_id, device:.type.device, year:.event_timestamp|strftime("%Y"),
            month:.event_timestamp|strftime("%m"), "day":.event_timestamp|strftime("%d"), hour: .event_timestamp|strftime("%H")}"#,
    )
    .unwrap();
    assert_eq!(
        query.keys(),
        ["customer_id", "device", "year", "month", "day", "hour"]
    );
    let keys = query.extract(CLICK.as_bytes(), NOW_MS).keys.unwrap();
    let shown: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        shown.join(" "),
        "customer_id=1234567890 day=09 device=mobile hour=20 month=08 year=2019"
    );
}

#[test]
fn queries_make_what_the_manual_says() {
    for (query, record, expected) in [
        (".region", CLICK, "sample_region"),
        (".type[\"device\"]", CLICK, "mobile"),
        (".\"region\"", CLICK, "sample_region"),
        (".event_timestamp", CLICK, "1565382027"),
        (".x", r#"{"x": 1.5}"#, "1.5"),
        (".x", r#"{"x": 3.0}"#, "3"),
        (".x", r#"{"x": 9223372036854775807}"#, "9223372036854775807"),
        (".x", r#"{"x": true}"#, "true"),
        (".missing // \"none\"", "{}", "none"),
        (".a // .b // \"none\"", r#"{"b": 2}"#, "2"),
        (
            "if .n >= 10 then \"high\" elif .n > 5 then \"middle\" else \"low\" end",
            r#"{"n": 7}"#,
            "middle",
        ),
        (".a + .b * 2", r#"{"a": 1, "b": 3}"#, "7"),
        ("-(.a) % 7", r#"{"a": 10}"#, "-3"),
        ("\"\\(.a)-\\(.b)\"", r#"{"a": 1, "b": "x"}"#, "1-x"),
        ("@base64 \"q=\\(.a)\"", r#"{"a": "hi"}"#, "q=aGk="),
        (".a | @uri", r#"{"a": "a b/c"}"#, "a%20b%2Fc"),
        (".a | @base64d | fromjson | .x", r#"{"a": "eyJ4Ijo1fQ=="}"#, "5"),
        (
            ".items | map(select(.n > 1)) | length",
            r#"{"items": [{"n": 1}, {"n": 2}, {"n": 3}]}"#,
            "2",
        ),
        ("[.items[].n] | add", r#"{"items": [{"n": 1}, {"n": 2}]}"#, "3"),
        (
            "first(.items[] | select(.n == 2)).id",
            r#"{"items": [{"n": 1, "id": "a"}, {"n": 2, "id": "b"}]}"#,
            "b",
        ),
        (
            ".tags | keys | join(\"+\")",
            r#"{"tags": {"b": 1, "a": 2}}"#,
            "a+b",
        ),
        (".t[0:4]", r#"{"t": "2024-05-06"}"#, "2024"),
        (".a[-1]", r#"{"a": [1, 2, 3]}"#, "3"),
        (".t | split(\"-\") | .[1]", r#"{"t": "2024-05-06"}"#, "05"),
        (
            ".t | sub(\"(?<y>\\\\d+)-.*\"; \"\\(.y)\")",
            r#"{"t": "2024-05-06"}"#,
            "2024",
        ),
        (".t | gsub(\"-\"; \"/\")", r#"{"t": "2024-05-06"}"#, "2024/05/06"),
        (
            ".t | capture(\"-(?<m>[0-9]+)-\").m",
            r#"{"t": "2024-05-06"}"#,
            "05",
        ),
        (".t | test(\"^20\")", r#"{"t": "2024-05-06"}"#, "true"),
        (".t | ltrimstr(\"/\") | ascii_upcase", r#"{"t": "/aws"}"#, "AWS"),
        (
            ".t | strptime(\"%Y-%m-%dT%H:%M:%SZ\") | strftime(\"%Y/%m\")",
            r#"{"t": "2015-03-05T23:51:47Z"}"#,
            "2015/03",
        ),
        (
            ".t | fromdateiso8601",
            r#"{"t": "2015-03-05T23:51:47Z"}"#,
            "1425599507",
        ),
        (
            ".t | sub(\"\\\\.[[:digit:]]+\"; \"\") | strptime(\"%Y-%m-%d %H:%M:%S\") | mktime",
            r#"{"t": "2015-03-05 23:51:47.123"}"#,
            "1425599507",
        ),
        (
            ".t / 1000 | floor | todate",
            r#"{"t": 1425599507999}"#,
            "2015-03-05T23:51:47Z",
        ),
        (".t | gmtime | mktime", r#"{"t": 1425599507.5}"#, "1425599507"),
        (
            "now | strftime(\"%Y-%m-%d %j %A\")",
            "{}",
            "2026-01-01 001 Thursday",
        ),
        (".a as $x | .b | . + $x", r#"{"a": 1, "b": 2}"#, "3"),
        ("reduce .a[] as $x (0; . + $x)", r#"{"a": [1, 2, 3]}"#, "6"),
        ("try error(\"x\") catch \"caught \\(.)\"", "{}", "caught x"),
        ("(.a.b.c)? // \"none\"", r#"{"a": [1]}"#, "none"),
        ("[.[] | numbers] | max", r#"{"a": 1, "b": "x", "c": 4}"#, "4"),
        ("[limit(2; range(10))] | tojson", "{}", "[0,1]"),
        (
            "to_entries | map(\"\\(.key)=\\(.value)\") | join(\"&\")",
            r#"{"b": 1, "a": 2}"#,
            "a=2&b=1",
        ),
        (
            "has(\"a\") and (.a | any(. > 2)) and (.a | all) | not",
            r#"{"a": [1, 3]}"#,
            "false",
        ),
        (
            "[..|strings]|unique|join(\",\")",
            r#"{"a": ["y", {"b": "x"}], "c": "y"}"#,
            "x,y",
        ),
        (
            "{a: 1, b: {c: 2}} * {b: {d: 3}} | .b | tojson",
            "{}",
            r#"{"c":2,"d":3}"#,
        ),
        ("\"\\u00e9\\uD83D\\uDE00\"", "{}", "é😀"),
    ] {
        assert_eq!(of(query, record).as_deref(), Ok(expected), "{query} of {record}");
    }
}

#[test]
fn records_without_a_key_fail_with_the_words_of_firehose() {
    for (query, record, reason) in [
        (".a", "{}", NO_KEY),
        (".a", r#"{"a": ""}"#, NO_KEY),
        (".a", r#"{"a": null}"#, NO_KEY),
        ("empty", "{}", NO_KEY),
        (".a", "not json", NOT_JSON),
        (".a", "", NOT_JSON),
        (".a", "{\"a\":1}{\"a\":2}", NOT_JSON),
        (".a", "[1]", "Cannot index array with \"a\""),
        (
            ".a",
            r#"{"a": [1]}"#,
            "partitionKeys values must not be of the type array",
        ),
        (
            ".a | strftime(\"%Y\")",
            r#"{"a": "x"}"#,
            "strftime/1 requires parsed datetime inputs",
        ),
        (".a | error", r#"{"a": "mine"}"#, "mine"),
        (
            ".a + .b",
            r#"{"a": "x", "b": 1}"#,
            "string and number cannot be added",
        ),
        (
            ".a / 0",
            r#"{"a": 1}"#,
            "number and number cannot be divided because the divisor is zero",
        ),
    ] {
        assert_eq!(of(query, record), Err(reason.to_owned()), "{query} of {record}");
    }
}

#[test]
fn queries_that_are_not_valid_are_refused_with_the_place() {
    for (query, part) in [
        ("", "jq expects a term"),
        (".a", "must make an object"),
        ("{}", "makes no keys"),
        ("{(.a): 1}", "must be names"),
        ("{\"\\(.a)\": 1}", "must be names"),
        ("{a: .a, a: .b}", "the key a twice"),
        ("{a: .a", "at its end, jq expects ,"),
        ("{a: .a + 1}", "at character 8, jq expects a comma"),
        ("{a: (.a +)}", "where jq expects a term"),
        ("{a: $x}", "no variable $x"),
        ("{a: \"x}", "a string has no end"),
        ("{a: .a.}", "jq expects a field"),
        ("{a: (1 == 2 == 3)}", "cannot be compared"),
        ("{a: (if .a then 1 end)}", "jq expects else"),
        ("{a: nosuch}", "jq does not have the function nosuch/0"),
        ("{a: .a} garbage", "jq expects an operator or the end"),
        ("{a: \u{1}}", "which jq does not know"),
        ("{a: @no}", "no format @no"),
        ("{a: \"\\x\"}", "\\x is not an escape"),
    ] {
        let fault = refusal(query);
        assert!(
            matches!(&fault, Fault::Invalid(text) if text.contains(part)),
            "{query}: {fault}"
        );
    }
    for (query, part) in [
        ("{a: (def f: f; f)}", "at character 6, def is not offered"),
        ("{a: (.a = 1)}", "the assignment = is not offered"),
        ("{a: input}", "the function input/0 is not offered"),
        ("{a: env.HOME}", "the function env/0 is not offered"),
        ("{a: (.a | recurse(.b))}", "the function recurse/1 is not offered"),
    ] {
        let fault = refusal(query);
        assert!(
            matches!(&fault, Fault::NotOffered(text) if text.contains(part)),
            "{query}: {fault}"
        );
    }
    assert!(
        refusal(&format!("{{a: {}}}", ".a".repeat(MAX_QUERY)))
            .to_string()
            .contains("5120")
    );
    let keys: Vec<String> = (0..=MAX_KEYS).map(|n| format!("k{n}: .a")).collect();
    assert!(
        refusal(&format!("{{{}}}", keys.join(",")))
            .to_string()
            .contains("50 keys")
    );
}

/// Endless, exponential and deep queries end with a reason.
#[test]
fn hostile_queries_end() {
    let wide = format!(r#"{{"x": [{}0]}}"#, "1,".repeat(2000));
    let text = format!(r#"{{"x": "{}"}}"#, "a".repeat(200_000));
    let doubled = "|[.,.]".repeat(50);
    for (query, record) in [
        ("[range(1e12)] | length".to_owned(), "{}"),
        ("last(range(1e300))".to_owned(), "{}"),
        ("any(range(1e12); . < 0)".to_owned(), "{}"),
        ("\"x\" * 1e12".to_owned(), "{}"),
        ("reduce range(1e9) as $i (\"a\"; . + .)".to_owned(), "{}"),
        ("reduce range(1e9) as $i (1; [., .]) | tojson".to_owned(), "{}"),
        ("reduce range(1e9) as $i (1; [.]) | tojson".to_owned(), "{}"),
        (format!("1{doubled}|tojson"), "{}"),
        ("[.x|[.,.,.,.]|.[]|[.,.,.,.]|.[]|.[]] | length".to_owned(), &wide),
        ("[.x[] + .x[] + .x[]] | length".to_owned(), &wide),
        (
            "[.x[] as $a | .x[] as $b | .x[] as $c | 1] | add".to_owned(),
            &wide,
        ),
        (".x - .x - .x | sort".to_owned(), &wide),
        (
            ".x | gsub(\"(?<c>a)\"; \"\\(.c)\\(.c)\" * 1000)".to_owned(),
            &text,
        ),
        (".x | gsub(\"\"; \"abcdefgh\")".to_owned(), &text),
        (".x | test(\"(a{1,50}){1,50}$b\")".to_owned(), &text),
        (
            ".x | split(\"\") | map(explode) | flatten | implode * 500".to_owned(),
            &text,
        ),
        ("[recurse | recurse | recurse | recurse]".to_owned(), &wide),
    ] {
        let Ok(query) = Query::parse(&format!("{{a: ({query})}}")) else {
            panic!("{query} is refused");
        };
        let extracted = query.extract(record.as_bytes(), NOW_MS);
        let reason = extracted.keys.unwrap_err();
        assert!(
            reason.contains("the query needs too") || reason.contains("not a regular expression"),
            "{reason}"
        );
        assert!(extracted.steps < 40_000_000, "{}", extracted.steps);
    }
    for query in [
        "(".repeat(2000),
        "[".repeat(2000),
        "-".repeat(2000),
        format!("{{a: {}1{}}}", "(".repeat(1000), ")".repeat(1000)),
        format!("{{a: (.{})}}", "|.".repeat(1500)),
        format!("{{a: (.{})}}", " // .".repeat(900)),
        format!("{{a: ({}1)}}", "if 1 then 1 el".repeat(300)),
        format!("{{a: (1{})}}", " as $x | 1".repeat(400)),
        "\"\\(".repeat(1000),
        format!("{{a: {}}}", ".a".repeat(2000)),
        format!("{{a: {}.}}", "try ".repeat(1000)),
    ] {
        assert!(Query::parse(&query).is_err());
    }
    // A record as deep as the parser allows.
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    assert_eq!(of("[..] | length", &deep).as_deref(), Ok("121"));
    assert_eq!(of("flatten | .[0]", &deep).as_deref(), Ok("1"));
    let too_deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(of(".", &too_deep), Err(NOT_JSON.to_owned()));
    let many = format!("[{}1]", "1,".repeat(MAX_VALUES));
    assert_eq!(
        of("length", &many),
        Err("the record has too many values".to_owned())
    );
}

/// A query as deep as the parser allows does not exhaust the stack of a thread.
#[test]
fn the_deepest_query_fits_into_a_small_stack() {
    let deep = (1..MAX_LEVELS).rev().find_map(|levels| {
        let query = format!("{{a: {}.x{}}}", "([".repeat(levels), "] | .[])".repeat(levels));
        Query::parse(&query).ok()
    });
    let deep = deep.unwrap();
    let run = move || deep.extract(br#"{"x": 1}"#, NOW_MS).keys;
    let thread = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(run)
        .unwrap();
    let keys = thread.join().unwrap();
    assert!(keys.is_ok() || keys.unwrap_err().contains("depth"));
}

const MAX_LEVELS: usize = 60;

/// What `jaq` makes of the same query.
fn by_jaq(query: &str, record: &str) -> Option<Vec<String>> {
    use jaq_core::data::JustLut;
    use jaq_core::load::{Arena, File, Loader};
    use jaq_core::{Compiler, Ctx, Vars};
    let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let funs = jaq_core::funs::<JustLut<jaq_json::Val>>()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    let arena = Arena::default();
    let modules = Loader::new(defs)
        .load(
            &arena,
            File {
                code: query,
                path: (),
            },
        )
        .ok()?;
    let filter = Compiler::default().with_funs(funs).compile(modules).ok()?;
    let input = jaq_json::read::parse_single(record.as_bytes()).ok()?;
    let ctx = Ctx::<JustLut<jaq_json::Val>>::new(&filter.lut, Vars::new([]));
    let values = filter.id.run((ctx, input));
    values
        .map(|value| value.ok().map(|value| value.to_string()))
        .collect()
}

fn by_us(query: &str, record: &str) -> Option<Vec<String>> {
    let term = parse::parse(query).ok()?;
    let input: Val = serde_json::from_str(record).ok()?;
    let machine = Machine::new(record.len(), NOW_MS);
    let values = machine.collect(&term, None, &input).ok()?;
    Some(values.iter().map(ToString::to_string).collect())
}

fn query() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        ".", ".a", ".b", ".a?", ".[]?", "1", "2", "\"x\"", "null", "true", "[]", "[.a, .b]", "{a}", "{a: .b}",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        // Of several operands, jq takes the right side first, and jaq the left one. They differ in errors before `//`, and in
        // those of the values of an object.
        let operator = prop::sample::select(vec!["+", "==", "<", "!=", ">="]);
        let plain = prop::sample::select(vec!["|", ",", "and", "or"]);
        prop_oneof![
            3 => (inner.clone(), operator, inner.clone()).prop_map(|(a, o, b)| format!("([({a})?][0]) {o} ([({b})?][0])")),
            3 => (inner.clone(), plain, inner.clone()).prop_map(|(a, o, b)| format!("({a}) {o} ({b})")),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("if {a} then {b} else {c} end")),
            1 => inner.clone().prop_map(|a| format!("[{a}]")),
            1 => inner.clone().prop_map(|a| format!("({a})?")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) as $v | ({b}), $v")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("reduce ({a}) as $v (null; [., $v, ({b})])")),
            1 => (inner.clone(), prop::sample::select(vec!["tostring", "type", "tojson", "not", "first(.[]?)", "arrays", "length?"]))
                .prop_map(|(a, f)| format!("({a}) | {f}")),
            1 => inner.clone().prop_map(|a| format!("map({a})?")),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("{{a: ([({a})?][0]), b: ([({b})?][0])}}")),
        ]
    })
}

proptest! {
    #[test]
    fn queries_mean_what_they_mean_to_jaq(
        query in query(),
        record in prop::sample::select(vec![
            "null", "1", "\"x\"", "[1, [2], \"x\"]", r#"{"a": 1, "b": [1, 2]}"#, r#"{"a": {"a": "x"}, "b": null}"#, r#"[{"a": 1}]"#,
        ]),
    ) {
        // Both know the query and make values, or neither makes any.
        if let (Some(theirs), Some(ours)) = (by_jaq(&query, record), by_us(&query, record)) {
            prop_assert_eq!(theirs, ours, "{} of {}", query, record);
        }
    }

    #[test]
    fn no_text_breaks_the_parser(text in r#"[-{}\[\]()."\\|,:;$@#?/*+%<>=!a-z0-9 ]{0,60}"#) {
        if let Ok(query) = Query::parse(&text) {
            let _ = query.extract(CLICK.as_bytes(), NOW_MS);
        }
        if let Ok(query) = Query::parse(&format!("{{a: ({text})}}")) {
            let _ = query.extract(CLICK.as_bytes(), NOW_MS);
        }
    }

    #[test]
    fn no_record_breaks_a_query(record in prop::collection::vec(any::<u8>(), 0..200), json in r#"[\[\]{}",:0-9a\\un.e-]{0,60}"#) {
        let query = Query::parse("{a: .a, b: (.. | tostring)}").unwrap();
        let _ = query.extract(&record, NOW_MS);
        let _ = query.extract(json.as_bytes(), NOW_MS);
    }
}
