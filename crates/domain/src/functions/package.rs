//! Reads, checks and packs deployment packages: a zip with an executable `bootstrap` at its root, for the runtime
//! `provided.al2023`. Code that Lambda cannot run is rejected before any resource is created.

use std::fmt;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use bytes::Bytes;
use lambda_host::archive::{self, Unfit};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, FileKind, elf};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipArchive, ZipWriter};

use ground::error::{Error, Result};
use ground::file;

/// Largest zip that can be uploaded in the API call, in bytes.
/// Source: "Lambda quotas", AWS Lambda developer guide.
pub const LARGEST_ZIP: u64 = 50 * 1024 * 1024;
/// Largest unpacked size, in bytes. Source: as above.
pub const LARGEST_UNPACKED: u64 = archive::MAX_UNPACKED;
/// glibc of `provided.al2023`. Source: "Amazon Linux 2023", `glibc`, AL2023 release notes.
pub const NEWEST_GLIBC: Version = Version { major: 2, minor: 34 };

const CARGO_LAMBDA: &str = "build it with `cargo lambda build --release` (https://www.cargo-lambda.info)";

/// Instruction set architecture of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub enum Architecture {
    #[serde(rename = "x86_64")]
    X86_64,
    #[serde(rename = "arm64")]
    Arm64,
}

impl Architecture {
    /// The architecture of this machine. On others than x86_64 and arm64, Lambda's default.
    pub fn here() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Arm64
        } else {
            Self::X86_64
        }
    }

    /// The name that Lambda uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Architecture {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "x86_64" | "x86-64" | "amd64" => Ok(Self::X86_64),
            "arm64" | "aarch64" => Ok(Self::Arm64),
            other => Err(format!("{other:?} is neither x86_64 nor arm64")),
        }
    }
}

/// A glibc version, such as 2.34.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// File format of a bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Elf,
    /// A macOS program, which runs only in the local cloud on a Mac.
    MachO,
    /// A script with a `#!` line.
    Script,
}

/// A deployment package that was checked.
#[derive(Debug, Clone)]
pub struct Package {
    /// The zip.
    pub bytes: Bytes,
    /// SHA-256 of the zip in base64, as in Lambda's `CodeSha256`.
    pub sha256: String,
    pub architecture: Architecture,
    /// File format of its bootstrap.
    pub format: Format,
    /// The newest glibc version that its bootstrap needs; `None` if it needs none.
    pub glibc: Option<Version>,
    /// Unpacked size of all files, in bytes.
    pub unpacked_bytes: u64,
    /// The dynamic loader of its bootstrap; empty for a static executable.
    loader: String,
}

impl Package {
    /// Reads a zip.
    ///
    /// # Errors
    /// Exit 2 if Lambda cannot run it.
    pub fn from_zip(path: &Path) -> Result<Self> {
        let bytes = read(path, LARGEST_ZIP)?;
        Self::from_zip_bytes(&path.display().to_string(), bytes.into())
    }

    /// Reads an executable, or a directory that contains one named `bootstrap`, and packs it.
    ///
    /// # Errors
    /// Exit 2 if Lambda cannot run it.
    pub fn from_bootstrap(path: &Path) -> Result<Self> {
        let inner = path.join("bootstrap");
        let path = if path.is_dir() { inner.as_path() } else { path };
        let what = path.display().to_string();
        let content = read(path, LARGEST_UNPACKED)?;
        if content.starts_with(b"PK\x03\x04") {
            return Err(
                Error::usage(format!("{what} is a zip, not an executable")).hint("give it with --zip")
            );
        }
        let about = inspect(&what, &content)?;
        Self::new(&what, pack(&content)?, about, content.len() as u64)
    }

    /// Reads a zip or an executable.
    ///
    /// # Errors
    /// Exit 2 if Lambda cannot run it.
    pub fn from_path(path: &Path) -> Result<Self> {
        let mut magic = [0; 4];
        // Opening a pipe would wait for a writer; `read` refuses it.
        let begun = path
            .is_file()
            .then_some(path)
            .ok_or(std::io::ErrorKind::InvalidInput.into());
        let begun = begun
            .and_then(std::fs::File::open)
            .and_then(|mut file| file.read_exact(&mut magic));
        let zipped = begun.is_ok() && magic == *b"PK\x03\x04";
        if zipped || path.extension().is_some_and(|extension| extension == "zip") {
            Self::from_zip(path)
        } else {
            Self::from_bootstrap(path)
        }
    }

    /// Checks a zip. `what` is its name in messages.
    ///
    /// # Errors
    /// Exit 2 if Lambda cannot run it.
    pub fn from_zip_bytes(what: &str, bytes: Bytes) -> Result<Self> {
        let refused = |unfit: Unfit| {
            let error = Error::usage(format!("{what} {unfit}"));
            match unfit {
                Unfit::NotAZip(error_of_zip) => error
                    .cause(error_of_zip)
                    .hint("give an executable with --bootstrap: it is zipped for you"),
                _ => error.hint("make the zip again, with only the files that the function needs"),
            }
        };
        let unpacked = archive::check(&bytes).map_err(refused)?;
        let archive = ZipArchive::new(Cursor::new(bytes.clone()));
        let mut archive = archive.map_err(|error| refused(error.into()))?;
        let mut bootstrap = archive.by_name("bootstrap").map_err(|_| {
            Error::usage(format!("{what} has no file `bootstrap` at its root"))
                .hint(format!("give the executable with --bootstrap, or {CARGO_LAMBDA}"))
        })?;
        let mode = bootstrap.unix_mode().unwrap_or(0);
        if !bootstrap.is_file() || mode & 0o001 == 0 {
            return Err(Error::usage(format!(
                "the `bootstrap` in {what} is not executable for everyone (mode {:04o})",
                mode & 0o7777
            ))
            .hint("give the executable with --bootstrap, or `chmod 755 bootstrap` before zipping it"));
        }
        let mut content = Vec::new();
        // The sizes that a zip declares may be wrong.
        let mut limited = bootstrap.by_ref().take(LARGEST_UNPACKED + 1);
        limited.read_to_end(&mut content).map_err(|error| {
            Error::usage(format!("the `bootstrap` in {what} cannot be unpacked")).cause(error)
        })?;
        let about = inspect(&format!("the `bootstrap` in {what}"), &content)?;
        Self::new(what, bytes, about, unpacked)
    }

    fn new(what: &str, bytes: Bytes, about: Inspection, unpacked_bytes: u64) -> Result<Self> {
        if bytes.len() as u64 > LARGEST_ZIP {
            return Err(too_large(what, bytes.len() as u64));
        }
        Ok(Self {
            sha256: base64_simd::STANDARD.encode_to_string(Sha256::digest(&bytes)),
            bytes,
            architecture: about.architecture,
            format: about.format,
            glibc: about.glibc,
            unpacked_bytes,
            loader: about.loader,
        })
    }

    /// Rejects code that only the local cloud can run.
    ///
    /// # Errors
    /// Exit 2, with a hint how to build code for AWS.
    pub fn check_for_aws(&self, what: &str) -> Result<()> {
        let refused =
            |why: String| Err(Error::usage(format!("{what} does not run on AWS: {why}")).hint(CARGO_LAMBDA));
        if self.format == Format::MachO {
            return refused("it is a program for macOS".to_owned());
        }
        if self.loader.contains("musl") {
            return refused("it needs the musl C library, which Lambda does not have".to_owned());
        }
        match self.glibc {
            Some(version) if version > NEWEST_GLIBC => refused(format!(
                "it needs version {version} of the GNU C library, and provided.al2023 has {NEWEST_GLIBC}"
            )),
            _ => Ok(()),
        }
    }

    /// The start of the hash, for display.
    pub fn short_hash(&self) -> &str {
        short(&self.sha256)
    }
}

/// The start of a hash, for display.
pub fn short(sha256: &str) -> &str {
    sha256.get(..8).unwrap_or(sha256)
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let unreadable =
        |error: std::io::Error| Error::usage(format!("could not read {}", path.display())).cause(error);
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if about.len() > most {
        return Err(too_large(&path.display().to_string(), about.len()));
    }
    if !about.is_file() {
        return Err(Error::usage(format!("{} is not a regular file", path.display())));
    }
    file::read(path, most).map_err(unreadable)
}

fn too_large(what: &str, bytes: u64) -> Error {
    Error::usage(format!(
        "{what} is {} MB; Lambda takes a zip of 50 MB at most in the call itself",
        bytes.div_ceil(1 << 20)
    ))
    .hint("strip the binary, or put the zip into a bucket and use `aws lambda update-function-code --s3-bucket … --s3-key …`")
}

/// Packs `bootstrap` into a zip. The bytes depend only on the content, and equal those that `crates/bundle` makes.
///
/// # Errors
/// If it cannot be packed.
pub fn pack(bootstrap: &[u8]) -> Result<Bytes> {
    let options = SimpleFileOptions::DEFAULT
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::DEFAULT)
        .system(System::Unix)
        .unix_permissions(0o755);
    let mut writer = ZipWriter::new(Cursor::new(Vec::with_capacity(bootstrap.len() / 2)));
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::failed("could not zip the executable").cause(error)
    };
    writer
        .start_file("bootstrap", options)
        .map_err(|error| failed(error.into()))?;
    writer
        .write_all(bootstrap)
        .map_err(|error| failed(error.into()))?;
    let zip = writer.finish().map_err(|error| failed(error.into()))?;
    Ok(zip.into_inner().into())
}

/// Result of inspecting a bootstrap.
struct Inspection {
    architecture: Architecture,
    format: Format,
    glibc: Option<Version>,
    loader: String,
}

fn inspect(what: &str, content: &[u8]) -> Result<Inspection> {
    if content.starts_with(b"#!") {
        return Ok(Inspection {
            architecture: Architecture::here(),
            format: Format::Script,
            glibc: None,
            loader: String::new(),
        });
    }
    let faulty = |why: &str| Error::usage(format!("{what} is {why}")).hint(CARGO_LAMBDA);
    match FileKind::parse(content) {
        Ok(FileKind::Elf64) => {}
        Ok(FileKind::Elf32) => return Err(faulty("a 32-bit program, which Lambda does not run")),
        Ok(FileKind::MachO64) => {
            return inspect_mach(content).ok_or_else(|| faulty("for an unknown processor"));
        }
        Ok(FileKind::MachOFat32 | FileKind::MachOFat64) => {
            return Err(faulty(
                "a macOS program for several processors, which Lambda does not run",
            ));
        }
        _ => return Err(faulty("not a Linux program (ELF)")),
    }
    let broken = |error: object::Error| faulty("an ELF file that cannot be read").cause(error);
    let file = ElfFile64::<Endianness>::parse(content).map_err(broken)?;
    let endian = file.endian();
    let header = file.elf_header();
    let architecture = match header.e_machine(endian) {
        elf::EM_X86_64 => Architecture::X86_64,
        elf::EM_AARCH64 => Architecture::Arm64,
        _ => {
            return Err(faulty(
                "for a processor that Lambda does not support (it supports x86_64 and arm64)",
            ));
        }
    };
    if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
        return Err(faulty("an object file, not a program"));
    }
    let mut loader = String::new();
    for segment in file.elf_program_headers() {
        if let Some(name) = segment.interpreter(endian, content).map_err(broken)? {
            loader = String::from_utf8_lossy(name).into_owned();
        }
    }
    Ok(Inspection {
        architecture,
        format: Format::Elf,
        glibc: newest_glibc(&file).map_err(broken)?,
        loader,
    })
}

fn inspect_mach(content: &[u8]) -> Option<Inspection> {
    use object::Object;
    let file = object::File::parse(content).ok()?;
    let architecture = match file.architecture() {
        object::Architecture::X86_64 => Architecture::X86_64,
        object::Architecture::Aarch64 => Architecture::Arm64,
        _ => return None,
    };
    Some(Inspection {
        architecture,
        format: Format::MachO,
        glibc: None,
        loader: String::new(),
    })
}

/// The newest version `GLIBC_x.y` that the file needs.
fn newest_glibc(file: &ElfFile64<'_, Endianness>) -> Result<Option<Version>, object::Error> {
    let (endian, data, sections) = (file.endian(), file.data(), file.elf_section_table());
    let Some((mut needed, link)) = sections.gnu_verneed(endian, data)? else {
        return Ok(None);
    };
    let strings = sections.strings(endian, data, link)?;
    let mut newest = None;
    while let Some((_, mut versions)) = needed.next()? {
        while let Some(version) = versions.next()? {
            newest = newest.max(glibc(version.name(endian, strings)?));
        }
    }
    Ok(newest)
}

/// Parses `GLIBC_2.34` and `GLIBC_2.2.5`.
fn glibc(name: &[u8]) -> Option<Version> {
    let numbers = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?;
    let mut numbers = numbers.split('.').map(str::parse);
    Some(Version {
        major: numbers.next()?.ok()?,
        minor: numbers.next()?.ok()?,
    })
}

#[cfg(test)]
mod tests;
