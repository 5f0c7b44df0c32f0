use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::store::Item;
use crate::testing::{Lines, Memory, invocation, product};
use aws_sdk_dynamodb::types::AttributeValue;
use decode::{Picture, decode, orientation_of};

/// 64 by 48 pixels: red, green, blue and white or transparent quarters.
macro_rules! sample {
    ($name:literal) => {
        ($name, &include_bytes!(concat!("samples/", $name))[..])
    };
}

const RED: [u8; 3] = [220, 30, 30];
const GREEN: [u8; 3] = [30, 200, 30];
const BLUE: [u8; 3] = [30, 30, 220];
const NEAR_WHITE: [u8; 3] = [240, 240, 240];

/// The colours of the middle of each quarter, upright: top left, top right, bottom left, bottom right.
fn quarters(picture: &Picture) -> [[u8; 3]; 4] {
    let upright = resize::turned(picture.clone());
    let (w, h) = (upright.width as usize, upright.height as usize);
    [(1, 1), (3, 1), (1, 3), (3, 3)].map(|(x, y)| {
        let at = (h * y / 4 * w + w * x / 4) * 3;
        [upright.pixels[at], upright.pixels[at + 1], upright.pixels[at + 2]]
    })
}

fn assert_near(name: &str, found: [[u8; 3]; 4], expected: [[u8; 3]; 4]) {
    let near = found
        .as_flattened()
        .iter()
        .zip(expected.as_flattened())
        .all(|(a, b)| a.abs_diff(*b) <= 12);
    assert!(near, "{name}: {found:?}, not {expected:?}");
}

#[test]
fn colours_and_orientation_of_every_format() {
    for (name, data) in [
        sample!("rgb.jpg"),
        sample!("progressive.jpg"),
        sample!("full.jpg"),
        sample!("cmyk.jpg"),
        sample!("orientation-3.jpg"),
        sample!("orientation-6.jpg"),
        sample!("orientation-8.jpg"),
        sample!("orientation-6.png"),
        sample!("orientation-6.webp"),
        sample!("rgb.png"),
        sample!("palette.png"),
        sample!("lossy.webp"),
        sample!("animated.webp"),
    ] {
        let picture = decode(data).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_near(name, quarters(&picture), [RED, GREEN, BLUE, NEAR_WHITE]);
    }
    for (name, data) in [sample!("rgba.png"), sample!("lossless.webp")] {
        let picture = decode(data).unwrap();
        assert_near(name, quarters(&picture), [RED, GREEN, BLUE, [255; 3]]);
    }
    for (name, data) in [
        sample!("grey.jpg"),
        sample!("grey.png"),
        sample!("grey-16.png"),
        sample!("grey-alpha.png"),
    ] {
        let picture = decode(data).unwrap();
        let [red, green, blue, white] = quarters(&picture);
        let is_transparent = name == "grey-alpha.png";
        let expected = [
            [87; 3],
            [130; 3],
            [52; 3],
            if is_transparent { [255; 3] } else { [240; 3] },
        ];
        assert_near(name, [red, green, blue, white], expected);
    }
    let (_, bits) = sample!("bits.png");
    assert_eq!(decode(bits).unwrap().pixels.len(), 64 * 48 * 3);
}

#[test]
fn each_orientation_turns_as_exif_says() {
    // 1 2
    // 3 4
    // 5 6
    let picture = |orientation| Picture {
        width: 2,
        height: 3,
        pixels: (1..=6).flat_map(|value| [value; 3]).collect(),
        orientation,
    };
    for (orientation, width, expected) in [
        (1, 2, [1, 2, 3, 4, 5, 6]),
        (2, 2, [2, 1, 4, 3, 6, 5]),
        (3, 2, [6, 5, 4, 3, 2, 1]),
        (4, 2, [5, 6, 3, 4, 1, 2]),
        (5, 3, [1, 3, 5, 2, 4, 6]),
        (6, 3, [5, 3, 1, 6, 4, 2]),
        (7, 3, [6, 4, 2, 5, 3, 1]),
        (8, 3, [2, 4, 6, 1, 3, 5]),
    ] {
        let turned = resize::turned(picture(orientation));
        let pixels: Vec<u8> = turned.pixels.chunks_exact(3).map(|pixel| pixel[0]).collect();
        assert_eq!(
            (turned.width, pixels),
            (width, expected.to_vec()),
            "{orientation}"
        );
    }
}

#[test]
fn orientation_is_read_in_both_orders_of_bytes() {
    let little = b"Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
    let big = b"MM\0\x2a\0\0\0\x08\0\x02\x01\0\0\x03\0\0\0\x01\0\x01\0\0\x01\x12\0\x03\0\0\0\x01\0\x08\0\0";
    assert_eq!((orientation_of(little), orientation_of(big)), (6, 8));
    for end in 0..little.len() - 3 {
        assert_eq!(orientation_of(&little[..end]), 1, "{end}");
    }
    // A directory at the end of the address space, and a value that is no orientation.
    assert_eq!(
        orientation_of(b"II\x2a\0\xff\xff\xff\xff\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0"),
        1
    );
    assert_eq!(
        orientation_of(b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0"),
        1
    );
}

#[test]
fn each_size_is_exact_and_shows_the_whole_picture() {
    for (name, data) in [sample!("rgb.jpg"), sample!("orientation-6.jpg")] {
        let made = sizes(data).unwrap();
        let names: Vec<&str> = made.iter().map(|(size, _)| size.name).collect();
        assert_eq!(names, ["large", "medium", "small"]);
        for (size, jpeg) in made {
            let picture = decode(&jpeg).unwrap();
            assert_eq!(
                (picture.width, picture.height),
                (size.width, size.height),
                "{name}"
            );
            // 4 to 3 in 16 to 9: white at the left and the right.
            let pixel = |x: u32, y: u32| {
                let at = ((y * picture.width + x) * 3) as usize;
                [picture.pixels[at], picture.pixels[at + 1], picture.pixels[at + 2]]
            };
            let (w, h) = (size.width, size.height);
            let found = [
                pixel(w * 3 / 10, h / 4),
                pixel(w * 7 / 10, h / 4),
                pixel(w * 3 / 10, h * 3 / 4),
                pixel(2, h / 2),
            ];
            assert_near(name, found, [RED, GREEN, BLUE, [255; 3]]);
        }
    }
}

/// A PNG of one colour and any size, stored row by row.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut data = Vec::new();
    let mut encoder = png::Encoder::new(&mut data, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().unwrap();
    let row = width.div_ceil(8) as usize;
    writer
        .write_image_data(&vec![0xff; row * height as usize])
        .unwrap();
    writer.finish().unwrap();
    data
}

#[test]
fn extreme_proportions_keep_a_pixel() {
    for (width, height) in [(5000, 1), (1, 5000), (1, 1)] {
        assert_eq!(sizes(&png_of(width, height)).unwrap().len(), 3);
    }
}

#[test]
fn what_is_too_large_or_no_image_is_refused_with_a_reason() {
    // 60 kB that would be 240 MB.
    let bomb = png_of(10_000, 8_000);
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    let mut wide = sample!("rgb.jpg").1.to_vec();
    let frame = wide.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    wide[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    let reasons = [
        sizes(&bomb).unwrap_err(),
        sizes(&png_of(30_000, 1)).unwrap_err(),
        sizes(&wide).unwrap_err(),
        sizes(b"").unwrap_err(),
        sizes(b"GIF89a").unwrap_err(),
        sizes(b"<svg/>").unwrap_err(),
    ];
    insta::assert_snapshot!(reasons.join("\n"), @r"
    the image has 10000 by 8000 pixels: at most 40 million, and 20000 a side, are processed
    the image has 30000 by 1 pixels: at most 40 million, and 20000 a side, are processed
    the image has 65535 by 65535 pixels: at most 40 million, and 20000 a side, are processed
    the file is empty
    the file is not a JPEG, PNG or WebP image
    the file is not a JPEG, PNG or WebP image
    ");
}

#[test]
fn a_truncated_file_is_refused() {
    for (name, data) in [
        sample!("rgb.jpg"),
        sample!("rgb.png"),
        sample!("lossy.webp"),
        sample!("lossless.webp"),
    ] {
        for part in [2, 3] {
            let error = decode(&data[..data.len() / part]);
            let Err(reason) = error else {
                panic!("{name} cut to 1/{part} was decoded");
            };
            assert!(reason.contains("damaged"), "{name}: {reason}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn damage_never_panics(
        which in 0..7_usize,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let samples = [
            sample!("rgb.jpg"), sample!("progressive.jpg"), sample!("cmyk.jpg"), sample!("orientation-6.png"),
            sample!("rgba.png"), sample!("lossy.webp"), sample!("lossless.webp"),
        ];
        let mut data = samples[which].1.to_vec();
        // Not in the header of a JPEG frame: a large one takes long in a build without optimisation.
        for (at, byte) in flips {
            let at = at.index(data.len());
            data[at] = byte;
        }
        if is_cut {
            data.truncate(end.index(data.len()));
        }
        if let Ok(picture) = decode(&data) {
            prop_assert_eq!(picture.pixels.len() as u64, u64::from(picture.width) * u64::from(picture.height) * 3);
        }
    }
}

impl Objects for &Memory {
    async fn read(&self, key: &str, max: usize) -> Result<Option<Bytes>, CallError> {
        let found = self.objects.borrow().get(key).map(|object| object.body.clone());
        match found {
            Some(body) if body.len() > max => {
                Err(CallError::new(CallErrorKind::Rejected, "the object is larger"))
            }
            found => Ok(found),
        }
    }
}

impl ImageRecords for &Memory {
    async fn exists(&self, product: &str) -> Result<bool, CallError> {
        self.calls.set(self.calls.get() + 1);
        match self.errors.borrow_mut().pop() {
            Some(error) => Err(error),
            None => Ok(self.items.borrow().contains_key(product)),
        }
    }

    async fn record(&self, product: &str, kind: &str, sizes: &[&str]) -> Result<bool, CallError> {
        let mut items = self.items.borrow_mut();
        let Some(item) = items.get_mut(product) else {
            return Ok(false);
        };
        let names = sizes
            .iter()
            .map(|size| AttributeValue::S((*size).to_owned()))
            .collect();
        let images = item
            .entry("images".to_owned())
            .or_insert_with(|| AttributeValue::M(Item::new()));
        if let AttributeValue::M(images) = images {
            images.insert(kind.to_owned(), AttributeValue::L(names));
        }
        Ok(true)
    }
}

fn notification(bucket: &str, keys: &[&str]) -> Vec<u8> {
    let record = |key: &&str| {
        json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1, "sequencer": "0A"}},
        })
    };
    json!({"Records": keys.iter().map(record).collect::<Vec<_>>()})
        .to_string()
        .into_bytes()
}

async fn process(memory: &Memory, payload: &[u8]) -> Result<Processed, Diagnostic> {
    let processor = ImageProcessor::new(memory, "images", memory);
    processor.answer(payload, &invocation(Lines::shared())).await
}

fn upload(memory: &Memory, key: &str, data: &[u8]) {
    let object = Object {
        key: key.to_owned(),
        body: Bytes::copy_from_slice(data),
        content_type: "image/jpeg",
    };
    memory.objects.borrow_mut().insert(key.to_owned(), object);
}

fn shop() -> Memory {
    let memory = Memory::default();
    memory.items.borrow_mut().extend([product("p-1")]);
    memory
}

#[tokio::test]
async fn an_upload_gets_three_sizes_and_is_recorded_once_or_twice() {
    let memory = shop();
    let key = "incoming_product_images/p-1/main.jpg";
    upload(&memory, key, sample!("rgb.png").1);
    let mut states = Vec::new();
    for _ in 0..2 {
        let done = process(&memory, &notification("images", &[key])).await.unwrap();
        assert_eq!(
            done,
            Processed {
                processed: vec![key.to_owned()],
                refused: vec![]
            }
        );
        let keys: Vec<String> = memory.objects.borrow().keys().cloned().collect();
        states.push((memory.items_json(), keys));
    }
    assert_eq!(states[0], states[1]);
    insta::assert_snapshot!(memory.items_json(), @r#"[{"id":{"S":"p-1"},"images":{"M":{"main":{"L":[{"S":"small"},{"S":"medium"},{"S":"large"}]}}},"name":{"S":"Lamp"}}]"#);
    insta::assert_snapshot!(states[0].1.join("\n"), @r"
    incoming_product_images/p-1/main.jpg
    product_images/p-1/main/large.jpg
    product_images/p-1/main/medium.jpg
    product_images/p-1/main/small.jpg
    ");
    for (name, width) in [("small", 192), ("medium", 1280), ("large", 1920)] {
        let object = memory.objects.borrow()[&sized_key("p-1", "main", name)].clone();
        assert_eq!(object.content_type, "image/jpeg");
        assert_eq!(decode(&object.body).unwrap().width, width);
    }
}

#[tokio::test]
async fn what_cannot_be_processed_is_refused_and_the_rest_goes_on() {
    let memory = shop();
    let good = "incoming_product_images/p-1/front.jpg";
    upload(&memory, good, sample!("rgb.jpg").1);
    upload(&memory, "incoming_product_images/p-1/bad.jpg", b"not an image");
    upload(
        &memory,
        "incoming_product_images/ghost/main.jpg",
        sample!("rgb.jpg").1,
    );
    let payload = notification(
        "images",
        &[
            "incoming_product_images/p-1/bad.jpg",
            "incoming_product_images/ghost/main.jpg",
            "incoming_product_images/p-1/gone.jpg",
            "incoming_product_images/p-1/a+b%2F.jpg",
            "product_images/p-1/main/small.jpg",
            good,
        ],
    );
    let done = process(&memory, &payload).await.unwrap();
    assert_eq!(done.processed, [good]);
    let reasons: Vec<String> = done
        .refused
        .iter()
        .map(|refused| format!("{}: {}", refused.key, refused.error))
        .collect();
    insta::assert_snapshot!(reasons.join("\n"), @r"
    incoming_product_images/p-1/bad.jpg: the file is not a JPEG, PNG or WebP image
    incoming_product_images/ghost/main.jpg: there is no such product
    incoming_product_images/p-1/gone.jpg: it was deleted
    incoming_product_images/p-1/a b/.jpg: its key is not incoming_product_images/{product}/{type}.jpg
    product_images/p-1/main/small.jpg: its key is not incoming_product_images/{product}/{type}.jpg
    ");
    assert!(!memory.items.borrow().contains_key("ghost"));
    let elsewhere = process(&memory, &notification("other", &[good])).await.unwrap();
    assert_eq!(elsewhere.refused[0].error, "it is in another bucket");
}

#[tokio::test(start_paused = true)]
async fn a_passing_error_is_retried_and_a_lasting_one_fails_the_invocation() {
    let memory = shop();
    let key = "incoming_product_images/p-1/main.jpg";
    upload(&memory, key, sample!("rgb.jpg").1);
    memory.fail(CallErrorKind::Transient);
    let done = process(&memory, &notification("images", &[key])).await.unwrap();
    assert_eq!(done.processed, [key]);
    memory.fail(CallErrorKind::Refused);
    let error = process(&memory, &notification("images", &[key]))
        .await
        .unwrap_err();
    assert_eq!(error.error_type, "CallFailed");
    assert_eq!(error.error_message, format!("could not process {key}: Refused"));
    let error = process(&memory, b"{\"test\":true}").await.unwrap_err();
    assert_eq!(error.error_type, "InvalidEvent");
}

/// `cargo test --release -p streamctl-handlers ten_megapixels -- --ignored --nocapture`
#[test]
#[ignore = "measures, and takes long in a build without optimisation"]
#[allow(clippy::print_stdout, reason = "it prints what it measured")]
fn ten_megapixels() {
    let (width, height) = (3872_u16, 2592_u16);
    let mut seed = 7_u32;
    let mut pixels = Vec::with_capacity(usize::from(width) * usize::from(height) * 3);
    for y in 0..u32::from(height) {
        for x in 0..u32::from(width) {
            // A gradient with noise, about as large as a photograph.
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (seed >> 27) as u8;
            let value = |scaled: u32| ((scaled % 224) as u8).saturating_add(noise);
            pixels.extend([value(x / 16), value(y / 12), value((x + y) / 24)]);
        }
    }
    let mut jpeg = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 85);
    encoder
        .encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb)
        .unwrap();
    drop(pixels);
    let mut times = Vec::new();
    for _ in 0..7 {
        let began = Instant::now();
        assert_eq!(sizes(&jpeg).unwrap().len(), 3);
        times.push(began.elapsed().as_millis());
    }
    times.sort_unstable();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    println!("{} bytes of JPEG: {times:?} ms; {peak}", jpeg.len());
}

#[test]
fn only_plain_names_are_parts_of_keys() {
    for name in ["main", "a-1_B", &"x".repeat(64)] {
        assert!(is_name(name), "{name}");
    }
    for name in ["", "a/b", "..", "a.b", "ü", "a b", &"x".repeat(65)] {
        assert!(!is_name(name), "{name}");
    }
    let value: Value = json!(incoming_key("p", "main"));
    assert_eq!(value, "incoming_product_images/p/main.jpg");
    assert_eq!(
        parts_of("incoming_product_images/p/main.jpg"),
        Some(("p", "main"))
    );
}
