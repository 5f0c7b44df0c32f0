//! Charts as SVG. Colours follow the viewer's light or dark scheme.

use std::fmt::Write as _;

use super::Chart;
use super::layout::{Anchor, Canvas, Ink, WIDTH, draw, height};

/// The style sheet. Classes are those of [`class`].
const STYLE: &str = "\
text{font:15px system-ui,'DejaVu Sans',Verdana,sans-serif}
.b{fill:#fff}.t{fill:#1c1e21}.f{fill:#5b6168}.gt{fill:#d5d8dc}.g{stroke:#d5d8dc}.m{stroke:#b3261e;stroke-dasharray:6 4}.mt{fill:#b3261e}
.l0{stroke:#1f6fbf}.l1{stroke:#c96a00}.l2{stroke:#2b8a4b}.l3{stroke:#8a4fc4}.l4{stroke:#c2304f}.l5{stroke:#0f8a8a}.l6{stroke:#8a6d1a}.l7{stroke:#6b7280}
@media (prefers-color-scheme:dark){
.b{fill:#16181c}.t{fill:#eceef0}.f{fill:#a6adb5}.g{stroke:#363b42}.m{stroke:#ff897d}.mt{fill:#ff897d}
.l0{stroke:#69aef0}.l1{stroke:#f2a24d}.l2{stroke:#66c98a}.l3{stroke:#bd93ea}.l4{stroke:#f27f97}.l5{stroke:#54c7c7}.l6{stroke:#d6b65c}.l7{stroke:#a6adb5}
}";

/// Number of colours of lines.
pub(super) const COLOURS: usize = 8;
/// Width of a character of the text, about.
const CHARACTER: f64 = 8.4;

struct Svg(String);

/// The picture of `chart`.
pub fn svg(chart: &Chart) -> String {
    let high = height(chart);
    let mut svg = Svg(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {high}\" width=\"{WIDTH}\" height=\"{high}\" \
         role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n<rect class=\"b\" width=\"100%\" height=\"100%\"/>\n",
        escaped(&chart.title)
    ));
    draw(chart, &mut svg);
    svg.0.push_str("</svg>\n");
    svg.0
}

fn class(ink: Ink) -> String {
    match ink {
        Ink::Text => "t".to_owned(),
        Ink::Faint => "f".to_owned(),
        Ink::Grid => "g".to_owned(),
        Ink::Limit => "m".to_owned(),
        Ink::Line(number) => format!("l{}", number % COLOURS),
    }
}

impl Canvas for Svg {
    fn text(&mut self, x: f64, y: f64, anchor: Anchor, ink: Ink, text: &str) {
        let class = match ink {
            Ink::Limit => "mt".to_owned(),
            ink => class(ink),
        };
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        let _ = writeln!(
            self.0,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }

    fn line(&mut self, points: &[(f64, f64)], ink: Ink, width: f64) {
        let mut path = String::new();
        for (x, y) in points {
            let _ = write!(path, "{x:.1},{y:.1} ");
        }
        // A line of no length has round ends: a dot.
        if let [(x, y)] = points {
            let _ = write!(path, "{x:.1},{y:.1}");
        }
        let class = class(ink);
        let path = path.trim_end();
        let _ = writeln!(
            self.0,
            "<polyline class=\"{class}\" points=\"{path}\" fill=\"none\" stroke-width=\"{width}\" \
             stroke-linecap=\"round\" stroke-linejoin=\"round\"/>"
        );
    }

    fn text_width(&self, text: &str) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "a short text")]
        let characters = text.chars().count() as f64;
        characters * CHARACTER
    }
}

/// Text of XML. Control characters, which XML does not allow, are left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars().filter(|character| !character.is_control()) {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}
