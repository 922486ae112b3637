//! `millstream tracker` as a process: signals, what it keeps over a restart, its lists.

use super::fixture::{Fixture, text};
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

struct Tracker {
    child: Child,
    lines: BufReader<ChildStdout>,
    http: String,
}

impl Tracker {
    fn start(fixture: &Fixture, more: &[&str]) -> Self {
        let args = [&["tracker", "--json", "--workers", "2", "--http", "127.0.0.1:0"], more].concat();
        let mut child = fixture.command(&args).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let listening = next(&mut lines).unwrap();
        let http = listening["http"][0].as_str().unwrap().to_owned();
        Self { child, lines, http }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn announce(&self, torrent: char, port: u16) -> String {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        let (hash, id) = (torrent.to_string().repeat(20), "p".repeat(20));
        let target = format!("/announce?info_hash={hash}&peer_id={id}&port={port}&left=0&event=started");
        write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Ends it as a service's supervisor does: its last line.
    fn end(mut self) -> Value {
        self.signal("-TERM");
        let mut last = Value::Null;
        while let Some(line) = next(&mut self.lines) {
            last = line;
        }
        assert!(self.child.wait().unwrap().code().is_some(), "it ends by itself");
        last
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn next(lines: &mut BufReader<ChildStdout>) -> Option<Value> {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
}

#[test]
fn a_tracker_that_is_terminated_knows_its_peers_when_it_starts_again() {
    let fixture = Fixture::new();
    let state = fixture.path("state");
    let tracker = Tracker::start(&fixture, &["--state", text(&state)]);
    assert!(tracker.announce('a', 5).contains("8:completei1e"));
    let stopped = tracker.end();
    assert_eq!((&stopped["event"], &stopped["peers"]), (&"stopped".into(), &1.into()), "{stopped}");
    let again = Tracker::start(&fixture, &["--state", text(&state)]);
    let answer = again.announce('a', 6);
    assert!(answer.contains("8:completei2e"), "{answer}");
}

#[test]
fn a_hangup_makes_a_tracker_read_its_lists_again() {
    let fixture = Fixture::new();
    let deny = fixture.path("deny");
    fs::write(&deny, "# nothing yet\n").unwrap();
    let mut tracker = Tracker::start(&fixture, &["--deny", text(&deny)]);
    assert!(tracker.announce('a', 5).contains("8:completei1e"));
    fs::write(&deny, "61".repeat(20)).unwrap();
    tracker.signal("-HUP");
    assert_eq!(next(&mut tracker.lines).unwrap()["event"], "reloaded");
    let answer = tracker.announce('a', 5);
    assert!(answer.contains("does not serve"), "{answer}");
    fs::write(&deny, "no hash").unwrap();
    tracker.signal("-HUP");
    assert_eq!(next(&mut tracker.lines).unwrap()["event"], "warning");
    assert!(tracker.announce('a', 5).contains("does not serve"), "what was read goes on");
}
