//! `millstream seed`: gives what is stored, until interrupted. It fetches nothing and changes no file that is there: what
//! is missing stays missing.

use crate::args::SeedArgs;
use crate::download::finish;
use crate::outcome::Trouble;
use crate::session;
use crate::signals::Signals;
use crate::source;
use crate::transfer::{Until, Watch, Watched};
use crate::ui::{Line, News, Output, text};
use millstream::{AddTorrent, Selection, Session, State, Status};

pub(crate) fn run(args: SeedArgs) -> Result<(), Trouble> {
    let output = Output::new(args.network.json);
    let done = crate::block_on(seed(&args, &output));
    if let (Err(Trouble::Failed(why) | Trouble::Usage(why)), Output::Json) = (&done, &output) {
        output.say(&Line { news: News::Error { message: why }, name: None, node: None });
    }
    done
}

async fn seed(args: &SeedArgs, output: &Output) -> Result<(), Trouble> {
    let mut signals = Signals::new()?;
    std::fs::read_dir(&args.data)
        .map_err(|error| Trouble::failed(format!("{} can't be read: {error}", args.data.display())))?;
    let mut torrents = Vec::new();
    for path in &args.torrents {
        torrents.push(source::read_torrent(path)?);
    }
    let session = session::start(&args.network, None, output).await?;
    let done = tokio::select! {
        done = share(args, output, &session, torrents) => done,
        () = signals.next() => Err(Trouble::Interrupted),
    };
    let done = match done {
        Ok(mut watch) => {
            let done = watch.run(Until::Interrupted, &mut signals).await;
            watch.watched.iter().for_each(|watched| watched.end(output));
            done
        }
        Err(trouble) => Err(trouble),
    };
    finish(session, done, &mut signals).await
}

/// Adds the torrents and waits until it is known what there is of each.
async fn share<'a>(
    args: &SeedArgs,
    output: &'a Output,
    session: &Session,
    torrents: Vec<(millstream::core::wire::Metainfo, Vec<u8>)>,
) -> Result<Watch<'a>, Trouble> {
    let peers = session::peers(&args.network).await?;
    let events = session.events();
    let mut watched = Vec::new();
    for (_, bytes) in torrents {
        let add = AddTorrent::bytes(bytes)
            .folder(&args.data)
            .select(Selection::Files(Vec::new()))
            .only_peers(args.network.only_peers)
            .peers(peers.iter().copied());
        let torrent = session.add(add).await.map_err(Trouble::failed)?;
        watched.push(Watched::new(torrent, output));
    }
    let mut some = false;
    for one in &watched {
        let known = |status: &Status| !matches!(status.state, State::Metadata | State::Checking);
        one.torrent.wait_until(known).await.map_err(Trouble::failed)?;
        let status = one.torrent.status();
        some |= status.pieces_verified > 0;
        match incomplete(&status) {
            Some(message) => one.warn(output, &message),
            // Nothing is left to fetch, and all counts as wanted and there.
            None => one.torrent.select(Selection::All).await.map_err(Trouble::failed)?,
        }
    }
    if !some {
        let data = args.data.display();
        return Err(Trouble::failed(format!(
            "nothing of what is to be seeded is in {data}: is --data right?"
        )));
    }
    Ok(Watch { output, events, watched })
}

/// What to say of a torrent that is not whole.
fn incomplete(status: &Status) -> Option<String> {
    let missing = status.pieces.checked_sub(status.pieces_verified).filter(|&missing| missing > 0)?;
    let (missing, pieces) = (text::count(u64::from(missing), "piece"), status.pieces);
    Some(format!(
        "{missing} of {pieces} missing or damaged; the rest is seeded, `millstream verify` shows which"
    ))
}
