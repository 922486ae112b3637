//! Fuzz bodies of what stands between us and others: filter lists, and what proxies answer.

use core::net::IpAddr;
use millstream_core::wire::http_proxy::{HEAD_BYTES_MAX, read_answer};
use millstream_core::wire::ip_filter::{IpFilter, IpFilterLimits};
use millstream_core::wire::proxy_url::{Credentials, ProxyUrl};
use millstream_core::wire::socks5::{
    Request, Socks5, Step, Target, UDP_HEAD_BYTES_MAX, read_udp, write_udp_head,
};

/// A filter list: its ranges are in order, apart from each other, and forbid exactly what they hold.
pub fn ip_filter(data: &[u8]) {
    let limits = IpFilterLimits { ranges_max: 64, reports_max: 4 };
    let Ok(read) = IpFilter::read(data, &limits) else { return };
    assert!(read.filter.len() <= limits.ranges_max && read.bad.len() <= limits.reports_max);
    let lines = data.iter().filter(|&&b| b == b'\n').count() as u64 + 1;
    assert!(read.rules > 0 && read.rules + read.skipped <= lines, "each line is one thing");
    let mut before: Option<IpAddr> = None;
    for (first, last) in read.filter.ranges() {
        assert!(first <= last && before.is_none_or(|before| before < first), "in order, apart");
        assert!(read.filter.forbids(first) || first.to_canonical() != first, "the first is within");
        assert!(read.filter.forbids(last) || last.to_canonical() != last, "the last is within");
        before = Some(last);
    }
    let again = IpFilter::from_ranges(read.filter.ranges());
    assert!(again.len() <= read.filter.len());
}

/// A SOCKS5 proxy's answers, and a datagram from its relay: the conversation ends, and never wants much.
pub fn socks5_answer(data: &[u8]) {
    let Some((&mode, mut rest)) = data.split_first() else { return };
    let credentials =
        (mode & 1 == 1).then(|| Credentials { user: b"u".as_slice().into(), password: (*b"p").into() });
    let target = Target::new("a.test", 1).expect("a name");
    let request = if mode & 2 == 0 { Request::Connect(target) } else { Request::UdpAssociate };
    let (mut socks, _) = Socks5::start(request, credentials);
    for steps in 0.. {
        assert!(steps < 8, "it ends");
        let wants = socks.wants();
        assert!(wants <= 257, "it is bounded");
        let Some((bytes, after)) = rest.split_at_checked(wants).filter(|_| wants > 0) else { break };
        rest = after;
        match socks.on_received(bytes) {
            Ok(Step::Send(_) | Step::Read) => {}
            Ok(Step::Done(_)) | Err(_) => assert_eq!(socks.wants(), 0, "over is over"),
        }
    }
    if let Some((target, payload)) = read_udp(data) {
        let mut again = Vec::new();
        write_udp_head(&mut again, &target);
        assert!(again.len() <= UDP_HEAD_BYTES_MAX);
        again.extend_from_slice(payload);
        assert_eq!(read_udp(&again), Some((target, payload)), "a head comes back");
    }
}

/// The head of an HTTP proxy's answer: it is found at the same place however much of it has come.
pub fn http_proxy_answer(data: &[u8]) {
    let whole = read_answer(data);
    if let Ok(Some(end)) = whole {
        assert!(end <= data.len().min(HEAD_BYTES_MAX));
        assert!(data[..end].ends_with(b"\r\n\r\n"));
        assert_eq!(read_answer(&data[..end]), whole, "what follows doesn't matter");
        assert_eq!(read_answer(&data[..end - 1]), Ok(None), "not before its end");
    }
}

/// A proxy's URL: what it is shown as is read again as the same proxy, without the password.
pub fn proxy_url(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(mut proxy) = ProxyUrl::parse(text) else { return };
    proxy.credentials = None;
    assert_eq!(ProxyUrl::parse(&proxy.to_string()), Ok(proxy), "it is shown as it is");
}
