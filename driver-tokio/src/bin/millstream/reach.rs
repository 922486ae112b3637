//! The flags that say how peers are found and reached, and what they set.

use clap::{ArgAction, ValueEnum};
use millstream::{Encryption, SessionBuilder, UtpUse};
use std::path::PathBuf;

/// How peers are found and reached.
#[derive(clap::Args, Debug)]
pub(crate) struct ReachArgs {
    /// Take no part in the DHT (BEP 5)
    #[arg(long)]
    no_dht: bool,
    /// Enter the DHT by this node, host:port; may be given again [default: the well-known ones]
    #[arg(long, value_name = "ADDR", value_parser = crate::rate::host_and_port)]
    dht_bootstrap: Vec<String>,
    /// Seek no peers in the local network (BEP 14)
    #[arg(long)]
    no_lsd: bool,
    /// Exchange no peers with peers (BEP 11)
    #[arg(long)]
    no_pex: bool,
    /// Fetch nothing from web seeds (BEP 19)
    #[arg(long)]
    no_web_seeds: bool,
    /// Links over uTP (BEP 29): beside TCP, not at all, or nothing else
    #[arg(long, value_name = "WHEN", default_value = "on")]
    utp: Utp,
    /// Encrypted links: never, where the other side can, or always
    #[arg(long, value_name = "WHEN", default_value = "prefer")]
    encryption: Encrypt,
    /// Everything goes through this proxy or not at all: socks5://[USER:PASSWORD@]HOST:PORT or http://…
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Use this interface or local address only, for all that goes out and comes in; names are looked up by the system, as
    /// ever
    #[arg(long, value_name = "IFACE|ADDR")]
    bind: Option<String>,
    /// Have nothing to do with the addresses in this list: eMule's, PeerGuardian's or CIDR lines
    #[arg(long, value_name = "FILE")]
    ip_filter: Option<PathBuf>,
    /// Ask the router to let peers in (UPnP, NAT-PMP, PCP)
    #[arg(long, value_name = "on|off", default_value = "on", action = ArgAction::Set, value_parser = on_or_off)]
    port_mapping: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Utp {
    On,
    Off,
    Only,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Encrypt {
    Off,
    Prefer,
    Require,
}

impl ReachArgs {
    /// The session's settings that follow. `only_peers`: nobody is sought.
    pub(crate) fn apply(&self, builder: SessionBuilder, only_peers: bool) -> SessionBuilder {
        builder.configure(|config| {
            let engine = &mut config.engine;
            engine.dht = !self.no_dht && !only_peers;
            engine.lsd = !self.no_lsd && !only_peers;
            engine.pex = !self.no_pex && !only_peers;
            engine.web_seeds = !self.no_web_seeds && !only_peers;
            engine.port_mapping = self.port_mapping && !only_peers;
            engine.utp = match self.utp {
                Utp::On => UtpUse::On,
                Utp::Off => UtpUse::Off,
                Utp::Only => UtpUse::Only,
            };
            engine.encryption = match self.encryption {
                Encrypt::Off => Encryption::Off,
                Encrypt::Prefer => Encryption::Prefer,
                Encrypt::Require => Encryption::Require,
            };
            if !self.dht_bootstrap.is_empty() {
                config.dht_bootstrap.clone_from(&self.dht_bootstrap);
            }
            config.proxy.clone_from(&self.proxy);
            config.bind.clone_from(&self.bind);
            config.ip_filter.clone_from(&self.ip_filter);
        })
    }
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("it is on or off".to_owned()),
    }
}
