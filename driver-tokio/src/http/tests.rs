//! The client against a small server on this host that says whatever a test wants.

use super::*;
use core::net::SocketAddr;
use std::io::Write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LIMITS: Limits = Limits { bytes_max: 10_000, redirects_max: 3, timeout: Duration::from_secs(20) };

fn ways() -> Ways {
    Ways::new(&crate::SessionConfig::default()).unwrap()
}

async fn fetch(url: &str, limits: Limits) -> Result<Answer, FetchError> {
    get(&ways(), None, url, limits).await
}

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
    let answer = fetch(&url, LIMITS).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"/announce?info_hash=%00%ff%2F&x=a%20b"[..]));
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let addr = server(|_| b"HTTP/1.1 200 OK\r\n\r\n".iter().copied().chain([b'x'; 10_001]).collect()).await;
    assert!(matches!(fetch(&format!("http://{addr}/"), LIMITS).await, Err(FetchError::TooLong(10_000))));
}

#[tokio::test]
async fn trackers_are_hostile_a_gzip_bomb_unpacks_no_further_than_allowed() {
    let addr = server(|path| {
        let bytes = if path == "/bomb" { vec![0; 10 << 20] } else { vec![7; 9_000] };
        let packed = gzip(&bytes);
        ok("Content-Encoding: gzip\r\n", &packed[..packed.len().min(LIMITS.bytes_max)])
    })
    .await;
    let bomb = fetch(&format!("http://{addr}/bomb"), LIMITS).await;
    assert!(matches!(bomb, Err(FetchError::TooLong(_))), "{bomb:?}");
    let fair = fetch(&format!("http://{addr}/fair"), LIMITS).await.unwrap();
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
    assert_eq!(fetch(&format!("http://{addr}/a/one"), LIMITS).await.unwrap().body, b"end");
    let round = fetch(&format!("http://{addr}/loop"), LIMITS).await;
    assert!(matches!(round, Err(FetchError::Redirects(3))), "{round:?}");
}

#[tokio::test]
async fn trackers_are_hostile_no_redirect_from_a_public_address_to_a_private_one() {
    for host in ["127.0.0.1", "10.1.2.3", "[::1]", "[::ffff:192.168.1.1]", "169.254.169.254", "[fd00::1]"] {
        let target = Target::parse(&format!("http://{host}:1/")).unwrap();
        let refused = connect(&ways(), &target, Wish { only: Some(is_public), from: None }).await;
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
    let led = follow((&ways(), Wish::default()), &format!("http://{lure}/"), LIMITS, public).await;
    assert!(matches!(led, Err(FetchError::Private(_))), "{led:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let limits = Limits { timeout: Duration::from_millis(50), ..LIMITS };
    assert!(matches!(fetch(&url, limits).await, Err(FetchError::TimedOut)));
}

#[tokio::test]
async fn only_http_urls_are_fetched() {
    for url in ["ftp://a/", "file:///etc/passwd", "http:///x", "a", ""] {
        assert!(matches!(fetch(url, LIMITS).await, Err(FetchError::Url(_))), "{url}");
    }
}

mod streams {
    //! Answers that stream, against a server that hears whole requests and keeps its links.

    use super::super::stream::{Kept, Stream, follow, open};
    use super::*;
    use millstream_core::base::Pool;
    use millstream_core::wire::http::{ContentRange, HttpRequest};
    use std::sync::Mutex;

    type Heard = Arc<Mutex<Vec<String>>>;

    /// Serves each request of each link by its path; tells the heads it heard, each with the number of its link.
    async fn keeping(answer: fn(&str) -> Vec<u8>) -> (SocketAddr, Heard) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let heard = Heard::default();
        let told = Arc::clone(&heard);
        tokio::spawn(async move {
            let mut links = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                links += 1;
                let (told, number) = (Arc::clone(&told), links);
                tokio::spawn(async move {
                    let mut head = vec![0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut head).await {
                        let head = String::from_utf8_lossy(&head[..read]).into_owned();
                        let path = head.split(' ').nth(1).unwrap_or("").to_owned();
                        told.lock().unwrap().push(format!("{number} {head}"));
                        if stream.write_all(&answer(&path)).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (addr, heard)
    }

    fn request(addr: SocketAddr, path: &str) -> HttpRequest {
        HttpRequest { url: format!("http://{addr}{path}"), range: Some((3, 9)), redirects_max: 3 }
    }

    async fn body(stream: &mut Stream) -> Vec<u8> {
        let (buffers, mut body) = (Pool::new(8, 4), Vec::new());
        while let Some(chunk) = stream.next(&buffers, usize::MAX).await.unwrap() {
            assert!(chunk.len() <= 8);
            body.extend_from_slice(&chunk);
        }
        body
    }

    fn answers(path: &str) -> Vec<u8> {
        match path {
            "/moved" => b"HTTP/1.1 302 Found\r\nLocation: part\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "/packed" => ok("Content-Encoding: gzip\r\n", b"x"),
            "/busy" => {
                b"HTTP/1.1 503 Busy\r\nRetry-After: 30\r\nContent-Length: 20\r\n\r\nway too much to do no"
                    .to_vec()
            }
            "/garbled" => {
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nno number\r\n"
                    .to_vec()
            }
            "/broken" => b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nten bytes.".to_vec(),
            _ => [
                &b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 3-22/100\r\nContent-Length: 20\r\n\r\n"[..],
                b"0123456789abcdefghij",
            ]
            .concat(),
        }
    }

    #[tokio::test]
    async fn a_range_is_asked_for_as_it_is_and_the_link_is_used_again() {
        let (addr, heard) = keeping(answers).await;
        let kept = Kept::default();
        for _ in 0..3 {
            let mut stream = open(&ways(), &request(addr, "/part"), &kept).await.unwrap();
            let range = ContentRange { first: 3, last: 22, total: Some(100) };
            assert_eq!(
                (stream.head.status, stream.head.length, stream.head.range),
                (206, Some(20), Some(range))
            );
            assert_eq!(body(&mut stream).await, b"0123456789abcdefghij");
        }
        let heard = heard.lock().unwrap();
        assert!(heard.iter().all(|head| head.starts_with("1 ")), "one link for all: {heard:?}");
        let head = heard[0].to_ascii_lowercase();
        assert!(head.contains("range: bytes=3-9\r\n") && head.contains("accept-encoding: identity\r\n"));
    }

    #[tokio::test]
    async fn a_body_that_breaks_right_after_some_bytes_is_no_whole_one() {
        let (addr, _) = keeping(answers).await;
        let mut stream = open(&ways(), &request(addr, "/garbled"), &Kept::default()).await.unwrap();
        let buffers = Pool::new(8, 4);
        assert_eq!(stream.next(&buffers, usize::MAX).await.unwrap().as_deref(), Some(&b"01234567"[..]));
        // The break is there now, behind two bytes.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(stream.next(&buffers, usize::MAX).await.unwrap().as_deref(), Some(&b"89"[..]));
        assert!(stream.next(&buffers, usize::MAX).await.is_err());
    }

    #[tokio::test]
    async fn a_body_that_is_not_read_whole_costs_its_link() {
        let (addr, heard) = keeping(answers).await;
        let kept = Kept::default();
        drop(open(&ways(), &request(addr, "/part"), &kept).await.unwrap());
        let mut stream = open(&ways(), &request(addr, "/moved"), &kept).await.unwrap();
        assert_eq!((stream.head.status, body(&mut stream).await.len()), (206, 20));
        assert!(heard.lock().unwrap()[1].starts_with("2 "));
    }

    #[tokio::test]
    async fn heads_say_why_there_is_no_body_and_packed_ones_are_refused() {
        let (addr, _) = keeping(answers).await;
        let kept = Kept::default();
        let stream = open(&ways(), &request(addr, "/busy"), &kept).await.unwrap();
        assert_eq!((stream.head.status, stream.head.retry_after), (503, Some(Duration::from_secs(30))));
        assert!(matches!(
            open(&ways(), &request(addr, "/packed"), &kept).await,
            Err(FetchError::Http { .. })
        ));
    }

    #[tokio::test]
    async fn redirects_are_bounded_and_lead_nobody_into_a_private_network() {
        let (round, _) =
            keeping(|_| b"HTTP/1.1 301 Moved\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n".to_vec())
                .await;
        let kept = Kept::default();
        assert!(matches!(open(&ways(), &request(round, "/"), &kept).await, Err(FetchError::Redirects(3))));
        let (lure, _) = keeping(|path| match path {
            "/" => b"HTTP/1.1 301 Moved\r\nLocation: //127.0.0.2:1/\r\nContent-Length: 0\r\n\r\n".to_vec(),
            _ => ok("", b"x"),
        })
        .await;
        // As if this one address were on the Internet.
        let public = |ip: IpAddr| ip == IpAddr::from([127, 0, 0, 1]);
        let led = follow(&ways(), &request(lure, "/"), &kept, public).await;
        assert!(matches!(led.map(|stream| stream.head), Err(FetchError::Private(_))));
    }
}
