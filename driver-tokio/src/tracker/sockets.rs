//! The UDP sockets of the tracker's workers: one each at the same address, and a classic BPF program on the group that
//! steers an announce to the worker that has its torrent. Not what comes in.

use super::batch;
use core::net::SocketAddr;
use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;

/// Bytes of a socket's buffers asked for: a batch or two while a worker is busy elsewhere.
const BUFFER_BYTES: usize = 4 << 20;

/// Binds a socket for each of so many workers, in their order; the address that they got, and whether datagrams are
/// steered.
pub(super) fn bind(addr: SocketAddr, workers: usize) -> io::Result<(Vec<UdpSocket>, SocketAddr, bool)> {
    if workers == 1 {
        let socket = open(addr, false)?;
        let addr = local(&socket)?;
        return Ok((vec![UdpSocket::from_std(socket.into())], addr, true));
    }
    // Alone first: else whoever is there already, and shares, would get half of what comes.
    let addr = local(&open(addr, false)?)?;
    let sockets: Vec<Socket> = (0..workers).map(|_| open(addr, true)).collect::<io::Result<_>>()?;
    let steered = steer(&sockets[0], workers);
    if let Err(error) = &steered {
        tracing::info!(%error, "datagrams can't be steered to their workers; they are handed over");
    }
    let sockets = sockets.into_iter().map(|socket| UdpSocket::from_std(socket.into())).collect();
    Ok((sockets, addr, steered.is_ok()))
}

fn open(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    // The system may give less.
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(BUFFER_BYTES);
    if addr.ip().is_unspecified()
        && let Err(error) = batch::tell_addresses(&socket, addr.is_ipv6())
    {
        tracing::info!(%error, "answers may leave from another address than was asked");
    }
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn local(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Announces go to the worker whose number is the info-hash's first byte modulo their count, as
/// [`owner`](super::queue::owner) has it; everything else to any.
#[cfg(target_os = "linux")]
fn steer(socket: &Socket, workers: usize) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let workers = u32::try_from(workers).map_err(|_| io::ErrorKind::InvalidInput)?;
    let at = millstream_core::tracker::udp::INFO_HASH_AT as u32;
    let program = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 5, 98),
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 8),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 3, 1),
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, at),
        step(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, 0, 0, workers),
        step(libc::BPF_RET | libc::BPF_A, 0, 0, 0),
        // No socket has this number: the system chooses by the addresses.
        step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    #[allow(unsafe_code)]
    // SAFETY: the option's value is a `sock_fprog` of this length, whose program outlives the call and is only read.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            core::ptr::from_ref(&program).cast(),
            size_of_val(&program) as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn steer(_: &Socket, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn an_announce_reaches_the_worker_of_its_torrent_from_any_port() {
        let (sockets, addr, steered) = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert!(steered);
        let mut packet = [0; 98];
        packet[11] = 1;
        for n in 0..=255 {
            let from = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            packet[16] = n;
            from.send_to(&packet, addr).unwrap();
            let mut room = [0; 200];
            for (worker, socket) in sockets.iter().enumerate() {
                assert_eq!(
                    socket.recv_from(&mut room).is_ok(),
                    usize::from(n) % 3 == worker,
                    "{n} at {worker}"
                );
            }
        }
    }

    #[test]
    fn other_datagrams_reach_somebody() {
        let (sockets, addr, _) = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        for len in [0, 16, 97, 98, 1400] {
            let from = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            from.send_to(&vec![9; len], addr).unwrap();
            let got = sockets.iter().filter(|socket| socket.recv_from(&mut [0; 1500]).is_ok()).count();
            assert_eq!(got, 1, "{len}");
        }
    }

    #[test]
    fn an_address_that_is_taken_is_not_shared() {
        let (_sockets, addr, _) = bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        assert!(bind(addr, 2).is_err() && bind(addr, 1).is_err());
    }
}
