//! The router, asked to let peers in by a port: PCP, NAT-PMP, then UPnP. It owns what the router gave, so that it can be
//! renewed and given back in the same way. When that is asked is the engine's.

use crate::lock;
use crate::pool::failed;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::num::NonZeroU16;
use core::time::Duration;
use crab_nat::{InternetProtocol, PortMapping, PortMappingOptions, PortMappingType, TimeoutConfig, natpmp};
use igd_next::aio::Gateway;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{AddAnyPortError, AddPortError, PortMappingProtocol, SearchOptions};
use millstream_core::engine::{HostErrorKind, Outcome, PortProtocol};
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// What the router's list of ports says of ours.
const DESCRIPTION: &str = "millstream";

/// How long a router that speaks UPnP is sought, and how long one of them may take to answer.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(3);

/// How long all of an exchange may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(15);

/// Where routers are sought that speak UPnP.
const SSDP_PORT: u16 = 1900;

/// A port of ours.
type Key = (PortProtocol, u16);

/// What the router gave.
enum Given {
    /// By PCP or NAT-PMP.
    Leased(Box<PortMapping>),
    /// By UPnP: this port outside.
    Forwarded(Box<Gateway<Tokio>>, u16),
}

/// The router.
#[derive(Default)]
pub(crate) struct Router {
    /// Where it is, if the system's default route doesn't say.
    at: Option<Ipv4Addr>,
    given: Mutex<BTreeMap<Key, Given>>,
}

/// What is asked of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortWish {
    pub(crate) protocol: PortProtocol,
    pub(crate) internal: u16,
    /// The port outside that would be liked.
    pub(crate) external: u16,
    /// Zero gives the port back.
    pub(crate) lease: Duration,
}

impl Router {
    /// The router at this address, or the one that the default route leads to.
    pub(crate) fn new(at: Option<Ipv4Addr>) -> Self {
        Self { at, given: Mutex::default() }
    }

    /// Asks for a port, renews it or gives it back: where peers call, and for how long.
    pub(crate) async fn map(&self, wish: PortWish) -> Result<(SocketAddr, Duration), String> {
        let key = (wish.protocol, wish.internal);
        let before = lock(&self.given).remove(&key);
        let silent = || "the router doesn't answer".to_owned();
        if wish.lease.is_zero() {
            if let Some(given) = before {
                timeout(EXCHANGE_TIMEOUT, give_back(given, wish.protocol)).await.map_err(|_| silent())?;
            }
            return Ok((SocketAddr::from((Ipv4Addr::UNSPECIFIED, wish.external)), Duration::ZERO));
        }
        let asked = timeout(EXCHANGE_TIMEOUT, self.ask(wish, before.as_ref())).await;
        match asked.unwrap_or_else(|_| Err(silent())) {
            Ok((given, external, lease)) => {
                lock(&self.given).insert(key, given);
                Ok((external, lease))
            }
            Err(error) => {
                // What the router gave it may have still: it is given back at the end.
                if let Some(given) = before {
                    lock(&self.given).insert(key, given);
                }
                Err(error)
            }
        }
    }

    /// The same, as the answer to a job.
    pub(crate) async fn answer(&self, wish: PortWish) -> Outcome {
        match self.map(wish).await {
            Ok((external, lease)) => Outcome::Mapped { external, lease },
            Err(message) => failed(HostErrorKind::Other, &message),
        }
    }

    async fn ask(
        &self,
        wish: PortWish,
        before: Option<&Given>,
    ) -> Result<(Given, SocketAddr, Duration), String> {
        if let Some(Given::Forwarded(gateway, _)) = before {
            return forward((**gateway).clone(), wish).await;
        }
        let at = self.at.or_else(default_gateway);
        let leased = match at {
            Some(at) => lease(at, wish).await,
            None => Err("there is no default route".to_owned()),
        };
        match leased {
            Ok(done) => Ok(done),
            Err(first) => {
                let found = self.search().await;
                let forwarded = match found {
                    Ok(gateway) => forward(gateway, wish).await,
                    Err(error) => Err(error),
                };
                forwarded.map_err(|second| format!("{first}; UPnP: {second}"))
            }
        }
    }

    async fn search(&self) -> Result<Gateway<Tokio>, String> {
        let mut options = SearchOptions::default();
        if let Some(at) = self.at {
            options.broadcast_address = SocketAddr::from((at, SSDP_PORT));
            options.allowed_gateway_ips = vec![at.into()];
        }
        options.timeout = Some(SEARCH_TIMEOUT);
        options.single_search_timeout = Some(SEARCH_TIMEOUT);
        search_gateway(options).await.map_err(|error| error.to_string())
    }
}

/// By PCP, or NAT-PMP if the router knows that alone.
async fn lease(at: Ipv4Addr, wish: PortWish) -> Result<(Given, SocketAddr, Duration), String> {
    let client = local_address(SocketAddr::from((at, crab_nat::GATEWAY_PORT))).await?;
    let protocol = match wish.protocol {
        PortProtocol::Tcp => InternetProtocol::Tcp,
        PortProtocol::Udp => InternetProtocol::Udp,
    };
    let internal = NonZeroU16::new(wish.internal).ok_or("port 0")?;
    let quick = TimeoutConfig {
        initial_timeout: Duration::from_millis(250),
        max_retries: 3,
        max_retry_timeout: Some(Duration::from_secs(1)),
    };
    let options = PortMappingOptions {
        external_port: NonZeroU16::new(wish.external),
        lifetime_seconds: u32::try_from(wish.lease.as_secs()).ok(),
        timeout_config: Some(quick),
    };
    let given = PortMapping::new(at.into(), client, protocol, internal, options).await;
    let given = given.map_err(|error| error.to_string())?;
    let ip = match given.mapping_type() {
        PortMappingType::Pcp { external_ip, .. } => external_ip,
        PortMappingType::NatPmp => {
            let ip =
                natpmp::external_address(at.into(), Some(quick)).await.map_err(|error| error.to_string())?;
            ip.into()
        }
    };
    let external = SocketAddr::new(ip.to_canonical(), given.external_port().get());
    let lease = Duration::from_secs(u64::from(given.lifetime()));
    if lease.is_zero() {
        return Err("the router leases for no time".to_owned());
    }
    Ok((Given::Leased(Box::new(given)), external, lease))
}

/// By UPnP.
async fn forward(gateway: Gateway<Tokio>, wish: PortWish) -> Result<(Given, SocketAddr, Duration), String> {
    let ip = gateway.get_external_ip().await.map_err(|error| error.to_string())?;
    let local = SocketAddr::new(local_address(gateway.addr).await?, wish.internal);
    let protocol = upnp(wish.protocol);
    let mut seconds = u32::try_from(wish.lease.as_secs()).unwrap_or(u32::MAX);
    let mut done = gateway.add_port(protocol, wish.external, local, seconds, DESCRIPTION).await;
    if let Err(AddPortError::OnlyPermanentLeasesSupported) = done {
        // It is renewed all the same, and given back at the end.
        seconds = 0;
        done = gateway.add_port(protocol, wish.external, local, seconds, DESCRIPTION).await;
    }
    let port = match done {
        Ok(()) => wish.external,
        Err(AddPortError::PortInUse) => {
            let mut any = gateway.add_any_port(protocol, local, seconds, DESCRIPTION).await;
            if let Err(AddAnyPortError::OnlyPermanentLeasesSupported) = any {
                any = gateway.add_any_port(protocol, local, 0, DESCRIPTION).await;
            }
            any.map_err(|error| error.to_string())?
        }
        Err(error) => return Err(error.to_string()),
    };
    Ok((Given::Forwarded(Box::new(gateway), port), SocketAddr::new(ip, port), wish.lease))
}

/// A router that doesn't take it back forgets it when the lease ends.
async fn give_back(given: Given, protocol: PortProtocol) {
    let done = match given {
        Given::Leased(given) => given.try_drop().await.map_err(|(error, _)| error.to_string()),
        Given::Forwarded(gateway, port) => {
            gateway.remove_port(upnp(protocol), port).await.map_err(|error| error.to_string())
        }
    };
    if let Err(error) = done {
        tracing::debug!(error, "the router doesn't take a port back");
    }
}

fn upnp(protocol: PortProtocol) -> PortMappingProtocol {
    match protocol {
        PortProtocol::Tcp => PortMappingProtocol::TCP,
        PortProtocol::Udp => PortMappingProtocol::UDP,
    }
}

/// Our address on the way to the router. Nothing is sent.
async fn local_address(router: SocketAddr) -> Result<IpAddr, String> {
    let asked = async {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.connect(router).await?;
        socket.local_addr()
    };
    asked.await.map(|addr| addr.ip()).map_err(|error| error.to_string())
}

/// The router that the system's default route leads to.
fn default_gateway() -> Option<Ipv4Addr> {
    gateway_in(&std::fs::read_to_string("/proc/net/route").ok()?)
}

/// The table as Linux writes it: addresses in hexadecimal, in the order of the machine's bytes.
fn gateway_in(table: &str) -> Option<Ipv4Addr> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (_, destination, gateway) = (fields.next()?, fields.next()?, fields.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        (destination == "00000000" && gateway != 0).then(|| Ipv4Addr::from(gateway.to_ne_bytes()))
    })
}

#[cfg(test)]
mod tests;
