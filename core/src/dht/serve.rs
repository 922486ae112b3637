//! Answers to queries: from the table, the stored peers and the stored items, within what strangers may make us send.

use super::address::{Family, is_worth, network};
use super::item::{Item, ItemError};
use super::node::Node;
use super::run::CLIENT;
use crate::base::Instant;
use crate::wire::InfoHash;
use crate::wire::krpc::{
    Body, DATAGRAM_BYTES_MAX, Message, Method, NodeId, Nodes4, Nodes6, Query, Response, Signed, Values,
    WantNodes, code, write_node,
};
use alloc::vec::Vec;
use core::net::SocketAddr;

/// An answer with an item may be as long as a packet on most paths: a value of 1000 bytes (BEP 44) leaves nothing of BEP
/// 32's 1024. Bytes.
const ITEM_DATAGRAM_BYTES_MAX: usize = 1400;

/// What an answer has beside its lists: the frame, ids, a token, the longest transaction. Bytes.
const FRAME_BYTES: usize = 180;

/// No answer is shorter. Bytes.
const ANSWER_BYTES_MIN: usize = 56;

/// What a put is charged with beside its answer, as if it were sent: to check a signature takes as long as to answer some
/// dozen queries. Bytes.
const PUT_COST_BYTES: usize = 2048;

/// A longer transaction id is nobody's. Bytes.
const TRANSACTION_BYTES_MAX: usize = 64;

/// What a query is answered with: a response, or an error's code and words.
type Answer<'a> = Result<Response<'a>, (i64, &'static str)>;

/// Nodes in compact form, of each family that was asked for.
#[derive(Default)]
struct Near {
    v4: Option<Vec<u8>>,
    v6: Option<Vec<u8>>,
}

impl Near {
    fn len(&self) -> usize {
        self.v4.iter().chain(&self.v6).map(|list| list.len() + 12).sum()
    }

    fn answer(&self) -> Response<'_> {
        let (nodes, nodes6) = (Nodes4(self.v4.as_deref()), Nodes6(self.v6.as_deref()));
        Response { nodes, nodes6, ..Response::default() }
    }
}

impl Node {
    /// A query came.
    pub(super) fn on_query(
        &mut self,
        now: Instant,
        from: SocketAddr,
        message: &Message<'_>,
        query: &Query<'_>,
    ) {
        if self.config.read_only {
            self.dropped.read_only += 1;
            return;
        }
        if message.transaction.len() > TRANSACTION_BYTES_MAX {
            self.dropped.malformed += 1;
            return;
        }
        if !self.allowance.takes_query(now, from.ip(), &self.config) {
            self.dropped.flood += 1;
            return;
        }
        if !self.allowance.could_pay(now, (from.ip(), ANSWER_BYTES_MIN), &self.config) {
            // No work for what can't be answered.
            self.dropped.allowance += 1;
            return;
        }
        self.traffic.queries_in += 1;
        match query.method {
            Method::Ping => self.reply(now, from, message, Ok(Response::default())),
            Method::FindNode { target } => {
                let near = self.near(from, target, query.want);
                self.reply(now, from, message, Ok(near.answer()));
            }
            Method::GetPeers { info_hash, no_seed, scrape } => {
                self.on_get_peers(now, from, message, (info_hash, no_seed, scrape, query.want));
            }
            Method::AnnouncePeer { info_hash, port, token, seed } => {
                let announced = (info_hash, SocketAddr::new(from.ip(), port.unwrap_or(from.port())), seed);
                let answer = self.on_announce(now, announced, token);
                self.reply(now, from, message, answer);
            }
            Method::Get { target, seq } => self.on_get(now, from, message, (target, seq, query.want)),
            Method::Put { token, value, signed, cas } => {
                match self.on_put(now, from, (token, cas), (value, signed)) {
                    Some(answer) => self.reply(now, from, message, answer),
                    None => self.dropped.allowance += 1,
                }
            }
            Method::SampleInfohashes { target } => self.on_sample(now, from, message, (target, query.want)),
            Method::Other { target: Some(target), .. } => {
                let near = self.near(from, target, query.want);
                self.reply(now, from, message, Ok(near.answer()));
            }
            Method::Other { target: None, .. } => {
                self.reply(now, from, message, Err((code::METHOD, "Method Unknown")));
            }
        }
        if !message.read_only {
            self.on_asker(now, query.id, from);
        }
    }

    /// Who asks may be worth a place in the table, once it has answered a ping.
    fn on_asker(&mut self, now: Instant, id: NodeId, from: SocketAddr) {
        /// About what our ping takes.
        const PING_BYTES: usize = 72;
        let side = &mut self.sides[Family::of(&from).index()];
        let known = side.table.on_query(now, id, from) || !side.table.wants(now, id, &self.config);
        if known || !is_worth(from, &self.config) || !self.queries.may_ping((from, None), &self.config) {
            return;
        }
        if self.allowance.pays(now, (from.ip(), PING_BYTES), &self.config) {
            self.ping(now, None, from);
        }
    }

    /// The nodes that an answer names: of the packet's own family, if nothing is said (BEP 32).
    fn near(&self, from: SocketAddr, target: NodeId, want: Option<WantNodes>) -> Near {
        let want = want.unwrap_or(WantNodes { v4: from.is_ipv4(), v6: from.is_ipv6() });
        let list = |family: Family| {
            let mut out = Vec::new();
            for (id, addr) in self.sides[family.index()].table.closest(target, self.config.bucket_nodes_max) {
                write_node(&mut out, id, addr);
            }
            out
        };
        Near { v4: want.v4.then(|| list(Family::V4)), v6: want.v6.then(|| list(Family::V6)) }
    }

    fn on_get_peers(
        &mut self,
        now: Instant,
        from: SocketAddr,
        message: &Message<'_>,
        (info_hash, no_seed, scrape, want): (InfoHash, bool, bool, Option<WantNodes>),
    ) {
        let family = Family::of(&from);
        // Filters are work: nothing is done that couldn't be sent.
        if scrape && !self.allowance.could_pay(now, (from.ip(), DATAGRAM_BYTES_MAX), &self.config) {
            self.dropped.allowance += 1;
            return;
        }
        let blooms = if scrape { self.peers.blooms(now, info_hash, family) } else { None };
        // Filters leave no room for the other family's nodes.
        let near = self.near(from, info_hash.into(), want.filter(|_| blooms.is_none()));
        let taken = FRAME_BYTES + near.len() + blooms.map_or(0, |_| 2 * 266);
        let each = if from.is_ipv4() { 8 } else { 21 };
        let room = DATAGRAM_BYTES_MAX.saturating_sub(taken) / each;
        let peers = self.peers.some((info_hash, family), no_seed, room, &mut self.rng);
        let mut values = Vec::new();
        if !peers.is_empty() {
            Values::write(&mut values, peers);
        }
        let may_announce = self.peers.has_room((info_hash, from.ip()), &self.config);
        let token = may_announce.then(|| self.tokens.give(now, from.ip(), info_hash.into()));
        let answer = Response {
            token: token.as_ref().map(|token| &token[..]),
            values: Values::written(&values),
            seeds: blooms.as_ref().map(|(seeds, _)| &seeds.0),
            peers: blooms.as_ref().map(|(_, peers)| &peers.0),
            ..near.answer()
        };
        self.reply(now, from, message, Ok(answer));
    }

    fn on_announce(
        &mut self,
        now: Instant,
        announced: (InfoHash, SocketAddr, bool),
        token: &[u8],
    ) -> Answer<'static> {
        let (info_hash, addr, _) = announced;
        if !self.tokens.is_ours(now, (addr.ip(), info_hash.into()), token) {
            return Err((code::PROTOCOL, "bad token"));
        }
        self.allowance.on_proved(now, addr.ip());
        if addr.port() == 0 {
            return Err((code::PROTOCOL, "port 0"));
        }
        let own = self.id(Family::of(&addr));
        if self.peers.on_announce(now, announced, own, &self.config) {
            Ok(Response::default())
        } else {
            Err((code::SERVER, "no room"))
        }
    }

    fn on_get(
        &mut self,
        now: Instant,
        from: SocketAddr,
        message: &Message<'_>,
        (target, newer_than, want): (NodeId, Option<i64>, Option<WantNodes>),
    ) {
        let token = self.tokens.give(now, from.ip(), target);
        let item = self.items.get(target).cloned();
        let mut near = self.near(from, target, want);
        let known =
            newer_than.zip(item.as_ref().and_then(Item::seq)).is_some_and(|(seq, stored)| stored <= seq);
        let shown = item.as_ref().filter(|_| !known);
        let taken = shown.map_or(0, |item| item.value().len() + item.signed().map_or(0, |_| 140));
        near.cut(ITEM_DATAGRAM_BYTES_MAX.saturating_sub(FRAME_BYTES + taken), from.is_ipv4());
        let signed = shown.and_then(Item::signed);
        let answer = Response {
            token: Some(&token),
            value: shown.map(Item::value),
            key: signed.map(|signed| signed.key),
            signature: signed.map(|signed| signed.signature),
            seq: item.as_ref().and_then(Item::seq),
            ..near.answer()
        };
        self.reply(now, from, message, Ok(answer));
    }

    /// Someone puts an item; `None` if checking it would be beyond its network's allowance.
    fn on_put(
        &mut self,
        now: Instant,
        from: SocketAddr,
        (token, cas): (&[u8], Option<i64>),
        (value, signed): (&[u8], Option<Signed<'_>>),
    ) -> Option<Answer<'static>> {
        let item = Item::read(value, signed);
        if !self.tokens.is_ours(now, (from.ip(), item.target()), token) {
            return Some(Err((code::PROTOCOL, "bad token")));
        }
        self.allowance.on_proved(now, from.ip());
        if !self.allowance.pays(now, (from.ip(), PUT_COST_BYTES), &self.config) {
            return None;
        }
        let own = self.id(Family::of(&from));
        let network = network(from.ip());
        let checked = item.check().map_err(ItemError::code);
        let put = checked.and_then(|()| self.items.on_put(now, (item, cas, network), own, &self.config));
        Some(put.map(|()| Response::default()).map_err(|code| (code, words(code))))
    }

    fn on_sample(
        &mut self,
        now: Instant,
        from: SocketAddr,
        message: &Message<'_>,
        (target, want): (NodeId, Option<WantNodes>),
    ) {
        let near = self.near(from, target, want);
        let num = self.peers.hashes() as i64;
        let (sample, interval) = self.peers.sample(now, &self.config, &mut self.rng);
        let room = DATAGRAM_BYTES_MAX.saturating_sub(FRAME_BYTES + near.len()) / 20;
        let samples: Vec<u8> = sample.iter().take(room).flat_map(|hash| hash.0).collect();
        let answer = Response {
            interval: Some(interval as i64),
            num: Some(num),
            samples: Some(&samples),
            ..near.answer()
        };
        self.reply(now, from, message, Ok(answer));
    }

    /// Answers, if it may.
    fn reply(&mut self, now: Instant, from: SocketAddr, message: &Message<'_>, answer: Answer<'_>) {
        let own = self.id(Family::of(&from));
        let body = match answer {
            Ok(response) => Body::Response(Response { id: own, ..response }),
            Err((code, words)) => Body::Error { code, message: words.as_bytes() },
        };
        let (transaction, version) = (message.transaction, Some(CLIENT));
        let mut datagram = Vec::with_capacity(512);
        Message { transaction, version, ip: Some(from), read_only: false, body }.write(&mut datagram);
        if !self.allowance.pays(now, (from.ip(), datagram.len()), &self.config) {
            self.dropped.allowance += 1;
            return;
        }
        self.traffic.answers_out += 1;
        self.send(from, datagram);
    }
}

impl Near {
    /// Leaves out the farthest nodes until both lists fit; the other family's go first.
    fn cut(&mut self, room: usize, v4_first: bool) {
        let mut left = room;
        let mut keep = |list: &mut Option<Vec<u8>>, each: usize| {
            if let Some(list) = list {
                list.truncate(left.saturating_sub(12) / each * each);
                left = left.saturating_sub(list.len() + 12);
            }
        };
        if v4_first {
            keep(&mut self.v4, 26);
            keep(&mut self.v6, 38);
        } else {
            keep(&mut self.v6, 38);
            keep(&mut self.v4, 26);
        }
    }
}

/// A code in words.
const fn words(code: i64) -> &'static str {
    match code {
        code::VALUE_TOO_BIG => "message (v field) too big",
        code::SIGNATURE => "invalid signature",
        code::SALT_TOO_BIG => "salt (salt field) too big",
        code::CAS => "the CAS hash mismatched, re-read value and try again",
        code::SEQUENCE => "sequence number less than current",
        code::SERVER => "no room",
        _ => "invalid arguments",
    }
}
