//! The DHT's table between runs: read before sockets are bound, written when the engine hands it out. One that is damaged
//! is set aside with a warning.

use super::Body;
use crate::config::SessionConfig;
use crate::dht::is_of_ones_own;
use crate::resume::{self, read, save};
use core::fmt::Display;
use millstream_core::base::Instant;
use millstream_core::engine::{Command, CommandError, Config, DhtCommand, DhtNews};
use millstream_core::net::Followed;
use millstream_core::wire::magnet::KeyLink;
use std::path::Path;
use std::thread;
use tokio::sync::mpsc;

/// The engine's settings, with where its node begins.
pub(crate) fn engine_config(config: &SessionConfig) -> Config {
    let mut engine = config.engine.clone();
    engine.dht_node.bootstrap_nodes.clone_from(&config.dht_bootstrap);
    engine.dht_node.private_addresses |= is_of_ones_own(&config.dht_bootstrap);
    engine
}

impl Body {
    /// Gives the node the table of last time, if there is one.
    pub(super) fn restore_dht_table(&mut self, now: Instant) {
        let Some(path) = self.board.shelf.as_ref().map(|shelf| shelf.dht_table()) else { return };
        if !self.board.config.engine.dht {
            return;
        }
        let why = match read(&path) {
            Ok(None) => return,
            Ok(Some(table)) => {
                let restore = Command::Dht(Box::new(DhtCommand::Restore(table)));
                let Err(error) = self.engine.command(now, restore) else { return };
                error.to_string()
            }
            Err(error) => error.to_string(),
        };
        self.warn(set_aside(&path, &why));
    }

    /// Somebody wants to hear which torrents a key names.
    pub(super) fn follow(
        &mut self,
        now: Instant,
        link: KeyLink,
        tell: mpsc::UnboundedSender<Followed>,
    ) -> Result<(), CommandError> {
        let engine = &mut self.engine;
        self.follows.add(link, tell, |command| engine.command(now, command).map(drop))
    }

    /// Somebody has heard enough of a key.
    pub(super) fn unfollow(&mut self, now: Instant, link: KeyLink) {
        if let Some(command) = self.follows.remove(link) {
            // An engine that stops follows nothing.
            let _ = self.engine.command(now, command);
        }
    }

    pub(super) fn on_dht_news(&mut self, news: DhtNews) {
        match news {
            DhtNews::Table(table) => {
                let Some(path) = self.board.shelf.as_ref().map(|shelf| shelf.dht_table()) else { return };
                if self.leaving.is_some() {
                    keep(&path, &table);
                } else {
                    // The disk may be slow, and sockets don't wait for it.
                    thread::spawn(move || keep(&path, &table));
                }
            }
            DhtNews::Followed(followed) => self.follows.on_followed(followed),
            // Nobody here begins any.
            DhtNews::Lookup(_) => {}
        }
    }
}

/// Sets a table aside that is of no use, for this reason. What the user should know.
pub(crate) fn set_aside(path: &Path, why: &dyn Display) -> String {
    let (table, aside) = (path.display(), resume::set_aside(path));
    format!("the DHT's table {table} is unusable ({why}) and is {aside}; the node begins anew")
}

fn keep(path: &Path, table: &[u8]) {
    if let Err(error) = save(path, table) {
        tracing::warn!(%error, path = %path.display(), "the DHT's table couldn't be kept");
    }
}
