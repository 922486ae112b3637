//! The info dictionary: from peers while it isn't known, to peers once it is (BEP 9).

use super::phase::Phase;
use super::{Context, Output, Torrent, TorrentEvent};
use crate::base::{Instant, PeerRef};
use crate::book::Own;
use crate::metadata::{Answer, Blame, Fetch, Fetched, MetadataConfig, serve};
use crate::resume::decode;
use crate::wire::extension::Extension;
use crate::wire::magnet::Magnet;
use crate::wire::metadata_message::MetadataMessage;
use crate::wire::metainfo::{Info, Metainfo, MetainfoBuilder};
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// How often a peer may have all of the metadata before it is refused (BEP 9's flood protection).
const SERVE_TIMES_MAX: u32 = 3;

impl Torrent {
    /// What a magnet says: hashes and peers, until the metadata is here; or resume data that has it already.
    pub(super) fn know_magnet(&mut self, magnet: &Magnet, config: &super::Config, own: &Own) {
        if !self.only_peers {
            let literal = |(host, port): &(alloc::string::String, u16)| {
                host.parse().ok().map(|ip| SocketAddr::new(ip, *port))
            };
            let peers: Vec<SocketAddr> = magnet.peers.iter().filter_map(literal).collect();
            self.know_peers(&peers, config, own);
        }
        if let Some(info) = self.saved_info() {
            self.names = info.hashes().collect();
            return self.set_content(info, config);
        }
        let metadata = MetadataConfig {
            metadata_bytes_max: u32::try_from(config.metadata_bytes_max).unwrap_or(u32::MAX),
            ..MetadataConfig::default()
        };
        self.fetch = Some(Box::new(Fetch::new(magnet.info_hash, magnet.info_hash_v2, metadata)));
    }

    /// The info dictionary that resume data kept, with the piece layers that were known, if it is what we look for.
    fn saved_info(&self) -> Option<Arc<Info>> {
        let resume = decode(self.resume.as_deref()?).ok()?;
        let raw = resume.info.as_deref()?;
        let layers = resume.piece_layers.iter().map(|(root, layer)| (*root, layer.as_chunks::<32>().0));
        let whole = MetainfoBuilder::default().compose(raw, layers);
        let info = match Metainfo::parse(&whole) {
            Ok(metainfo) => metainfo.info,
            Err(_) => Info::parse(raw).ok()?,
        };
        self.names.iter().all(|name| info.hashes().any(|hash| hash == *name)).then(|| Arc::new(info))
    }

    pub(super) fn fetch_deadline(&self) -> Option<Instant> {
        self.fetch.as_ref().filter(|_| self.takes_part()).and_then(|fetch| fetch.deadline())
    }

    pub(super) fn on_fetch_timeout(&mut self, cx: &mut Context<'_>) {
        let Some(fetch) = &mut self.fetch else { return };
        if fetch.deadline().is_some_and(|at| at <= cx.now) {
            fetch.on_timeout(cx.now);
            self.ask_metadata_of_all(cx);
        }
    }

    /// What was asked of one peer may be asked of others now.
    pub(super) fn ask_metadata_of_all(&mut self, cx: &mut Context<'_>) {
        if self.fetch.is_none() {
            return;
        }
        let numbers: Vec<u32> = self.peers.keys().copied().collect();
        for n in numbers {
            self.ask_metadata(cx, n);
        }
    }

    /// A peer says how large the metadata is.
    pub(super) fn on_metadata_offer(&mut self, cx: &mut Context<'_>, n: u32, size: Option<u64>) {
        let peer = PeerRef { torrent: self.id, n };
        let (Some(fetch), Some(size)) = (&mut self.fetch, size) else { return };
        if fetch.on_size(peer, size).is_ok() {
            self.ask_metadata(cx, n);
        }
    }

    fn ask_metadata(&mut self, cx: &mut Context<'_>, n: u32) {
        let peer = PeerRef { torrent: self.id, n };
        let (Some(fetch), Some(there)) = (&mut self.fetch, self.peers.get_mut(&n)) else { return };
        if !there.session.speaks(Extension::UtMetadata) {
            return;
        }
        while let Some(piece) = fetch.next_request(cx.now, peer) {
            let message = MetadataMessage::Request { piece };
            if !there.session.extended(Extension::UtMetadata, &message.encode()) {
                fetch.on_reject(cx.now, peer, piece);
                break;
            }
            self.outputs.push_back(Output::Touched(n));
        }
    }

    pub(super) fn on_metadata_message(&mut self, cx: &mut Context<'_>, n: u32, payload: &[u8]) {
        let peer = PeerRef { torrent: self.id, n };
        match MetadataMessage::parse(payload) {
            Ok(MetadataMessage::Request { piece }) => self.serve_metadata(n, piece),
            Ok(MetadataMessage::Data { piece, total_size, data }) => {
                let Some(fetch) = &mut self.fetch else { return };
                let fetched = fetch.on_data(peer, piece, total_size, data);
                self.on_fetched(cx, n, fetched);
            }
            Ok(MetadataMessage::Reject { piece }) => {
                if let Some(fetch) = &mut self.fetch {
                    fetch.on_reject(cx.now, peer, piece);
                    self.ask_metadata_of_all(cx);
                }
            }
            Ok(MetadataMessage::Unknown) => {}
            Err(error) => tracing::debug!(torrent = ?self.id, n, %error, "metadata message"),
        }
    }

    fn on_fetched(&mut self, cx: &mut Context<'_>, n: u32, fetched: Fetched) {
        match fetched {
            Fetched::Kept | Fetched::Unasked => self.ask_metadata(cx, n),
            Fetched::Misshapen => self.ask_metadata_of_all(cx),
            Fetched::Failed(blame) => {
                if let Blame::Certain(liar) = blame {
                    self.ban(cx, liar.n);
                }
                self.ask_metadata_of_all(cx);
            }
            Fetched::Verified(bytes) => self.on_metadata(cx, &bytes),
        }
    }

    /// The info dictionary is here, and it is the one that the hashes name.
    fn on_metadata(&mut self, cx: &mut Context<'_>, bytes: &[u8]) {
        self.fetch = None;
        let info = match Info::parse(bytes) {
            Ok(info) => Arc::new(info),
            Err(error) => return self.fail(cx, format!("the metadata can't be used: {error}")),
        };
        for name in info.hashes() {
            if !self.names.contains(&name) {
                self.output(Output::Named(name));
            }
        }
        let before = core::mem::replace(&mut self.names, info.hashes().collect());
        for name in before {
            if !self.names.contains(&name) {
                self.names.push(name);
            }
        }
        self.set_content(Arc::clone(&info), cx.config);
        self.heed_privacy(cx);
        self.event(TorrentEvent::Metadata(info));
        if matches!(self.phase, Phase::Metadata) {
            self.proceed(cx);
        }
    }

    fn serve_metadata(&mut self, n: u32, piece: u32) {
        let Some(peer) = self.peers.get_mut(&n) else { return };
        let raw = self.content.as_deref().map(|content| content.info.raw().clone());
        let size = raw.as_ref().map(|raw| raw.len());
        let message = match (serve(&mut peer.metadata_asked, size, piece, SERVE_TIMES_MAX), &raw) {
            (Answer::Data { range, total }, Some(raw)) => MetadataMessage::Data {
                piece,
                total_size: u64::from(total),
                data: raw.get(range).unwrap_or_default(),
            }
            .encode(),
            (Answer::Data { .. } | Answer::Reject, _) => MetadataMessage::Reject { piece }.encode(),
        };
        peer.session.extended(Extension::UtMetadata, &message);
        self.output(Output::Touched(n));
    }
}
