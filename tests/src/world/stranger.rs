//! A scripted peer: it says what a story wants it to say, and keeps what it hears. Its links are the world's.

use super::HostId;
use super::World;
use super::network::End;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use millstream_core::base::{Chunk, Rng};
use millstream_core::engine::LinkEnd;
use millstream_core::link::{Lobby, Next};
use millstream_core::mse::{Crypt, exchange};
use millstream_core::wire::extension::ExtensionHandshake;
use millstream_core::wire::handshake::{Feature, HANDSHAKE_BYTES, Handshake, Reserved};
use millstream_core::wire::message::Message;
use millstream_core::wire::mse::Levels;
use millstream_core::wire::{InfoHash, PeerId};

/// One link of a scripted peer.
#[derive(Debug)]
pub struct Stranger {
    wire: usize,
    side: usize,
    heard: Vec<u8>,
    /// The handshake it heard.
    pub handshake: Option<Handshake>,
    /// What its stream is under.
    crypt: Option<Box<Crypt>>,
}

/// All that we speak.
pub fn all_features() -> Reserved {
    Reserved::NONE.with(Feature::Extensions).with(Feature::Fast)
}

impl World {
    /// A new address that calls can be made from and to.
    pub fn stranger_addr(&mut self) -> SocketAddr {
        self.strangers += 1;
        let [_, _, high, low] = self.strangers.to_be_bytes();
        let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(72, 10 + high, low, 9)), 5555);
        self.callable.insert(addr, Vec::new());
        addr
    }

    /// Calls a host from this address, and says a handshake with these features.
    pub fn call(&mut self, from: SocketAddr, host: HostId, hash: InfoHash, reserved: Reserved) -> Stranger {
        let mut stranger = self.call_silently(from, host);
        stranger.say_handshake(self, hash, reserved);
        stranger
    }

    /// Calls a host from this address and says nothing.
    pub fn call_silently(&mut self, from: SocketAddr, host: HostId) -> Stranger {
        let now = self.now;
        let conn = self.hosts[host.0].accept(now, from).expect("the story's host takes the link");
        self.called(host.0);
        let wire = self.lay(Duration::ZERO, [End::Stranger, End::Host { host: host.0, conn }]);
        self.settle();
        Stranger::at(wire, 0)
    }

    /// Calls a host from this address, encrypted at one of these levels. The stranger's handshake is said; the host's may
    /// be heard.
    pub fn call_encrypted(
        &mut self,
        from: SocketAddr,
        host: HostId,
        hello: &Handshake,
        levels: Levels,
    ) -> Stranger {
        let mut stranger = self.call_silently(from, host);
        let rng = Rng::new([stranger.wire as u8; 32]);
        let (mut lobby, mut answer) = Lobby::calling(hello, levels, rng).expect("this build encrypts");
        for _ in 0..1000 {
            if !answer.say.is_empty() {
                stranger.say_bytes(self, &answer.say);
            }
            answer = match answer.then {
                Next::Exchange(job) => lobby.on_exchanged(&exchange(&job)),
                Next::Wait | Next::Named(_) => {
                    self.run(Duration::from_millis(10));
                    lobby.on_received(Chunk::from(stranger.hear_bytes(self)))
                }
                Next::Known(_) => break,
                Next::Fault(fault) => panic!("a host that takes encrypted links: {fault}"),
            };
        }
        while let Some(more) = Some(stranger.hear_bytes(self)).filter(|more| !more.is_empty()) {
            let _ = lobby.on_received(Chunk::from(more));
        }
        let (handshake, rest) = lobby.take_whole().expect("the host answers with its handshake");
        stranger.handshake = Some(handshake);
        stranger.heard = rest.to_vec();
        stranger.crypt = lobby.into_crypt();
        stranger
    }

    /// Whether a call to a stranger waits for its answer.
    pub fn is_called(&self, addr: SocketAddr) -> bool {
        self.callable.get(&addr).is_some_and(|calls| !calls.is_empty())
    }

    /// The next link that a host opened to this address, if one did.
    pub fn answer(&mut self, addr: SocketAddr) -> Option<Stranger> {
        let calls = self.callable.get_mut(&addr)?;
        let wire = if calls.is_empty() { None } else { Some(calls.remove(0)) }?;
        Some(Stranger::at(wire, 1))
    }
}

impl Stranger {
    fn at(wire: usize, side: usize) -> Self {
        Self { wire, side, heard: Vec::new(), handshake: None, crypt: None }
    }

    /// Says these bytes, encrypted if its link is.
    pub fn say_bytes(&mut self, world: &mut World, bytes: &[u8]) {
        let bytes = match &mut self.crypt {
            Some(crypt) => crypt.encrypt(Chunk::copy_from(bytes)).to_vec(),
            None => bytes.to_vec(),
        };
        world.wires[self.wire].streams[1 - self.side].outgoing.push(bytes);
        world.pump(self.wire, self.side);
        world.settle();
        world.run(Duration::from_millis(1));
    }

    /// Says a handshake.
    pub fn say_handshake(&mut self, world: &mut World, info_hash: InfoHash, reserved: Reserved) {
        let mut peer_id = *b"-XX0001-000000000000";
        peer_id[12..].copy_from_slice(&(self.wire as u64).to_be_bytes());
        let handshake = Handshake { reserved, info_hash, peer_id: PeerId(peer_id) };
        self.say_bytes(world, &handshake.encode());
    }

    /// Says a message.
    pub fn say(&mut self, world: &mut World, message: Message<'_>) {
        let mut out = Vec::new();
        message.encode(&mut out);
        self.say_bytes(world, &out);
    }

    /// Says an extension handshake.
    pub fn say_extensions(&mut self, world: &mut World, handshake: &ExtensionHandshake) {
        self.say(world, Message::Extended { id: 0, payload: &handshake.encode() });
    }

    /// Breaks the link.
    pub fn hang_up(self, world: &mut World) {
        world.cut_wire(self.wire, LinkEnd::Reset);
        world.settle();
    }

    /// Whether the host's end of the link is closed.
    pub fn is_closed(&self, world: &World) -> bool {
        world.wires[self.wire].ends[1 - self.side] == End::Gone
    }

    /// The bytes heard since last asked, decrypted if its link is encrypted.
    pub fn hear_bytes(&mut self, world: &mut World) -> Vec<u8> {
        let bytes = world.wires[self.wire].streams[self.side].unread.take_all();
        world.pump(self.wire, 1 - self.side);
        world.settle();
        match &mut self.crypt {
            Some(crypt) => crypt.decrypt(Chunk::from(bytes)).to_vec(),
            None => bytes,
        }
    }

    /// The messages heard since last asked, whole frames without their length; the handshake is kept aside.
    pub fn hear(&mut self, world: &mut World) -> Vec<Vec<u8>> {
        let bytes = self.hear_bytes(world);
        self.heard.extend_from_slice(&bytes);
        if self.handshake.is_none() && self.heard.len() >= HANDSHAKE_BYTES {
            let head: Vec<u8> = self.heard.drain(..HANDSHAKE_BYTES).collect();
            self.handshake = Handshake::parse(&head).ok().and_then(|partial| partial.whole());
        }
        let mut frames = Vec::new();
        while let (true, Some(prefix)) = (self.handshake.is_some(), self.heard.first_chunk::<4>()) {
            let length = u32::from_be_bytes(*prefix) as usize;
            if self.heard.len() < 4 + length {
                break;
            }
            let frame: Vec<u8> = self.heard.drain(..4 + length).skip(4).collect();
            if !frame.is_empty() {
                frames.push(frame);
            }
        }
        frames
    }

    /// Lets time pass, and tells what was heard meanwhile.
    pub fn listen(&mut self, world: &mut World, time: Duration) -> Vec<Vec<u8>> {
        let end = world.now + time;
        let mut frames = self.hear(world);
        while world.now < end {
            let left = end.saturating_since(world.now).min(Duration::from_millis(50));
            world.run(left);
            frames.extend(self.hear(world));
        }
        frames
    }
}

/// A frame as a message.
pub fn parse(frame: &[u8]) -> Message<'_> {
    Message::parse(frame[0], &frame[1..]).expect("our engine speaks well")
}
