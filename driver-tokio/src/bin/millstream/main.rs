//! The `millstream` command: which subcommand runs, and what the process says and ends with. The work is the library's.
#![allow(clippy::print_stdout, reason = "a command speaks on stdout")]

mod args;
mod create;
mod demo;
mod dht;
mod download;
mod inspect;
mod manual;
mod outcome;
mod rate;
mod reach;
mod seed;
mod session;
mod signals;
mod source;
mod tracker;
mod transfer;
mod ui;
mod updates;
mod verify;

use args::{Args, Command};
use clap::Parser;
use outcome::Trouble;
use tracing_subscriber::filter::LevelFilter;

fn main() {
    let args = Args::parse();
    start_logs(args.verbose);
    let done = match args.command {
        Command::Demo(args) => demo::run(&args),
        Command::Download(args) => download::run(args),
        Command::Seed(args) => seed::run(args),
        Command::Create(args) => create::run(args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => verify::run(args),
        Command::Tracker(args) => tracker::run(args),
        Command::Dht(args) => dht::run(args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man => manual::page(),
    };
    let code = done.map_or_else(|trouble| trouble.tell(), |()| 0);
    std::process::exit(code);
}

/// What happens inside, on stderr, if it is asked for.
fn start_logs(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(false).init();
}

/// Runs a subcommand's future on this thread.
fn block_on<T>(future: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Trouble::failed(format!("the reactor can't be started: {error}")))?;
    let done = runtime.block_on(future);
    // Blocking work that was given up ends with the process.
    runtime.shutdown_background();
    done
}
