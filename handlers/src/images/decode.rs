//! Decodes JPEG, PNG and WebP to RGB, with bounds: the size of an image is known, and checked, before its pixels are read.

use std::io::Cursor;

use png::{ColorType, Transformations};
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// Maximum number of pixels. A progressive JPEG takes 9 bytes for each while it is decoded.
pub const MAX_PIXELS: u64 = 40_000_000;
/// Maximum width and height, in pixels.
const MAX_SIDE: u32 = 20_000;
/// Maximum number of scans of a progressive JPEG: each goes over all pixels.
const MAX_SCANS: usize = 100;

/// A decoded image.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    /// Three bytes for each pixel: red, green, blue. Transparent pixels are on white.
    pub pixels: Vec<u8>,
    /// How it is to be turned, as in EXIF: 1 to 8, where 1 is not at all.
    pub orientation: u8,
}

/// # Errors
/// Why the image cannot be decoded. A sentence without a full stop.
pub fn decode(data: &[u8]) -> Result<Picture, String> {
    match data {
        [0xff, 0xd8, 0xff, ..] => jpeg(data),
        [0x89, b'P', b'N', b'G', ..] => png(data),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp(data),
        [] => Err("the file is empty".to_owned()),
        _ => Err("the file is not a JPEG, PNG or WebP image".to_owned()),
    }
}

/// The number of pixels, if it is within the bounds.
fn checked(width: u32, height: u32) -> Result<usize, String> {
    let pixels = u64::from(width) * u64::from(height);
    if width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS {
        return Err(format!(
            "the image has {width} by {height} pixels: at most {} million, and {MAX_SIDE} a side, are processed",
            MAX_PIXELS / 1_000_000
        ));
    }
    match usize::try_from(pixels) {
        Ok(pixels) if pixels > 0 => Ok(pixels),
        _ => Err("the image has no pixels".to_owned()),
    }
}

fn damaged(kind: &str, error: impl std::fmt::Display) -> String {
    // Some errors end with a line end.
    let error = error.to_string();
    format!(
        "the {kind} image is damaged or not supported: {}",
        error.trim_end()
    )
}

fn jpeg(data: &[u8]) -> Result<Picture, String> {
    // Its bounds of width and height are our own, with our message.
    let side = usize::from(u16::MAX);
    let options = DecoderOptions::default()
        .set_max_width(side)
        .set_max_height(side)
        // Otherwise a truncated image is filled up with grey.
        .set_strict_mode(true)
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(data), options);
    let error = |error: zune_jpeg::errors::DecodeErrors| damaged("JPEG", error);
    decoder.decode_headers().map_err(error)?;
    let info = decoder
        .info()
        .ok_or_else(|| damaged("JPEG", "it has no header"))?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    let count = checked(width, height)?;
    let pixels = decoder.decode().map_err(error)?;
    if pixels.len() != count * 3 {
        return Err(damaged("JPEG", "its colours are not known"));
    }
    Ok(Picture {
        width,
        height,
        pixels,
        orientation: decoder.exif().map_or(1, |exif| orientation(exif)),
    })
}

fn png(data: &[u8]) -> Result<Picture, String> {
    let error = |error: png::DecodingError| damaged("PNG", error);
    // Rows and chunks; the buffer of the image is ours.
    let limits = png::Limits { bytes: 16 << 20 };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(data), limits);
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    let (width, height) = decoder.read_header_info().map_err(error)?.size();
    let count = checked(width, height)?;
    let mut reader = decoder.read_info().map_err(error)?;
    let size = reader
        .output_buffer_size()
        .filter(|size| *size <= count * 4)
        .ok_or_else(|| damaged("PNG", "its rows are too long"))?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(error)?;
    // An animation may begin with a smaller frame.
    let count = checked(frame.width, frame.height)?;
    let channels = match frame.color_type {
        ColorType::Grayscale => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb => 3,
        ColorType::Rgba => 4,
        ColorType::Indexed => return Err(damaged("PNG", "its palette is missing")),
    };
    if pixels.len() < count * channels {
        return Err(damaged("PNG", "it is cut off"));
    }
    pixels.truncate(count * channels);
    let exif = reader.info().exif_metadata.as_deref();
    let orientation = exif.map_or(1, orientation);
    Ok(Picture {
        width: frame.width,
        height: frame.height,
        pixels: flattened(pixels, channels),
        orientation,
    })
}

fn webp(data: &[u8]) -> Result<Picture, String> {
    let error = |error: image_webp::DecodingError| damaged("WebP", error);
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(data)).map_err(error)?;
    let (width, height) = decoder.dimensions();
    let count = checked(width, height)?;
    // Metadata and, of an animation, the canvas.
    decoder.set_memory_limit(count * 4 + (16 << 20));
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let mut pixels = vec![0; count * channels];
    decoder.read_image(&mut pixels).map_err(error)?;
    let exif = decoder.exif_metadata().ok().flatten();
    Ok(Picture {
        width,
        height,
        pixels: flattened(pixels, channels),
        orientation: exif.map_or(1, |exif| orientation(&exif)),
    })
}

/// Pixels of 1 to 4 channels (grey, grey and alpha, RGB, RGBA) as RGB on white.
fn flattened(mut pixels: Vec<u8>, channels: usize) -> Vec<u8> {
    let on_white = |value: u8, alpha: u8| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        // At most 255.
        ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    match channels {
        1 => pixels.iter().flat_map(|grey| [*grey; 3]).collect(),
        2 => {
            let pairs = pixels.chunks_exact(2);
            pairs.flat_map(|pair| [on_white(pair[0], pair[1]); 3]).collect()
        }
        4 => {
            // In place: the largest images have no room for two.
            let count = pixels.len() / 4;
            for at in 0..count {
                let alpha = pixels[at * 4 + 3];
                for channel in 0..3 {
                    pixels[at * 3 + channel] = on_white(pixels[at * 4 + channel], alpha);
                }
            }
            pixels.truncate(count * 3);
            pixels
        }
        _ => pixels,
    }
}

/// The orientation in EXIF data, 1 if there is none.
///
/// EXIF is a TIFF file: an order of bytes, and a directory of entries of 12 bytes, of which the tag 0x0112 is a 16-bit number.
fn orientation(exif: &[u8]) -> u8 {
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let is_little = match tiff.get(..4) {
        Some(b"II\x2a\0") => true,
        Some(b"MM\0\x2a") => false,
        _ => return 1,
    };
    let u16_at = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if is_little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    };
    let u32_at = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if is_little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    };
    let find = || {
        let directory = usize::try_from(u32_at(4)?).ok()?;
        let entries = usize::from(u16_at(directory)?);
        let at = |entry: usize| directory.checked_add(2 + entry * 12);
        let entry = (0..entries)
            .map_while(at)
            .find(|entry| u16_at(*entry) == Some(0x0112))?;
        // The value of a short entry stands in the entry.
        u16_at(entry.checked_add(8)?)
    };
    match find() {
        Some(value @ 1..=8) => value as u8,
        _ => 1,
    }
}

#[cfg(test)]
pub(super) fn orientation_of(exif: &[u8]) -> u8 {
    orientation(exif)
}
