//! The opening of a link through a proxy, on a link to the proxy: SOCKS5 or `CONNECT`. Not a byte of what follows is taken.

use core::net::SocketAddr;
use millstream_core::wire::http_proxy::{HEAD_BYTES_MAX, read_answer, write_connect};
use millstream_core::wire::proxy_url::{ProxyKind, ProxyUrl};
use millstream_core::wire::socks5::{Request, Socks5, Step, Target};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Has the proxy open a link to `target`; afterwards the stream is that link.
pub(super) async fn open(stream: &mut TcpStream, proxy: &ProxyUrl, target: &Target) -> io::Result<()> {
    match proxy.kind {
        ProxyKind::Socks5 => {
            let request = Request::Connect(target.clone());
            converse(stream, proxy, request).await.map(drop)
        }
        ProxyKind::Http => connect(stream, proxy, target).await,
    }
}

/// Has the proxy relay datagrams for as long as the stream lives: where to send them.
pub(super) async fn associate(stream: &mut TcpStream, proxy: &ProxyUrl) -> io::Result<SocketAddr> {
    let target = converse(stream, proxy, Request::UdpAssociate).await?;
    let there = stream.peer_addr()?;
    match target {
        // Many say "where I am" this way.
        Target::Addr(addr) if addr.ip().is_unspecified() => Ok(SocketAddr::new(there.ip(), addr.port())),
        Target::Addr(addr) => Ok(addr),
        // Its name isn't looked up: the relay is where the proxy is.
        Target::Name(_, port) => Ok(SocketAddr::new(there.ip(), port)),
    }
}

async fn converse(stream: &mut TcpStream, proxy: &ProxyUrl, request: Request) -> io::Result<Target> {
    let (mut socks, hello) = Socks5::start(request, proxy.credentials.clone());
    stream.write_all(&hello).await?;
    let mut buffer = [0; 512];
    loop {
        let Some(wanted) = buffer.get_mut(..socks.wants()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        stream.read_exact(wanted).await?;
        match socks.on_received(wanted).map_err(io::Error::other)? {
            Step::Send(bytes) => stream.write_all(&bytes).await?,
            Step::Read => {}
            Step::Done(target) => return Ok(target),
        }
    }
}

async fn connect(stream: &mut TcpStream, proxy: &ProxyUrl, target: &Target) -> io::Result<()> {
    stream.write_all(&write_connect(target, proxy.credentials.as_ref())).await?;
    let mut head = Vec::new();
    loop {
        // Byte by byte: what follows the head belongs to the link, and the head is short.
        head.push(stream.read_u8().await?);
        let ended = head.ends_with(b"\r\n\r\n") || head.len() >= HEAD_BYTES_MAX;
        // Until then only its beginning is looked at, so that what is no proxy is seen early.
        if (ended || head.len() == 12) && read_answer(&head).map_err(io::Error::other)?.is_some() {
            return Ok(());
        }
    }
}
