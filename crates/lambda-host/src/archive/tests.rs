use std::io::Write;

use proptest::prelude::*;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;

fn zip(names: &[&str]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for name in names {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(b"x").unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn link(name: &str, target: &str) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer
        .add_symlink(name, target, SimpleFileOptions::default())
        .unwrap();
    writer.finish().unwrap().into_inner()
}

/// Replaces the name `from` in the headers of a zip with a name of the same length.
fn renamed(mut zip: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    for start in 0..=zip.len() - from.len() {
        if &zip[start..start + from.len()] == from {
            zip[start..start + from.len()].copy_from_slice(to);
        }
    }
    zip
}

/// A zip whose second entry points to the data of the first one.
fn overlapping() -> Vec<u8> {
    let mut zip = zip(&["first", "second"]);
    let central = zip.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
    // The offset of the local header. Source: APPNOTE.TXT, 4.3.12.
    zip[central + 42..central + 46].copy_from_slice(&0_u32.to_le_bytes());
    zip
}

/// A zip that states `size` bytes for its entry.
fn stating(size: u32) -> Vec<u8> {
    let mut zip = zip(&["bootstrap"]);
    let central = zip.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
    zip[central + 24..central + 28].copy_from_slice(&size.to_le_bytes());
    zip
}

#[test]
fn hostile_zips_are_refused() {
    let deep = "d/".repeat(30_000) + "f";
    let wide: Vec<String> = (0..400)
        .map(|number| format!("{number:04}/{}f", "d/".repeat(40)))
        .collect();
    let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
    let long = "n".repeat(256);
    let backslash = renamed(zip(&["a/b"]), b"a/b", b"a\\b");
    let absolute = renamed(zip(&["_etc/passwd"]), b"_etc", b"/etc");
    let above = renamed(zip(&["__/x"]), b"__/x", b"../x");
    let dots = renamed(zip(&["a/__/b"]), b"a/__/b", b"a/../b");
    let nul = renamed(zip(&["a_b"]), b"a_b", b"a\0b");
    let twice = renamed(zip(&["one", "two"]), b"two", b"one");
    let nested = zip(&["a", "a/b"]);
    let nested_first = zip(&["a/b", "a"]);
    let cases = [
        ("no zip", b"hello".to_vec()),
        ("cut", zip(&["bootstrap"])[..40].to_vec()),
        ("empty", zip(&[])),
        ("30,000 directories in one path", zip(&[&deep])),
        ("400 paths of 41 directories", zip(&wide)),
        ("a long name", zip(&[&long])),
        ("a backslash", backslash),
        ("an absolute path", absolute),
        ("a path upwards", above),
        ("a path up and down", dots),
        ("a NUL", nul),
        ("a name twice", twice),
        ("a file in a file", nested),
        ("a file for a directory", nested_first),
        ("overlapping entries", overlapping()),
        ("4 GB stated", stating(u32::MAX - 1)),
        ("a link to an absolute path", link("l", "/etc/passwd")),
        ("a link upwards", link("d/l", "../../x")),
        ("a link down and up", link("d/l", "x/../../../y")),
        ("a link without a target", link("l", "")),
    ];
    let refusals = cases.map(|(what, zip)| format!("{what}: it {}", check(&zip).unwrap_err()));
    insta::assert_snapshot!(refusals.join("\n"), @r"
    no zip: it is not a zip that can be read
    cut: it is not a zip that can be read
    empty: it has no entries
    30,000 directories in one path: it has the entry `d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/…`, which has a path that is too long
    400 paths of 41 directories: it has more than 10000 directories
    a long name: it has the entry `nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…`, which has a name that is too long
    a backslash: it has the entry `a\\b`, which has a character that no path may have
    an absolute path: it has the entry `/etc/passwd`, which leads out of the archive
    a path upwards: it has the entry `../x`, which leads out of the archive
    a path up and down: it has the entry `a/../b`, which leads out of the archive
    a NUL: it has the entry `a\0b`, which has a character that no path may have
    a name twice: it has several entries of the same name
    a file in a file: it has the entry `a/b`, which is inside another entry that is a file
    a file for a directory: it has the entry `a`, which is both a file and a directory, or occurs twice
    overlapping entries: it has entries that overlap
    4 GB stated: it unpacks to 4096 MB; Lambda takes 250 MB at most
    a link to an absolute path: it has the entry `l`, which is a link that leads out of the archive
    a link upwards: it has the entry `d/l`, which is a link that leads out of the archive
    a link down and up: it has the entry `d/l`, which is a link that leads out of the archive
    a link without a target: it has the entry `l`, which is a link that leads out of the archive
    ");
}

#[test]
fn ordinary_zips_are_accepted() {
    assert_eq!(check(&zip(&["bootstrap", "lib/a/b.so", "./data"])).unwrap(), 3);
    check(&link("d/l", "../bootstrap")).unwrap();
    let deep = "d/".repeat(MAX_DEPTH - 1) + "f";
    check(&zip(&[&deep])).unwrap();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_directory("lib", SimpleFileOptions::default()).unwrap();
    writer.start_file("lib/a", SimpleFileOptions::default()).unwrap();
    check(&writer.finish().unwrap().into_inner()).unwrap();
}

proptest! {
    #[test]
    fn accepted_names_stay_inside(names in prop::collection::vec("[./a\\\\]{1,12}", 1..6), noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for name in &names {
            if writer.start_file(name.as_str(), SimpleFileOptions::default()).is_ok() {
                writer.write_all(b"x").unwrap();
            }
        }
        let mut zip = writer.finish().unwrap().into_inner();
        for (place, byte) in noise {
            let place = place.index(zip.len());
            zip[place] = byte;
        }
        if check(&zip).is_ok() {
            let archive = ZipArchive::new(Cursor::new(&zip[..])).unwrap();
            for name in archive.file_names() {
                let path = path_of(&name.unwrap()).unwrap();
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }

    #[test]
    fn rubbish_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = check(&bytes);
        let _ = check(&[b"PK\x03\x04", &bytes[..], b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &bytes[..]].concat());
    }
}
