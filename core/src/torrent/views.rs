//! What the engine sees of peers: what their links may do, what choking has to know, and a glance for users. Who is
//! served is decided there.

use super::peers::Peer;
use super::{Context, PeerStatus, Torrent};
use crate::base::{Instant, PeerRef};
use crate::choke::PeerView;
use crate::wire::PeerId;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::cmp::Reverse;

impl Torrent {
    /// What the engine may tell a peer's link: how many bytes it may read beyond what came, and whether there is
    /// something to pull.
    pub fn link_wish(&self, n: u32, config: &super::Config) -> (u64, bool) {
        let Some(peer) = self.peers.get(&n) else { return (self.web_credit(n), false) };
        let write = peer.session.wants_write() && !(peer.held_up && peer.session.wants_payload_only());
        (config.credit_bytes, write)
    }

    /// What choking needs to know of everyone.
    pub fn choke_views(&self, now: Instant, out: &mut Vec<PeerView>) {
        if !self.is_active() {
            return;
        }
        let seeding = self.is_seeding();
        let pieces = self.content.as_deref().map_or(0, |content| u64::from(content.geometry.pieces()));
        out.extend(self.peers.iter().map(|(&n, peer)| {
            let session = &peer.session;
            let have = u64::from(session.peer_pieces().count());
            PeerView {
                id: PeerRef { torrent: self.id, n },
                interested: session.peer_interested(),
                unchoked: !session.am_choking(),
                snubbed: session.is_snubbed(),
                upload_only: session.peer_upload_only(),
                seeding,
                down_rate: session.downloaded().rate(now),
                up_rate: session.uploaded().rate(now),
                down_total: session.downloaded().total(),
                up_total: session.uploaded().total(),
                up_since_unchoked: session.uploaded().total() - peer.sent_then,
                entrusted: peer.entrusted,
                interested_at: peer.interested_at,
                spread: peer.spread,
                have_permille: (have * 1000).checked_div(pieces).unwrap_or(0) as u32,
                joined: peer.joined,
                unchoked_at: peer.unchoked_at,
            }
        }));
    }

    /// The peer that can best be done without: nothing goes to it or comes from it, or least does; the newest of equals.
    pub fn least_useful(&self, now: Instant) -> Option<u32> {
        let use_of = |peer: &Peer| {
            let session = &peer.session;
            let gives = session.am_interested() && !session.peer_choking();
            let takes = session.peer_interested() && !session.am_choking();
            let rate = session.downloaded().rate(now).saturating_add(session.uploaded().rate(now));
            (gives || takes, rate, session.am_interested(), Reverse(peer.joined))
        };
        self.peers.iter().min_by_key(|(_, peer)| use_of(peer)).map(|(&n, _)| n)
    }

    /// Who is served is decided by the engine.
    pub fn set_choked(&mut self, cx: &mut Context<'_>, n: u32, choked: bool) {
        let Some(peer) = self.peers.get_mut(&n) else { return };
        if choked {
            peer.session.choke();
        } else {
            peer.session.unchoke();
            peer.unchoked_at = Some(cx.now);
            peer.sent_then = peer.session.uploaded().total();
        }
        self.after(cx, n);
    }

    /// Everyone here at a glance, in join order.
    pub fn peer_statuses(&self, now: Instant) -> Vec<PeerStatus> {
        let status = |peer: &Peer| {
            let session = &peer.session;
            PeerStatus {
                addr: peer.addr,
                peer_id: peer.peer_id,
                client: session.client().map_or_else(|| client_of(peer.peer_id), String::from),
                incoming: peer.incoming,
                sources: self.book.sources(peer.home),
                encrypted: peer.level,
                downloaded: session.downloaded().total(),
                uploaded: session.uploaded().total(),
                download_rate: session.downloaded().rate(now),
                upload_rate: session.uploaded().rate(now),
                pieces: session.peer_pieces().count(),
                choked: session.am_choking(),
                choking: session.peer_choking(),
                interested: session.peer_interested(),
                interesting: session.am_interested(),
            }
        };
        self.peers.values().map(|peer| status(peer)).collect()
    }
}

fn client_of(id: PeerId) -> String {
    crate::wire::peer_id::client(id).map_or_else(|| String::from("unknown"), |client| client.to_string())
}
