//! Doing what the engine asks for: links, jobs, questions to servers.

use super::Body;
use crate::error::FetchError;
use crate::http::{self, Limits};
use crate::pool::{failed, host_error};
use crate::router::PortWish;
use core::future::Future;
use core::net::SocketAddr;
use millstream_core::base::{Chunk, JobId, TorrentId};
use millstream_core::engine::{Effect, HostError, HostErrorKind, Outcome, Work};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Redirects followed on the way to a torrent file.
const REDIRECTS_MAX: u32 = 5;

impl Body {
    /// Takes all effects and all news.
    pub(super) fn drain(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            self.on_effect(effect);
        }
        self.take_news();
    }

    fn on_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { conn, to, route } => self.connect(conn, &to, route),
            Effect::Close { conn, how } => self.close(conn, how),
            Effect::Interest { conn, read_until, .. } if self.allow_web(conn, read_until) => {}
            Effect::Interest { conn, read_until, write } => {
                if self.heed_web_socket(conn, read_until, write) {
                    return;
                }
                if let Some(link) = self.links.get_mut(conn) {
                    link.read_until = link.read_until.max(read_until);
                    link.pull |= write;
                    self.links.line_up(conn);
                }
            }
            Effect::DatagramsReady { local } => self.send_datagrams(local),
            Effect::Job { job, work } => self.begin(job, work),
            Effect::Cancel { job } => self.cancel(job),
        }
    }

    fn begin(&mut self, job: JobId, work: Work) {
        match work {
            Work::Http { url, bytes_max, redirects_max, timeout, route } => {
                let limits = Limits { bytes_max, redirects_max, timeout };
                let (ways, from) = (Arc::clone(&self.ways), self.address_of(route));
                self.ask(job, async move { http_outcome(http::get(&ways, from, &url, limits).await) });
            }
            Work::Resolve { host, port, route: _ } => {
                let ways = Arc::clone(&self.ways);
                self.ask(job, async move { resolved(&host, ways.resolve(&host, port).await) });
            }
            Work::MapPort { local: _, protocol, internal, external, lease } => {
                let (router, internal) = (Arc::clone(&self.router), internal.port());
                let wish = PortWish { protocol, internal, external, lease };
                self.ask(job, async move { router.answer(wish).await });
            }
            Work::Read { torrent, parts, plain } => {
                if plain && cfg!(target_os = "linux") && self.disk.is_warm(torrent, &parts) {
                    self.answer(job, Outcome::Stored);
                } else {
                    self.board.pool.job(job, Work::Read { torrent, parts, plain }, None);
                }
            }
            Work::Save { torrent, data } => {
                let keep = self.keep(torrent);
                self.board.pool.job(job, Work::Save { torrent, data }, keep);
            }
            Work::Files { .. }
            | Work::Write { .. }
            | Work::Hash { .. }
            | Work::HashStored { .. }
            | Work::Exchange(_) => self.board.pool.job(job, work, None),
        }
    }

    fn keep(&self, torrent: TorrentId) -> Option<PathBuf> {
        self.seats.get(&torrent).and_then(|seat| seat.keep.clone())
    }

    /// Lets a job run as a task on this thread.
    fn ask(&mut self, job: JobId, question: impl Future<Output = Outcome> + Send + 'static) {
        let answers = Arc::clone(&self.answers);
        let task = tokio::spawn(async move { answers.put(job, question.await) });
        self.asks.insert(job, task.abort_handle());
    }

    fn cancel(&mut self, job: JobId) {
        let Some(task) = self.asks.get(&job) else {
            self.board.pool.cancel(job);
            return;
        };
        // One that is finished has left its answer already.
        if !task.is_finished() {
            task.abort();
            self.asks.remove(&job);
            self.answer(job, Outcome::Cancelled);
        }
    }

    /// Fetches a torrent file for the application.
    pub(super) fn fetch(&self, url: String, reply: oneshot::Sender<Result<Vec<u8>, FetchError>>) {
        let config = &self.board.config;
        let limits = Limits {
            bytes_max: config.torrent_file_bytes_max,
            redirects_max: REDIRECTS_MAX,
            timeout: config.fetch_timeout,
        };
        let ways = Arc::clone(&self.ways);
        tokio::spawn(async move {
            let body = match http::get(&ways, None, &url, limits).await {
                Ok(answer) if answer.status == 200 => Ok(answer.body),
                Ok(answer) => Err(FetchError::Status(answer.status)),
                Err(error) => Err(error),
            };
            // The asker may have gone.
            let _ = reply.send(body);
        });
    }
}

fn http_outcome(answer: Result<http::Answer, FetchError>) -> Outcome {
    match answer {
        Ok(answer) => Outcome::Http { status: answer.status, body: Chunk::from(answer.body) },
        Err(error) => {
            let kind = match error {
                FetchError::TimedOut => HostErrorKind::TimedOut,
                FetchError::Resolve { .. } => HostErrorKind::NotFound,
                FetchError::Private(_) => HostErrorKind::Permission,
                FetchError::Url(_)
                | FetchError::Connect { .. }
                | FetchError::Http { .. }
                | FetchError::Redirects(_)
                | FetchError::TooLong(_)
                | FetchError::Status(_)
                | FetchError::Ended => HostErrorKind::Other,
            };
            Outcome::Failed(HostError { kind, message: error.to_string() })
        }
    }
}

fn resolved(host: &str, found: io::Result<Vec<SocketAddr>>) -> Outcome {
    match found {
        Ok(addresses) if addresses.is_empty() => {
            failed(HostErrorKind::NotFound, &format!("{host} has no address"))
        }
        Ok(addresses) => Outcome::Resolved(addresses),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Outcome::Failed(host_error(&error, host)),
        Err(error) => {
            Outcome::Failed(HostError { kind: HostErrorKind::NotFound, ..host_error(&error, host) })
        }
    }
}
