//! Resizes a picture and encodes it as JPEG.
//!
//! The whole picture is scaled into each size and centred on white, so that every size has exactly its width and height and
//! nothing of a product is cut off.

use bytes::Bytes;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use jpeg_encoder::{ColorType, Encoder};

use super::decode::Picture;
use super::{SIZES, Size};

/// Quality of the JPEGs, 1 to 100.
const QUALITY: u8 = 85;

/// Each size as JPEG, largest first.
///
/// # Errors
/// A sentence without a full stop.
pub fn sizes(mut picture: Picture) -> Result<Vec<(Size, Bytes)>, String> {
    let mut made = Vec::with_capacity(SIZES.len());
    let mut resizer = Resizer::new();
    for size in SIZES {
        // A smaller size is made of the larger one, which is turned already.
        picture = scaled(&picture, size, &mut resizer)?;
        made.push((size, encoded(&centred(&picture, size), size)?));
    }
    Ok(made)
}

/// The picture, turned upright, as large as it fits into `size`.
fn scaled(picture: &Picture, size: Size, resizer: &mut Resizer) -> Result<Picture, String> {
    // Orientations from 5 on exchange width and height.
    let is_on_its_side = picture.orientation >= 5;
    let upright = if is_on_its_side {
        (picture.height, picture.width)
    } else {
        (picture.width, picture.height)
    };
    let (width, height) = fitted(upright, size);
    let (width, height) = if is_on_its_side {
        (height, width)
    } else {
        (width, height)
    };
    let failed = |error: &dyn std::fmt::Display| format!("the image could not be resized: {error}");
    // Typed images: `Resizer::resize` links the code of all pixel formats, which makes the zip a quarter larger.
    let source = TypedImageRef::<U8x3>::from_buffer(picture.width, picture.height, &picture.pixels)
        .map_err(|error| failed(&error))?;
    let mut pixels = vec![0; width as usize * height as usize * 3];
    let mut target =
        TypedImage::<U8x3>::from_buffer(width, height, &mut pixels).map_err(|error| failed(&error))?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    resizer
        .resize_typed(&source, &mut target, &options)
        .map_err(|error| failed(&error))?;
    let scaled = Picture {
        width,
        height,
        pixels,
        orientation: picture.orientation,
    };
    Ok(turned(scaled))
}

/// The largest width and height of the same proportions within `size`.
fn fitted((width, height): (u32, u32), size: Size) -> (u32, u32) {
    let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
    let (wide, high) = (u64::from(size.width), u64::from(size.height));
    let (width, height) = if width * high >= height * wide {
        (wide, ((height * wide + width / 2) / width).max(1))
    } else {
        (((width * high + height / 2) / height).max(1), high)
    };
    (
        u32::try_from(width).unwrap_or(size.width).min(size.width),
        u32::try_from(height).unwrap_or(size.height).min(size.height),
    )
}

/// Turns the picture as its orientation says.
pub(super) fn turned(picture: Picture) -> Picture {
    let (w, h) = (picture.width as usize, picture.height as usize);
    // Of a pixel of the upright picture, the place in this one.
    let place: fn(usize, usize, usize, usize) -> (usize, usize) = match picture.orientation {
        2 => |x, y, w, _| (w - 1 - x, y),
        3 => |x, y, w, h| (w - 1 - x, h - 1 - y),
        4 => |x, y, _, h| (x, h - 1 - y),
        5 => |x, y, _, _| (y, x),
        6 => |x, y, _, h| (y, h - 1 - x),
        7 => |x, y, w, h| (w - 1 - y, h - 1 - x),
        8 => |x, y, w, _| (w - 1 - y, x),
        _ => return picture,
    };
    let (wide, high) = if picture.orientation >= 5 { (h, w) } else { (w, h) };
    let mut pixels = Vec::with_capacity(picture.pixels.len());
    for y in 0..high {
        for x in 0..wide {
            let (sx, sy) = place(x, y, w, h);
            let at = (sy * w + sx) * 3;
            pixels.extend_from_slice(&picture.pixels[at..at + 3]);
        }
    }
    Picture {
        width: wide as u32,
        height: high as u32,
        pixels,
        orientation: 1,
    }
}

/// The picture in the middle of a white one of the full size.
fn centred(picture: &Picture, size: Size) -> Vec<u8> {
    let row = picture.width as usize * 3;
    let full_row = size.width as usize * 3;
    let mut canvas = vec![255; full_row * size.height as usize];
    let left = (size.width - picture.width) as usize / 2 * 3;
    let top = (size.height - picture.height) as usize / 2;
    let rows = canvas.chunks_exact_mut(full_row).skip(top);
    for (target, source) in rows.zip(picture.pixels.chunks_exact(row)) {
        target[left..left + row].copy_from_slice(source);
    }
    canvas
}

fn encoded(pixels: &[u8], size: Size) -> Result<Bytes, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the image could not be encoded: {error}");
    let mut jpeg = Vec::with_capacity(pixels.len() / 8);
    let width = u16::try_from(size.width).map_err(|error| failed(&error))?;
    let height = u16::try_from(size.height).map_err(|error| failed(&error))?;
    Encoder::new(&mut jpeg, QUALITY)
        .encode(pixels, width, height, ColorType::Rgb)
        .map_err(|error| failed(&error))?;
    Ok(jpeg.into())
}
