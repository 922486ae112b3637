//! Links and datagrams behind a proxy: links that tasks open there, and the relay that comes and goes.

use super::Body;
use super::datagrams::refused;
use super::link::{Phase, end};
use crate::letters::Letters;
use crate::way::{OpenError, Opened, PROXY, Relay, RelayNews, RelaySocket, Wish};
use core::net::{Ipv4Addr, SocketAddr};
use core::task::Context;
use millstream_core::base::{Chunk, ConnId, LocalId};
use millstream_core::engine::{Datagrams, Input, LinkEnd, LinkInfo, SocketKind};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::task::AbortHandle;

/// What became of a link that was to lead there.
type Outcome = (ConnId, SocketAddr, Result<Opened, OpenError>);

/// Datagrams taken from the relay, or given to it, in one pass.
const DATAGRAMS_MAX: usize = 64;

/// The largest datagram that the relay brings. Bytes.
const DATAGRAM_BYTES: usize = 4096;

/// The socket that speaks to the relay.
struct Relayed {
    local: LocalId,
    socket: RelaySocket,
    /// What the engine handed out and the socket didn't take yet.
    waiting: VecDeque<Datagrams>,
    /// The engine may have more.
    pull: bool,
}

/// What is under way.
#[derive(Default)]
pub(super) struct Proxied {
    opening: BTreeMap<ConnId, AbortHandle>,
    opened: Arc<Letters<Outcome>>,
    relay: Arc<Relay>,
    relayed: Option<Relayed>,
    /// The user heard that there is no relay.
    told: bool,
}

impl Body {
    /// Keeps up the relay, if the proxy has one.
    pub(super) fn keep_relay(&self) {
        if self.ways.relays() {
            tokio::spawn(Arc::clone(&self.proxied.relay).keep(Arc::clone(&self.ways)));
        }
    }

    /// Begins to open a link through the proxy.
    pub(super) fn connect_through(&mut self, conn: ConnId, to: SocketAddr) {
        // A stand-in for a name that was forgotten leads nowhere.
        let Some(target) = self.ways.target(to) else { return self.on_closed(conn, LinkEnd::Unreachable) };
        let (ways, opened) = (Arc::clone(&self.ways), Arc::clone(&self.proxied.opened));
        let task = tokio::spawn(async move {
            let outcome = ways.open(&target, Wish::default()).await;
            opened.put((conn, to, outcome));
        });
        self.proxied.opening.insert(conn, task.abort_handle());
    }

    /// Gives up a link that is being opened through the proxy; `false` if there is none such.
    pub(super) fn give_up_through(&mut self, conn: ConnId) -> bool {
        let Some(task) = self.proxied.opening.remove(&conn) else { return false };
        task.abort();
        true
    }

    /// Takes in what became of links and of the relay.
    pub(super) fn take_from_proxy(&mut self, cx: &mut Context<'_>) {
        self.proxied.opened.set_bell(cx.waker());
        self.proxied.relay.set_bell(cx.waker());
        for (conn, to, outcome) in self.proxied.opened.take() {
            // One that was given up meanwhile has been answered.
            if self.proxied.opening.remove(&conn).is_some() {
                self.on_through(conn, to, outcome);
            }
        }
        for news in self.proxied.relay.take() {
            self.on_relay(news);
        }
    }

    fn on_through(&mut self, conn: ConnId, to: SocketAddr, outcome: Result<Opened, OpenError>) {
        match outcome {
            Ok(opened) => {
                self.links.insert(conn, opened.stream, to, Phase::Open);
                let now = self.now();
                // Our end of the link to the proxy is no address of ours that a peer sees.
                let info = LinkInfo::between(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), to);
                self.engine.handle_input(now, Input::Opened { conn, info });
            }
            Err(OpenError::Connect(error) | OpenError::Resolve(error)) => {
                tracing::debug!(%to, %error, "no link through the proxy");
                self.on_closed(conn, end(&error));
            }
            Err(OpenError::Private) => self.on_closed(conn, LinkEnd::Unreachable),
        }
    }

    fn on_relay(&mut self, news: RelayNews) {
        let now = self.now();
        match news {
            RelayNews::Up(socket) => {
                let Ok(addr) = socket.socket().local_addr() else { return };
                tracing::info!("the proxy relays datagrams");
                self.proxied.told = false;
                let local = self.sockets.name();
                self.proxied.relayed = Some(Relayed { local, socket, waiting: VecDeque::new(), pull: false });
                let kind = SocketKind::UdpAssociate(PROXY);
                self.engine.handle_input(now, Input::Bound { local, addr, kind });
            }
            RelayNews::Down => {
                tracing::info!("the proxy's relay is lost");
                if let Some(Relayed { local, .. }) = self.proxied.relayed.take() {
                    self.engine.handle_input(now, Input::Unbound { local });
                }
            }
            RelayNews::Refused(error) => {
                if !core::mem::replace(&mut self.proxied.told, true) {
                    self.warn(format!("the proxy relays no datagrams: {error}"));
                }
            }
        }
    }

    /// Takes in datagrams from the relay, and sends those that had to wait.
    pub(super) fn receive_relayed(&mut self, cx: &mut Context<'_>) {
        let mut buffer = [0; DATAGRAM_BYTES];
        for turn in 0..=DATAGRAMS_MAX {
            let Some(relayed) = &self.proxied.relayed else { return };
            if relayed.socket.socket().poll_recv_ready(cx).is_pending() {
                break;
            }
            if turn == DATAGRAMS_MAX {
                cx.waker().wake_by_ref();
                break;
            }
            let local = relayed.local;
            // What is no datagram of the relay's is passed over.
            let Ok((bytes, from)) = relayed.socket.try_recv_from(&mut buffer) else { continue };
            let data = Chunk::copy_from(buffer.get(..bytes).unwrap_or_default());
            let now = self.now();
            let stride = bytes as u16;
            self.engine.handle_input(now, Input::Datagrams { local, from, to: None, data, stride });
        }
        self.push_relayed(Some(cx));
    }

    /// The engine has datagrams for a socket; `false` if it isn't the relay's.
    pub(super) fn send_relayed(&mut self, local: LocalId) -> bool {
        let Some(relayed) = self.proxied.relayed.as_mut().filter(|relayed| relayed.local == local) else {
            return false;
        };
        relayed.pull = true;
        self.push_relayed(None);
        true
    }

    fn push_relayed(&mut self, cx: Option<&mut Context<'_>>) {
        for _ in 0..DATAGRAMS_MAX {
            let now = self.now();
            let Some(relayed) = &mut self.proxied.relayed else { return };
            if relayed.waiting.is_empty() && relayed.pull {
                match self.engine.poll_datagrams(now, relayed.local, DATAGRAM_BYTES) {
                    Some(more) => relayed.waiting.extend(split(&more)),
                    None => relayed.pull = false,
                }
            }
            let Some(first) = relayed.waiting.front() else { return };
            match relayed.socket.try_send_to(&first.data, first.to) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(to = %first.to, %error, "a datagram wasn't sent through the proxy");
                    let told = refused(relayed.local, (first.to, first.data.len()), &error);
                    self.engine.handle_input(now, told);
                }
            }
            relayed.waiting.pop_front();
        }
        // The rest goes when the socket takes it. Without a context, the next pass asks.
        let Some(cx) = cx else { return self.answers.ring() };
        let ready = |relayed: &Relayed| relayed.socket.socket().poll_send_ready(cx).is_ready();
        if self.proxied.relayed.as_ref().is_some_and(ready) {
            self.answers.ring();
        }
    }

    /// What a peer's address is asked for by, when everything goes through a proxy.
    pub(super) fn is_proxied(&self) -> bool {
        self.ways.proxy().is_some()
    }
}

/// One by one what was handed out as a run.
fn split(run: &Datagrams) -> Vec<Datagrams> {
    let stride = run.stride.map_or(run.data.len(), usize::from).max(1);
    let one = |at: usize| Datagrams { data: run.data.slice(at, at + stride), stride: None, ..run.clone() };
    (0..run.data.len()).step_by(stride).map(one).collect()
}
