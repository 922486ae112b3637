//! Seeds a torrent whose files lie in a folder, until it is interrupted: `seed <torrent file> <folder>`.
#![allow(clippy::print_stdout, clippy::wildcard_enum_match_arm)]

use core::error::Error;
use millstream::{AddTorrent, Session, SessionEvent};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, folder] = &arguments[..] else { return Err("seed <torrent file> <folder>".into()) };

    let session = Session::builder().start().await?;
    let mut events = session.events();
    let torrent = session.add(AddTorrent::file(file).folder(folder)).await?;
    torrent.wait_complete().await?;
    println!("seeding {} at {:?}", torrent.status().name, session.listening());
    while let Some(event) = events.next().await {
        if let SessionEvent::Warning(warning) = event {
            println!("{warning}");
        }
    }
    Ok(())
}
