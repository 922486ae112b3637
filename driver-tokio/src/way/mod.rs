//! The ways out of this process: direct, from a chosen interface or address, or through a proxy. Whoever needs a link to
//! somewhere, a name's addresses or a socket for datagrams asks here, so that there is one place where a way can be
//! closed: with a proxy, none leads directly anywhere but to the proxy itself.

mod bind;
mod names;
mod relay;
mod tunnel;

pub(crate) use bind::Bind;
pub(crate) use relay::{News as RelayNews, Relay, RelaySocket};

use crate::SessionConfig;
use crate::error::StartError;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use millstream_core::base::ProxyId;
use millstream_core::wire::proxy_url::{ProxyKind, ProxyUrl};
pub(crate) use millstream_core::wire::socks5::Target;
use names::Names;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::sync::Mutex;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

/// What the engine calls the proxy of a session, which has one at most.
pub(crate) const PROXY: ProxyId = ProxyId(1);

/// How long one address may take to answer before the next is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a proxy may take for its side of the opening, the way behind it included.
const TUNNEL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a look-up of a name may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 8;

/// All of them.
pub(crate) struct Ways {
    bind: Option<Bind>,
    proxy: Option<ProxyUrl>,
    names: Mutex<Names>,
}

/// What a link to a server is to keep to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wish {
    /// Only addresses that pass. A name that the proxy looks up can't be judged here, and leads into the proxy's
    /// network, not into ours.
    pub(crate) only: Option<fn(IpAddr) -> bool>,
    /// From a socket's address, and so over its family.
    pub(crate) from: Option<IpAddr>,
}

/// A link that is open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) stream: TcpStream,
    /// The other end; unknown behind a proxy that looked up its name.
    pub(crate) remote: Option<SocketAddr>,
}

/// Why there is no link.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The name leads nowhere.
    Resolve(io::Error),
    /// No address passes [`Wish::only`].
    Private,
    /// Nobody answered, or the proxy said no.
    Connect(io::Error),
}

impl Ways {
    /// The ways of a session.
    pub(crate) fn new(config: &SessionConfig) -> Result<Self, StartError> {
        let proxy = config.proxy.as_deref().map(ProxyUrl::parse).transpose().map_err(StartError::Proxy)?;
        let wrong = |error| StartError::Bind(io::Error::new(io::ErrorKind::InvalidInput, error));
        let bind: Option<Bind> = config.bind.as_deref().map(str::parse).transpose().map_err(wrong)?;
        if let Some(bind) = &bind {
            // Said now rather than with every link.
            bind.addresses().map_err(StartError::Bind)?;
        }
        Ok(Self { bind, proxy, names: Mutex::default() })
    }

    /// The proxy, if everything goes through one.
    pub(crate) fn proxy(&self) -> Option<&ProxyUrl> {
        self.proxy.as_ref()
    }

    /// Whether datagrams have a way.
    pub(crate) fn relays(&self) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| proxy.kind == ProxyKind::Socks5)
    }

    /// What an interface or an address binds to.
    pub(crate) fn bind(&self) -> Option<&Bind> {
        self.bind.as_ref()
    }

    /// Begins a direct link, from where it has to come from. Refuses where everything goes through a proxy: whoever asks
    /// nevertheless is mistaken.
    pub(crate) fn begin(&self, to: SocketAddr) -> io::Result<TcpStream> {
        if self.proxy.is_some() {
            return Err(io::Error::other("no direct way where a proxy is set"));
        }
        let socket = self.socket(to, Type::STREAM, Protocol::TCP)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&to.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        TcpStream::from_std(socket.into())
    }

    /// A link to a target: through the proxy if there is one, else directly.
    pub(crate) async fn open(&self, target: &Target, wish: Wish) -> Result<Opened, OpenError> {
        match &self.proxy {
            Some(proxy) => self.open_behind(proxy, target, wish).await,
            None => self.open_direct(target, wish).await,
        }
    }

    /// The addresses of a host. Behind a proxy, a name gets a stand-in that only this process knows: the name itself is
    /// given to the proxy when something goes there.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        if self.proxy.is_some() {
            let target = Target::new(bare, port).ok_or(io::ErrorKind::InvalidInput)?;
            return Ok(vec![crate::lock(&self.names).stand_in(&target)]);
        }
        let found = timeout(RESOLVE_TIMEOUT, lookup_host((bare, port))).await;
        Ok(found.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??.collect())
    }

    /// The address of where something came from, as the engine knows it.
    pub(crate) fn stands_for(&self, target: &Target) -> SocketAddr {
        crate::lock(&self.names).stand_in(target)
    }

    /// What is to be asked of a proxy for an address: the name that it stands in for, or itself. `None` for a stand-in
    /// whose name was forgotten.
    pub(crate) fn target(&self, addr: SocketAddr) -> Option<Target> {
        crate::lock(&self.names).target(addr)
    }

    async fn open_behind(&self, proxy: &ProxyUrl, target: &Target, wish: Wish) -> Result<Opened, OpenError> {
        let remote = match target {
            Target::Addr(addr) => Some(*addr),
            Target::Name(..) => None,
        };
        if let (Some(only), Some(addr)) = (wish.only, remote)
            && !only(addr.ip())
        {
            return Err(OpenError::Private);
        }
        let opening = async {
            let mut stream = self.to_proxy(proxy).await?;
            tunnel::open(&mut stream, proxy, target).await?;
            Ok(stream)
        };
        let stream = timeout(TUNNEL_TIMEOUT, opening).await;
        let stream =
            stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(OpenError::Connect)?;
        Ok(Opened { stream, remote })
    }

    /// A link to the proxy itself: the only direct way where one is set. Its own name, if it has one, is the only one
    /// that is looked up here.
    async fn to_proxy(&self, proxy: &ProxyUrl) -> io::Result<TcpStream> {
        let addresses: Vec<SocketAddr> = match proxy.address() {
            Some(ip) => vec![SocketAddr::new(ip, proxy.port)],
            None => {
                let found = timeout(RESOLVE_TIMEOUT, lookup_host((proxy.host.as_str(), proxy.port))).await;
                found.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??.collect()
            }
        };
        let opened = self.first(addresses, None).await;
        opened
            .map(|(stream, _)| stream)
            .map_err(|error| io::Error::new(error.kind(), format!("{proxy}: {error}")))
    }

    async fn open_direct(&self, target: &Target, wish: Wish) -> Result<Opened, OpenError> {
        let mut addresses = match target {
            Target::Addr(addr) => vec![*addr],
            Target::Name(name, port) => self.resolve(name, *port).await.map_err(OpenError::Resolve)?,
        };
        if let Some(only) = wish.only {
            addresses.retain(|addr| only(addr.ip()));
            if addresses.is_empty() {
                return Err(OpenError::Private);
            }
        }
        let found = self.first(addresses, wish.from).await;
        found.map(|(stream, addr)| Opened { stream, remote: Some(addr) }).map_err(OpenError::Connect)
    }

    /// The first of these addresses that answers.
    async fn first(
        &self,
        addresses: Vec<SocketAddr>,
        from: Option<IpAddr>,
    ) -> io::Result<(TcpStream, SocketAddr)> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no address of a family that can be used");
        let fits = |addr: &SocketAddr| from.is_none_or(|from| from.is_ipv4() == addr.is_ipv4());
        for addr in addresses.into_iter().filter(fits).take(ADDRESSES_MAX) {
            match timeout(CONNECT_TIMEOUT, self.connect(addr, from)).await {
                Ok(Ok(stream)) => return Ok((stream, addr)),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    async fn connect(&self, to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
        let socket = self.socket(to, Type::STREAM, Protocol::TCP)?;
        socket.set_tcp_nodelay(true)?;
        // Nothing but this host is reached from its loopback, and who listens there alone may still ask others.
        let leads = |from: &IpAddr| !from.is_unspecified() && (!from.is_loopback() || to.ip().is_loopback());
        if let Some(from) = from.filter(|from| self.bind.is_none() && leads(from)) {
            socket.bind(&SocketAddr::new(from, 0).into())?;
        }
        TcpSocket::from_std_stream(socket.into()).connect(to).await
    }

    /// A socket that isn't blocking, bound to where it has to come from.
    fn socket(&self, to: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(to), kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        if let Some(bind) = &self.bind {
            bind.attach(&socket)?;
            let from = bind.address(to.is_ipv4())?;
            socket.bind(&SocketAddr::new(from, 0).into())?;
        }
        Ok(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(change: impl FnOnce(&mut SessionConfig)) -> Ways {
        let mut config = SessionConfig::default();
        change(&mut config);
        Ways::new(&config).unwrap()
    }

    #[tokio::test]
    async fn with_a_proxy_no_direct_way_exists_and_no_name_is_looked_up() {
        let ways = ways(|config| config.proxy = Some("socks5://192.0.2.1".to_owned()));
        assert!(ways.begin("127.0.0.1:9".parse().unwrap()).is_err());
        let found = ways.resolve("tracker.invalid", 6969).await.unwrap();
        assert_eq!(found.len(), 1, "a stand-in");
        assert_eq!(ways.target(found[0]), Target::new("tracker.invalid", 6969));
        let literal = ways.resolve("[2001:db8::1]", 7).await.unwrap();
        assert_eq!(literal, ["[2001:db8::1]:7".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_link_comes_from_the_address_that_was_bound() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let ways = ways(|config| config.bind = Some("127.0.0.7".to_owned()));
        let opened =
            ways.open(&Target::Addr(to), Wish::default()).await.map_err(|e| format!("{e:?}")).unwrap();
        let (_, from) = listener.accept().await.unwrap();
        assert_eq!(from.ip(), opened.stream.local_addr().unwrap().ip());
        assert_eq!(from.ip().to_string(), "127.0.0.7");
        let six = ways.open(&Target::Addr("[::1]:9".parse().unwrap()), Wish::default()).await;
        assert!(matches!(six, Err(OpenError::Connect(_))), "it has no address of that family");
    }
}
