//! The control socket: a Unix domain socket in the home, on which the daemon takes requests of commands.
//!
//! Only the user can reach it, since the directory is private. It has nothing to do with the connections of AWS clients:
//! however many of those there are, a command can ask how the daemon is, and stop it. Elsewhere than on Unix, and where
//! the path of the home is too long for a socket, commands use the daemon's port.

use std::io;
use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;

#[cfg(not(unix))]
pub use tokio::net::{TcpListener as ControlListener, TcpStream as ControlStream};
#[cfg(unix)]
pub use tokio::net::{UnixListener as ControlListener, UnixStream as ControlStream};

#[cfg(unix)]
const NAME: &str = "control.sock";
/// Bytes of the path of a socket, without the zero at its end, that every Unix takes. Linux takes 107.
/// Source: unix(7), and `sys/un.h` of macOS.
#[cfg(unix)]
const MAX_PATH: usize = 103;

/// How to reach the control socket of a home.
#[derive(Debug)]
pub struct ControlSocket {
    #[cfg(unix)]
    path: PathBuf,
    /// Where `path` leads through this open directory.
    #[cfg(unix)]
    _dir: Option<std::fs::File>,
    #[cfg(not(unix))]
    never: std::convert::Infallible,
}

impl ControlSocket {
    /// The control socket in `dir`. `None` if there can be none.
    pub(crate) fn in_dir(dir: &Path) -> Option<Self> {
        #[cfg(unix)]
        {
            use std::os::fd::AsRawFd;
            use std::os::unix::ffi::OsStrExt;
            let path = dir.join(NAME);
            if path.as_os_str().as_bytes().len() <= MAX_PATH {
                return Some(Self { path, _dir: None });
            }
            // Linux has a short path to an open directory. See proc(5).
            let dir = std::fs::File::open(dir).ok()?;
            let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string());
            path.exists().then(|| Self {
                path: path.join(NAME),
                _dir: Some(dir),
            })
        }
        #[cfg(not(unix))]
        {
            let _ = dir;
            None
        }
    }

    /// Listens on the socket. A socket that a killed daemon left is replaced: call it only with the daemon's lock.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn listen(&self) -> io::Result<ControlListener> {
        #[cfg(unix)]
        {
            self.remove();
            let listener = ControlListener::bind(&self.path)?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&self.path, mode)?;
            Ok(listener)
        }
        #[cfg(not(unix))]
        match self.never {}
    }

    /// Removes the socket. Call it only with the daemon's lock.
    pub fn remove(&self) {
        // A remaining socket refuses connections, and the next daemon replaces it.
        #[cfg(unix)]
        let _ = std::fs::remove_file(&self.path);
    }

    pub(crate) async fn connect(&self) -> io::Result<ControlStream> {
        #[cfg(unix)]
        return ControlStream::connect(&self.path).await;
        #[cfg(not(unix))]
        match self.never {}
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn a_socket_connects_in(dir: &Path) {
        assert!(
            ControlSocket::in_dir(dir).unwrap().connect().await.is_err(),
            "nobody listens"
        );
        for _ in 0..2 {
            // The second replaces the first, as after a kill.
            let listener = ControlSocket::in_dir(dir).unwrap().listen().unwrap();
            let mut client = ControlSocket::in_dir(dir).unwrap().connect().await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            client.write_all(b"x").await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), b'x');
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(dir.join(NAME)).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        ControlSocket::in_dir(dir).unwrap().remove();
        assert!(!dir.join(NAME).exists());
    }

    #[tokio::test]
    async fn a_short_path_is_used_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        a_socket_connects_in(dir.path()).await;
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_path_longer_than_a_socket_takes_works_too() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&long).unwrap();
        a_socket_connects_in(&long).await;
    }
}
