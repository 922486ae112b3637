//! Routers on addresses of the loopback that say what a test wants.

use super::*;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const OUTSIDE: [u8; 4] = [81, 2, 3, 4];

fn wish(lease: u64) -> PortWish {
    PortWish {
        protocol: PortProtocol::Tcp,
        internal: 6881,
        external: 6881,
        lease: Duration::from_secs(lease),
    }
}

/// A router that speaks PCP, or NAT-PMP alone; what it was asked, by lifetime. A renewal for one second it refuses.
async fn leasing(at: Ipv4Addr, pcp: bool) -> Arc<Mutex<Vec<u32>>> {
    let socket = UdpSocket::bind((at, crab_nat::GATEWAY_PORT)).await.unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut buffer = [0; 1100];
        while let Ok((bytes, from)) = socket.recv_from(&mut buffer).await {
            let request = &buffer[..bytes];
            let answer = match (request[0], pcp) {
                (2, true) if request[4..8] == [0, 0, 0, 1] => {
                    let mut answer = pcp_answer(request, &log);
                    // NO_RESOURCES.
                    answer[3] = 8;
                    answer
                }
                (2, true) => pcp_answer(request, &log),
                (2, false) => vec![0, 128 + request[1], 0, 1, 0, 0, 0, 9],
                (0, _) => natpmp_answer(request, &log),
                _ => continue,
            };
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    asked
}

/// RFC 6887: the head of 24 bytes, then nonce, protocol, ports and the address outside.
fn pcp_answer(request: &[u8], log: &Mutex<Vec<u32>>) -> Vec<u8> {
    let lifetime: [u8; 4] = request[4..8].try_into().unwrap();
    lock(log).push(u32::from_be_bytes(lifetime));
    let mut answer = vec![2, 0x80 | request[1], 0, 0];
    answer.extend(lifetime);
    answer.extend([0, 0, 0, 9]);
    answer.extend([0; 12]);
    answer.extend(&request[24..40]);
    answer.extend(&request[40..42]);
    answer.extend(7001u16.to_be_bytes());
    answer.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]);
    answer.extend(OUTSIDE);
    answer
}

/// RFC 6886.
fn natpmp_answer(request: &[u8], log: &Mutex<Vec<u32>>) -> Vec<u8> {
    let mut answer = vec![0, 128 + request[1], 0, 0, 0, 0, 0, 9];
    if request[1] == 0 {
        answer.extend(OUTSIDE);
        return answer;
    }
    let lifetime: [u8; 4] = request[8..12].try_into().unwrap();
    lock(log).push(u32::from_be_bytes(lifetime));
    answer.extend(&request[4..6]);
    answer.extend(if lifetime == [0; 4] { [0, 0] } else { 7002u16.to_be_bytes() });
    answer.extend(lifetime);
    answer
}

/// A router that speaks UPnP; the actions that it was asked for.
async fn forwarding(at: Ipv4Addr) -> Arc<Mutex<Vec<String>>> {
    let http = TcpListener::bind((at, 0)).await.unwrap();
    let location = http.local_addr().unwrap();
    let search = UdpSocket::bind((at, SSDP_PORT)).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((_, from)) = search.recv_from(&mut buffer).await {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
                 LOCATION: http://{location}/root.xml\r\n\r\n"
            );
            search.send_to(answer.as_bytes(), from).await.unwrap();
        }
    });
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = http.accept().await {
            let mut buffer = vec![0; 16 << 10];
            let mut read = 0;
            // The head and the body may come apart.
            let request = loop {
                read += stream.read(&mut buffer[read..]).await.unwrap();
                let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                if text.starts_with("GET") || text.contains("Envelope>") {
                    break text;
                }
            };
            let body = upnp_answer(&request, &log);
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    asked
}

fn upnp_answer(request: &str, log: &Mutex<Vec<String>>) -> String {
    const SERVICE: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";
    if request.starts_with("GET /root.xml") {
        return format!(
            "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device><deviceType>\
             urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList><device><deviceType>\
             urn:schemas-upnp-org:device:WANDevice:1</deviceType><deviceList><device><deviceType>\
             urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><serviceList><service><serviceType>\
             {SERVICE}</serviceType><controlURL>/control</controlURL><SCPDURL>/scpd.xml</SCPDURL></service>\
             </serviceList></device></deviceList></device></deviceList></device></root>"
        );
    }
    if request.starts_with("GET /scpd.xml") {
        let action = |name: &str, arguments: &[&str]| {
            let argument =
                |name: &&str| format!("<argument><name>{name}</name><direction>in</direction></argument>");
            let arguments: String = arguments.iter().map(argument).collect();
            format!("<action><name>{name}</name><argumentList>{arguments}</argumentList></action>")
        };
        let add = [
            "NewRemoteHost",
            "NewExternalPort",
            "NewProtocol",
            "NewInternalPort",
            "NewInternalClient",
            "NewEnabled",
            "NewPortMappingDescription",
            "NewLeaseDuration",
        ];
        return format!(
            "<?xml version=\"1.0\"?><scpd xmlns=\"urn:schemas-upnp-org:service-1-0\"><actionList>{}{}{}\
             </actionList></scpd>",
            action("AddPortMapping", &add),
            action("DeletePortMapping", &add[..3]),
            action("GetExternalIPAddress", &[])
        );
    }
    let actions = ["AddPortMapping", "DeletePortMapping", "GetExternalIPAddress"];
    let action =
        actions.into_iter().find(|action| request.contains(&format!("#{action}\""))).unwrap_or("none");
    lock(log).push(action.to_owned());
    let inside = if action == "GetExternalIPAddress" {
        "<NewExternalIPAddress>81.2.3.4</NewExternalIPAddress>"
    } else {
        ""
    };
    format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
         <u:{action}Response xmlns:u=\"{SERVICE}\">{inside}</u:{action}Response></s:Body></s:Envelope>"
    )
}

#[tokio::test]
async fn pcp_gives_a_port_renews_it_and_takes_it_back() {
    let at = Ipv4Addr::new(127, 77, 0, 1);
    let asked = leasing(at, true).await;
    let router = Router::new(Some(at));
    let outside = SocketAddr::from((OUTSIDE, 7001));
    for _ in 0..2 {
        assert_eq!(router.map(wish(7200)).await, Ok((outside, Duration::from_secs(7200))));
    }
    assert_eq!(router.map(wish(0)).await.map(|(_, lease)| lease), Ok(Duration::ZERO));
    assert_eq!(*lock(&asked), [7200, 7200, 0]);
    assert!(router.map(wish(0)).await.is_ok(), "what was never given is given back already");
    assert_eq!(lock(&asked).len(), 3);
}

#[tokio::test]
async fn what_a_router_gave_is_given_back_though_its_renewal_failed() {
    let at = Ipv4Addr::new(127, 77, 0, 5);
    let asked = leasing(at, true).await;
    let router = Router::new(Some(at));
    assert!(router.map(wish(7200)).await.is_ok());
    assert!(router.map(wish(1)).await.is_err());
    assert!(router.map(wish(0)).await.is_ok());
    assert_eq!(lock(&asked).last(), Some(&0), "{asked:?}");
}

#[tokio::test]
async fn a_router_that_knows_nat_pmp_alone_is_asked_by_it() {
    let at = Ipv4Addr::new(127, 77, 0, 2);
    let asked = leasing(at, false).await;
    let router = Router::new(Some(at));
    let outside = SocketAddr::from((OUTSIDE, 7002));
    assert_eq!(router.map(wish(3600)).await, Ok((outside, Duration::from_secs(3600))));
    assert!(router.map(wish(0)).await.is_ok());
    assert_eq!(*lock(&asked), [3600, 0]);
}

#[tokio::test]
async fn without_both_upnp_is_tried_and_used_again_for_renewal() {
    let at = Ipv4Addr::new(127, 77, 0, 3);
    let asked = forwarding(at).await;
    let router = Router::new(Some(at));
    let outside = SocketAddr::from((OUTSIDE, 6881));
    for _ in 0..2 {
        assert_eq!(router.map(wish(7200)).await, Ok((outside, Duration::from_secs(7200))));
    }
    assert!(router.map(wish(0)).await.is_ok());
    let twice = ["GetExternalIPAddress", "AddPortMapping", "GetExternalIPAddress", "AddPortMapping"];
    assert_eq!(lock(&asked)[..], [&twice[..], &["DeletePortMapping"]].concat());
}

#[tokio::test]
async fn no_router_is_a_failure_within_bounds() {
    let router = Router::new(Some(Ipv4Addr::new(127, 77, 0, 4)));
    let error = router.map(wish(60)).await.unwrap_err();
    assert!(error.contains("UPnP"), "{error}");
}

#[test]
fn the_default_route_is_read_from_the_systems_table() {
    let table = "Iface\tDestination\tGateway\neth0\t0002000A\t00000000\neth0\t00000000\t010200C0\t0003\n";
    let expected = if cfg!(target_endian = "little") { [192, 0, 2, 1] } else { [1, 2, 0, 192] };
    assert_eq!(gateway_in(table), Some(Ipv4Addr::from(expected)));
    assert_eq!(gateway_in("Iface\n"), None);
}
