//! The floor of a transfer: one loopback socket with no protocol, so that an engine's cost can be compared with the
//! least that its work takes. It owns no measurement: the harness in `bench/` starts it and reads its process's times.
//!
//! `floor seed ADDRESS FILE read|sendfile` listens and sends the file to each who comes.
//! `floor leech ADDRESS FILE LENGTH PIECE_LENGTH receive|write|hash` dials, receives, and writes and digests (SHA-1, the
//! crate and version that millstream uses) as told. Both say `listening` or `complete` as JSON lines and stay until
//! their standard input ends.
#![allow(clippy::print_stdout, reason = "its output is its interface")]

use sha1::{Digest, Sha1};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::thread;

/// Bytes a call: what millstream's driver takes at most.
const CALL: usize = 256 << 10;

type Outcome<T> = Result<T, Box<dyn core::error::Error>>;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["seed", address, file, how] => seed(TcpListener::bind(address)?, file.to_owned(), how == "sendfile"),
        ["leech", address, file, length, piece, how] => {
            let plan = Plan {
                length: length.parse()?,
                piece: piece.parse()?,
                write: how != "receive",
                hash: how == "hash",
            };
            leech(TcpStream::connect(address)?, &File::create(file)?, &plan)?;
        }
        _ => return Err("see the first lines of floor.rs".into()),
    }
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

/// Serves in threads of its own until the process ends.
fn seed(listener: TcpListener, file: String, by_sendfile: bool) {
    println!(r#"{{"event":"listening"}}"#);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let sent = stream.and_then(|stream| send(stream, &File::open(&file)?, by_sendfile));
            if let Err(error) = sent {
                eprintln!("{error}");
            }
        }
    });
}

fn send(mut stream: TcpStream, file: &File, by_sendfile: bool) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut buffer = vec![0; CALL];
    let mut at = 0;
    while at < length {
        if by_sendfile {
            // it moves `at` on itself
            rustix::fs::sendfile(&stream, file, Some(&mut at), CALL)?;
        } else {
            let read = file.read_at(&mut buffer, at)?;
            stream.write_all(&buffer[..read])?;
            at += read as u64;
        }
    }
    Ok(())
}

struct Plan {
    length: u64,
    piece: u64,
    write: bool,
    hash: bool,
}

fn leech(mut stream: TcpStream, file: &File, plan: &Plan) -> io::Result<()> {
    let mut buffer = vec![0; CALL];
    let mut hasher = Sha1::new();
    let mut digests = Vec::new();
    let mut at = 0;
    while at < plan.length {
        let left = (plan.piece - at % plan.piece).min(plan.length - at).min(CALL as u64);
        let read = stream.read(&mut buffer[..usize::try_from(left).unwrap_or(CALL)])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if plan.hash {
            hasher.update(&buffer[..read]);
        }
        if plan.write {
            file.write_all_at(&buffer[..read], at)?;
        }
        at += read as u64;
        if plan.hash && (at.is_multiple_of(plan.piece) || at == plan.length) {
            digests.push(hasher.finalize_reset());
        }
    }
    println!(r#"{{"event":"complete","pieces":{}}}"#, digests.len());
    Ok(())
}
