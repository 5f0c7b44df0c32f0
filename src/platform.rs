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

/// Reads `length` bytes at `offset`, fewer at the end of the file, without moving a cursor.
pub fn read_at(file: &std::fs::File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let read = read_into(file, offset, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Fills `bytes` from `offset` on, without moving a cursor. Returns how many there were before the file's end.
pub fn read_into(file: &std::fs::File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
    #[cfg(unix)]
    let read_at = std::os::unix::fs::FileExt::read_at;
    #[cfg(windows)]
    let read_at = std::os::windows::fs::FileExt::seek_read;
    let mut done = 0;
    while done < bytes.len() {
        match read_at(file, &mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all of `bytes` at `offset`, without moving a cursor.
pub fn write_all_at(file: &std::fs::File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, offset);
    #[cfg(windows)]
    {
        let mut done = 0;
        while done < bytes.len() {
            let written =
                std::os::windows::fs::FileExt::seek_write(file, &bytes[done..], offset + done as u64)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            done += written;
        }
        Ok(())
    }
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
