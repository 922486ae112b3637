//! A session as the command line asks for one.

use crate::args::NetworkArgs;
use crate::outcome::Trouble;
use crate::signals::Signals;
use crate::ui::{Counts, Line, News, Output};
use crate::updates::Updates;
use core::net::SocketAddr;
use core::time::Duration;
use millstream::{Rates, Session, SessionStatistics, StartError};

/// How long taking leave may take: telling trackers, keeping progress.
const LEAVE: Duration = Duration::from_secs(5);

/// Starts a session and says where it listens.
pub(crate) async fn start(
    network: &NetworkArgs,
    max_download: Option<u64>,
    output: &Output,
) -> Result<Session, Trouble> {
    let mut builder = Session::builder().rates(Rates { download: max_download, upload: network.max_upload });
    builder = network.reach.apply(builder, network.only_peers);
    builder = builder.configure(|config| config.engine.updates = network.updates != Some(Updates::Off));
    if !network.listen.is_empty() {
        // What is asked for by number is meant.
        builder = builder.listen(network.listen.iter().copied()).configure(|c| c.listen_tries_max = 0);
    }
    let session = builder.start().await.map_err(|error| trouble(network, &error))?;
    for message in session.warnings() {
        output.say(&Line { news: News::Warning { message: &message }, name: None, node: None });
    }
    for address in session.listening() {
        output.say(&Line { news: News::Listening { address }, name: None, node: None });
    }
    Ok(session)
}

fn trouble(network: &NetworkArgs, error: &StartError) -> Trouble {
    match error {
        StartError::Listen(why) => {
            let given: Vec<String> = network.listen.iter().map(SocketAddr::to_string).collect();
            let asked =
                if given.is_empty() { "port 6881 or those after it".to_owned() } else { given.join(", ") };
            Trouble::failed(format!(
                "{asked} can't be listened at: {why}; choose another address with --listen"
            ))
        }
        StartError::Bind(why) => Trouble::failed(format!("--bind: {why}")),
        StartError::Proxy(why) => Trouble::Usage(format!("--proxy: {why}")),
        StartError::Filter { .. } => Trouble::failed(error),
        StartError::Thread(_) | StartError::Seed(_) => Trouble::failed(error),
    }
}

/// The given peers' addresses, looked up by the session: behind a proxy no name is looked up here.
pub(crate) async fn peers(session: &Session, network: &NetworkArgs) -> Result<Vec<SocketAddr>, Trouble> {
    let mut all = Vec::new();
    for peer in &network.peers {
        let wrong = |error| Trouble::failed(format!("the peer {peer} can't be looked up: {error}"));
        // It was checked when the arguments were read.
        let (host, port) = peer.rsplit_once(':').unwrap_or((peer, ""));
        let port = port.parse().unwrap_or(0);
        all.extend(session.look_up(host, port).await.map_err(wrong)?);
    }
    Ok(all)
}

/// Ends a session in good order and says what it received and sent, and in a log or with `--json` whence its peers came;
/// another signal ends the process at once.
pub(crate) async fn leave(
    session: Session,
    (downloaded, uploaded): (u64, u64),
    output: &Output,
    signals: &mut Signals,
) {
    // Before the torrents are gone, and what was counted with them.
    let statistics = session.statistics().await.ok();
    tokio::select! {
        () = session.shutdown(LEAVE) => {}
        () = signals.next() => std::process::exit(130),
    }
    if let Some(SessionStatistics { found, filter, .. }) = &statistics {
        tracing::info!(?found, filtered = ?filter, "addresses of peers");
    }
    let counts = statistics.as_ref().map(Counts::of);
    output.say(&Line { news: News::Stopped { downloaded, uploaded, counts }, name: None, node: None });
}
