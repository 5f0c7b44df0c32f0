use proptest::prelude::*;

use super::*;

/// A scope with the body, the parameters `p`, `q` and a header, and some `$context`.
fn scope(body: &str) -> Scope<'_> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Scope {
        body,
        path: vec![pair("id", "7")],
        querystring: vec![pair("id", "8"), pair("q", "a b")],
        headers: vec![pair("Content-Type", "application/json"), pair("X-Id", "9")],
        context: r#"{"requestId":"r-1","stage":"prod","identity":{"sourceIp":"127.0.0.1"},"requestTimeEpoch":1767225600000}"#,
        stage_variables: vec![pair("table", "items")],
    }
}

fn render(template: &str, body: &str) -> Result<Rendered> {
    Template::parse(template)?.render(&scope(body))
}

fn text(template: &str, body: &str) -> String {
    match render(template, body) {
        Ok(rendered) => rendered.text,
        Err(error) => panic!("{template}: {error}"),
    }
}

#[track_caller]
fn table(body: &str, rows: &[(&str, &str)]) {
    for (template, expected) in rows {
        assert_eq!(text(template, body), *expected, "{template}");
    }
}

/// Source: "Variables for data transformations for API Gateway", API Gateway developer guide.
#[test]
fn input() {
    let body = r#"{"name": "Bob's", "user_id": 12345678901234567890, "price": 1.10, "tags": ["a", "b"], "none": null,
        "nested": {"items": [{"id": 1}, {"id": 2}], "odd name": true}}"#;
    table(
        body,
        &[
            ("$input.json('$.user_id')", "12345678901234567890"),
            ("$input.json('$.price')", "1.10"),
            ("$input.json('$.tags')", r#"["a","b"]"#),
            ("$input.json('$.name')", r#""Bob's""#),
            ("$input.json('$.nested.items[*].id')", "[1,2]"),
            ("$input.json('$..id')", "[1,2]"),
            ("$input.json('$.nested.items[-1]')", r#"{"id":2}"#),
            ("$input.json('$.nested.items[0:1]')", r#"[{"id":1}]"#),
            ("$input.json(\"$['nested']['odd name']\")", "true"),
            ("$input.json('$.missing')", "\"\""),
            ("$input.json('$.none')", "\"\""),
            ("$input.path('$.missing')|$!input.path('$.none')", "|"),
            ("$input.path('$.user_id')", "12345678901234567890"),
            ("$input.path('$').nested.items[1].id", "2"),
            (
                "$input.path('$').nested",
                r#"{items=[{"id":1},{"id":2}], odd name=true}"#,
            ),
            ("$input.path('$.tags').size()", "2"),
            (
                "$input.params('id') $input.params('q') $input.params('x-id') $input.params('no')",
                "7 a b 9 ",
            ),
            ("$input.params().querystring.get('q')", "a b"),
            ("$input.params().header.get('Content-Type')", "application/json"),
            (
                "#foreach($k in $input.params().keySet())$k #end",
                "path querystring header ",
            ),
            (
                "$context.requestId $context.identity.sourceIp $stageVariables.table",
                "r-1 127.0.0.1 items",
            ),
            (
                "$context.authorizer.principalId|$stageVariables.no|$unknown|$!unknown.a.b()",
                "|||",
            ),
        ],
    );
    assert_eq!(text("$input.body", "as sent \n"), "as sent \n");
    assert_eq!(text("$input.body $input.json('$')", ""), "{} {}");
}

#[test]
fn util() {
    table(
        r#"{"s": "a \"q\" it's é", "j": "{\"n\": 1.0}"}"#,
        &[
            (
                "$util.escapeJavaScript($input.path('$.s'))",
                r#"a \"q\" it\'s \u00E9"#,
            ),
            // As the documentation undoes the escape of single quotes, which JSON does not have.
            (
                r#"$util.escapeJavaScript($input.path('$.s')).replaceAll("\\'","'")"#,
                r#"a \"q\" it's \u00E9"#,
            ),
            ("$util.parseJson($input.path('$.j')).n", "1.0"),
            (
                "$util.urlEncode('a b&c') $util.urlDecode('a+b%26c')",
                "a+b%26c a b&c",
            ),
            ("$util.base64Encode('hé') $util.base64Decode('aMOp')", "aMOp hé"),
            ("$util.base64Encode($input.json('$.j'))", "IntcIm5cIjogMS4wfSI="),
        ],
    );
}

/// Source: "Velocity User Guide", Apache Velocity Engine 1.7.
#[test]
fn language() {
    table(
        "{}",
        &[
            ("$5 and 5$ # ## to the line end\nnext", "$5 and 5$ # next"),
            ("a#* hidden #end *#b #[[ $raw #if ]]#", "ab  $raw #if "),
            (
                r"\$context.stage \\$context.stage \$5 \n",
                r"$context.stage \prod \$5 \n",
            ),
            (r"\#if \\", r"#if \\"),
            (
                "${context.stage}x $!{context.stage}x $context.stage.",
                "prodx prodx prod.",
            ),
            ("#hello #if(true)yes#{else}no#end", "#hello yes"),
            ("#set($a = 1)#set($b=$a)$a$b", "11"),
            ("a\n  #set($x = 1)  \nb", "a\nb"),
            ("#if(false)\na\n#elseif(1 == 1)\nb\n#else\nc\n#end\nd", "b\nd"),
            ("#if($none)a#else b#end", " b"),
            (
                "#if($none == '')a#end#if(\"$!none\" != '')b#end#if($none == $null)c#end",
                "ac",
            ),
            ("#if(!$none && (1 < 2 or false))a#end", "a"),
            ("#if(2 > 10)a#elseif('b' eq 'b')b#end", "b"),
            (
                "#foreach($i in [1..3])$i$foreach.index$velocityCount#if($foreach.hasNext),#end#end$i",
                "101,212,323",
            ),
            (
                "#foreach($i in [3..1])$i#end #foreach($v in {'a': 1, 'b': 2})$v#end",
                "321 12",
            ),
            ("#foreach($i in [1..9])#if($i > 2)#break#end$i#end", "12"),
            (
                "#foreach($i in [1, 2])#foreach($j in [1, 2])$foreach.parent.index$j #end#end",
                "01 02 11 12 ",
            ),
            ("a#stop b", "a"),
            ("#set($s = \"$context.stage-$context.stage\")$s", "prod"),
            (
                "#set($s = \"${context.stage}-1\")$s#set($q = '$x') $q",
                "prod-1 $x",
            ),
            (
                "#set($s = \"#if('a' == \"\"a\"\")y#end\"\"$context.stage\"\"\")$s",
                "y\"prod\"",
            ),
            ("#set($s = 'it''s')$s#set($t = \"a\\u000Ab\")$t", "it'sa\nb"),
            (
                "#set($l = [])#set($x = $l.add('a'))$l.add(1) $l $l.size()",
                "true [a, 1] 2",
            ),
            (
                "#set($m = {'a': {'b': 1}})#set($m.a.c = 2)$m $m['a'].c $m.get('a').b",
                "{a={b=1, c=2}} 2 1",
            ),
            ("#set($l = [1, 2])#set($l[1] = 'x')$l[0]$l[-1]$l[5]", "1x"),
            ("#set($x = 7 + 2 * 3 - -1)$x", "14"),
            (
                "#set($x = 7 / 2)$x#set($x = 7 % 4) $x#set($x = 7 / 0) $x#set($x = 7.0 / 2) $x",
                "3 3  3.5",
            ),
            (
                "#set($x = 9223372036854775807 + 1)$x#set($x = 'a' + 1) $x",
                "9223372036854775808 a1",
            ),
            (
                "#if(12345678901234567890 == 12345678901234567891)a#else b#end",
                " b",
            ),
        ],
    );
}

#[test]
fn methods_of_texts_lists_and_maps() {
    table(
        "{}",
        &[
            (
                "#set($s = ' a,b,,c,, ')$s.trim().split(',') $s.length()",
                "[a, b, , c] 10",
            ),
            (
                "#set($s = 'héllo')$s.substring(1) $s.substring(1, 3) $s.indexOf('l') $s.charAt(1)",
                "éllo él 2 é",
            ),
            (
                "#set($s = 'aXbX')$s.replace('X', '.') $s.toLowerCase() $s.contains('b') $s.startsWith('b')",
                "a.b. axbx true false",
            ),
            (
                "#set($s = 'a1b22')$s.replaceAll('[0-9]+', '<$0>') $s.replaceFirst('\\d', '-')",
                "a<1>b<22> a-b22",
            ),
            (
                "#set($s = '12')$s.matches('[0-9]+') $s.matches('[0-9]') $s.equals('12') $s.isEmpty()",
                "true false true false",
            ),
            (
                "#set($l = ['a', 'b', 'c'])$l.get(1) $l.contains('c') $l.indexOf('z') $l.subList(1, 3) $l.remove(0) $l",
                "b true -1 [b, c] a [b, c]",
            ),
            (
                "#set($l = [1])$l.addAll([2, 3]) $l.isEmpty() $l.set(0, 9) $l#set($x = $l.add(0, 5)) $l",
                "true false 1 [9, 2, 3] [5, 9, 2, 3]",
            ),
            (
                "#set($m = {})$m.put('a', 1)$m.put('a', 2) $m.containsKey('a') $m.keySet() $m.values() $m.remove('a') $m.size()",
                "1 true [a] [2] 2 0",
            ),
            (
                "#set($m = {'a': 1})#foreach($e in $m.entrySet())$e.key=$e.getValue()#end $m.getOrDefault('b', 'x')",
                "a=1 x",
            ),
            ("#set($n = 3.7)$n.intValue() $n.toString().length()", "3 3"),
        ],
    );
}

/// What API Gateway's guides for Kinesis and Firehose use.
#[test]
fn a_record_for_kinesis() {
    let template = "#set($data = \"{\"\"user_id\"\":$input.json('$.user_id'),\"\"at\"\":$context.requestTimeEpoch}\n\")\n\
        {\"StreamName\": \"s\", \"Data\": \"$util.base64Encode($data)\", \"PartitionKey\": \"$context.requestId\"}";
    let sent = text(template, r#"{"user_id": 9007199254740993}"#);
    let data = "eyJ1c2VyX2lkIjo5MDA3MTk5MjU0NzQwOTkzLCJhdCI6MTc2NzIyNTYwMDAwMH0K";
    assert_eq!(
        sent,
        format!(r#"{{"StreamName": "s", "Data": "{data}", "PartitionKey": "r-1"}}"#)
    );
    // The loop of the tutorial "Create a REST API as an Amazon Kinesis proxy".
    let records = r#"{"Records": [#foreach($elem in $input.path('$.records')){"Data": "$util.base64Encode($elem.data)","PartitionKey": "$elem.partition-key"}#if($foreach.hasNext),#end#end]}"#;
    let body = r#"{"records": [{"data": "a", "partition-key": "k1"}, {"data": "b", "partition-key": "k2"}]}"#;
    assert_eq!(
        text(records, body),
        r#"{"Records": [{"Data": "YQ==","PartitionKey": "k1"},{"Data": "Yg==","PartitionKey": "k2"}]}"#
    );
}

/// Source: "Override your API's request and response parameters and status codes", API Gateway developer guide.
#[test]
fn overrides() {
    let set = "#set($context.responseOverride.status = 429)#set($context.responseOverride.header.Retry-After = '1')x";
    let rendered = render(set, "{}").unwrap();
    assert_eq!((rendered.text.as_str(), rendered.status), ("x", Some(429)));
    assert_eq!(rendered.headers, [("Retry-After".to_owned(), "1".to_owned())]);
    assert!(!rendered.overrides_request);
    for ignored in ["'429'", "99", "600", "4.5"] {
        let set = format!("#set($context.responseOverride.status = {ignored})");
        assert_eq!(render(&set, "{}").unwrap().status, None, "{ignored}");
    }
    let set = "#set($context.requestOverride.header.X = 'a')";
    assert!(render(set, "{}").unwrap().overrides_request);
}

#[test]
fn errors_say_where() {
    for (template, line, column, part) in [
        ("a\n  #if(true)", 2, 3, "#if without #end"),
        ("#end", 1, 1, "without a directive"),
        ("#foreach($a in [1])#else#end", 1, 20, "in a #foreach"),
        ("#if(1)#else#elseif(1)#end", 1, 12, "after #else"),
        ("é #set(a = 1)", 1, 8, "needs a variable"),
        ("#set($a.b() = 1)", 1, 6, "cannot be set"),
        ("#set($input = 1)", 1, 6, "cannot be set"),
        ("#set($a.b = 1)", 1, 9, "no map or list"),
        ("#macro(a)#end", 1, 1, "not offered"),
        ("x ${a", 1, 6, "expected }"),
        ("$a.b(1", 1, 7, "expected ,"),
        ("$a[1", 1, 5, "expected ]"),
        ("#if(1 ==)#end", 1, 9, "expected a value"),
        ("#set($a = 'x)", 1, 11, "without an end"),
        ("#* x", 1, 1, "without *#"),
        ("$util.nothing(1)", 1, 7, "no method nothing"),
        ("$input.path('$.a[?(@.b)]')", 1, 8, "not a valid JSONPath"),
        ("$input.params(1, 2)", 1, 8, "no method params"),
        ("#set($s = 'a')\n$s.matches('(?=a)')", 2, 4, "is not offered"),
        ("#set($s = 'a')$s.substring(2)", 1, 18, "has 1 characters"),
        ("#foreach($i in [1..1001])#end", 1, 1, "at most 1000 iterations"),
        ("#set($r = [0..1000000])", 1, 11, "too many numbers"),
    ] {
        let error = render(template, "{}").unwrap_err();
        assert_eq!(
            (error.line, error.column, error.kind),
            (line, column, ErrorKind::Template),
            "{template}: {error}"
        );
        assert!(error.message.contains(part), "{template}: {error}");
    }
    for body in [
        "{",
        "nope",
        "{\"a\": 01}",
        "{} x",
        "[1,]",
        "{\"a\" 1}",
        "\"\u{1}\"",
        "{\"a\": .5}",
    ] {
        let error = render("$input.json('$')", body).unwrap_err();
        assert_eq!(
            (error.kind, error.column),
            (ErrorKind::Body, 8),
            "{body}: {error}"
        );
        assert_eq!(
            text("$util.base64Encode('x')", body),
            "eA==",
            "a body that nobody reads"
        );
    }
}

#[test]
fn hostile_templates_end() {
    let nested =
        |open: &str, close: &str, count: usize| format!("{}{}", open.repeat(count), close.repeat(count));
    let deep_body = nested("[", "]", 100_000);
    for template in [
        "#foreach($a in [1..1000])#foreach($b in [1..1000])$a#end#end".to_owned(),
        "#set($s = 'xxxxxxxxxxxxxxxx')#foreach($a in [1..1000])#set($s = \"$s$s\")#end".to_owned(),
        "#set($s = 'x')#foreach($a in [1..1000])#set($s = $s + $s)#end".to_owned(),
        "#set($l = [1])#foreach($a in [1..1000])#set($x = $l.addAll($l))#end".to_owned(),
        "#set($l = [1])#set($x = $l.add($l))$l".to_owned(),
        "#set($m = {})#set($m.a = $m)$m.toString()".to_owned(),
        "#set($l = [])#foreach($a in [1..1000])#set($l = [$l])#end$l".to_owned(),
        "#set($s = 'x')#foreach($a in [1..900])#set($s = $s.replace('x', 'xx'))#end".to_owned(),
        "#set($s = 'x')#foreach($a in [1..900])#set($s = $s.replaceAll('x', 'xx'))#end".to_owned(),
        format!("#set($x = {})", nested("(", ")", 10_000)),
        format!("#set($x = {})", nested("[", "]", 10_000)),
        format!("#set($x = {}1)", "!".repeat(10_000)),
        format!("#set($x = {}1)", "-".repeat(10_000)),
        format!("#set($x = 1{})", " + 1".repeat(10_000)),
        nested("#if(1)", "#end", 10_000),
        "$a[".repeat(10_000),
        "x".repeat(MAX_TEMPLATE + 1),
    ] {
        let shown = &template[..template.len().min(80)];
        assert!(render(&template, "{}").is_err(), "{shown}");
    }
    assert_eq!(
        render("$input.path('$')", &deep_body).unwrap_err().kind,
        ErrorKind::Body
    );
    // A list that holds itself, and a long chain, are freed.
    assert_eq!(text("#set($l = [])#set($x = $l.add($l))ok", "{}"), "ok");
    let chain = "#set($l = [])#foreach($a in [1..1000])#foreach($b in [1..40])#set($l = [$l])#end#end ok";
    assert_eq!(text(chain, "{}"), " ok");
}

/// JSON whose numbers have any number of digits.
fn json_text() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?";
    let quoted = "[a-zé0-9 ]{0,8}".prop_map(|text| format!("\"{text}\""));
    let leaf = prop_oneof![number.prop_map(String::from), quoted, Just("true".to_owned())];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let list =
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(",")));
        let map = prop::collection::btree_map("[a-z]{1,4}", inner, 0..4).prop_map(|pairs| {
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("\"{key}\":{value}"))
                .collect();
            format!("{{{}}}", pairs.join(","))
        });
        prop_oneof![list, map]
    })
}

proptest! {
    /// Nothing of a payload is lost: compact JSON comes out as it went in.
    #[test]
    fn json_keeps_every_digit(body in json_text()) {
        prop_assert_eq!(text("$input.json('$')", &body), body.clone());
        let parsed = format!("#set($a = $util.parseJson($input.body)){}", "$input.json('$')");
        prop_assert_eq!(text(&parsed, &body), body);
    }

    /// A text survives the functions that undo one another.
    #[test]
    fn encodings_are_undone(value in "\\PC{0,20}") {
        let scope = Scope { body: &value, ..Scope::default() };
        prop_assume!(!value.is_empty());
        for template in [
            "$util.base64Decode($util.base64Encode($input.body))",
            "$util.urlDecode($util.urlEncode($input.body))",
        ] {
            let rendered = Template::parse(template).unwrap().render(&scope).unwrap();
            prop_assert_eq!(rendered.text, value.clone());
        }
    }

    /// Text without a dollar, number sign or backslash is as it is.
    #[test]
    fn plain_text_is_kept(template in "[^$#\\\\]{0,60}") {
        prop_assert_eq!(text(&template, "{}"), template);
    }

    /// No template and no body panics.
    #[test]
    fn no_input_panics(
        template in "(\\PC|[ \n]|#if\\(|#set\\(|#foreach\\(|#end|#else|\\$[a-c]|\\.|[\\[\\]\\(\\){}'\"=+*/%<>!0-9]| in |\\$input|\\.path\\(|\\$util){0,24}",
        body in "[\\[\\]{}\",:0-9a-z\\\\u ]{0,16}",
    ) {
        let _ = render(&template, &body);
    }

    #[test]
    fn no_path_panics(path in "[$.\\[\\]'\"*:,a-c0-9\\\\ é-]{0,16}") {
        let template = format!("$input.json('{}')", path.replace('\'', "''"));
        let _ = render(&template, r#"{"a": [1, {"b": [2, 3]}], "c": {"a": 1}}"#);
    }

    /// Arithmetic of integers is that of Rust.
    #[test]
    fn integers(a in -1_000_000_000_000i128..1_000_000_000_000, b in -1_000_000_000i128..1_000_000_000) {
        prop_assume!(b != 0);
        let template = format!("#set($x = {a} * {b} + {a} / {b} - {a} % {b})$x");
        prop_assert_eq!(text(&template, "{}"), (a * b + a / b - a % b).to_string());
    }
}
