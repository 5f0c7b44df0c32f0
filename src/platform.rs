//! The one place with platform code: files private to the user, detached processes, EC2 detection.

use std::io;
use std::path::Path;

/// Creates `dir` and its parents, readable by this user only.
pub fn create_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Options that create a file readable and writable by this user only.
pub fn private_file() -> std::fs::OpenOptions {
    #[allow(unused_mut, reason = "only mutated where files have modes")]
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Whether this machine is an EC2 instance, by its board vendor.
/// Source: "Detect whether a host is an EC2 instance", Amazon EC2 user guide.
pub fn is_ec2() -> bool {
    #[cfg(target_os = "linux")]
    {
        std::fs::read_to_string("/sys/devices/virtual/dmi/id/board_vendor")
            .is_ok_and(|vendor| vendor.trim() == "Amazon EC2")
    }
    #[cfg(not(target_os = "linux"))]
    false
}
