//! Progress on the screen: a bar for blocking work, and one for each transfer, or a line now and then.

use super::{Line, News, Output, Progress, has_colours, line, text};
use core::time::Duration;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use millstream::Status;
use std::io::{self, IsTerminal};
use std::time::Instant;

/// How often a plain line of progress comes.
const PLAIN: Duration = Duration::from_secs(3);
/// How often a line of JSON comes.
const JSON: Duration = Duration::from_millis(200);
/// How often a bar is moved.
const BAR: Duration = Duration::from_millis(100);

/// How far blocking work is, on stderr if it is a terminal.
pub(crate) struct Bar {
    bar: Option<ProgressBar>,
}

impl Bar {
    pub(crate) fn new(what: &'static str, json: bool) -> Self {
        let shown = !json && io::stderr().is_terminal();
        let bar = shown.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            let template =
                "{prefix} [{bar:30}] {percent}% of {binary_total_bytes}, {binary_bytes_per_sec}, ETA {eta}";
            bar.with_style(style(template)).with_prefix(what)
        });
        Self { bar }
    }

    pub(crate) fn set(&self, done: u64, all: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(all);
            bar.set_position(done);
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The progress of one transfer.
pub(crate) struct Track {
    name: String,
    node: Option<String>,
    bar: Option<ProgressBar>,
    shown: Option<Instant>,
}

impl Track {
    /// A transfer's place on the screen; `node` is for the demo.
    pub(crate) fn new(output: &Output, name: &str, node: Option<&str>) -> Self {
        let bar = match output {
            Output::Json | Output::Plain => None,
            Output::Bars(bars) => {
                let bar = ProgressBar::new(1).with_style(style("{prefix} [{bar:24}] {msg}"));
                let prefix = text::clean(node.unwrap_or(name)).chars().take(24).collect::<String>();
                Some(bars.add(bar.with_prefix(prefix)))
            }
        };
        // What is over soon needs no line on its way.
        let shown = matches!(output, Output::Plain).then(Instant::now);
        Self { name: name.to_owned(), node: node.map(str::to_owned), bar, shown }
    }

    /// What the torrent is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its name, which a magnet link may not know at first.
    pub(crate) fn rename(&mut self, name: &str) {
        self.name = name.to_owned();
        if let (Some(bar), None) = (&self.bar, &self.node) {
            bar.set_prefix(text::clean(name).chars().take(24).collect::<String>());
        }
    }

    /// Tells news of this transfer.
    pub(crate) fn say(&self, output: &Output, news: News<'_>) {
        output.say(&Line { news, name: Some(&self.name), node: self.node.as_deref() });
    }

    /// Shows how far it is, if that wasn't done a moment ago. Whether it was shown.
    pub(crate) fn progress(&mut self, output: &Output, status: &Status) -> bool {
        let pause = match output {
            Output::Json => JSON,
            Output::Plain => PLAIN,
            Output::Bars(_) => BAR,
        };
        let due = self.shown.is_none_or(|shown| shown.elapsed() >= pause);
        if due {
            self.progress_now(output, status);
        }
        due
    }

    /// Shows how far it is.
    fn progress_now(&mut self, output: &Output, status: &Status) {
        let progress = Progress::of(status);
        self.shown = Some(Instant::now());
        match &self.bar {
            Some(bar) => {
                let (done, all) = progress.of_what();
                bar.set_length(all.max(1));
                bar.set_position(done);
                bar.set_message(progress.words());
            }
            None => self.say(output, News::Progress(progress)),
        }
    }

    /// Shows how far it is when something ends; a plain line says it anyway.
    pub(crate) fn progress_last(&mut self, output: &Output, status: &Status) {
        match output {
            Output::Plain => {}
            Output::Json | Output::Bars(_) => self.progress_now(output, status),
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let template = if has_colours() { template.replace("{bar:", "{bar:~") } else { template.to_owned() };
    // `{bar:30.green/dim}`: the width, then the colours of what is done and what is not.
    let template =
        template.replace("{bar:~30}", "{bar:30.green/dim}").replace("{bar:~24}", "{bar:24.green/dim}");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|error| {
        line(&format!("warning: the bar's template is wrong: {error}"));
        ProgressStyle::default_bar()
    });
    style.progress_chars("=> ")
}
