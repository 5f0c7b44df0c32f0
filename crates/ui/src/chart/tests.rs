use super::*;
use crate::Style;
use crate::sparkline::Glyphs;

/// 2026-11-21T09:00:00Z.
const START: i64 = 1_795_251_600;

fn number(value: f64) -> String {
    format!("{value:.0}")
}

#[allow(clippy::cast_precision_loss)]
fn chart() -> Chart {
    let wave = |minute: i32| 400.0 + 350.0 * (f64::from(minute) / 6.0).sin();
    Chart {
        title: "orders <in> us-east-1".to_owned(),
        start: START,
        end: START + 3_600,
        panels: vec![
            Panel {
                title: "records/s".to_owned(),
                lines: vec![
                    Line {
                        name: "records in".to_owned(),
                        values: (0..60)
                            .map(|i| (!(20..27).contains(&i)).then(|| wave(i)))
                            .collect(),
                    },
                    Line {
                        name: "records out".to_owned(),
                        values: (0..60).map(|i| (i > 30).then_some(f64::from(i) * 4.0)).collect(),
                    },
                ],
                format: number,
                base: 1_000.0,
                limit: Some(1_000.0),
            },
            Panel {
                title: "throttled".to_owned(),
                lines: vec![Line {
                    name: "writes".to_owned(),
                    values: (0..60).map(|i| (i == 41).then_some(3.0)).collect(),
                }],
                format: number,
                base: 1_000.0,
                limit: None,
            },
        ],
    }
}

#[test]
fn axes_end_at_round_values() {
    let rounded =
        |values: &[f64], base| -> Vec<f64> { values.iter().map(|value| round_up(*value, base)).collect() };
    let decimal = [0.0, 0.3, 1.0, 1.1, 7.0, 12.0, 246.0, 999.0, 1_001.0];
    assert_eq!(
        rounded(&decimal, 1_000.0),
        [1.0, 0.4, 1.0, 2.0, 8.0, 20.0, 250.0, 1_000.0, 2_000.0]
    );
    let kib = 1_024.0;
    assert_eq!(
        rounded(&[900.0, 1_025.0, 250.0 * kib], kib),
        [1_000.0, 2.0 * kib, 250.0 * kib]
    );
    assert_eq!(
        rounded(&[f64::NAN, f64::INFINITY, -1.0], 1_000.0),
        [1.0, 1.0, 1.0]
    );
}

#[test]
fn dots_fit_the_width_and_gaps_are_empty() {
    let text = terminal(&chart(), 80, Glyphs::Blocks, &Style::plain());
    insta::assert_snapshot!("braille", text);
    let ascii = terminal(&chart(), 40, Glyphs::Ascii, &Style::plain());
    insta::assert_snapshot!("ascii", ascii);
    assert!(ascii.is_ascii());
    for (text, width) in [(text, 80), (ascii, 40)] {
        for line in text.lines() {
            assert!(line.chars().count() <= width, "{line}");
        }
    }
}

#[test]
fn svg_is_well_formed_and_escaped() {
    let text = svg(&chart());
    let mut reader = quick_xml::Reader::from_str(&text);
    let mut lines = 0;
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Empty(tag) if tag.name().0 == "polyline" => lines += 1,
            _ => {}
        }
    }
    // Two runs around the gap, one other line, a dot, the limit, three of the legend, three of the grid in each panel.
    assert_eq!(lines, 2 + 1 + 1 + 1 + 3 + 6);
    assert!(text.contains("orders &lt;in&gt; us-east-1"));
}

#[test]
fn png_has_the_size_of_the_layout_and_is_not_blank() {
    let file = png(&chart()).unwrap();
    let decoder = ::png::Decoder::new(std::io::Cursor::new(&file));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (960, 464));
    let blue = pixels.chunks(3).filter(|rgb| rgb == &[0x1f, 0x6f, 0xbf]).count();
    assert!(blue > 500, "{blue} pixels of the first line");
    let mut empty = chart();
    empty.panels.clear();
    assert!(!png(&empty).unwrap().is_empty());
}

proptest::proptest! {
    #[test]
    fn any_values_can_be_drawn(
        values in proptest::collection::vec(proptest::option::of(proptest::num::f64::ANY), 0..200),
        width in 0usize..200,
    ) {
        let mut chart = chart();
        chart.panels[0].lines[0].values = values;
        for glyphs in [Glyphs::Blocks, Glyphs::Ascii] {
            terminal(&chart, width, glyphs, &Style::plain());
        }
        svg(&chart);
    }

    #[test]
    fn the_axis_is_never_below_a_value(value in 0.0f64..1e15) {
        for base in [1_000.0, 1_024.0] {
            let top = round_up(value, base);
            proptest::prop_assert!(top >= value && (top <= value * 2.5 || value < 1.0), "{value} {top}");
        }
    }
}
