//! The zips in the binary: Lambda can run them.

use domain::functions::bundle::{self, all};
use domain::functions::package::{NEWEST_GLIBC, pack};

#[test]
fn lambda_can_run_every_zip() {
    bundle::carry(::bundle::HANDLERS);
    for handler in all() {
        let package = handler.package().unwrap();
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(package.bytes.clone())).unwrap();
        assert_eq!(zip.len(), 1);
        let mut content = Vec::new();
        let mut bootstrap = zip.by_name("bootstrap").unwrap();
        assert_eq!(bootstrap.unix_mode().map(|mode| mode & 0o777), Some(0o755));
        std::io::copy(&mut bootstrap, &mut content).unwrap();
        assert!(package.bytes.len() <= 4 << 20, "{} is too big", handler.name);
        assert!(content.len() <= 10 << 20, "{} is too big", handler.name);
        if cfg!(target_os = "linux") {
            assert!(package.glibc.is_none_or(|version| version <= NEWEST_GLIBC));
            package.check_for_aws(handler.name).unwrap();
        }
        // `deploy --bootstrap` makes the same zip as build.rs.
        drop(bootstrap);
        assert!(pack(&content).unwrap() == package.bytes, "{}", handler.name);
        // No paths of the build machine.
        let text = String::from_utf8_lossy(&content);
        for path in [env!("CARGO_MANIFEST_DIR"), "/.cargo/registry", "/rustlib/src/"] {
            assert!(!text.contains(path), "{} holds {path}", handler.name);
        }
    }
}
