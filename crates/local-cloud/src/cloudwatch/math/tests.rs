//! Expressions on two series of three minutes.

use proptest::prelude::*;

use super::*;

struct Two;

fn series(points: &[(i64, f64)]) -> Series {
    Series {
        points: points.iter().map(|(minute, v)| (minute * 60_000, *v)).collect(),
        period: 60,
    }
}

impl Scope for Two {
    fn lookup(&mut self, id: &str) -> Result<Value, String> {
        self.metrics()?
            .into_iter()
            .find(|(known, _)| known == id)
            .map(|(_, series)| Value::Series(series))
            .ok_or_else(|| format!("no {id}"))
    }

    fn metrics(&mut self) -> Result<Vec<(String, Series)>, String> {
        let a = series(&[(0, 60.0), (1, 120.0)]);
        Ok(vec![("a".into(), a), ("b".into(), series(&[(1, 4.0), (2, 0.0)]))])
    }

    fn spend(&mut self, _: i64) -> Result<(), String> {
        Ok(())
    }

    fn range(&self) -> (i64, i64) {
        (0, 3 * 60_000)
    }
}

fn points(text: &str) -> Vec<(i64, f64)> {
    match evaluate(text, &mut Two).unwrap() {
        Value::Series(series) => series
            .points
            .into_iter()
            .map(|(at, v)| (at / 60_000, v))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn arithmetic() {
    assert_eq!(points("a / PERIOD(a)"), [(0, 1.0), (1, 2.0)]);
    assert_eq!(points("100 * (b - 1) + -a / 60"), [(1, 298.0)]);
    assert_eq!(points("a / b"), [(1, 30.0)]);
    assert_eq!(points("2 ^ 3 + 0 * a"), [(0, 8.0), (1, 8.0)]);
    assert_eq!(points("10 - 4 - 3 + 0 * a"), [(0, 3.0), (1, 3.0)]);
}

#[test]
fn comparisons_are_one_or_zero_and_bind_less_than_arithmetic() {
    assert_eq!(points("a > 50 + 20"), [(0, 0.0), (1, 1.0)]);
    assert_eq!(points("a >= 60 && a < 100"), [(0, 1.0), (1, 0.0)]);
    assert_eq!(points("a == 60 OR a != 120 AND a <= 0"), [(0, 1.0), (1, 0.0)]);
}

#[test]
fn functions() {
    assert_eq!(points("SUM(METRICS())"), [(0, 60.0), (1, 124.0), (2, 0.0)]);
    assert_eq!(points("AVG([a, b])"), [(0, 30.0), (1, 62.0), (2, 0.0)]);
    assert_eq!(points("MIN([a, b])"), [(0, 60.0), (1, 4.0), (2, 0.0)]);
    assert_eq!(points("FILL(b, 7)"), [(0, 7.0), (1, 4.0), (2, 0.0)]);
    assert_eq!(points("FILL(a, REPEAT)"), [(0, 60.0), (1, 120.0), (2, 120.0)]);
    assert_eq!(points("FILL(IF(a * 0 + 1, a), LINEAR)"), [(0, 60.0), (1, 120.0)]);
    assert_eq!(points("a * 0 + SUM(a)"), [(0, 180.0), (1, 180.0)]);
    assert_eq!(points("MAX(METRICS(\"b\"))"), [(1, 4.0), (2, 0.0)]);
    assert_eq!(points("DIFF(a)"), [(1, 60.0)]);
    assert_eq!(points("RATE(a)"), [(1, 1.0)]);
    assert_eq!(points("RUNNING_SUM(b)"), [(1, 4.0), (2, 4.0)]);
    assert_eq!(points("CEIL(a / 70) + FLOOR(a / 70)"), [(0, 1.0), (1, 3.0)]);
    assert_eq!(points("b * 0 + METRIC_COUNT(METRICS())"), [(1, 2.0), (2, 2.0)]);
}

#[test]
fn a_line_is_drawn_between_known_values() {
    struct Gap;
    impl Scope for Gap {
        fn lookup(&mut self, _: &str) -> Result<Value, String> {
            Ok(Value::Series(series(&[(0, 10.0), (3, 40.0)])))
        }
        fn metrics(&mut self) -> Result<Vec<(String, Series)>, String> {
            Ok(Vec::new())
        }
        fn spend(&mut self, _: i64) -> Result<(), String> {
            Ok(())
        }
        fn range(&self) -> (i64, i64) {
            (0, 5 * 60_000)
        }
    }
    let Value::Series(filled) = evaluate("FILL(a, LINEAR)", &mut Gap).unwrap() else {
        panic!("not a series")
    };
    let values: Vec<f64> = filled.points.into_values().collect();
    assert_eq!(values, [10.0, 20.0, 30.0, 40.0]);
}

#[test]
fn if_chooses_by_time_or_once() {
    assert_eq!(points("IF(a > 60, a, 0)"), [(0, 0.0), (1, 120.0)]);
    assert_eq!(points("IF(a > 60, b, a)"), [(0, 60.0), (1, 4.0)]);
    assert_eq!(points("IF(a > 60, 5)"), [(1, 5.0)]);
    assert_eq!(points("IF(0, a, b)"), [(1, 4.0), (2, 0.0)]);
    // No datapoint where the chosen metric has none.
    assert_eq!(points("IF(b >= 0, a, 1)"), [(1, 120.0)]);
}

#[test]
fn unsupported_elements_are_reported() {
    for (text, says) in [
        ("ANOMALY_DETECTION_BAND(a)", "ANOMALY_DETECTION_BAND"),
        ("a >", "ends too early"),
        ("a ? b", "'?'"),
        ("c", "no c"),
        ("(a", "`)`"),
        ("[a", "`]`"),
        ("a a", "Word"),
        ("REPEAT + a", "REPEAT"),
        ("\"a\" + 1", "text"),
        ("SUM(a, b)", "one argument"),
        ("SUM(1)", "not a number"),
        ("FILL(a)", "FILL takes"),
        ("IF(a)", "IF takes"),
        ("IF(0, a)", "both cases"),
        ("", "ends too early"),
    ] {
        let error = evaluate(text, &mut Two).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn the_ids_of_an_expression_are_known_without_evaluation() {
    let parsed = parse("IF(FILL(m1, REPEAT) > 2, -m2 / SUM([m3, m4]), 0)").unwrap();
    assert_eq!(parsed.ids(), ["m1", "m2", "m3", "m4"]);
}

/// An expression of numbers and its value, computed while it is made.
fn arithmetic_expression() -> impl Strategy<Value = (String, f64)> {
    let number = (0u32..1000).prop_map(|n| (n.to_string(), f64::from(n)));
    number.prop_recursive(6, 64, 2, |inner| {
        (inner.clone(), inner, 0usize..5).prop_map(|((a, x), (b, y), operator)| match operator {
            0 => (format!("({a} + {b})"), x + y),
            1 => (format!("({a} - {b})"), x - y),
            2 => (format!("({a} * {b})"), x * y),
            3 => (format!("({a} < {b})"), f64::from(u8::from(x < y))),
            _ => (format!("IF({a} > {b}, {a}, {b})"), x.max(y)),
        })
    })
}

proptest! {
    #[test]
    fn expressions_have_the_value_of_their_parts((text, expected) in arithmetic_expression()) {
        prop_assert_eq!(evaluate(&text, &mut Two), Ok(Value::Scalar(expected)), "{}", text);
    }

    #[test]
    fn arbitrary_text_does_not_panic(text in "[ab0-9+*/^(),\\[\\]<>=!&|. \\-SUMETRICFLPOD\"]{0,60}") {
        let _ = evaluate(&text, &mut Two);
    }

    #[test]
    fn nesting_is_limited(depth in 0usize..3000, open in prop::sample::select(vec!["(", "[", "SUM(", "-", "1+", "1^"])) {
        let _ = evaluate(&open.repeat(depth), &mut Two);
    }
}
