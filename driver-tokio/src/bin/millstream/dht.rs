//! `millstream dht`: look-ups by a node that lives as long as the command. What is found goes to stdout as it comes.

mod args;
mod key;
mod report;

pub(crate) use args::{DhtArgs, hex};

use crate::outcome::Trouble;
use crate::signals::Signals;
use crate::ui::{self, Output, text};
use args::{DhtCommand, EntryArgs, GetArgs, LookupArgs, NodeArgs, PutArgs};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use millstream::core::base::Rng;
use millstream::core::dht::{Cost, Event, Item, Outcome};
use millstream::core::wire::krpc::{NodeId, VALUE_BYTES_MAX, mutable_target};
use millstream::{DhtLookup, DhtNode, DhtNodeConfig, DhtRequest, StartError};
use report::{News, say};
use std::fs::File;
use std::io::Read as _;

/// Some node has answered this process.
static JOINED: AtomicBool = AtomicBool::new(false);

/// What is to be stored is read up to here, to tell how long it is. Bytes.
const READ_MAX: u64 = 1 << 20;

pub(crate) fn run(args: DhtArgs) -> Result<(), Trouble> {
    let json = is_json(&args.command);
    let output = if json { Output::Json } else { Output::Plain };
    crate::block_on(async {
        let mut signals = Signals::new()?;
        tokio::select! {
            done = command(args.command) => done,
            () = signals.next() => Err(Trouble::Interrupted),
        }
    })
    .map_err(|trouble| trouble.told(&output))
}

const fn is_json(command: &DhtCommand) -> bool {
    match command {
        DhtCommand::GetPeers(args) => args.lookup.entry.json,
        DhtCommand::Announce(args) => args.lookup.entry.json,
        DhtCommand::Scrape(args) => args.lookup.entry.json,
        DhtCommand::Get(args) => args.lookup.entry.json,
        DhtCommand::Put(args) => args.lookup.entry.json,
        DhtCommand::Sample(args) => args.lookup.entry.json,
        DhtCommand::Keygen(args) => args.json,
        DhtCommand::Node(args) => args.entry.json,
    }
}

async fn command(command: DhtCommand) -> Result<(), Trouble> {
    match command {
        DhtCommand::GetPeers(args) => {
            within(&args.lookup, find(&args.lookup, DhtRequest::GetPeers(args.torrent))).await
        }
        DhtCommand::Announce(args) => {
            let port = Some(args.port);
            let request = DhtRequest::Announce { info_hash: args.torrent, port, seed: args.seed };
            within(&args.lookup, find(&args.lookup, request)).await
        }
        DhtCommand::Scrape(args) => {
            within(&args.lookup, find(&args.lookup, DhtRequest::Scrape(args.torrent))).await
        }
        DhtCommand::Get(args) => within(&args.lookup, get(&args)).await,
        DhtCommand::Put(args) => put(&args).await,
        DhtCommand::Sample(args) => {
            let target = match args.target {
                Some(target) => target,
                None => NodeId::random(&mut Rng::new(chance()?)),
            };
            within(&args.lookup, find(&args.lookup, DhtRequest::Sample(target))).await
        }
        DhtCommand::Keygen(args) => {
            let public_key = hex(&key::make(&args.file)?);
            say(args.json, &News::Key { public_key });
            Ok(())
        }
        DhtCommand::Node(args) => node(&args).await,
    }
}

/// Ends what takes too long.
async fn within<T>(
    lookup: &LookupArgs,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let limit = Duration::from_secs(lookup.timeout);
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let limit = text::count(lookup.timeout, "second");
        Err(Trouble::failed(match JOINED.load(Ordering::Relaxed) {
            true => format!("it isn't done after {limit}; --timeout gives it more"),
            false => {
                format!("no node answered within {limit}; --timeout gives it more, --bootstrap names others")
            }
        }))
    })
}

/// A node; `read_only`: for one look-up, in nobody's table (BEP 43).
async fn enter(entry: &EntryArgs, read_only: bool) -> Result<DhtNode, Trouble> {
    let mut config = DhtNodeConfig::default();
    config.dht.read_only = read_only;
    if !entry.bootstrap.is_empty() {
        config.dht.bootstrap_nodes.clone_from(&entry.bootstrap);
    }
    if !entry.listen.is_empty() {
        config.listen.clone_from(&entry.listen);
        // At a private address there are private nodes.
        config.dht.private_addresses = entry.listen.iter().any(|addr| report::is_private(addr.ip()));
    }
    DhtNode::start(config).await.map_err(|error| match error {
        StartError::Listen(why) => {
            let asked: Vec<String> = entry.listen.iter().map(ToString::to_string).collect();
            let asked = if asked.is_empty() { "any port".to_owned() } else { asked.join(", ") };
            Trouble::failed(format!(
                "{asked} can't be listened at: {why}; choose another address with --listen"
            ))
        }
        StartError::Thread(_)
        | StartError::Bind(_)
        | StartError::Proxy(_)
        | StartError::Filter { .. }
        | StartError::Seed(_) => Trouble::failed(error),
    })
}

/// A node for one look-up, that has joined if anyone answers.
async fn joined(entry: &EntryArgs) -> Result<DhtNode, Trouble> {
    let node = enter(entry, true).await?;
    JOINED.store(node.joined().await, Ordering::Relaxed);
    Ok(node)
}

/// One look-up; what it finds is told as it comes.
async fn find(lookup: &LookupArgs, request: DhtRequest) -> Result<(), Trouble> {
    let node = joined(&lookup.entry).await?;
    let json = lookup.entry.json;
    let running = node.begin(request).await.map_err(Trouble::failed)?;
    let (outcome, cost) = follow(running, |event| report::found(json, event)).await?;
    report::outcome(json, &outcome, cost)
}

/// Waits for the end of a look-up.
async fn follow(mut lookup: DhtLookup, mut found: impl FnMut(&Event)) -> Result<(Outcome, Cost), Trouble> {
    while let Some(event) = lookup.next().await {
        if let Event::Done { outcome, cost, .. } = event {
            if cost.answers == 0 {
                return Err(Trouble::failed("no node of the DHT answers; name one with --bootstrap"));
            }
            return Ok((outcome, cost));
        }
        found(&event);
    }
    Err(Trouble::failed("the DHT node ended too soon"))
}

async fn get(args: &GetArgs) -> Result<(), Trouble> {
    let salt = args.salt.as_bytes().to_vec();
    let by_key = args.public_key.map(|key| mutable_target(&key, &salt));
    let Some(target) = args.target.or(by_key) else {
        return Err(Trouble::Usage("a target or --public-key is needed".to_owned()));
    };
    let node = joined(&args.lookup.entry).await?;
    let lookup = node.begin(DhtRequest::Get { target, salt }).await.map_err(Trouble::failed)?;
    let (outcome, cost) = follow(lookup, |_| {}).await?;
    let Outcome::Got(Some(item)) = outcome else {
        return Err(Trouble::failed(format!(
            "nothing is stored under {target}; {} answered",
            report::nodes(cost.answers)
        )));
    };
    report::item(args, &item, cost);
    Ok(())
}

async fn put(args: &PutArgs) -> Result<(), Trouble> {
    let value = value(args)?;
    let secret = args.key.as_deref().map(key::read).transpose()?;
    let first = async {
        let node = joined(&args.lookup.entry).await?;
        let item = match &secret {
            None => Item::Immutable { value },
            Some(secret) => {
                let salt = args.salt.as_bytes();
                let seq = match args.seq {
                    Some(seq) => seq,
                    None => newest(&node, mutable_target(&secret.public(), salt), salt).await?,
                };
                Item::Mutable(secret.sign(salt, seq, &value).map_err(Trouble::failed)?)
            }
        };
        store(args, &node, &item, args.cas).await?;
        Ok((node, item))
    };
    let (node, item) = within(&args.lookup, first).await?;
    if !args.keep {
        return Ok(());
    }
    loop {
        tokio::time::sleep(Duration::from_secs(args.keep_interval)).await;
        match within(&args.lookup, store(args, &node, &item, None)).await {
            // The network may be back by the next time.
            Err(Trouble::Failed(why)) => ui::complain(&why),
            done => done?,
        }
    }
}

/// Stores an item, and says so; a newer version in its place is an end to it.
async fn store(args: &PutArgs, node: &DhtNode, item: &Item, cas: Option<i64>) -> Result<(), Trouble> {
    let request = DhtRequest::Put { item: item.clone(), cas };
    let lookup = node.begin(request).await.map_err(Trouble::failed)?;
    let (outcome, cost) = follow(lookup, |_| {}).await?;
    let done = report::put(args.lookup.entry.json, item, &outcome, cost);
    match (&outcome, item.seq()) {
        (Outcome::Put { seq_before: Some(found), .. }, Some(ours)) if args.keep && *found > ours => {
            let output = if args.lookup.entry.json { Output::Json } else { Output::Plain };
            Err(Trouble::Failed(format!(
                "a newer version is stored, {found}: this one isn't kept any longer"
            ))
            .told(&output))
        }
        _ => done,
    }
}

/// The sequence number after the newest that is found.
async fn newest(node: &DhtNode, target: NodeId, salt: &[u8]) -> Result<i64, Trouble> {
    let request = DhtRequest::Get { target, salt: salt.to_vec() };
    let lookup = node.begin(request).await.map_err(Trouble::failed)?;
    let (outcome, _) = follow(lookup, |_| {}).await?;
    let seq = if let Outcome::Got(Some(item)) = outcome { item.seq() } else { None };
    let next = seq.map_or(Some(1), |seq| seq.checked_add(1));
    next.ok_or_else(|| Trouble::failed("the item has the last of all sequence numbers already"))
}

/// What is to be stored, bencoded.
fn value(args: &PutArgs) -> Result<Vec<u8>, Trouble> {
    let raw = match (&args.text, &args.file) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(path)) => {
            let wrong =
                |error: std::io::Error| Trouble::failed(format!("{} can't be read: {error}", path.display()));
            let mut bytes = Vec::new();
            let file = File::open(path).map_err(wrong)?;
            file.take(READ_MAX).read_to_end(&mut bytes).map_err(wrong)?;
            bytes
        }
        (None, None) => return Err(Trouble::Usage("a file or --text is needed".to_owned())),
    };
    let length = text::count(raw.len() as u64, "byte");
    let value = if args.bencoded { raw } else { [format!("{}:", raw.len()).as_bytes(), &raw].concat() };
    if value.len() <= VALUE_BYTES_MAX {
        return Ok(value);
    }
    let with = if args.bencoded { String::new() } else { format!(", {} with their bencoding", value.len()) };
    let most = format!("a node stores {VALUE_BYTES_MAX} at most (BEP 44)");
    Err(Trouble::failed(format!("{length} are too many{with}: {most}")))
}

/// A node that stays.
async fn node(args: &NodeArgs) -> Result<(), Trouble> {
    let node = enter(&args.entry, false).await?;
    for &address in node.listening() {
        say(args.entry.json, &News::Listening { address });
    }
    core::future::pending().await
}

fn chance() -> Result<[u8; 32], Trouble> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Trouble::failed(format!("the system has no random numbers: {error}")))?;
    Ok(seed)
}
