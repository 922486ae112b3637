//! The ways out that a session's settings leave open, for a driver that opens its sockets itself: `way`'s rules, without
//! its sockets.

use crate::SessionConfig;
use crate::error::StartError;
use crate::run::{self, listen::spread};
use crate::way::{Bind, PROXY, Target, Ways};
use core::net::{IpAddr, SocketAddr};
use millstream_core::engine::SocketKind;
use millstream_core::wire::proxy_url::ProxyUrl;
use std::io;

/// All of them. Where there is a proxy, nothing may go but to it and to its relay.
pub struct Reach(Ways);

impl Reach {
    /// Those of a session: whether the proxy is one, and whether what everything is to come from is there.
    pub fn new(config: &SessionConfig) -> Result<Self, StartError> {
        Ways::new(config).map(Self)
    }

    /// Lets the engine know of no way that is closed.
    pub(super) fn close_direct_ways(&self, config: &mut SessionConfig) {
        run::close_direct_ways(config, &self.0);
    }

    /// The proxy, if everything goes through one.
    pub fn proxy(&self) -> Option<&ProxyUrl> {
        self.0.proxy()
    }

    /// Whether the proxy relays datagrams, and what the engine calls its relay.
    pub fn relay(&self) -> Option<SocketKind> {
        self.0.relays().then_some(SocketKind::UdpAssociate(PROXY))
    }

    /// The interface that every socket is kept to.
    pub fn interface(&self) -> Option<&str> {
        match self.0.bind()? {
            Bind::Interface(name) => Some(name),
            Bind::Address(_) => None,
        }
    }

    /// The address of one family that every socket is bound to; `None` where the system chooses. What isn't there is an
    /// error: no other takes its place.
    pub fn source(&self, v4: bool) -> io::Result<Option<IpAddr>> {
        self.0.bind().map(|bind| bind.address(v4)).transpose()
    }

    /// Where to listen: addresses that leave the host open become those that everything is to come from.
    pub fn spread(&self, wanted: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
        spread(wanted, self.0.bind())
    }

    /// The addresses of one family to announce from to neighbours (BEP 14), each with the number of its interface: those
    /// that we listen at, or one of each interface if that is all of them.
    pub fn places(&self, v4: bool, listening: &[IpAddr]) -> Vec<(IpAddr, u32)> {
        let bind = self.0.bind().map(ToString::to_string);
        run::multicast::places(v4, listening, bind.as_deref())
    }

    /// What stands in for a name that the proxy is to look up; an address stands for itself.
    pub fn stand_in(&self, target: &Target) -> SocketAddr {
        self.0.stands_for(target)
    }

    /// What is to be asked of the proxy for an address; `None` for a stand-in whose name was forgotten.
    pub fn target(&self, addr: SocketAddr) -> Option<Target> {
        self.0.target(addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_behind_a_proxy_or_from_a_chosen_address_has_an_engine_that_knows_it() {
        let settled = |change: &dyn Fn(&mut SessionConfig)| {
            let mut config = SessionConfig::default();
            change(&mut config);
            let reach = Reach::new(&config).unwrap();
            let (engine, _) = crate::jobs::engine_settings(&config, &reach, 1).unwrap();
            (engine.proxy, engine.proxy_relays, engine.lsd, engine.port_mapping)
        };
        assert_eq!(settled(&|_| ()), (None, false, true, true));
        let socks = settled(&|config| config.proxy = Some("socks5://192.0.2.1".to_owned()));
        assert_eq!(socks, (Some(PROXY), true, false, false));
        let http = settled(&|config| config.proxy = Some("http://192.0.2.1".to_owned()));
        assert_eq!(http, (Some(PROXY), false, false, false));
        assert_eq!(settled(&|config| config.bind = Some("127.0.0.1".to_owned())), (None, false, true, false));
    }
}
