//! The scripted bootstrap (`main.rs` beside this), compiled once and zipped. Included by path where it is needed.

use std::io::{Cursor, Write};

use zip::write::{SimpleFileOptions, ZipWriter};

#[path = "executable.rs"]
mod executable;

pub(crate) use executable::executable;

/// The zip of a function: the executable as `bootstrap`. `variant` makes other code of it, with another hash.
pub(crate) fn zip(variant: &str) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    writer
        .start_file("bootstrap", options.unix_permissions(0o755))
        .unwrap();
    writer.write_all(&std::fs::read(executable()).unwrap()).unwrap();
    writer
        .start_file("variant.txt", options.unix_permissions(0o644))
        .unwrap();
    writer.write_all(variant.as_bytes()).unwrap();
    writer.finish().unwrap().into_inner()
}
