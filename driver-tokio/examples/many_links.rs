//! Seeds one torrent to any number of links on a loopback address: `many_links <torrent file> <folder> <address>`. It says
//! `listening` as a line of JSON; what it shows is what an idle link costs.
#![allow(clippy::print_stdout)]

use core::error::Error;
use core::future::pending;
use millstream::{AddTorrent, Session};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, folder, address] = &arguments[..] else {
        return Err("many_links <torrent file> <folder> <address>".into());
    };

    let session = Session::builder()
        .without_discovery()
        .listen([address.parse()?])
        .without_resume()
        .configure(|config| {
            config.engine.links_max = 100_000;
            config.engine.torrent_links_max = 100_000;
        })
        .start()
        .await?;
    let torrent = session.add(AddTorrent::file(file).folder(folder).only_peers(true)).await?;
    torrent.wait_complete().await?;
    println!(r#"{{"event":"listening"}}"#);
    pending().await
}
