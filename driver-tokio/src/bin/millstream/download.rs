//! `millstream download`: one torrent, until all that is wanted is verified.

use crate::args::DownloadArgs;
use crate::outcome::Trouble;
use crate::rate::Indexes;
use crate::session;
use crate::signals::Signals;
use crate::source::{self, Source};
use crate::transfer::{Until, Watch, Watched, no_file};
use crate::ui::Output;
use crate::updates::Updates;
use millstream::core::engine::CommandError;
use millstream::core::wire::Magnet;
use millstream::{AddError, AddTorrent, KeyLink, Priorities, Priority, Selection, Session, Torrent};

pub(crate) fn run(args: DownloadArgs) -> Result<(), Trouble> {
    let output = Output::new(args.network.json);
    crate::block_on(download(&args, &output)).map_err(|trouble| trouble.told(&output))
}

async fn download(args: &DownloadArgs, output: &Output) -> Result<(), Trouble> {
    let mut signals = Signals::new()?;
    check(args)?;
    let session = tokio::select! {
        session = session::start(&args.network, args.max_download, output) => session?,
        () = signals.next() => return Err(Trouble::Interrupted),
    };
    let mut watch = Watch::new(output, session.events());
    let added = tokio::select! {
        added = add_to(&session, args, &mut watch) => added,
        () = signals.next() => Err(Trouble::Interrupted),
    };
    let done = match added {
        Ok(torrent) => {
            let select = args.select.as_ref().map(|indexes| indexes.0.as_slice());
            let updates = Updates::folder(args.network.updates.as_ref(), &session);
            watch.add(Watched::new(torrent, output, false).selecting(select).saving_updates(updates));
            let until = if args.seed { Until::Interrupted } else { Until::Complete };
            watch.run(until, &mut signals).await
        }
        Err(trouble) => Err(trouble),
    };
    let done = done.map_err(|trouble| trouble.told(output));
    let sum = watch.end().await;
    session::leave(session, sum, output, &mut signals).await;
    if matches!(done, Err(Trouble::Interrupted)) {
        watch.say_unfinished();
    }
    done
}

async fn add_to(session: &Session, args: &DownloadArgs, watch: &mut Watch<'_>) -> Result<Torrent, Trouble> {
    let text = match source::key_link(&args.torrent) {
        Some(link) => named(session, &args.torrent, link, watch).await?,
        None => args.torrent.clone(),
    };
    let add = wanted(args, &text).peers(session::peers(session, &args.network).await?);
    session.add(add).await.map_err(|error| trouble(args, &error))
}

/// A magnet link of the torrent that a key names now (BEP 46); those that it names later are told by `watch`.
async fn named(
    session: &Session,
    text: &str,
    link: KeyLink,
    watch: &mut Watch<'_>,
) -> Result<String, Trouble> {
    let shown = link.to_string();
    let mut follow = session.follow(link).await.map_err(|why| {
        Trouble::failed(format!("{shown}: only the DHT knows which torrent the key names, and {why}"))
    })?;
    let followed = follow.next().await.ok_or_else(|| Trouble::failed("the session ended by itself"))?;
    watch.say_followed(&followed);
    watch.follow(follow);
    Ok(KeyLink::with_torrent(text, followed.info_hash))
}

/// A source that is wrong is said so before anything is started.
fn check(args: &DownloadArgs) -> Result<(), Trouble> {
    let (high, low) = (numbers(&args.high), numbers(&args.low));
    if let Some(n) = low.iter().find(|n| high.binary_search(n).is_ok()) {
        return Err(Trouble::Usage(format!("--low: file {n} can't come last and, by --high, first")));
    }
    let head = args.torrent.get(..8).unwrap_or(&args.torrent).to_ascii_lowercase();
    if head.starts_with("http://") || head.starts_with("https://") {
        return Ok(());
    }
    let Source::Torrent(metainfo) = source::read(&args.torrent)? else { return Ok(()) };
    let files = metainfo.info.real_files().count() as u64;
    for (flag, chosen) in [("--select", numbers(&args.select)), ("--high", high), ("--low", low)] {
        if let Some(n) = chosen.iter().find(|&&n| u64::from(n) >= files) {
            return Err(Trouble::Usage(no_file(flag, *n, files)));
        }
    }
    Ok(())
}

fn numbers(chosen: &Option<Indexes>) -> &[u32] {
    chosen.as_ref().map_or(&[], |indexes| &indexes.0)
}

/// A torrent, to be treated as the command line says.
fn wanted(args: &DownloadArgs, text: &str) -> AddTorrent {
    let high = numbers(&args.high).iter().map(|&n| (n, Priority::High));
    let low = numbers(&args.low).iter().map(|&n| (n, Priority::Low));
    let add = AddTorrent::new(text)
        .folder(&args.output)
        .priorities(high.chain(low).collect::<Priorities>())
        .sequential(args.sequential)
        .only_peers(args.network.only_peers);
    // What the command line says counts, not what an earlier run chose; only a magnet link may choose for itself.
    let chosen = || {
        let magnet = source::is_magnet(text).then(|| Magnet::parse(text));
        matches!(magnet, Some(Ok(magnet)) if !magnet.select.is_empty())
    };
    match &args.select {
        Some(indexes) => add.select(Selection::Files(indexes.0.clone())),
        None if chosen() => add,
        None => add.select(Selection::All),
    }
}

fn trouble(args: &DownloadArgs, error: &AddError) -> Trouble {
    match error {
        AddError::Refused(CommandError::NoFile(_)) => Trouble::Usage(format!("--select: {error}")),
        AddError::Malformed(why) => Trouble::Failed(format!("{}: {why}", args.torrent)),
        AddError::Fetch(why) => Trouble::Failed(format!("{} can't be fetched: {why}", args.torrent)),
        AddError::Read { .. } | AddError::Folder(_) | AddError::Refused(_) | AddError::Ended => {
            Trouble::failed(error)
        }
    }
}
