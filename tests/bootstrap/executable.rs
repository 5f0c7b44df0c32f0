//! Compiles the scripted bootstrap (`main.rs` in this directory). Tests include this module by path.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

const SOURCE: &str = include_str!("main.rs");

/// The path of the executable. The first call compiles it next to the test binary, and later runs use it again.
pub(crate) fn executable() -> &'static PathBuf {
    static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();
    EXECUTABLE.get_or_init(|| {
        let hash = SOURCE.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let dir = std::env::current_exe().unwrap();
        let path = dir.with_file_name(format!("scripted-bootstrap-{hash:016x}"));
        if !path.exists() {
            // Another test process may compile it at the same time, so use a unique name first.
            let fresh = path.with_extension(std::process::id().to_string());
            let source = fresh.with_extension("rs");
            std::fs::write(&source, SOURCE).unwrap();
            let compiler = std::env::var_os("CARGO")
                .map(|cargo| PathBuf::from(cargo).with_file_name("rustc"))
                .filter(|compiler| compiler.exists())
                .unwrap_or_else(|| "rustc".into());
            let output = Command::new(compiler)
                .args([
                    "--edition=2024",
                    "-Copt-level=1",
                    "-Cstrip=symbols",
                    "--crate-name=bootstrap",
                    "-o",
                ])
                .args([&fresh, &source])
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            std::fs::rename(&fresh, &path).unwrap();
            std::fs::remove_file(&source).unwrap();
        }
        path
    })
}
