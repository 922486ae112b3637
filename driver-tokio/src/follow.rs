//! Followed keys (BEP 46): who wants to hear which torrents a key names, and the streams that tell them. The DHT is asked
//! by the engine.

use crate::error::{AddError, CommandFailed};
use crate::run::Request;
use crate::session::{Port, Session};
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_core::Stream;
use millstream_core::engine::{Command, CommandError, DhtCommand};
use millstream_core::net::Followed;
use millstream_core::wire::magnet::KeyLink;
use std::collections::BTreeMap;
use tokio::sync::{mpsc, oneshot};

/// The torrents that a key names, from now on: the one that it names first, and each that takes its place. Dropping it
/// ends the following, once nobody else in the session follows the same key.
pub struct Follow {
    link: KeyLink,
    news: mpsc::UnboundedReceiver<Followed>,
    port: Port,
}

impl Follow {
    /// What is followed.
    pub fn link(&self) -> &KeyLink {
        &self.link
    }

    /// The next torrent that the key names; `None` if the session has ended. It waits for as long as the DHT knows none.
    pub async fn next(&mut self) -> Option<Followed> {
        self.news.recv().await
    }
}

impl Stream for Follow {
    type Item = Followed;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Followed>> {
        self.news.poll_recv(cx)
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        // First, so that the engine's thread sees that nobody listens here.
        self.news.close();
        // A session that has ended follows nothing.
        let _ = self.port.send(Request::Unfollow(self.link.clone()));
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Follow({})", self.link)
    }
}

impl Session {
    /// Follows a key through the DHT (BEP 46): tells which torrent it names, and each that takes its place. It adds none:
    /// [`AddTorrent::info_hash`](crate::AddTorrent::info_hash) makes of each what can be added. Refused where the DHT is
    /// off, and beyond what the engine follows at once.
    pub async fn follow(&self, link: KeyLink) -> Result<Follow, CommandFailed> {
        let (tell, news) = mpsc::unbounded_channel();
        let (reply, answer) = oneshot::channel();
        let port = self.port();
        let request = Request::Follow { link: link.clone(), tell, reply };
        port.send(request).map_err(|()| CommandFailed::Ended)?;
        answer.await.map_err(|_| CommandFailed::Ended)??;
        Ok(Follow { link, news, port })
    }

    /// A magnet link of the torrent that a key names now, with all else that the key's link says.
    pub(crate) async fn named_now(&self, key: KeyLink, link: &str) -> Result<String, AddError> {
        let followed = self.follow(key).await?.next().await.ok_or(AddError::Ended)?;
        Ok(KeyLink::with_torrent(link, followed.info_hash))
    }
}

/// Who follows which key.
#[derive(Default)]
pub(crate) struct Follows(BTreeMap<([u8; 32], Vec<u8>), Followers>);

/// All who follow one key. The engine follows it once, and tells only what is new.
#[derive(Default)]
struct Followers {
    last: Option<Followed>,
    tell: Vec<mpsc::UnboundedSender<Followed>>,
}

impl Follows {
    /// One more follower, who hears at once what the others know. `command` asks the engine.
    pub(crate) fn add(
        &mut self,
        link: KeyLink,
        tell: mpsc::UnboundedSender<Followed>,
        command: impl FnOnce(Command) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let KeyLink { key, salt } = link;
        if !self.0.contains_key(&(key, salt.clone())) {
            command(Command::Dht(Box::new(DhtCommand::Follow { key, salt: salt.clone() })))?;
        }
        let followers = self.0.entry((key, salt)).or_default();
        if let Some(last) = &followers.last {
            // Its stream was just made.
            let _ = tell.send(last.clone());
        }
        followers.tell.push(tell);
        Ok(())
    }

    /// A follower has gone; what to ask of the engine if it was the last.
    pub(crate) fn remove(&mut self, link: KeyLink) -> Option<Command> {
        let KeyLink { key, salt } = link;
        let followers = self.0.get_mut(&(key, salt.clone()))?;
        followers.tell.retain(|tell| !tell.is_closed());
        if !followers.tell.is_empty() {
            return None;
        }
        self.0.remove(&(key, salt.clone()));
        Some(Command::Dht(Box::new(DhtCommand::Unfollow { key, salt })))
    }

    /// The engine tells what a key names now.
    pub(crate) fn on_followed(&mut self, followed: Followed) {
        let Some(followers) = self.0.get_mut(&(followed.key, followed.salt.clone())) else { return };
        // Who has gone says so itself.
        followers.tell.iter().for_each(|tell| drop(tell.send(followed.clone())));
        followers.last = Some(followed);
    }
}
