//! Which files are accepted as code, and which are rejected.

use proptest::prelude::*;

use super::*;

/// The ELF header of a static program for `machine`.
fn elf(machine: u16, kind: u16, class: u8) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1]);
    file[16..18].copy_from_slice(&kind.to_le_bytes());
    file[18..20].copy_from_slice(&machine.to_le_bytes());
    file[20] = 1;
    file[52] = 64;
    file
}

fn zip(entries: &[(&str, &[u8], u32)]) -> Bytes {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content, mode) in entries {
        let options = SimpleFileOptions::DEFAULT.unix_permissions(*mode);
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner().into()
}

fn refusal(bytes: Bytes) -> String {
    let error = Package::from_zip_bytes("code.zip", bytes).unwrap_err();
    assert_eq!(error.exit(), ground::exit::Exit::Usage);
    format!("{error}\n  {}", error.hint_text().unwrap_or_default())
}

#[test]
fn a_bootstrap_is_packed_with_its_hash_and_architecture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bootstrap");
    std::fs::write(&path, elf(0xb7, 3, 2)).unwrap();
    let package = Package::from_bootstrap(&path).unwrap();
    assert_eq!(package.architecture, Architecture::Arm64);
    assert_eq!((package.glibc, package.unpacked_bytes), (None, 64));
    assert_eq!(
        package.sha256,
        base64_simd::STANDARD.encode_to_string(Sha256::digest(&package.bytes))
    );
    // The directory that contains it and the zip give the same package.
    assert_eq!(Package::from_path(dir.path()).unwrap().sha256, package.sha256);
    let zip = dir.path().join("code");
    std::fs::write(&zip, &package.bytes).unwrap();
    assert_eq!(Package::from_path(&zip).unwrap().sha256, package.sha256);
    assert!(package.check_for_aws("it").is_ok());
}

#[test]
fn what_lambda_would_not_run_is_refused_with_a_way_out() {
    let good = elf(0x3e, 3, 2);
    let deep = "d/".repeat(30_000) + "f";
    let refusals = [
        refusal(Bytes::from_static(b"hello")),
        refusal(zip(&[("bin/bootstrap", &good, 0o755)])),
        refusal(zip(&[("bootstrap", &good, 0o755), (&deep, b"", 0o644)])),
        refusal(zip(&[("bootstrap", &good, 0o644)])),
        refusal(zip(&[("bootstrap", b"MZ windows", 0o755)])),
        refusal(zip(&[("bootstrap", &elf(0x3e, 1, 2), 0o755)])),
        refusal(zip(&[("bootstrap", &elf(0xf3, 3, 2), 0o755)])),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r"
    code.zip is not a zip that can be read
      give an executable with --bootstrap: it is zipped for you
    code.zip has no file `bootstrap` at its root
      give the executable with --bootstrap, or build it with `cargo lambda build --release` (https://www.cargo-lambda.info)
    code.zip has the entry `d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/…`, which has a path that is too long
      make the zip again, with only the files that the function needs
    the `bootstrap` in code.zip is not executable for everyone (mode 0644)
      give the executable with --bootstrap, or `chmod 755 bootstrap` before zipping it
    the `bootstrap` in code.zip is not a Linux program (ELF)
      build it with `cargo lambda build --release` (https://www.cargo-lambda.info)
    the `bootstrap` in code.zip is an object file, not a program
      build it with `cargo lambda build --release` (https://www.cargo-lambda.info)
    the `bootstrap` in code.zip is for a processor that Lambda does not support (it supports x86_64 and arm64)
      build it with `cargo lambda build --release` (https://www.cargo-lambda.info)
    ");
}

#[test]
fn a_newer_c_library_or_another_system_is_refused_for_aws() {
    let mut package =
        Package::from_zip_bytes("code.zip", zip(&[("bootstrap", b"#!/bin/sh\n", 0o755)])).unwrap();
    assert!(package.check_for_aws("code.zip").is_ok());
    package.glibc = Some(Version { major: 2, minor: 36 });
    insta::assert_snapshot!(package.check_for_aws("code.zip").unwrap_err(), @"code.zip does not run on AWS: it needs version 2.36 of the GNU C library, and provided.al2023 has 2.34");
    package.format = Format::MachO;
    insta::assert_snapshot!(package.check_for_aws("code.zip").unwrap_err(), @"code.zip does not run on AWS: it is a program for macOS");
}

#[test]
fn versions_are_read_and_compared_as_numbers() {
    assert_eq!(glibc(b"GLIBC_2.2.5"), Some(Version { major: 2, minor: 2 }));
    assert_eq!(glibc(b"GLIBC_PRIVATE"), None);
    assert_eq!(glibc(b"GCC_3.0"), None);
    assert!(glibc(b"GLIBC_2.34") > glibc(b"GLIBC_2.4"));
}

#[cfg(target_os = "linux")]
#[test]
fn the_c_library_that_a_program_needs_is_found() {
    let here = std::env::current_exe().unwrap();
    let content = std::fs::read(here).unwrap();
    let about = inspect("this test", &content).unwrap();
    assert_eq!(about.architecture, Architecture::here());
    if cfg!(target_env = "gnu") {
        assert!(about.glibc.unwrap() >= Version { major: 2, minor: 17 });
    }
}

proptest! {
    #[test]
    fn packing_twice_gives_equal_bytes(content in prop::collection::vec(any::<u8>(), 0..4096)) {
        let once = pack(&content).unwrap();
        prop_assert_eq!(&once, &pack(&content).unwrap());
        let mut archive = ZipArchive::new(Cursor::new(once)).unwrap();
        let mut unpacked = Vec::new();
        archive.by_name("bootstrap").unwrap().read_to_end(&mut unpacked).unwrap();
        prop_assert_eq!(unpacked, content);
    }

    #[test]
    fn rubbish_is_refused_and_not_a_panic(mut content in prop::collection::vec(any::<u8>(), 0..512), cut in 0usize..64) {
        let _ = inspect("it", &content);
        let _ = Package::from_zip_bytes("it", Bytes::from(content.clone()));
        let mut file = elf(0x3e, 3, 2);
        file.append(&mut content);
        let _ = inspect("it", &file[cut..]);
        let _ = inspect("it", &file);
    }
}
