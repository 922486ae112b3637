//! `millstream download`: one torrent, until all that is wanted is verified.

use crate::args::DownloadArgs;
use crate::outcome::Trouble;
use crate::session;
use crate::signals::Signals;
use crate::source;
use crate::transfer::{Until, Watch, Watched, no_file};
use crate::ui::Output;
use millstream::core::engine::CommandError;
use millstream::core::wire::Magnet;
use millstream::{AddError, AddTorrent, Selection, Session, Torrent};

pub(crate) fn run(args: DownloadArgs) -> Result<(), Trouble> {
    let output = Output::new(args.network.json);
    crate::block_on(download(&args, &output)).map_err(|trouble| trouble.told(&output))
}

async fn download(args: &DownloadArgs, output: &Output) -> Result<(), Trouble> {
    let mut signals = Signals::new()?;
    let add = wanted(args)?;
    let session = tokio::select! {
        session = session::start(&args.network, args.max_download, output) => session?,
        () = signals.next() => return Err(Trouble::Interrupted),
    };
    let mut watch = Watch::new(output, session.events());
    let added = tokio::select! {
        added = add_to(&session, args, add) => added,
        () = signals.next() => Err(Trouble::Interrupted),
    };
    let done = match added {
        Ok(torrent) => {
            let select = args.select.as_ref().map(|indexes| indexes.0.as_slice());
            watch.add(Watched::new(torrent, output, false).selecting(select));
            let until = if args.seed { Until::Interrupted } else { Until::Complete };
            watch.run(until, &mut signals).await
        }
        Err(trouble) => Err(trouble),
    };
    let done = done.map_err(|trouble| trouble.told(output));
    let sum = watch.end().await;
    session::leave(session, sum, output, &mut signals).await;
    done
}

async fn add_to(session: &Session, args: &DownloadArgs, add: AddTorrent) -> Result<Torrent, Trouble> {
    let add = add.peers(session::peers(session, &args.network).await?);
    session.add(add).await.map_err(|error| trouble(args, &error))
}

/// What is to be added.
fn wanted(args: &DownloadArgs) -> Result<AddTorrent, Trouble> {
    let magnet = source::is_magnet(&args.torrent);
    if !magnet && !args.torrent.contains("://") {
        // A torrent that is wrong is said so before anything is started.
        let (metainfo, _) = source::read_torrent(args.torrent.as_ref())?;
        let files = metainfo.info.real_files().count() as u64;
        let beyond = args.select.iter().flat_map(|select| &select.0).find(|&&n| u64::from(n) >= files);
        if let Some(n) = beyond {
            return Err(Trouble::Usage(no_file(*n, files)));
        }
    }
    let add = AddTorrent::new(&args.torrent)
        .folder(&args.output)
        .sequential(args.sequential)
        .only_peers(args.network.only_peers);
    // What the command line says counts, not what an earlier run chose; only a magnet link may choose for itself.
    let chosen = || magnet && Magnet::parse(&args.torrent).is_ok_and(|magnet| !magnet.select.is_empty());
    Ok(match &args.select {
        Some(indexes) => add.select(Selection::Files(indexes.0.clone())),
        None if chosen() => add,
        None => add.select(Selection::All),
    })
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
