//! The client against a small server on this host that says whatever a test wants.

use super::*;
use std::io::Write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LIMITS: Limits = Limits { bytes_max: 10_000, redirects_max: 3, timeout: Duration::from_secs(20) };

/// Serves each link with one answer, chosen by the path that it asks for.
async fn server(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = vec![0; 4096];
            let read = stream.read(&mut asked).await.unwrap_or(0);
            let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
            let path = asked.split(' ').nth(1).unwrap_or("").to_owned();
            // The client may have hung up by now.
            let _ = stream.write_all(&answer(&path)).await;
        }
    });
    addr
}

fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn the_path_arrives_as_it_was_written() {
    let addr = server(|path| ok("", path.as_bytes())).await;
    let url = format!("http://{addr}/announce?info_hash=%00%ff%2F&x=a b#part");
    let answer = get(&url, LIMITS).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"/announce?info_hash=%00%ff%2F&x=a%20b"[..]));
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let addr = server(|_| b"HTTP/1.1 200 OK\r\n\r\n".iter().copied().chain([b'x'; 10_001]).collect()).await;
    assert!(matches!(get(&format!("http://{addr}/"), LIMITS).await, Err(FetchError::TooLong(10_000))));
}

#[tokio::test]
async fn trackers_are_hostile_a_gzip_bomb_unpacks_no_further_than_allowed() {
    let addr = server(|path| {
        let bytes = if path == "/bomb" { vec![0; 10 << 20] } else { vec![7; 9_000] };
        let packed = gzip(&bytes);
        ok("Content-Encoding: gzip\r\n", &packed[..packed.len().min(LIMITS.bytes_max)])
    })
    .await;
    let bomb = get(&format!("http://{addr}/bomb"), LIMITS).await;
    assert!(matches!(bomb, Err(FetchError::TooLong(_))), "{bomb:?}");
    let fair = get(&format!("http://{addr}/fair"), LIMITS).await.unwrap();
    assert_eq!(fair.body, vec![7; 9_000]);
}

#[tokio::test]
async fn redirects_are_followed_so_often_and_no_further() {
    let addr = server(|path| match path {
        "/a/one" => b"HTTP/1.1 302 Found\r\nLocation: two?x\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "/a/two?x" => b"HTTP/1.1 301 Moved\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "/end" => ok("", b"end"),
        _ => b"HTTP/1.1 307 Again\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n".to_vec(),
    })
    .await;
    assert_eq!(get(&format!("http://{addr}/a/one"), LIMITS).await.unwrap().body, b"end");
    let round = get(&format!("http://{addr}/loop"), LIMITS).await;
    assert!(matches!(round, Err(FetchError::Redirects(3))), "{round:?}");
}

#[tokio::test]
async fn trackers_are_hostile_no_redirect_from_a_public_address_to_a_private_one() {
    for host in ["127.0.0.1", "10.1.2.3", "[::1]", "[::ffff:192.168.1.1]", "169.254.169.254", "[fd00::1]"] {
        let target = Target::parse(&format!("http://{host}:1/")).unwrap();
        let refused = connect(&target, Some(is_public)).await;
        assert!(matches!(refused, Err(FetchError::Private(_))), "{host}: {refused:?}");
    }
    for public in ["8.8.8.8", "2001:4860:4860::8888", "172.32.0.1", "100.128.0.1"] {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
}

#[tokio::test]
async fn trackers_are_hostile_a_public_servers_redirect_into_this_host_is_not_followed() {
    let secret = server(|_| ok("", b"secret")).await;
    let address = format!("http://127.0.0.2:{}/", secret.port());
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {address}\r\nContent-Length: 0\r\n\r\n");
    let lure = server(move |_| head.clone().into_bytes()).await;
    // As if this one address were on the Internet.
    let public = |ip: IpAddr| ip == IpAddr::from([127, 0, 0, 1]);
    let led = follow(&format!("http://{lure}/"), LIMITS, public).await;
    assert!(matches!(led, Err(FetchError::Private(_))), "{led:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let limits = Limits { timeout: Duration::from_millis(50), ..LIMITS };
    assert!(matches!(get(&url, limits).await, Err(FetchError::TimedOut)));
}

#[tokio::test]
async fn only_http_urls_are_fetched() {
    for url in ["ftp://a/", "file:///etc/passwd", "http:///x", "a", ""] {
        assert!(matches!(get(url, LIMITS).await, Err(FetchError::Url(_))), "{url}");
    }
}
