//! `millstream demo`: a tracker, a seed and leeches as real nodes on loopback. It uses what `download` and
//! `tracker` use.

use crate::args::DemoArgs;
use crate::outcome::Trouble;
use crate::signals::Signals;
use crate::ui::{self, News, Output, Track, text};
use core::net::{Ipv4Addr, SocketAddr};
use core::ops::ControlFlow;
use core::time::Duration;
use millstream::core::base::Rng;
use millstream::tracker::{TrackerConfig, TrackerServer, TrackerServerConfig};
use millstream::{AddTorrent, CreateTorrent, Session, State, Status, Torrent};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What the file is called.
const NAME: &str = "demo.bin";
/// How long the whole thing may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a node may take to say good-bye to the tracker.
const LEAVE: Duration = Duration::from_secs(2);

/// A folder that is gone afterwards.
struct Scratch(PathBuf);

/// A node: its own session, its own folder.
struct Node {
    name: String,
    folder: PathBuf,
    session: Session,
    torrent: Torrent,
    track: Track,
    done: bool,
}

/// The last line of `--json`.
#[derive(Serialize)]
struct Summary {
    event: &'static str,
    node: &'static str,
    leeches: usize,
    length: u64,
    sha256: String,
    seconds: f64,
    bytes_per_second: u64,
    seed_uploaded: u64,
    leeches_uploaded: u64,
}

pub(crate) fn run(args: &DemoArgs) -> Result<(), Trouble> {
    let output = Output::new(args.json);
    let done = crate::block_on(async {
        let mut signals = Signals::new()?;
        let scratch = Scratch::new().map_err(|error| {
            let folder = std::env::temp_dir();
            Trouble::failed(format!("no folder can be made in {}: {error}", folder.display()))
        })?;
        tokio::select! {
            done = tokio::time::timeout(PATIENCE, demo(args, &output, &scratch.0)) => {
                done.unwrap_or_else(|_| Err(Trouble::failed("the demo doesn't come to an end")))
            }
            () = signals.next() => Err(Trouble::Interrupted),
        }
    });
    done.map_err(|trouble| trouble.told(&output))
}

async fn demo(args: &DemoArgs, output: &Output, scratch: &Path) -> Result<(), Trouble> {
    let seed = seed()?;
    let tracker = start_tracker()?;
    let note = |words: String| {
        if !args.json {
            ui::line(&words);
        }
    };
    note(format!("makes a file of {} and its torrent (hybrid, v1 and v2)", text::size(args.size)));
    let (folder, size, url) =
        (scratch.join("seed"), args.size, format!("http://{}/announce", tracker.addresses().http[0]));
    let made = tokio::task::spawn_blocking(move || make(&folder, size, url, seed)).await;
    let (torrent, digest) = made.map_err(|_| Trouble::failed("the file wasn't made"))??;
    let leeches = if args.leeches == 1 { "a leech".to_owned() } else { format!("{} leeches", args.leeches) };
    note(format!("starts a tracker, a seed and {leeches} on loopback"));
    let first = Node::start("seed", scratch.join("seed"), &torrent, output).await?;
    first.torrent.wait_complete().await.map_err(Trouble::failed)?;
    while tracker.statistics().await.seeds == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let begun = Instant::now();
    let mut leeches = Vec::new();
    for n in 1..=args.leeches {
        let name = format!("leech {n}");
        leeches.push(Node::start(&name, scratch.join(&name), &torrent, output).await?);
    }
    fetch(&mut leeches, output, begun).await?;
    let seconds = begun.elapsed();
    check(&leeches, &digest).await?;
    settle(&first, &leeches).await;
    let summary = summary(args, &first, &leeches, (digest, seconds));
    tell(&summary, args.json);
    // All at once: each waits for its own good-byes.
    let leave = |node: Node| tokio::spawn(node.session.shutdown(LEAVE));
    for left in leeches.into_iter().chain([first]).map(leave).collect::<Vec<_>>() {
        // Nobody waits for a node that can't say good-bye.
        let _ = left.await;
    }
    Ok(())
}

impl Scratch {
    fn new() -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("millstream-demo-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            ui::complain(&format!("{} couldn't be removed: {error}", self.0.display()));
        }
    }
}

impl Node {
    async fn start(name: &str, folder: PathBuf, torrent: &[u8], output: &Output) -> Result<Self, Trouble> {
        let session = Session::builder()
            .without_discovery()
            .listen([SocketAddr::from((Ipv4Addr::LOCALHOST, 0))])
            .without_resume()
            .configure(|config| config.pool_threads = 2)
            .start()
            .await
            .map_err(|error| Trouble::failed(format!("{name}: {error}")))?;
        let add = AddTorrent::bytes(torrent).folder(&folder);
        let torrent = session.add(add).await.map_err(|error| Trouble::failed(format!("{name}: {error}")))?;
        let track = Track::new(output, NAME, Some(name));
        if let Output::Json = output {
            for address in session.listening() {
                track.say(output, News::Listening { address });
            }
        }
        Ok(Self { name: name.to_owned(), folder, session, torrent, track, done: false })
    }

    /// Looks at how far it is; whether it has all.
    fn look(&mut self, output: &Output, begun: Instant) -> Result<bool, Trouble> {
        let status = self.torrent.status();
        if let State::Failed = status.state {
            let why = status.failure.as_deref().unwrap_or("it failed");
            return Err(Trouble::failed(format!("{}: {why}", self.name)));
        }
        if status.state == State::Seeding && !self.done {
            self.done = true;
            self.track.progress_last(output, &status);
            self.track.end();
            let Status { verified, downloaded, uploaded, .. } = status;
            let seconds = begun.elapsed().as_secs_f64();
            self.track.say(output, News::Complete { verified, downloaded, uploaded, seconds });
        } else if !self.done && status.state != State::Checking {
            self.track.progress(output, &status);
        }
        Ok(self.done)
    }
}

/// A tracker on a free port of the loopback.
fn start_tracker() -> Result<TrackerServer, Trouble> {
    // Soon again, so that whoever came too early hears of the others.
    let limits = TrackerConfig { interval_s: 5, min_interval_s: 1, ..TrackerConfig::default() };
    let http = vec![(Ipv4Addr::LOCALHOST, 0).into()];
    TrackerServer::start(TrackerServerConfig { tracker: limits, http, ..TrackerServerConfig::default() })
        .map_err(Trouble::failed)
}

/// Chance for the file.
fn seed() -> Result<[u8; 32], Trouble> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Trouble::failed(format!("the system has no random numbers: {error}")))?;
    Ok(seed)
}

/// Makes the file and its torrent: the torrent's bytes, and the file's SHA-256.
fn make(folder: &Path, size: u64, tracker: String, seed: [u8; 32]) -> Result<(Vec<u8>, String), Trouble> {
    let path = folder.join(NAME);
    let wrong = |error| Trouble::failed(format!("{} can't be written: {error}", path.display()));
    std::fs::create_dir(folder).map_err(wrong)?;
    let mut rng = Rng::new(seed);
    let mut file = File::create(&path).map_err(wrong)?;
    let mut hasher = Sha256::new();
    let (mut left, mut buffer) = (size, vec![0; 256 << 10]);
    while left > 0 {
        let now = left.min(buffer.len() as u64) as usize;
        let part = buffer.get_mut(..now).unwrap_or_default();
        rng.fill(part);
        hasher.update(&*part);
        file.write_all(part).map_err(wrong)?;
        left -= now as u64;
    }
    let options = CreateTorrent { trackers: vec![vec![tracker]], ..CreateTorrent::new(&path) };
    let torrent = options.create(|_, _| ControlFlow::Continue(())).map_err(Trouble::failed)?;
    Ok((torrent, hex(&hasher.finalize())))
}

async fn fetch(leeches: &mut [Node], output: &Output, begun: Instant) -> Result<(), Trouble> {
    loop {
        let mut all = true;
        for leech in leeches.iter_mut() {
            all &= leech.look(output, begun)?;
        }
        if all {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Reads every copy back and digests it: not what the engine says, but what is there.
async fn check(leeches: &[Node], wanted: &str) -> Result<(), Trouble> {
    for leech in leeches {
        let path = leech.folder.join(NAME);
        let shown = path.clone();
        let digest = tokio::task::spawn_blocking(move || sha256(&path)).await;
        let digest = digest.map_err(|_| Trouble::failed("a copy wasn't read"))?;
        let digest =
            digest.map_err(|error| Trouble::failed(format!("{} can't be read: {error}", shown.display())))?;
        if digest != wanted {
            let name = &leech.name;
            return Err(Trouble::failed(format!("{name}: SHA-256 {digest} where {wanted} is right")));
        }
    }
    Ok(())
}

fn sha256(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Waits until what the nodes show is what they have done: a status may be a moment old, and is renewed when asked for.
async fn settle(seed: &Node, leeches: &[Node]) {
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(110)).await;
        leeches.iter().chain([seed]).for_each(|node| drop(node.torrent.status()));
    }
    tokio::time::sleep(Duration::from_millis(40)).await;
}

fn summary(args: &DemoArgs, seed: &Node, leeches: &[Node], (sha256, took): (String, Duration)) -> Summary {
    let moved = args.size * u64::from(args.leeches);
    let micros = took.as_micros().max(1);
    Summary {
        event: "stopped",
        node: "demo",
        leeches: leeches.len(),
        length: args.size,
        sha256,
        seconds: took.as_secs_f64(),
        bytes_per_second: u64::try_from(u128::from(moved) * 1_000_000 / micros).unwrap_or(u64::MAX),
        seed_uploaded: seed.torrent.status().uploaded,
        leeches_uploaded: leeches.iter().map(|leech| leech.torrent.status().uploaded).sum(),
    }
}

fn tell(summary: &Summary, json: bool) {
    if json {
        ui::json(summary);
        return;
    }
    let Summary { leeches, length, sha256, seconds, .. } = summary;
    let rate = text::rate(summary.bytes_per_second);
    ui::line(&format!("{leeches} copies of {} in {seconds:.2} s: {rate} in all", text::size(*length)));
    ui::line(&format!(
        "the seed sent {}, the leeches {} among themselves",
        text::size(summary.seed_uploaded),
        text::size(summary.leeches_uploaded),
    ));
    ui::line(&format!("every copy's SHA-256 is {sha256}"));
}
