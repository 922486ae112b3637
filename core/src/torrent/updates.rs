//! Newer torrents (BEP 39): looked for at the URL that this one names, believed if its originator signed them (BEP 35).
//! Whether to follow is the application's to decide.

use super::{Config, Context, Errand, Outcome, Torrent, TorrentEvent, Work};
use crate::base::Instant;
use crate::wire::Metainfo;
use crate::wire::metainfo::{Info, Signature};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// Redirects followed on the way to a newer torrent.
const REDIRECTS_MAX: u32 = 5;

/// How long the whole exchange may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Before the first look: what is added is begun first.
const FIRST: Duration = Duration::from_secs(60);

/// Where to look, and when.
#[derive(Debug)]
pub(super) struct Updates {
    url: Box<str>,
    /// When to look next; `None` while an answer is awaited, and once a newer torrent was found.
    next: Option<Instant>,
    found: bool,
}

/// The URL to look for updates at: what the originator's own signature says, else what the torrent says.
pub(super) fn update_url(metainfo: &Metainfo) -> Option<Box<str>> {
    let signed = metainfo
        .info
        .originator()
        .and_then(|originator| signed_by(&metainfo.info, &metainfo.signatures, originator)?.update_url());
    signed.as_deref().or(metainfo.info.update_url()).map(Box::from)
}

impl Torrent {
    /// The transfer begins, or goes on: updates are looked for from now on, if there is where to.
    pub(super) fn begin_updates(&mut self, now: Instant, config: &Config) {
        let wanted = config.updates && !self.only_peers;
        let Some(content) = self.content.as_deref().filter(|_| wanted) else { return };
        if self.updates.is_none() {
            let url = self.update_url.take().or_else(|| content.info.update_url().map(Box::from));
            let url = url.filter(|url| url.starts_with("http://") || url.starts_with("https://"));
            self.updates = url.map(|url| Box::new(Updates { url, next: Some(now + FIRST), found: false }));
        }
    }

    /// Looks for an update now. Not again once one was found.
    pub fn check_update(&mut self, cx: &mut Context<'_>) {
        if let Some(updates) = self.updates.as_mut().filter(|updates| !updates.found) {
            updates.next = Some(cx.now);
            self.on_update_timeout(cx);
        }
    }

    pub(super) fn update_deadline(&self) -> Option<Instant> {
        self.updates.as_ref().filter(|_| self.is_active())?.next
    }

    pub(super) fn on_update_timeout(&mut self, cx: &mut Context<'_>) {
        if self.update_deadline().is_none_or(|at| cx.now < at) {
            return;
        }
        let (Some(updates), Some(content)) = (&mut self.updates, self.content.as_deref()) else { return };
        updates.next = None;
        let url = asking(&updates.url, &content.info);
        let work = Work::Http {
            url,
            bytes_max: cx.config.update_bytes_max,
            redirects_max: REDIRECTS_MAX,
            timeout: TIMEOUT,
            route: cx.config.route(),
        };
        self.job(Errand::Update, work);
    }

    /// The server answered, or didn't.
    pub(super) fn on_update(&mut self, cx: &mut Context<'_>, outcome: Outcome) {
        let (Some(updates), Some(content)) = (&mut self.updates, self.content.as_deref()) else { return };
        updates.next = Some(cx.now + cx.config.update_interval);
        let Outcome::Http { status: 200, body } = outcome else {
            return tracing::debug!(torrent = ?self.id, answer = ?outcome, "no update");
        };
        let refused = match judge(&content.info, &body) {
            Ok(None) => return,
            Ok(Some(signed)) => {
                (updates.next, updates.found) = (None, true);
                let torrent = (&*body).into();
                return self.event(TorrentEvent::UpdateAvailable { torrent, signed });
            }
            Err(why) => why,
        };
        self.event(TorrentEvent::Warning(format!("the update is not used: {refused}")));
    }
}

/// Whether the answer is a newer torrent, and signed; `None` if it is the one that we have.
fn judge(ours: &Info, body: &[u8]) -> Result<Option<bool>, String> {
    let newer = Metainfo::parse(body).map_err(|error| format!("it is no torrent: {error}"))?;
    if newer.info.hashes().eq(ours.hashes()) {
        return Ok(None);
    }
    match ours.originator() {
        None => Ok(Some(false)),
        Some(originator) if signed_by(&newer.info, &newer.signatures, originator).is_some() => Ok(Some(true)),
        Some(_) => Err("it isn't signed by the originator of this torrent".into()),
    }
}

#[cfg(feature = "signed")]
fn signed_by<'a>(info: &Info, signatures: &'a [Signature], certificate: &[u8]) -> Option<&'a Signature> {
    crate::verify::signed::signed_by(info, signatures, certificate)
}

#[cfg(not(feature = "signed"))]
fn signed_by<'a>(_: &Info, _: &'a [Signature], _: &[u8]) -> Option<&'a Signature> {
    None
}

/// The URL with the info-hash that the BEP wants in it.
fn asking(url: &str, info: &Info) -> String {
    let mark = if url.contains('?') { '&' } else { '?' };
    match (info.info_hash(), info.info_hash_v2()) {
        (Some(hash), _) => format!("{url}{mark}info_hash={hash}"),
        (None, Some(hash)) => format!("{url}{mark}info_hash={hash}"),
        (None, None) => url.into(),
    }
}
