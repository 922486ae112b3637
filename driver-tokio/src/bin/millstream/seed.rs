//! `millstream seed`: gives what is stored, until interrupted. It fetches nothing and changes no file that is there: what
//! is missing stays missing.

use crate::args::SeedArgs;
use crate::outcome::Trouble;
use crate::session;
use crate::signals::Signals;
use crate::source;
use crate::transfer::{Until, Watch, Watched};
use crate::ui::Output;
use millstream::{AddTorrent, Selection, Session};

pub(crate) fn run(args: SeedArgs) -> Result<(), Trouble> {
    let output = Output::new(args.network.json);
    crate::block_on(seed(&args, &output)).map_err(|trouble| trouble.told(&output))
}

async fn seed(args: &SeedArgs, output: &Output) -> Result<(), Trouble> {
    let mut signals = Signals::new()?;
    std::fs::read_dir(&args.data)
        .map_err(|error| Trouble::failed(format!("{} can't be read: {error}", args.data.display())))?;
    let mut torrents = Vec::new();
    for path in &args.torrents {
        torrents.push(source::read_torrent(path)?.1);
    }
    let session = session::start(&args.network, None, output).await?;
    let mut watch = Watch { output, events: session.events(), watched: Vec::new() };
    let added = tokio::select! {
        added = add(args, &session, torrents, &mut watch) => added,
        () = signals.next() => Err(Trouble::Interrupted),
    };
    let done = match added {
        Ok(()) => watch.run(Until::Interrupted, &mut signals).await,
        Err(trouble) => Err(trouble),
    };
    let done = done.map_err(|trouble| trouble.told(output));
    let sum = watch.end();
    session::leave(session, sum, output, &mut signals).await;
    done
}

async fn add(
    args: &SeedArgs,
    session: &Session,
    torrents: Vec<Vec<u8>>,
    watch: &mut Watch<'_>,
) -> Result<(), Trouble> {
    let peers = session::peers(&args.network).await?;
    for bytes in torrents {
        let add = AddTorrent::bytes(bytes)
            .folder(&args.data)
            .select(Selection::Files(Vec::new()))
            .only_peers(args.network.only_peers)
            .peers(peers.iter().copied());
        let torrent = session.add(add).await.map_err(Trouble::failed)?;
        watch.watched.push(Watched::new(torrent, watch.output, true));
    }
    Ok(())
}
