//! Links to web servers. Each is a task that asks, reads the body as far as its credit goes, and leaves what it has read
//! for the engine's thread. How HTTP is spoken is `http`'s.

use super::Body;
use crate::error::FetchError;
use crate::http::stream::{self, Kept, Stream};
use crate::lock;
use core::task::Waker;
use millstream_core::base::{Chunk, ConnId, Pool};
use millstream_core::engine::{Input, LinkEnd, LinkInfo};
use millstream_core::wire::http::HttpRequest;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// All links to web servers, and the links to be used again.
#[derive(Default)]
pub(super) struct WebLinks {
    table: HashMap<ConnId, WebLink>,
    mail: Arc<Mail>,
    kept: Kept,
}

struct WebLink {
    task: AbortHandle,
    read_until: watch::Sender<u64>,
}

/// What tasks leave for the engine's thread. Credit bounds it.
#[derive(Default)]
struct Mail {
    list: Mutex<Vec<(ConnId, News)>>,
    bell: Mutex<Option<Waker>>,
}

enum News {
    Opened(LinkInfo),
    Data(Chunk),
    Closed(LinkEnd),
}

impl Mail {
    fn put(&self, conn: ConnId, news: News) {
        let first = {
            let mut list = lock(&self.list);
            list.push((conn, news));
            list.len() == 1
        };
        if first && let Some(bell) = &*lock(&self.bell) {
            bell.wake_by_ref();
        }
    }
}

impl Body {
    /// Asks a web server. The answer comes by `take_web`.
    pub(super) fn ask_web(&mut self, conn: ConnId, request: HttpRequest) {
        let (read_until, credit) = watch::channel(0);
        let (mail, kept) = (Arc::clone(&self.web.mail), self.web.kept.clone());
        let ways = Arc::clone(&self.ways);
        let Some(buffers) = self.links.buffer(usize::MAX).cloned() else { return };
        let task = tokio::spawn(async move {
            let end = match stream::open(&ways, &request, &kept).await {
                Ok(stream) => {
                    let info = LinkInfo {
                        head: Some(Box::new(stream.head)),
                        ..LinkInfo::between(stream.local(), stream.remote.unwrap_or(stream.local()))
                    };
                    mail.put(conn, News::Opened(info));
                    read(stream, &buffers, credit, |data| mail.put(conn, News::Data(data))).await
                }
                Err(error) => end(&error),
            };
            mail.put(conn, News::Closed(end));
        });
        self.web.table.insert(conn, WebLink { task: task.abort_handle(), read_until });
    }

    /// How far a link to a web server may be read. Answers whether it is one.
    pub(super) fn allow_web(&self, conn: ConnId, until: u64) -> bool {
        let Some(link) = self.web.table.get(&conn) else { return false };
        link.read_until.send_if_modified(|told| core::mem::replace(told, until.max(*told)) < until);
        true
    }

    /// Ends a link to a web server at once. Answers whether it is one.
    pub(super) fn close_web(&mut self, conn: ConnId) -> bool {
        let Some(link) = self.web.table.remove(&conn) else { return false };
        link.task.abort();
        let now = self.now();
        self.engine.handle_input(now, Input::Drained { conn });
        true
    }

    /// Whom to wake when there is something to take.
    pub(super) fn set_web_bell(&self, waker: &Waker) {
        let mut bell = lock(&self.web.mail.bell);
        if !bell.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *bell = Some(waker.clone());
        }
    }

    /// Takes in what web servers sent.
    pub(super) fn take_web(&mut self) {
        let mail = core::mem::take(&mut *lock(&self.web.mail.list));
        for (conn, news) in mail {
            if !self.web.table.contains_key(&conn) {
                continue;
            }
            let now = self.now();
            let input = match news {
                News::Opened(info) => Input::Opened { conn, info },
                News::Data(data) => Input::Received { conn, data },
                News::Closed(why) => {
                    // `Close` follows, and finds nothing left to end.
                    Input::Closed { conn, why }
                }
            };
            self.engine.handle_input(now, input);
            self.drain();
        }
    }
}

/// Reads a body as far as the credit goes, whenever it grows. Ends with the body, or with who may allow more.
async fn read(
    mut stream: Stream,
    buffers: &Pool,
    mut credit: watch::Receiver<u64>,
    mut take: impl FnMut(Chunk),
) -> LinkEnd {
    let mut read = 0;
    loop {
        let Ok(until) = credit.wait_for(|&until| until > read).await.map(|until| *until) else {
            return LinkEnd::Finished;
        };
        let most = usize::try_from(until - read).unwrap_or(usize::MAX);
        match stream.next(buffers, most).await {
            Ok(Some(data)) => {
                read += data.len() as u64;
                take(data);
            }
            Ok(None) => return LinkEnd::Finished,
            Err(error) => {
                tracing::debug!(%error, "a web server's body broke off");
                return LinkEnd::Reset;
            }
        }
    }
}

/// What it means for a link that a server can't be asked.
fn end(error: &FetchError) -> LinkEnd {
    LinkEnd::Host(error.to_string())
}
