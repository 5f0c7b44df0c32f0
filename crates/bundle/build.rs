//! Builds the Lambda handlers of `handlers/` and packs each into a zip that this crate carries.
//!
//! A separate cargo process builds the handlers into `<target>/handlers`, always with the same profile. So they are built
//! once for `cargo build`, `cargo test`, `cargo clippy` and `--release`. The binaries contain no paths of this machine:
//! the same toolchain gives the same bytes everywhere.
//!
//! `STREAMCTL_HANDLERS_DIR` names a directory with prebuilt bootstraps (`<name>` or `<name>/bootstrap`) to use instead.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The binaries of `handlers/`.
const HANDLERS: &[&str] = &[
    "price-updater",
    "products-api",
    "image-processor",
    "realtime-data-processor",
    "retail-event-processor",
    "concert-stream-processor",
    "concert-data-processor",
    "cart-api",
    "cart-features",
];
const READY: &str = "STREAMCTL_HANDLERS_DIR";
const PROFILE: &str = "handler";

fn main() -> Result<()> {
    // The workspace: two directories up.
    let root = path("CARGO_MANIFEST_DIR")?.join("../..").canonicalize()?;
    let out = path("OUT_DIR")?;
    println!("cargo::rerun-if-env-changed={READY}");
    println!("cargo::rerun-if-changed=build.rs");
    let inputs = [
        "Cargo.toml",
        "Cargo.lock",
        "handlers/Cargo.toml",
        "handlers/src",
        // What the handlers depend on in this workspace.
        "crates/decimal/Cargo.toml",
        "crates/decimal/src",
    ];
    for input in inputs {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    let bootstraps = match std::env::var_os(READY).filter(|dir| !dir.is_empty()) {
        Some(dir) => Some(ready(&root.join(dir))?),
        None if !root.join("handlers/Cargo.toml").exists() => {
            println!("cargo::warning=handlers/ is missing: this streamctl will carry no Lambda handlers");
            None
        }
        // Lambda handlers are Unix programs.
        None if std::env::var_os("CARGO_CFG_UNIX").is_none() => None,
        None => Some(build(&root, &out)?),
    };
    let mut table = String::from("&[\n");
    for (name, bootstrap) in HANDLERS.iter().zip(bootstraps.unwrap_or_default()) {
        let zip = out.join(format!("{name}.zip"));
        pack_once(&bootstrap, &zip)?;
        table.push_str(&format!(
            "    ({name:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.zip\"))),\n"
        ));
    }
    table.push_str("]\n");
    fs::write(out.join("bundle.rs"), table)?;
    Ok(())
}

fn path(variable: &str) -> Result<PathBuf> {
    let value = std::env::var_os(variable).ok_or_else(|| format!("cargo sets no {variable}"))?;
    Ok(value.into())
}

/// The prebuilt bootstraps in `dir`.
fn ready(dir: &Path) -> Result<Vec<PathBuf>> {
    println!("cargo::rerun-if-changed={}", dir.display());
    let find = |name: &&str| {
        let candidates = [dir.join(name).join("bootstrap"), dir.join(name)];
        let found = candidates.into_iter().find(|candidate| candidate.is_file());
        found.ok_or_else(|| {
            let dir = dir.display();
            format!("{READY} is {dir}, which holds neither {name}/bootstrap nor {name}").into()
        })
    };
    HANDLERS.iter().map(find).collect()
}

/// Builds the handlers. Returns the paths of the binaries.
fn build(root: &Path, out: &Path) -> Result<Vec<PathBuf>> {
    let (host, target) = (std::env::var("HOST")?, std::env::var("TARGET")?);
    let dir = target_dir(out, &target).join("handlers");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(["build", "--package", "streamctl-handlers", "--bins", "--locked"])
        .args(["--profile", PROFILE, "--target-dir"])
        .arg(&dir);
    let mut binaries = dir.clone();
    if host != target {
        cargo.args(["--target", &target]);
        binaries.push(&target);
    }
    // Variables of this build must not affect the build of the handlers. Otherwise check, clippy and build would each
    // rebuild them.
    for (name, _) in std::env::vars_os() {
        if leaks(&name.to_string_lossy()) {
            cargo.env_remove(name);
        }
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", remapped(&dir)?.join("\u{1f}"));
    let done = cargo
        .output()
        .map_err(|error| format!("could not start cargo for the Lambda handlers: {error}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(format!(
            "the Lambda handlers could not be built for {target}:\n{said}\n\
             - does `cargo build -p streamctl-handlers --profile {PROFILE}` work by itself?\n\
             - for another target, install it (`rustup target add {target}`) and a linker for it\n\
             - or build them elsewhere, for example with cargo-lambda, and set {READY} to the directory\n\
             - or leave them out: --no-default-features --features local\n"
        )
        .into());
    }
    binaries.push(PROFILE);
    Ok(HANDLERS.iter().map(|name| binaries.join(name)).collect())
}

/// The target directory that `OUT_DIR` (`<target>[/<triple>]/<profile>/build/…`) is in.
fn target_dir(out: &Path, target: &str) -> PathBuf {
    let build = out
        .ancestors()
        .find(|dir| dir.file_name().is_some_and(|name| name == "build"));
    let above = build.and_then(|build| build.parent()?.parent());
    let dir = match above {
        Some(above) if above.file_name().is_some_and(|name| name == target) => above.parent(),
        other => other,
    };
    dir.unwrap_or(out).to_path_buf()
}

/// Whether a variable of this build says something that is meant for streamctl's own packages, or for the tool that drives it.
fn leaks(name: &str) -> bool {
    // What cargo is to use, not what it is to do: its home, its jobs, registries, proxies, linkers.
    const KEPT: &[&str] = &[
        "CARGO_HOME",
        "CARGO_MAKEFLAGS",
        "CARGO_BUILD_JOBS",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
    ];
    if name.starts_with("CARGO_TARGET_") {
        return !(name.ends_with("_LINKER") || name.ends_with("_AR"));
    }
    if name.starts_with("CARGO") {
        return !KEPT.iter().any(|kept| name.starts_with(kept));
    }
    name.starts_with("DEP_")
        || name.starts_with("CLIPPY_")
        || matches!(
            name,
            "RUSTC_WRAPPER"
                | "RUSTC_WORKSPACE_WRAPPER"
                | "RUSTC_LINKER"
                | "RUSTFLAGS"
                | "RUSTDOCFLAGS"
                | "RUSTDOC"
                | "TARGET"
                | "HOST"
                | "OPT_LEVEL"
                | "PROFILE"
                | "DEBUG"
                | "OUT_DIR"
                | "NUM_JOBS"
        )
}

/// Flags that keep the paths of this machine out of the binaries. A later one wins.
fn remapped(target: &Path) -> Result<Vec<String>> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let ask = |args: &[&str]| -> Result<String> {
        let answer = Command::new(&rustc).args(args).output()?;
        Ok(String::from_utf8(answer.stdout)?)
    };
    let sysroot = ask(&["--print", "sysroot"])?;
    let version = ask(&["--version", "--verbose"])?;
    let commit = version
        .lines()
        .find_map(|line| line.strip_prefix("commit-hash: "));
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let user = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE"))?;
        Some(Path::new(&user).join(".cargo"))
    });
    let mut flags = Vec::new();
    let mut remap = |from: &Path, to: &str| {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    };
    if let Some(home) = home {
        remap(&home, "/cargo");
        // The registry's name holds a hash that differs between registries.
        let sources = fs::read_dir(home.join("registry/src"));
        for source in sources.into_iter().flatten().flatten() {
            remap(&source.path(), "/cargo/registry");
        }
    }
    // The checkout has none: cargo names its files relative to the workspace. So where it lies costs no build either.
    remap(target, "/target");
    // As in a toolchain without the component rust-src.
    let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    remap(&library, &format!("/rustc/{}", commit.unwrap_or("unknown")));
    Ok(flags)
}

/// Packs `bootstrap` into `zip`, unless `zip` was made of the very same file.
fn pack_once(bootstrap: &Path, zip: &Path) -> Result<()> {
    let about = fs::metadata(bootstrap)?;
    let changed = about.modified()?.duration_since(UNIX_EPOCH)?.as_nanos();
    let stamp = format!("{} {changed} {}", about.len(), bootstrap.display());
    let stamp_file = zip.with_extension("stamp");
    if zip.exists() && fs::read_to_string(&stamp_file).is_ok_and(|there| there == stamp) {
        return Ok(());
    }
    let content = fs::read(bootstrap)?;
    let mut writer = ZipWriter::new(File::create(zip)?);
    // The same bytes for the same content: as `functions::package` packs.
    let options = SimpleFileOptions::DEFAULT
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::DEFAULT)
        .system(System::Unix)
        .unix_permissions(0o755);
    writer.start_file("bootstrap", options)?;
    writer.write_all(&content)?;
    writer.finish()?.sync_all()?;
    fs::write(stamp_file, stamp)?;
    Ok(())
}
