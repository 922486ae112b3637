//! The ports that a router lets peers in by: asked for when a socket is bound, renewed before the lease ends, given back
//! at the end. How a router is spoken to is the driver's.

use super::{Alarm, Asker, Engine, SocketKind};
use crate::base::{Instant, LocalId, Rng, Timers};
use crate::torrent::{Errand, Outcome, PortProtocol, Teller, Work};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// The lease that is asked for (RFC 6886 recommends two hours): a port that is never given back is free again after it.
const LEASE: Duration = Duration::from_secs(7200);

/// Below this a router's lease counts as this, so that none makes us ask without pause.
const LEASE_MIN: Duration = Duration::from_secs(120);

/// The first pause after a router said no, or nothing; it doubles.
const RETRY_FIRST: Duration = Duration::from_secs(300);

/// The longest.
const RETRY_MAX: Duration = Duration::from_secs(3600);

/// The ports of all sockets.
#[derive(Debug)]
pub(super) struct Ports {
    rng: Rng,
    wanted: BTreeMap<LocalId, Mapping>,
    timers: Timers<LocalId>,
}

/// One socket's port.
#[derive(Debug)]
struct Mapping {
    addr: SocketAddr,
    protocol: PortProtocol,
    external: Option<SocketAddr>,
    /// When its lease ends.
    leased_until: Instant,
    /// The port outside that the router gave last and didn't take back.
    given: Option<u16>,
    asking: bool,
    /// The socket is gone, or the engine stops: the port is given back.
    leaving: bool,
    failures: u8,
    armed: Option<Instant>,
}

/// What is to be asked of the router.
struct Wish {
    local: LocalId,
    work: Work,
}

impl Ports {
    pub(super) fn new(rng: Rng) -> Self {
        Self { rng, wanted: BTreeMap::new(), timers: Timers::default() }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether the router still is to be told, or to answer.
    pub(super) fn is_leaving(&self) -> bool {
        self.wanted.values().any(|mapping| mapping.leaving)
    }

    fn on_bound(&mut self, local: LocalId, addr: SocketAddr, protocol: PortProtocol) -> Option<Wish> {
        let mapping = Mapping {
            addr,
            protocol,
            external: None,
            leased_until: Instant::ZERO,
            given: None,
            asking: false,
            leaving: false,
            failures: 0,
            armed: None,
        };
        self.wanted.insert(local, mapping);
        self.ask(local)
    }

    fn ask(&mut self, local: LocalId) -> Option<Wish> {
        let mapping = self.wanted.get_mut(&local).filter(|mapping| !mapping.asking)?;
        mapping.asking = true;
        let work = Work::MapPort {
            local,
            protocol: mapping.protocol,
            internal: mapping.addr,
            external: mapping.given.unwrap_or(mapping.addr.port()),
            lease: if mapping.leaving { Duration::ZERO } else { LEASE },
        };
        Some(Wish { local, work })
    }

    /// Gives a port back; one that was never given is just forgotten.
    fn leave(&mut self, local: LocalId) -> Option<Wish> {
        let mapping = self.wanted.get_mut(&local)?;
        self.timers.disarm(local, &mut mapping.armed);
        if mapping.given.is_none() && !mapping.asking {
            self.wanted.remove(&local);
            return None;
        }
        mapping.leaving = true;
        self.ask(local)
    }

    /// The router's answer; what is to be asked next, if anything is at once.
    fn on_answer(&mut self, now: Instant, local: LocalId, outcome: &Outcome) -> Option<Wish> {
        let mapping = self.wanted.get_mut(&local)?;
        mapping.asking = false;
        let pause = if let Some((external, lease)) = given(outcome) {
            mapping.failures = 0;
            mapping.external = Some(external);
            mapping.leased_until = now + lease;
            mapping.given = Some(external.port());
            // Half of it: there is time for another try.
            lease.clamp(LEASE_MIN, LEASE) / 2
        } else if mapping.leaving {
            self.wanted.remove(&local);
            return None;
        } else {
            // A renewal that fails takes nothing away before the lease ends.
            mapping.external = mapping.external.filter(|_| now < mapping.leased_until);
            let doubled = RETRY_FIRST * (1 << u32::from(mapping.failures.min(8)));
            mapping.failures = mapping.failures.saturating_add(1);
            doubled.min(RETRY_MAX)
        };
        if mapping.leaving {
            return self.ask(local);
        }
        let jitter_ms = self.rng.below(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX) / 8 + 1);
        let at = now + pause.saturating_sub(Duration::from_millis(jitter_ms));
        self.timers.arm(local, &mut mapping.armed, Some(at));
        None
    }

    fn due(&mut self, now: Instant) -> Vec<Wish> {
        let mut wishes = Vec::new();
        while let Some(local) = self.timers.pop_due(now) {
            if let Some(mapping) = self.wanted.get_mut(&local) {
                mapping.armed = None;
            }
            wishes.extend(self.ask(local));
        }
        wishes
    }

    /// The port that peers on the Internet call, where it isn't our own.
    fn external_port(&self) -> Option<u16> {
        let of_links = |mapping: &&Mapping| mapping.protocol == PortProtocol::Tcp;
        self.wanted.values().filter(of_links).find_map(|mapping| mapping.external).map(|addr| addr.port())
    }
}

impl Engine {
    /// The ports that the router lets peers in by: our address and the one outside.
    pub fn mapped_ports(&self) -> Vec<(PortProtocol, SocketAddr, SocketAddr)> {
        let all = self.ports.wanted.values();
        all.filter_map(|mapping| Some((mapping.protocol, mapping.addr, mapping.external?))).collect()
    }

    /// A socket is bound: its port is asked for, if a router can stand before it. IPv6 has no translation, and nobody
    /// outside reaches the loopback.
    pub(super) fn map_port(&mut self, local: LocalId, addr: SocketAddr, kind: SocketKind) {
        let protocol = match kind {
            SocketKind::TcpListener => PortProtocol::Tcp,
            SocketKind::Udp => PortProtocol::Udp,
            SocketKind::Multicast | SocketKind::UdpAssociate(_) => return,
        };
        let behind = addr.is_ipv4() && !addr.ip().is_loopback() && self.config.proxy.is_none();
        // Who can't be called listens nowhere: a socket for questions alone needs no way in.
        if behind && self.config.port_mapping && self.listens_at(addr.port()) {
            let wish = self.ports.on_bound(local, addr, protocol);
            self.ask_router(wish);
        }
    }

    pub(super) fn unmap_port(&mut self, local: LocalId) {
        let wish = self.ports.leave(local);
        self.ask_router(wish);
    }

    pub(super) fn unmap_all(&mut self) {
        let all: Vec<LocalId> = self.ports.wanted.keys().copied().collect();
        all.into_iter().for_each(|local| self.unmap_port(local));
    }

    pub(super) fn on_ports_alarm(&mut self, now: Instant) {
        self.armed.ports = None;
        for wish in self.ports.due(now) {
            self.ask_router(Some(wish));
        }
    }

    pub(super) fn on_port_answer(&mut self, now: Instant, local: LocalId, outcome: &Outcome) {
        if let Some((external, lease)) = given(outcome) {
            tracing::info!(%external, ?lease, "the router lets peers in");
            if self.vote.on_told(external.ip(), Teller::Router) {
                self.host.on_external(self.vote.v4(), self.vote.v6());
            }
        } else if let Outcome::Failed(error) = outcome {
            tracing::debug!(%error, "the router maps no port");
        }
        let wish = self.ports.on_answer(now, local, outcome);
        self.ask_router(wish);
        self.host.on_mapped(self.ports.external_port());
        self.check_stopped();
    }

    fn ask_router(&mut self, wish: Option<Wish>) {
        if let Some(Wish { local, work }) = wish {
            self.job(Asker::Ports, Errand::MapPort(local), work);
        }
    }

    pub(super) fn arm_ports(&mut self) {
        let at = self.ports.deadline();
        self.timers.arm(Alarm::Ports, &mut self.armed.ports, at);
    }

    fn listens_at(&self, port: u16) -> bool {
        let listens = |(addr, kind): &(SocketAddr, SocketKind)| {
            *kind == SocketKind::TcpListener && addr.port() == port && matches!(addr.ip(), IpAddr::V4(_))
        };
        self.sockets.values().any(listens)
    }
}

/// What the router gave, if it did.
fn given(outcome: &Outcome) -> Option<(SocketAddr, Duration)> {
    let &Outcome::Mapped { external, lease } = outcome else { return None };
    (!lease.is_zero()).then_some((external, lease))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::JobId;
    use crate::engine::{Command, Config, Effect, Event, HostError, HostErrorKind, Input};
    use alloc::string::String;

    struct World {
        engine: Engine,
        now: Instant,
    }

    const LISTENER: LocalId = LocalId(1);

    impl World {
        fn new(change: impl FnOnce(&mut Config)) -> Self {
            let mut config = Config::default();
            change(&mut config);
            Self { engine: Engine::new(config, [3; 32], Instant::ZERO), now: Instant::ZERO }
        }

        fn bound(&mut self, local: LocalId, addr: &str, kind: SocketKind) {
            let addr = addr.parse().unwrap();
            self.engine.handle_input(self.now, Input::Bound { local, addr, kind });
        }

        fn asked(&mut self) -> Vec<(JobId, u16, Duration)> {
            let mut asked = Vec::new();
            while let Some(effect) = self.engine.poll_effect() {
                if let Effect::Job { job, work: Work::MapPort { external, lease, .. } } = effect {
                    asked.push((job, external, lease));
                }
            }
            asked
        }

        fn done(&mut self, job: JobId, outcome: Outcome) {
            self.engine.handle_input(self.now, Input::Done { job, outcome });
        }

        fn mapped(&mut self, job: JobId, seconds: u64) {
            let lease = Duration::from_secs(seconds);
            self.done(job, Outcome::Mapped { external: "81.2.3.4:7001".parse().unwrap(), lease });
        }

        fn sleep(&mut self) -> Duration {
            let before = self.now;
            self.now = self.engine.poll_timeout().unwrap();
            self.engine.handle_timeout(self.now);
            self.now.saturating_since(before)
        }
    }

    #[test]
    fn a_port_is_asked_for_renewed_before_its_lease_ends_and_given_back_at_the_end() {
        let mut world = World::new(|_| ());
        world.bound(LISTENER, "0.0.0.0:6881", SocketKind::TcpListener);
        let (job, external, lease) = world.asked()[0];
        assert_eq!((external, lease), (6881, LEASE));
        world.mapped(job, 7200);
        let outside = "81.2.3.4:7001".parse().unwrap();
        assert_eq!(world.engine.mapped_ports()[0].2, outside);
        let slept = world.sleep();
        assert!(slept <= LEASE / 2 && slept >= LEASE / 4, "{slept:?}");
        let (job, external, _) = world.asked()[0];
        assert_eq!(external, 7001, "the same again");
        world.mapped(job, 7200);
        let by = world.now + Duration::from_secs(5);
        world.engine.command(world.now, Command::Stop { by }).unwrap();
        assert!(world.engine.poll_event().is_none_or(|event| !matches!(event, Event::Stopped)));
        let (job, _, lease) = world.asked()[0];
        assert_eq!(lease, Duration::ZERO);
        world.done(job, Outcome::Mapped { external: outside, lease: Duration::ZERO });
        assert!(
            core::iter::from_fn(|| world.engine.poll_event()).any(|event| matches!(event, Event::Stopped))
        );
    }

    #[test]
    fn a_router_that_says_no_is_asked_again_ever_later() {
        let mut world = World::new(|_| ());
        world.bound(LISTENER, "0.0.0.0:6881", SocketKind::TcpListener);
        let mut before = Duration::ZERO;
        for _ in 0..4 {
            let (job, ..) = world.asked()[0];
            let error = HostError { kind: HostErrorKind::Other, message: String::from("no router") };
            world.done(job, Outcome::Failed(error));
            let slept = world.sleep();
            assert!(slept > before, "{slept:?}");
            before = slept;
        }
        assert!(world.engine.mapped_ports().is_empty());
    }

    #[test]
    fn a_port_whose_renewal_failed_is_kept_until_its_lease_ends_and_given_back() {
        let mut world = World::new(|_| ());
        world.bound(LISTENER, "0.0.0.0:6881", SocketKind::TcpListener);
        let (job, ..) = world.asked()[0];
        world.mapped(job, 600);
        let start = world.now;
        while world.now <= start + Duration::from_secs(600) {
            assert_eq!(world.engine.mapped_ports().len(), 1, "it is leased still");
            world.sleep();
            for (job, external, _) in world.asked() {
                assert_eq!(external, 7001, "the same again");
                let error = HostError { kind: HostErrorKind::Other, message: String::from("silence") };
                world.done(job, Outcome::Failed(error));
            }
        }
        assert!(world.engine.mapped_ports().is_empty());
        world.engine.command(world.now, Command::Stop { by: world.now + Duration::from_secs(5) }).unwrap();
        let (_, external, lease) = world.asked()[0];
        assert_eq!((external, lease), (7001, Duration::ZERO));
    }

    #[test]
    fn a_lease_of_a_moment_makes_no_flood() {
        let mut world = World::new(|_| ());
        world.bound(LISTENER, "0.0.0.0:6881", SocketKind::TcpListener);
        let (job, ..) = world.asked()[0];
        world.mapped(job, 1);
        assert!(world.sleep() >= LEASE_MIN / 4);
    }

    #[test]
    fn nothing_is_asked_for_the_loopback_nor_ipv6_nor_behind_a_proxy_nor_when_it_is_off() {
        let asked = |addr, change: fn(&mut Config)| {
            let mut world = World::new(change);
            world.bound(LISTENER, addr, SocketKind::TcpListener);
            world.bound(LocalId(2), addr, SocketKind::Udp);
            world.asked().len()
        };
        assert_eq!(asked("0.0.0.0:6881", |_| ()), 2, "links and datagrams");
        assert_eq!(asked("127.0.0.1:6881", |_| ()), 0);
        assert_eq!(asked("[::]:6881", |_| ()), 0);
        assert_eq!(asked("0.0.0.0:6881", |config| config.port_mapping = false), 0);
        assert_eq!(asked("0.0.0.0:6881", |config| config.proxy = Some(crate::base::ProxyId(1))), 0);
        let mut world = World::new(|_| ());
        world.bound(LocalId(2), "0.0.0.0:5000", SocketKind::Udp);
        assert!(world.asked().is_empty(), "who listens nowhere needs no way in");
    }
}
