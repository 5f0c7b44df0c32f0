//! Charts as PNG: anti-aliased lines, and text in a bitmap of Noto Sans Mono.

use std::collections::BTreeMap;

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::Chart;
use super::layout::{Anchor, Canvas, Ink, WIDTH, draw, height};
use super::svg::COLOURS;
use ground::error::{Error, Result};

type Rgb = [u8; 3];

const BACKGROUND: Rgb = [0xff, 0xff, 0xff];
const TEXT: Rgb = [0x1c, 0x1e, 0x21];
const FAINT: Rgb = [0x5b, 0x61, 0x68];
const GRID: Rgb = [0xd5, 0xd8, 0xdc];
const LIMIT: Rgb = [0xb3, 0x26, 0x1e];
/// The colours of the light scheme of the SVG.
const LINES: [Rgb; COLOURS] = [
    [0x1f, 0x6f, 0xbf],
    [0xc9, 0x6a, 0x00],
    [0x2b, 0x8a, 0x4b],
    [0x8a, 0x4f, 0xc4],
    [0xc2, 0x30, 0x4f],
    [0x0f, 0x8a, 0x8a],
    [0x8a, 0x6d, 0x1a],
    [0x6b, 0x72, 0x80],
];

const FONT: (FontWeight, RasterHeight) = (FontWeight::Regular, RasterHeight::Size16);
/// From the top of a character's bitmap to its baseline.
const ASCENT: f64 = 13.0;

struct Pixels {
    wide: usize,
    high: usize,
    rgb: Vec<u8>,
}

/// The picture of `chart`.
///
/// # Errors
/// When it cannot be encoded.
pub fn png(chart: &Chart) -> Result<Vec<u8>> {
    let (wide, high) = (size(WIDTH), size(height(chart)));
    let mut pixels = Pixels {
        wide,
        high,
        rgb: BACKGROUND.repeat(wide * high),
    };
    draw(chart, &mut pixels);
    pixels
        .encoded()
        .map_err(|e| Error::failed("could not write the picture").cause(e))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
fn size(length: f64) -> usize {
    length.ceil() as usize
}

fn colour(ink: Ink) -> Rgb {
    match ink {
        Ink::Text => TEXT,
        Ink::Faint => FAINT,
        Ink::Grid => GRID,
        Ink::Limit => LIMIT,
        Ink::Line(number) => LINES[number % COLOURS],
    }
}

impl Pixels {
    fn encoded(&self) -> std::result::Result<Vec<u8>, ::png::EncodingError> {
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let mut file = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut file, side(self.wide), side(self.high));
        encoder.set_color(::png::ColorType::Rgb);
        encoder.set_depth(::png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(file)
    }

    /// Mixes `rgb` into a pixel. `cover` is 0 for nothing of it and 1 for all.
    fn mix(&mut self, x: usize, y: usize, rgb: Rgb, cover: f64) {
        if x >= self.wide || y >= self.high || cover <= 0.0 {
            return;
        }
        let at = (y * self.wide + x) * 3;
        let Some(pixel) = self.rgb.get_mut(at..at + 3) else {
            return;
        };
        for (there, new) in pixel.iter_mut().zip(rgb) {
            let mixed = f64::from(*there) + (f64::from(new) - f64::from(*there)) * cover.min(1.0);
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between two bytes"
            )]
            let byte = mixed.round() as u8;
            *there = byte;
        }
    }

    /// Adds a straight line with round ends to `cover`.
    fn segment(&self, from: (f64, f64), to: (f64, f64), width: f64, cover: &mut Cover) {
        let reach = width / 2.0 + 1.0;
        let (left, right) = (from.0.min(to.0) - reach, from.0.max(to.0) + reach);
        let (above, below) = (from.1.min(to.1) - reach, from.1.max(to.1) + reach);
        for y in size(above.max(0.0)).saturating_sub(1)..=size(below.max(0.0)).min(self.high) {
            for x in size(left.max(0.0)).saturating_sub(1)..=size(right.max(0.0)).min(self.wide) {
                #[allow(clippy::cast_precision_loss, reason = "pixels of a picture")]
                let centre = (x as f64 + 0.5, y as f64 + 0.5);
                let part = (width / 2.0 + 0.5 - distance(centre, from, to)).clamp(0.0, 1.0);
                cover.add(x, y, part);
            }
        }
    }
}

/// How much of each pixel a line covers: pixels that two of its parts share are painted once.
struct Cover(BTreeMap<(usize, usize), f64>);

impl Cover {
    fn add(&mut self, x: usize, y: usize, part: f64) {
        if part > 0.0 {
            let known = self.0.entry((y, x)).or_insert(0.0);
            *known = known.max(part);
        }
    }
}

/// From `point` to the line between `from` and `to`.
fn distance(point: (f64, f64), from: (f64, f64), to: (f64, f64)) -> f64 {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx * dx + dy * dy;
    let along = match length > 0.0 {
        true => (((point.0 - from.0) * dx + (point.1 - from.1) * dy) / length).clamp(0.0, 1.0),
        false => 0.0,
    };
    let nearest = (from.0 + along * dx, from.1 + along * dy);
    (point.0 - nearest.0).hypot(point.1 - nearest.1)
}

impl Canvas for Pixels {
    fn text(&mut self, x: f64, y: f64, anchor: Anchor, ink: Ink, text: &str) {
        let width = self.text_width(text);
        let left = match anchor {
            Anchor::Start => x,
            Anchor::Middle => x - width / 2.0,
            Anchor::End => x - width,
        };
        let (mut column, top) = (size(left.max(0.0)), size((y - ASCENT).max(0.0)));
        for character in text.chars() {
            // The font has ASCII only.
            let known = match character {
                '–' => '-',
                other => other,
            };
            let raster = get_raster(known, FONT.0, FONT.1).or_else(|| get_raster('?', FONT.0, FONT.1));
            for (row, line) in raster.iter().flat_map(|raster| raster.rows().enumerate()) {
                for (offset, shade) in line.iter().enumerate() {
                    let cover = f64::from(*shade) / 255.0;
                    self.mix(column + offset, top + row, colour(ink), cover);
                }
            }
            column += get_raster_width(FONT.0, FONT.1);
        }
    }

    fn line(&mut self, points: &[(f64, f64)], ink: Ink, width: f64) {
        let mut cover = Cover(BTreeMap::new());
        let rgb = colour(ink);
        match points {
            [one] => self.segment(*one, *one, width.max(4.0), &mut cover),
            points => {
                for pair in points.windows(2) {
                    self.segment(pair[0], pair[1], width, &mut cover);
                }
            }
        }
        for ((y, x), part) in cover.0 {
            self.mix(x, y, rgb, part);
        }
    }

    fn text_width(&self, text: &str) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "a short text")]
        let width = (text.chars().count() * get_raster_width(FONT.0, FONT.1)) as f64;
        width
    }
}
