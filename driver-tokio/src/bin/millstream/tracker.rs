//! `millstream tracker`: the library's tracker until interrupted, and its lists read again at SIGHUP.

use crate::args::TrackerArgs;
use crate::outcome::Trouble;
use crate::signals::Signals;
use crate::ui;
use core::net::{Ipv4Addr, SocketAddr};
use millstream::tracker::{Rules, TrackerConfig, TrackerServer, TrackerServerConfig, read_list};
use serde::Serialize;
use std::path::Path;
use std::thread::available_parallelism;
use tokio::signal::unix::{SignalKind, signal};

/// Where it is reached if nothing is said.
const DEFAULT_PORT: u16 = 6969;

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Listening { udp: &'a [SocketAddr], http: &'a [SocketAddr], ws: &'a [SocketAddr], stats: &'a [SocketAddr] },
    Reloaded,
    Warning { message: &'a str },
    Stopped { torrents: usize, peers: usize, announces: u64 },
}

pub(crate) fn run(args: TrackerArgs) -> Result<(), Trouble> {
    crate::block_on(serve(&args))
}

async fn serve(args: &TrackerArgs) -> Result<(), Trouble> {
    let mut signals = Signals::new()?;
    let mut reload = signal(SignalKind::hangup())
        .map_err(|error| Trouble::failed(format!("signals can't be received: {error}")))?;
    let server = TrackerServer::start(config(args)?).map_err(Trouble::failed)?;
    if let Some(warning) = server.warning() {
        warn(args, warning);
    }
    tell(args, &server);
    loop {
        tokio::select! {
            () = signals.next() => break,
            _ = reload.recv() => match rules(args) {
                Ok(rules) => {
                    server.set_rules(rules).await;
                    say(args, "the lists are read again", &Line::Reloaded);
                }
                // What was served goes on being served.
                Err(Trouble::Failed(why)) => warn(args, &why),
                Err(other) => return Err(other),
            },
        }
    }
    let sum = server.statistics().await;
    tokio::select! {
        done = server.shutdown() => done.map_err(Trouble::failed)?,
        () = signals.next() => return Err(Trouble::Interrupted),
    }
    let (torrents, peers, announces) = (sum.torrents, sum.peers, sum.announces);
    let text = format!("stopped with {torrents} torrents and {peers} peers after {announces} announces");
    say(args, &text, &Line::Stopped { torrents, peers, announces });
    Err(Trouble::Interrupted)
}

fn config(args: &TrackerArgs) -> Result<TrackerServerConfig, Trouble> {
    let none = args.http.is_empty() && args.udp.is_empty() && args.ws.is_empty();
    let or_default = |given: &Vec<SocketAddr>| match none {
        true => vec![(Ipv4Addr::UNSPECIFIED, DEFAULT_PORT).into()],
        false => given.clone(),
    };
    let cores = || available_parallelism().map_or(1, usize::from);
    Ok(TrackerServerConfig {
        tracker: TrackerConfig {
            interval_s: args.interval,
            min_interval_s: TrackerConfig::default().min_interval_s.min(args.interval),
            signal_interval_s: TrackerConfig::default().signal_interval_s.min(args.interval),
            torrents_max: args.max_torrents,
            peers_max: args.max_peers,
            peers_per_source_max: args.max_peers_per_source,
            ..TrackerConfig::default()
        },
        workers: args.workers.map_or_else(cores, usize::from),
        udp: or_default(&args.udp),
        http: or_default(&args.http),
        websocket: args.ws.clone(),
        stats: args.stats.clone(),
        rules: rules(args)?,
        state: args.state.clone(),
        ..TrackerServerConfig::default()
    })
}

fn rules(args: &TrackerArgs) -> Result<Rules, Trouble> {
    let read = |path: &Path| {
        let named = |error: &dyn core::fmt::Display| Trouble::failed(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
        read_list(&text).map_err(|error| named(&error))
    };
    let allow = args.allow.as_deref().map(read).transpose()?;
    let deny = args.deny.as_deref().map(read).transpose()?;
    Ok(Rules::new(allow, deny.unwrap_or_default()))
}

fn warn(args: &TrackerArgs, why: &str) {
    if args.json {
        ui::json(&Line::Warning { message: why });
    }
    ui::complain(why);
}

fn say(args: &TrackerArgs, text: &str, line: &Line<'_>) {
    if args.json { ui::json(line) } else { ui::line(text) }
}

fn tell(args: &TrackerArgs, server: &TrackerServer) {
    let at = server.addresses();
    if args.json {
        let (udp, http, ws, stats) = (&*at.udp, &*at.http, &*at.websocket, &*at.stats);
        return ui::json(&Line::Listening { udp, http, ws, stats });
    }
    at.udp.iter().for_each(|addr| ui::line(&format!("udp://{addr}/announce")));
    at.http.iter().for_each(|addr| ui::line(&format!("http://{addr}/announce")));
    at.websocket.iter().for_each(|addr| ui::line(&format!("ws://{addr}/")));
    at.stats.iter().for_each(|addr| ui::line(&format!("http://{addr}/stats.json")));
}
