//! What is shown, and where: results and `--json` on stdout, bars and complaints on stderr. A closed stdout is nobody's
//! fault: the work goes on unheard.

mod bars;
mod news;
pub(crate) mod text;

pub(crate) use bars::{Bar, Track};
pub(crate) use news::{Counts, Line, News, Progress};

use core::sync::atomic::{AtomicBool, Ordering};
use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// Nobody reads stdout any more.
static UNHEARD: AtomicBool = AtomicBool::new(false);

/// How a transfer is shown.
#[derive(Clone)]
pub(crate) enum Output {
    /// One JSON object a line.
    Json,
    /// Plain lines.
    Plain,
    /// Bars on a terminal.
    Bars(MultiProgress),
}

impl Output {
    /// By what was asked for, and by what stderr is.
    pub(crate) fn new(json: bool) -> Self {
        if json {
            Self::Json
        } else if io::stderr().is_terminal() {
            Self::Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)))
        } else {
            Self::Plain
        }
    }

    /// Tells news that stay on the screen.
    pub(crate) fn say(&self, line: &Line<'_>) {
        match self {
            Self::Json => json(line),
            Self::Plain => line.text().iter().for_each(|text| self::line(text)),
            // On the same terminal as the bars, so that they make room.
            Self::Bars(bars) => line.text().iter().for_each(|text| {
                if io::stdout().is_terminal() {
                    bars.suspend(|| self::line(text));
                } else {
                    self::line(text);
                }
            }),
        }
    }

    /// One sentence on stderr, past the bars.
    pub(crate) fn complain(&self, why: &str) {
        match self {
            Self::Json | Self::Plain => complain(why),
            Self::Bars(bars) => bars.suspend(|| complain(why)),
        }
    }
}

/// Whether colours are wanted where stderr goes.
pub(crate) fn has_colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    io::stderr().is_terminal() && !refused && !dumb
}

/// One line on stdout.
pub(crate) fn line(text: &str) {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text::clean(text).as_bytes());
    bytes.push(b'\n');
    self::bytes(&bytes);
}

/// One JSON object on a line of stdout.
pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_vec(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            self::bytes(&bytes);
        }
        Err(error) => complain(&format!("a line of JSON couldn't be written: {error}")),
    }
}

/// Bytes on stdout.
pub(crate) fn bytes(bytes: &[u8]) {
    if UNHEARD.load(Ordering::Relaxed) {
        return;
    }
    let mut out = io::stdout().lock();
    let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) else { return };
    UNHEARD.store(true, Ordering::Relaxed);
    if error.kind() != io::ErrorKind::BrokenPipe {
        complain(&format!("stdout can't be written to: {error}"));
    }
}

/// One sentence on stderr, of what doesn't stop it.
pub(crate) fn caution(why: &str) {
    to_stderr("warning:", "33", why);
}

/// One sentence on stderr.
pub(crate) fn complain(why: &str) {
    to_stderr("error:", "31", why);
}

fn to_stderr(head: &str, colour: &str, why: &str) {
    let head = if has_colours() { format!("\u{1b}[1;{colour}m{head}\u{1b}[0m") } else { head.to_owned() };
    // If stderr is gone too, there is nobody to tell.
    let _ = writeln!(io::stderr(), "{head} {}", text::clean(why));
}
