//! A session's settings: the driver's own beside the engine's.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use millstream_core::engine::{Allocation, Config};
use std::path::PathBuf;

/// Settings of a session.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The engine's settings. `check_jobs_max` becomes at least twice the threads of the pool.
    pub engine: Config,
    /// Where to listen, for links and for datagrams alike. Port 0 lets the system choose one, the same for all.
    /// Empty: nobody can reach us. Default: port 6881 on all addresses, IPv4 and IPv6.
    pub listen: Vec<SocketAddr>,
    /// How many following ports are tried where one is taken. Default 20.
    pub listen_tries_max: u16,
    /// The folder for torrents that name none. Default: the current one.
    pub folder: PathBuf,
    /// How space is set aside for torrents that don't say. Default: sparse.
    pub allocation: Allocation,
    /// Where resume data is kept. `None` is `$XDG_STATE_HOME/millstream`, or `~/.local/state/millstream`.
    pub state_folder: Option<PathBuf>,
    /// Whether resume data is kept and used at all. Default: yes.
    pub keep_resume: bool,
    /// Files open at once for torrents; the one unused for longest is closed. Fewer cost time in torrents of many
    /// files. Default 128.
    pub open_files_max: usize,
    /// Threads for disk and digests; 0 is one per core. Default 0.
    pub pool_threads: usize,
    /// Bytes of the largest receive buffer. Larger ones save calls on fast links and cost memory. Default 256 KiB.
    pub receive_bytes_max: usize,
    /// Whether stored bytes go by `sendfile` to peers on this host too, as they always do to others: for tests, and
    /// for measuring. Over the loopback it costs more than reading and writing. Linux only. Default: no.
    pub sendfile_locally: bool,
    /// Torrent files longer than this aren't read or fetched. Bytes. Default 64 MiB.
    pub torrent_file_bytes_max: usize,
    /// Events that wait for one reader of a stream. Beyond it, those that may be dropped are. Default 1024.
    pub events_max: usize,
    /// How long fetching a torrent file may take. Default 60 s.
    pub fetch_timeout: Duration,
    /// Nodes by which the DHT is entered, as host:port. They count, not `engine.dht_node.bootstrap_nodes`, whose place they
    /// take also where they are none. Default: the well-known ones.
    pub dht_bootstrap: Vec<String>,
    /// Everything goes through this proxy or not at all: `socks5://[user:password@]host:port` or `http://…`. Nothing
    /// listens then, and no name is looked up. Default: none.
    pub proxy: Option<String>,
    /// The router to ask for a port, over IPv4. Default: the one of the system's default route; over UPnP, any.
    pub router: Option<Ipv4Addr>,
    /// The interface or local address that everything goes out of and comes in by, but for the system's questions to name
    /// servers. Default: the system chooses.
    pub bind: Option<String>,
    /// A list of addresses to have nothing to do with. Default: none.
    pub ip_filter: Option<PathBuf>,
    /// The engine's chance, as secret as a key; `None` asks the operating system. Only tests set it.
    pub seed: Option<[u8; 32]>,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            engine: Config::default(),
            listen: vec![
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, 6881)),
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, 6881)),
            ],
            listen_tries_max: 20,
            folder: PathBuf::from("."),
            allocation: Allocation::default(),
            state_folder: None,
            keep_resume: true,
            open_files_max: 128,
            pool_threads: 0,
            receive_bytes_max: 256 << 10,
            sendfile_locally: false,
            torrent_file_bytes_max: 64 << 20,
            events_max: 1024,
            fetch_timeout: Duration::from_secs(60),
            dht_bootstrap: [
                "router.bittorrent.com:6881",
                "dht.transmissionbt.com:6881",
                "dht.libtorrent.org:25401",
            ]
            .map(str::to_owned)
            .to_vec(),
            proxy: None,
            bind: None,
            router: None,
            ip_filter: None,
            seed: None,
        }
    }
}
