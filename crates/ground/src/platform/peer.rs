//! The user at the other end of a TCP connection on this machine.
//!
//! Linux tells it by socket diagnostics: one question to the kernel for one connection, which takes about 10
//! microseconds and does not depend on how many sockets there are. Other platforms do not tell it without `unsafe`.
//! Source: sock_diag(7), and `net/ipv4/inet_diag.c` of Linux.

use std::net::SocketAddr;

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The user of this process.
    Owner,
    /// Another user, by user id.
    Other(u32),
    /// The platform does not tell.
    Unknown,
}

/// Looks up who opened a connection. Open it once for many connections.
#[derive(Debug)]
pub struct Peers(#[cfg(target_os = "linux")] Option<std::sync::Mutex<linux::Diagnostics>>);

impl Peers {
    /// Where the platform has no such lookup, or forbids it, every peer is [`Peer::Unknown`].
    pub fn open() -> Self {
        #[cfg(target_os = "linux")]
        return Self(linux::Diagnostics::open().ok().map(std::sync::Mutex::new));
        #[cfg(not(target_os = "linux"))]
        Self()
    }

    /// A lookup that tells nothing, for tests of other platforms.
    #[doc(hidden)]
    pub fn untold() -> Self {
        #[cfg(target_os = "linux")]
        return Self(None);
        #[cfg(not(target_os = "linux"))]
        Self()
    }

    /// The peer of an accepted connection from `peer` to `local`. The connection must still be open afterwards: if it
    /// is not, another connection may have taken its port meanwhile.
    pub fn of(&self, peer: SocketAddr, local: SocketAddr) -> Peer {
        #[cfg(target_os = "linux")]
        if let Some(diagnostics) = &self.0 {
            let mut diagnostics = diagnostics
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            return match diagnostics.user_of(peer, local) {
                None => Peer::Unknown,
                Some(uid) if uid != rustix::process::geteuid().as_raw() => Peer::Other(uid),
                // All users that this user namespace does not map look like this one.
                Some(linux::OVERFLOW_UID) => Peer::Unknown,
                Some(_) => Peer::Owner,
            };
        }
        let _ = (peer, local);
        Peer::Unknown
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::net::{IpAddr, SocketAddr};
    use std::os::fd::OwnedFd;

    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

    /// Source: `/proc/sys/kernel/overflowuid`, whose default is never changed in practice.
    pub(super) const OVERFLOW_UID: u32 = 65534;
    /// SOCK_DIAG_BY_FAMILY, which is both the type of the request and of the response.
    const BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    const IPPROTO_TCP: u8 = 6;
    const TCP_LISTEN: u8 = 10;
    const HEADER: usize = 16;
    const REQUEST: usize = HEADER + 56;
    /// Offsets in the response, a `struct inet_diag_msg` after the header.
    const STATE: usize = HEADER + 1;
    const PORTS: usize = HEADER + 4;
    const UID: usize = HEADER + 64;
    const INODE: usize = HEADER + 68;

    #[derive(Debug)]
    pub(super) struct Diagnostics {
        socket: OwnedFd,
        sequence: u32,
    }

    impl Diagnostics {
        pub fn open() -> io::Result<Self> {
            let socket = rustix::net::socket_with(
                AddressFamily::NETLINK,
                SocketType::RAW,
                SocketFlags::CLOEXEC,
                Some(rustix::net::netlink::SOCK_DIAG),
            )?;
            Ok(Self { socket, sequence: 0 })
        }

        /// The user that owns the socket at `peer`, which is connected to `local`. `None` if a process no longer has it.
        pub fn user_of(&mut self, peer: SocketAddr, local: SocketAddr) -> Option<u32> {
            self.sequence = self.sequence.wrapping_add(1);
            let request = request(peer, local, self.sequence)?;
            rustix::net::send(&self.socket, &request, SendFlags::empty()).ok()?;
            let mut buffer = [0; 1024];
            // The kernel has queued the response when `send` returns. An earlier response may be before it.
            loop {
                let (length, _) = rustix::net::recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT).ok()?;
                let response = &buffer[..length.min(buffer.len())];
                if word(response, 8)? == self.sequence {
                    return user(response, &request);
                }
            }
        }
    }

    fn request(peer: SocketAddr, local: SocketAddr, sequence: u32) -> Option<[u8; REQUEST]> {
        let family = match (peer, local) {
            (SocketAddr::V4(_), SocketAddr::V4(_)) => AddressFamily::INET,
            (SocketAddr::V6(_), SocketAddr::V6(_)) => AddressFamily::INET6,
            _ => return None,
        };
        let mut bytes = [0; REQUEST];
        let mut put =
            |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
        put(0, &u32::try_from(REQUEST).ok()?.to_ne_bytes());
        put(4, &BY_FAMILY.to_ne_bytes());
        put(6, &NLM_F_REQUEST.to_ne_bytes());
        put(8, &sequence.to_ne_bytes());
        put(HEADER, &[u8::try_from(family.as_raw()).ok()?, IPPROTO_TCP]);
        // All states.
        put(HEADER + 4, &u32::MAX.to_ne_bytes());
        put(HEADER + 8, &peer.port().to_be_bytes());
        put(HEADER + 10, &local.port().to_be_bytes());
        for (offset, address) in [(HEADER + 12, peer.ip()), (HEADER + 28, local.ip())] {
            match address {
                IpAddr::V4(address) => put(offset, &address.octets()),
                IpAddr::V6(address) => put(offset, &address.octets()),
            }
        }
        // No cookie: any socket with these addresses.
        put(HEADER + 48, &[0xff; 8]);
        Some(bytes)
    }

    /// A socket that no process has any more belongs to user 0 in the response, and its inode is 0. Where no connection
    /// has these addresses, the kernel falls back to a socket that listens at the port.
    fn user(response: &[u8], request: &[u8]) -> Option<u32> {
        let kind = u16::from_ne_bytes(response.get(4..6)?.try_into().ok()?);
        let is_listening = *response.get(STATE)? == TCP_LISTEN;
        let is_same = response.get(PORTS..PORTS + 4)? == request.get(HEADER + 8..HEADER + 12)?;
        let inode = word(response, INODE)?;
        let uid = word(response, UID)?;
        (kind == BY_FAMILY && !is_listening && is_same && inode != 0).then_some(uid)
    }

    fn word(bytes: &[u8], offset: usize) -> Option<u32> {
        let word = bytes.get(offset..offset + 4)?;
        Some(u32::from_ne_bytes(word.try_into().ok()?))
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn own_connections_are_recognised_until_they_are_closed() {
        let peers = Peers::open();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let local = listener.local_addr().unwrap();
        let client = TcpStream::connect(local).unwrap();
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(peers.of(peer, local), Peer::Owner);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(peers.of(peer, local), Peer::Owner, "half closed");
        drop(client);
        assert_eq!(peers.of(peer, local), Peer::Unknown, "the kernel would say 0");
        drop(server);
        assert_eq!(peers.of("127.0.0.1:1".parse().unwrap(), local), Peer::Unknown);
        // A listener at the port of the peer is not the peer.
        assert_eq!(peers.of(local, "127.0.0.1:1".parse().unwrap()), Peer::Unknown);
    }

    #[test]
    fn an_ipv6_socket_that_speaks_ipv4_is_found() {
        let peers = Peers::open();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let local = listener.local_addr().unwrap();
        let mapped = (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), local.port());
        let Ok(client) = TcpStream::connect(mapped) else {
            return;
        };
        let (_server, peer) = listener.accept().unwrap();
        assert_eq!(peers.of(peer, local), Peer::Owner);
        drop(client);
    }
}
