//! A fresh folder for each test, and the binary in it.

use core::sync::atomic::{AtomicU32, Ordering};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// A folder that is gone afterwards.
pub(crate) struct Fixture {
    pub(crate) folder: PathBuf,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("millstream-cli-{}-{n}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A file of bytes that don't repeat.
    pub(crate) fn file(&self, name: &str, length: usize) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut state = length as u64 ^ 0x9e37_79b9_7f4a_7c15;
        let byte = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        fs::write(&path, (0..length).map(byte).collect::<Vec<u8>>()).unwrap();
        path
    }

    /// The binary in the folder, with a state folder of its own.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.of(env!("CARGO_BIN_EXE_millstream"));
        command.args(args);
        command
    }

    /// The same, after a line of shell that sets limits for it.
    pub(crate) fn limited(&self, limits: &str, args: &[&str]) -> Command {
        let script = format!("{limits} && exec \"$0\" \"$@\"");
        let mut command = self.of("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_millstream")]).args(args);
        command
    }

    fn of(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder);
        command.env("XDG_STATE_HOME", self.path("state"));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs, expects an exit code, and reads the one JSON object that came.
    pub(crate) fn json(&self, code: i32, args: &[&str]) -> Value {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Runs, expects a failure, and reads the one sentence that came.
    pub(crate) fn complaint(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!text.contains("panicked") && !text.contains('\u{1b}'), "{text}");
        text
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The lines of `--json`.
pub(crate) fn lines(output: &[u8]) -> Vec<Value> {
    let text = core::str::from_utf8(output).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Those with this event.
pub(crate) fn with_event<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A process that runs until it is ended.
pub(crate) struct Node {
    child: Child,
    reader: BufReader<ChildStdout>,
    lines: Vec<Value>,
    /// Where it listens.
    pub(crate) address: String,
}

impl Node {
    /// Starts it, with `--json` among its arguments, and waits until it listens.
    pub(crate) fn start(fixture: &Fixture, args: &[&str]) -> Self {
        Self::of(fixture.command(args))
    }

    /// The same, under a limit of open files: an option and a number of `ulimit -n`.
    pub(crate) fn limited(fixture: &Fixture, limit: &str, args: &[&str]) -> Self {
        Self::of(fixture.limited(&format!("ulimit {limit}"), args))
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let reader = BufReader::new(child.stdout.take().unwrap());
        let mut node = Self { child, reader, lines: Vec::new(), address: String::new() };
        let line = node.wait(|line| line["event"] == "listening");
        node.address = line["address"].as_str().unwrap().to_owned();
        node
    }

    /// Waits for a line.
    pub(crate) fn wait(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let line = self.read().unwrap_or_else(|| panic!("it ended: {:?}", self.lines));
            if wanted(&line) {
                return line;
            }
        }
    }

    fn read(&mut self) -> Option<Value> {
        let mut text = String::new();
        self.reader.read_line(&mut text).unwrap();
        let line: Value = if text.is_empty() { return None } else { serde_json::from_str(&text).unwrap() };
        self.lines.push(line.clone());
        Some(line)
    }

    /// How often one of its threads went to sleep, or was sent to, so far.
    #[cfg(target_os = "linux")]
    pub(crate) fn turns(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().flatten();
        let statuses = tasks.map(|task| fs::read_to_string(task.path().join("status")).unwrap());
        let turns = |status: String| {
            let counts = status.lines().filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
            counts.map(|(_, count)| count.trim().parse::<u64>().unwrap()).sum::<u64>()
        };
        statuses.map(turns).sum()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as Ctrl-C would: its exit code and all its lines.
    pub(crate) fn interrupt(mut self) -> (Option<i32>, Vec<Value>) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        while self.read().is_some() {}
        let code = self.child.wait().unwrap().code();
        (code, core::mem::take(&mut self.lines))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
