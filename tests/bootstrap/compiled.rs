//! The zip of the scripted bootstrap (`main.rs` in this directory). Tests include this module by path.

use std::io::{Cursor, Write};

use zip::write::{SimpleFileOptions, ZipWriter};

#[path = "executable.rs"]
mod executable;

pub(crate) use executable::executable;

/// The zip of a function, with the executable as `bootstrap`. A different `variant` gives a different hash.
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
