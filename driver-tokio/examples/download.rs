//! Downloads a torrent and shows how it goes: `download <file, URL or magnet link> [folder]`.
#![allow(clippy::print_stdout, clippy::wildcard_enum_match_arm)]

use core::error::Error;
use core::time::Duration;
use millstream::{AddTorrent, Session, TorrentEvent};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let Some(source) = arguments.next() else { return Err("what is to be downloaded?".into()) };
    let folder = arguments.next().unwrap_or_else(|| ".".to_owned());

    let session = Session::builder().folder(folder).start().await?;
    let torrent = session.add(AddTorrent::new(source)).await?;
    let mut events = torrent.events();
    while let Some(event) = events.next().await {
        let status = torrent.status();
        match event {
            TorrentEvent::Metadata(_) => println!("{}: {} bytes", status.name, status.length),
            TorrentEvent::Verified(_) => println!(
                "{} of {} pieces, {} KiB/s from {} peers",
                status.pieces_verified,
                status.pieces,
                status.download_rate >> 10,
                status.peers
            ),
            TorrentEvent::Completed => break,
            TorrentEvent::Failed(why) => return Err(why.into()),
            _ => {}
        }
    }
    session.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
