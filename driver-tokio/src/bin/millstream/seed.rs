//! `millstream seed`: gives what is stored, until interrupted. It fetches nothing and changes no file that is there: what
//! is missing stays missing.

use crate::args::SeedArgs;
use crate::outcome::Trouble;
use crate::session;
use crate::signals::Signals;
use crate::source;
use crate::transfer::{Until, Watch, Watched};
use crate::ui::Output;
use crate::updates::Updates;
use millstream::core::engine::Source;
use millstream::{AddTorrent, Selection, Session};
use std::sync::Arc;

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
        torrents.push(Source::Metainfo(Arc::new(source::read_torrent(path)?.0)));
    }
    let session = session::start(&args.network, None, output).await?;
    let mut watch = Watch::new(output, session.events());
    let added = tokio::select! {
        added = add(args, &session, torrents, (&mut watch, output)) => added,
        () = signals.next() => Err(Trouble::Interrupted),
    };
    let done = match added {
        Ok(()) => watch.run(Until::Interrupted, &mut signals).await,
        Err(trouble) => Err(trouble),
    };
    let done = done.map_err(|trouble| trouble.told(output));
    let sum = watch.end().await;
    session::leave(session, sum, output, &mut signals).await;
    done
}

async fn add(
    args: &SeedArgs,
    session: &Session,
    torrents: Vec<Source>,
    (watch, output): (&mut Watch<'_>, &Output),
) -> Result<(), Trouble> {
    let peers = session::peers(session, &args.network).await?;
    let updates = Updates::folder(args.network.updates.as_ref(), session);
    for source in torrents {
        let add = AddTorrent::source(source)
            .folder(&args.data)
            .select(Selection::Files(Vec::new()))
            .only_peers(args.network.only_peers)
            .peers(peers.iter().copied());
        let torrent = session.add(add).await.map_err(Trouble::failed)?;
        watch.add(Watched::new(torrent, output, true).saving_updates(updates.clone()));
        // Many may be added: what is told of the first ones doesn't wait for the last.
        watch.catch_up();
    }
    Ok(())
}
