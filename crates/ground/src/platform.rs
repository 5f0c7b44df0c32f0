//! All platform-specific code: private files, detached processes, peers of connections, the allocator, threads, the
//! browser, EC2 detection.

pub mod browser;
pub mod memory;
pub mod orphans;
pub mod peer;
pub mod threads;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

/// Whether this process ignores SIGHUP, as one that `nohup` started. Must be called before a handler is set. Where the
/// system does not tell, a process without a terminal on stdin counts as one that does.
pub fn ignores_hangup() -> bool {
    use std::sync::OnceLock;
    static IGNORES: OnceLock<bool> = OnceLock::new();
    *IGNORES.get_or_init(|| {
        // Source: proc_pid_status(5): a mask in hexadecimal, with signal 1, SIGHUP, in the lowest bit.
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        match mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()) {
            Some(mask) => mask & 1 == 1,
            None => !std::io::IsTerminal::is_terminal(&std::io::stdin()),
        }
    })
}

/// Creates `dir` and its parents, accessible only to this user.
pub fn create_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Options that create a file accessible only to this user, and do not follow a symbolic link.
pub fn private_file() -> std::fs::OpenOptions {
    #[allow(unused_mut, reason = "only mutated where files have modes")]
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    options
}

/// Opens a file of this user's own, as [`private_file`] does.
///
/// # Errors
/// `PermissionDenied` if the path is a symbolic link or no regular file, or if the file belongs to another user.
pub fn open_private(options: &std::fs::OpenOptions, path: &Path) -> io::Result<File> {
    let opened = options.open(path);
    #[cfg(unix)]
    {
        let foreign = |what: &str| io::Error::new(io::ErrorKind::PermissionDenied, what);
        if let Err(error) = &opened
            && error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
        {
            return Err(foreign("it is a symbolic link, which is not followed"));
        }
        let file = opened?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(foreign("it is not a regular file"));
        }
        let owner = std::os::unix::fs::MetadataExt::uid(&meta);
        if owner != rustix::process::geteuid().as_raw() {
            return Err(foreign(&format!("it belongs to another user (user id {owner})")));
        }
        Ok(file)
    }
    #[cfg(not(unix))]
    opened
}

/// Reads a file of this user's own. See [`open_private`].
///
/// # Errors
/// As [`open_private`].
pub fn read_private(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = open_private(private_file().read(true), path)?;
    io::Read::read_to_end(&mut file, &mut bytes)?;
    Ok(bytes)
}

/// Why other users could have prepared, or can change, what is in `dir`. `None` if they cannot, or if there is no such
/// directory.
///
/// # Errors
/// If the directory cannot be looked at.
pub fn shared_with_others(dir: &Path) -> io::Result<Option<String>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        const OTHERS_WRITE: u32 = 0o022;
        let me = rustix::process::geteuid().as_raw();
        let named = match std::fs::symlink_metadata(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            named => named?,
        };
        // A link of this user's own may lead to another disk.
        let meta = if named.is_symlink() && named.uid() == me {
            std::fs::metadata(dir)?
        } else {
            named
        };
        if meta.is_symlink() {
            return Ok(Some("it is a symbolic link of another user".to_owned()));
        }
        if meta.uid() != me {
            return Ok(Some(format!(
                "it belongs to another user (user id {}, this is {me})",
                meta.uid()
            )));
        }
        if meta.is_dir() && meta.mode() & OTHERS_WRITE != 0 {
            let mode = meta.mode() & 0o7777;
            return Ok(Some(format!("other users can write to it (mode {mode:o})")));
        }
    }
    let _ = dir;
    Ok(None)
}

/// `error` with the path that it concerns, so that "no space left on device" says where.
pub fn at_path(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Between the name of a file and the id of the process that is writing it anew.
const UNFINISHED: &str = ".new-";

/// Replaces the file `path` with `bytes` atomically: also after a crash or power failure, readers see either the old or
/// the new content. Only this user can read it.
///
/// # Errors
/// If the directory of `path` cannot be written. The error names the file.
pub fn replace_private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Without the sync, a power failure could preserve the new name but not the content.
    replace_with(path, bytes, std::fs::File::sync_data)
}

/// As [`replace_private_file`], but after a power failure the content may be lost. The end of the process does no harm.
///
/// # Errors
/// If the directory of `path` cannot be written. The error names the file.
pub fn replace_private_file_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, bytes, |_| Ok(()))
}

fn replace_with(
    path: &Path,
    bytes: &[u8],
    sync: impl FnOnce(&std::fs::File) -> io::Result<()>,
) -> io::Result<()> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut fresh = name.to_owned();
    fresh.push(format!("{UNFINISHED}{}", std::process::id()));
    let fresh = path.with_file_name(fresh);
    let mut options = private_file();
    options.write(true).create_new(true);
    let open = || match options.open(&fresh) {
        // A process with the same id was killed while it wrote.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(&fresh)?;
            options.open(&fresh)
        }
        opened => opened,
    };
    let written = open().and_then(|mut file| {
        file.write_all(bytes)?;
        sync(&file)?;
        std::fs::rename(&fresh, path)
    });
    written.map_err(|error| {
        // Report the first error, not this one.
        let _ = std::fs::remove_file(&fresh);
        at_path(error, path)
    })
}

/// Removes what [`replace_private_file`] left in `dir` when its process was killed. Call it only while no other process
/// writes there.
///
/// # Errors
/// If `dir` cannot be read.
pub fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.rsplit_once(UNFINISHED));
        if process.is_some_and(|(_, id)| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Prepares `command` to outlive this process. The started process completes this with [`leave_terminal`].
pub fn detach(command: &mut Command) -> &mut Command {
    #[cfg(windows)]
    {
        // Source: "Process Creation Flags", Win32 documentation.
        const DETACHED_PROCESS: u32 = 0x0000_0008;
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
        std::os::windows::process::CommandExt::creation_flags(
            command,
            DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP,
        );
    }
    command
}

/// Leaves the terminal's session, so that neither its end nor Ctrl-C affects this process.
///
/// # Errors
/// Never in a process that [`detach`] prepared.
pub fn leave_terminal() -> io::Result<()> {
    #[cfg(unix)]
    match rustix::process::setsid() {
        // Not permitted: the process already leads a session.
        Ok(_) | Err(rustix::io::Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Raises the limit of open files to `wanted`, as far as the system allows. Some systems start with 256. Returns the limit;
/// `None` if there is none.
pub fn raise_file_limit(wanted: u64) -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let most = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        if limit.current.is_some_and(|current| current < most) {
            let raised = Rlimit {
                current: Some(most),
                ..limit
            };
            // Best effort: with fewer files the process accepts fewer connections.
            let _ = setrlimit(Resource::Nofile, raised);
        }
        getrlimit(Resource::Nofile).current
    }
    #[cfg(not(unix))]
    {
        let _ = wanted;
        None
    }
}

/// Resident memory of this process in bytes, if the platform reports it.
pub fn resident_bytes() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kibibytes * 1024)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Sets the permission bits of `file` to `mode`, if the platform has them.
///
/// # Errors
/// If the file belongs to another user.
pub fn set_mode(file: &std::fs::File, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(mode))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, mode);
        Ok(())
    }
}

/// Creates the symbolic link `link` to `target`.
///
/// # Errors
/// If it cannot be created, or if links require a privilege.
pub fn symlink(target: &str, link: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, link);
    #[cfg(not(unix))]
    {
        let _ = (target, link);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Stops this process and those it runs with, as Ctrl-Z does, until the shell continues them. Returns then.
///
/// # Errors
/// When the platform has no such stop.
pub fn suspend() -> io::Result<()> {
    #[cfg(unix)]
    {
        rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)?;
        Ok(())
    }
    #[cfg(not(unix))]
    Err(io::ErrorKind::Unsupported.into())
}

/// Kills all processes of the group led by `leader`.
pub fn kill_group(leader: u32) {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(leader)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        // The group may have ended already.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    #[cfg(not(unix))]
    let _ = leader;
}

/// Whether the process `pid` of this machine runs; `None` if the platform does not tell.
pub fn is_running(pid: u32) -> Option<bool> {
    #[cfg(unix)]
    {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
        match rustix::process::test_kill_process(pid) {
            Ok(()) | Err(rustix::io::Errno::PERM) => Some(true),
            Err(rustix::io::Errno::SRCH) => Some(false),
            Err(_) => None,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = pid;
        None
    }
}

/// The name of this machine, if the platform reports it.
pub fn host_name() -> Option<String> {
    #[cfg(unix)]
    {
        let name = rustix::system::uname();
        let name = name.nodename().to_str().ok()?;
        (!name.is_empty()).then(|| name.to_owned())
    }
    #[cfg(not(unix))]
    std::env::var("COMPUTERNAME").ok()
}

/// Whether `path` names the open file `file`. `true` if the platform does not tell.
///
/// # Errors
/// If either cannot be examined.
pub fn is_same_file(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (one, other) = (file.metadata()?, std::fs::metadata(path)?);
        Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path);
        Ok(true)
    }
}

/// Resident memory in bytes: the current total of the process `pid` and its descendants, and the peak of `pid` itself.
/// `None` if the platform does not report it or the process has ended.
pub fn memory_of(pid: u32) -> Option<(u64, u64)> {
    #[cfg(target_os = "linux")]
    {
        let (resident, peak) = resident_and_peak(pid)?;
        Some((resident + descendants_memory(pid, 4), peak))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = pid;
        None
    }
}

#[cfg(target_os = "linux")]
fn resident_and_peak(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let of = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kibibytes * 1024)
    };
    Some((of("VmRSS:")?, of("VmHWM:")?))
}

#[cfg(target_os = "linux")]
fn descendants_memory(pid: u32, depth: u32) -> u64 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .map(|child| {
            let own = resident_and_peak(child).map_or(0, |(resident, _)| resident);
            let below = if depth == 0 {
                0
            } else {
                descendants_memory(child, depth - 1)
            };
            own + below
        })
        .sum()
}

/// Reads `length` bytes at `offset`, fewer at the end of the file. Does not move the cursor.
pub fn read_at(file: &std::fs::File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let read = read_into(file, offset, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Fills `bytes` from `offset`. Returns the number of bytes read before the end of the file. Does not move the cursor.
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

/// Writes all of `bytes` at `offset`. Does not move the cursor.
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

/// Whether this machine is an EC2 instance, determined by its board vendor.
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
