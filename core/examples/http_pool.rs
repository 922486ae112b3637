//! The pool of connections for another protocol: forty files over HTTP from two mirrors, fetched by as many connections
//! as the pool allows. The engine of torrents has no part in it: `millstream_core::pool` is a machine of its own, that
//! names connections as the caller does (here by numbers) and shares them among whom the caller likes (here mirrors).
//!
//! Run it with `cargo run -p millstream-core --example http_pool`: it serves itself over the loopback, one of its mirrors
//! refuses every third call, and it prints what was fetched and what the pool found out.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use core::error::Error;
use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::base::Instant;
use millstream_core::pool::{CloseReason, Connections, OpenError, PoolConfig, Prospect};
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

const FILES: usize = 40;
const FILE_BYTES: usize = 20_000;

/// What a connection's thread tells the loop.
enum News {
    Opened,
    Bytes(usize),
    Ended(Result<Vec<u8>, OpenError>),
}

/// News, and of which connection.
type Told = (u32, News);

/// What is to be fetched from one mirror, and how often it was tried in vain.
#[derive(Default)]
struct Mirror {
    paths: VecDeque<String>,
    failures: usize,
}

struct Downloader<'a> {
    pool: Connections<u32, &'a str>,
    mirrors: BTreeMap<&'a str, Mirror>,
    /// Which file each connection fetches, and from where.
    fetching: BTreeMap<u32, (&'a str, String)>,
    fetched: BTreeMap<String, Vec<u8>>,
    next: u32,
    news: (Sender<Told>, Receiver<Told>),
}

impl<'a> Downloader<'a> {
    fn new(mirrors: BTreeMap<&'a str, Mirror>, config: PoolConfig) -> Self {
        Self {
            pool: Connections::new(Instant::ZERO, config),
            mirrors,
            fetching: BTreeMap::new(),
            fetched: BTreeMap::new(),
            next: 0,
            news: channel(),
        }
    }

    /// Fetches all. The loop is the whole of it: say who wants a connection, open what the pool allows, tell it what
    /// happens, and come back at its deadline.
    fn run(&mut self) -> Result<(), Box<dyn Error>> {
        let start = std::time::Instant::now();
        let now = || Instant::ZERO + start.elapsed();
        loop {
            self.open(now());
            if self.fetching.is_empty() && self.mirrors.values().all(|mirror| mirror.paths.is_empty()) {
                return Ok(());
            }
            let pause = self.pool.deadline().map_or(Duration::from_secs(5), |at| at.saturating_since(now()));
            if let Ok((key, news)) = self.news.1.recv_timeout(pause) {
                self.on_news(now(), key, news)?;
            }
            self.pool.on_timeout(now());
        }
    }

    fn open(&mut self, now: Instant) {
        for (&name, mirror) in &self.mirrors {
            self.pool.on_wants(now, name, !mirror.paths.is_empty());
        }
        while let Some(name) = self.pool.next_open(now) {
            let Some(path) = self.mirrors.get_mut(name).and_then(|mirror| mirror.paths.pop_front()) else {
                self.pool.on_wants(now, name, false);
                continue;
            };
            let key = self.next;
            self.next += 1;
            // A server that is there has answered before: its silence says much.
            self.pool.on_started(now, key, name, Prospect::Proven);
            let (address, wanted, news) = (name.to_owned(), path.clone(), self.news.0.clone());
            thread::spawn(move || {
                let end = fetch(&address, &wanted, &|it| drop(news.send((key, it))));
                drop(news.send((key, News::Ended(end))));
            });
            self.fetching.insert(key, (name, path));
        }
    }

    fn on_news(&mut self, now: Instant, key: u32, news: News) -> Result<(), Box<dyn Error>> {
        match news {
            News::Opened => self.pool.on_opened(now, key),
            News::Bytes(bytes) => self.pool.on_received(now, key, bytes as u64),
            News::Ended(end) => {
                let (name, path) = self.fetching.remove(&key).ok_or("an unknown connection ended")?;
                match end {
                    Ok(body) => {
                        self.pool.on_closed(now, key, CloseReason::Finished);
                        self.fetched.insert(path, body);
                    }
                    Err(why) => {
                        // Only one of the two is heard: whether it was open, the pool knows.
                        self.pool.on_failed(now, key, why);
                        self.pool.on_closed(now, key, CloseReason::Lost);
                        let mirror = self.mirrors.get_mut(name).ok_or("an unknown mirror")?;
                        mirror.failures += 1;
                        mirror.paths.push_back(path);
                    }
                }
            }
        }
        Ok(())
    }
}

/// One GET over a connection of its own. What goes wrong is told as the pool wants to hear it.
fn fetch(address: &str, path: &str, tell: &impl Fn(News)) -> Result<Vec<u8>, OpenError> {
    let address: SocketAddr = address.parse().map_err(|_| OpenError::Unreachable)?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10)).map_err(|error| {
        if error.kind() == std::io::ErrorKind::TimedOut { OpenError::TimedOut } else { OpenError::Refused }
    })?;
    tell(News::Opened);
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|_| OpenError::Refused)?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                answer.extend_from_slice(&buffer[..n]);
                tell(News::Bytes(n));
            }
            Err(_) => return Err(OpenError::Refused),
        }
    }
    let head = answer.windows(4).position(|it| it == b"\r\n\r\n").ok_or(OpenError::Refused)?;
    let body = answer.split_off(head + 4);
    if body.len() == FILE_BYTES { Ok(body) } else { Err(OpenError::Refused) }
}

/// A mirror on the loopback; with `moody` it hangs up on every third call.
fn serve(moody: bool) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            if moody && n % 3 == 2 {
                continue;
            }
            thread::spawn(move || answer(&mut stream));
        }
    });
    Ok(address)
}

/// The body repeats the path, so that the fetcher can see that it got what it asked for.
fn answer(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 512];
    while !request.ends_with(b"\r\n\r\n") {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..n]);
    }
    let line = String::from_utf8_lossy(&request);
    let path = line.split(' ').nth(1).unwrap_or("/");
    stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n")?;
    stream.write_all(&body_of(path))
}

fn body_of(path: &str) -> Vec<u8> {
    path.bytes().cycle().take(FILE_BYTES).collect()
}

/// Fetches all files from two mirrors; returns how many connections failed.
fn download() -> Result<usize, Box<dyn Error>> {
    let addresses = [serve(false)?, serve(true)?];
    let mirrors = addresses.iter().enumerate().map(|(n, address)| {
        let paths = (0..FILES / 2).map(|file| format!("/mirror{n}/file{file}")).collect();
        (address.as_str(), Mirror { paths, failures: 0 })
    });
    let config = PoolConfig { links_max: 8, half_open_max: 4, half_open_start: 2, ..PoolConfig::default() };
    let mut downloader = Downloader::new(mirrors.collect(), config);
    downloader.run()?;
    for (path, body) in &downloader.fetched {
        assert_eq!(*body, body_of(path), "{path} is whole");
    }
    assert_eq!(downloader.fetched.len(), FILES);
    println!("{} files by {} connections", FILES, downloader.next);
    for (address, mirror) in &downloader.mirrors {
        println!("{address}: {} calls failed", mirror.failures);
    }
    Ok(downloader.mirrors.values().map(|mirror| mirror.failures).sum())
}

fn main() -> Result<(), Box<dyn Error>> {
    download().map(drop)
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_files_come_though_a_mirror_hangs_up() {
        let failures = super::download().expect("all is fetched");
        assert!(failures > 0, "the moody mirror hung up");
    }
}
