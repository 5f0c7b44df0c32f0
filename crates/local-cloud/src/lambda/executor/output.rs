//! What a function prints: standard output and error through one pipe, so that their order is kept.

use std::io;
use std::process::Stdio;

#[cfg(unix)]
pub(super) use unix::Output;

#[cfg(unix)]
mod unix {
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use tokio::net::unix::pipe::Receiver;

    use super::{Stdio, io};

    /// The reading end.
    pub(in super::super) struct Output {
        pipe: Receiver,
        /// The same end. The runtime reads only what it was told of; this reads what is there.
        direct: io::PipeReader,
    }

    impl Output {
        /// A pipe: its reading end, and its writing end twice.
        pub fn new() -> io::Result<(Self, Stdio, Stdio)> {
            let (direct, writer) = io::pipe()?;
            let twin = writer.try_clone()?;
            // Makes it one that does not block, for both.
            let pipe = Receiver::from_owned_fd(OwnedFd::from(direct.try_clone()?))?;
            Ok((Self { pipe, direct }, writer.into(), twin.into()))
        }

        /// Waits for something to read; 0 at the end.
        pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
            loop {
                self.pipe.readable().await?;
                match self.pipe.try_read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    outcome => return outcome,
                }
            }
        }

        /// Reads what is there now, whether or not it was announced; 0 if nothing is.
        pub fn read_now(&self, buffer: &mut [u8]) -> usize {
            (&self.direct).read(buffer).unwrap_or(0)
        }
    }
}

/// Functions are run where there are pipes and process groups.
#[cfg(not(unix))]
pub(super) struct Output;

#[cfg(not(unix))]
impl Output {
    pub fn new() -> io::Result<(Self, Stdio, Stdio)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub async fn read(&self, _buffer: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    pub fn read_now(&self, _buffer: &mut [u8]) -> usize {
        0
    }
}
