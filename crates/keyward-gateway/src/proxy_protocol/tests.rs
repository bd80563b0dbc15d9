use super::*;
use crate::tls::tests::connection;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};
use tokio::io::AsyncWriteExt;

/// A block of version 2.
fn block(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = binary::SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

fn ends(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut body = Vec::new();
    for end in [source, destination] {
        match end.ip() {
            IpAddr::V4(address) => body.extend(address.octets()),
            IpAddr::V6(address) => body.extend(address.octets()),
        }
    }
    for end in [source, destination] {
        body.extend(end.port().to_be_bytes());
    }
    body
}

const V4: &str = "192.0.2.7:40000";

fn v4() -> Vec<u8> {
    ends(V4.parse().unwrap(), "198.51.100.1:443".parse().unwrap())
}

/// Reads `bytes` whole and as they grow: nothing is said before the end, and then the same whatever
/// stands behind.
#[track_caller]
fn check(bytes: &[u8], expected: Option<Option<&str>>) {
    let reading = read(bytes);
    match (expected, &reading) {
        (Some(source), Reading::Parsed(header)) => {
            assert_eq!(header.source.map(|s| s.to_string()).as_deref(), source);
            assert_eq!(header.source.is_some(), header.destination.is_some());
            assert_eq!(header.consumed, bytes.len());
            for length in 0..bytes.len() {
                assert_eq!(read(&bytes[..length]), Reading::NeedMore, "{length}");
            }
            let longer = [bytes, b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read(&longer), reading);
        }
        (None, Reading::Refused(_)) => {}
        (expected, reading) => panic!("{expected:?}: {reading:?} of {bytes:?}"),
    }
}

#[test]
fn lines_are_read() {
    for (line, source) in [
        ("PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n", Some(V4)),
        (
            "PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
            Some("0.0.0.0:0"),
        ),
        (
            "PROXY TCP6 2001:db8::7 ::1 1 2\r\n",
            Some("[2001:db8::7]:1"),
        ),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN what ever\r\n", None),
    ] {
        check(line.as_bytes(), Some(source));
    }
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(longest.len(), 107);
    check(longest.as_bytes(), Some(None));
}

#[test]
fn lines_of_another_form_are_refused() {
    let unknown = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    for line in [
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 192.0.2.7 198.51.100.1 40000 443\r\n",
        "PROXY  TCP4 192.0.2.7 198.51.100.1 40000 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 40000 443 \r\n",
        "PROXY TCP4 192.0.2.7  198.51.100.1 40000 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 40000 65536\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 40000 +443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 040000 443\r\n",
        "PROXY TCP4 192.0.2.07 198.51.100.1 40000 443\r\n",
        "PROXY TCP4 ::1 198.51.100.1 40000 443\r\n",
        "PROXY TCP6 192.0.2.7 ::1 40000 443\r\n",
        "PROXY TCP5 192.0.2.7 ::1 40000 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "PROXY TCP4 \u{661}92.0.2.7 198.51.100.1 40000 443\r\n",
        &unknown,
    ] {
        check(line.as_bytes(), None);
    }
}

#[test]
fn blocks_are_read() {
    let v6 = ends(
        "[2001:db8::7]:1".parse().unwrap(),
        "[::1]:2".parse().unwrap(),
    );
    let with_extra = [v4(), vec![0x01, 0, 2, b'h', b'2', 0x04, 0, 0]].concat();
    for (command, family, body, source) in [
        (0x21, 0x11, v4(), Some(V4)),
        (0x21, 0x11, with_extra.clone(), Some(V4)),
        (0x21, 0x21, v6, Some("[2001:db8::7]:1")),
        (0x21, 0x00, Vec::new(), None),
        (0x21, 0x31, vec![b'/'; 216], None),
        // Health checks: addresses and all else are skipped unread.
        (0x20, 0x00, Vec::new(), None),
        (0x20, 0x11, with_extra, None),
        (0x20, 0x77, vec![1, 2, 3], None),
    ] {
        check(&block(command, family, &body), Some(source));
    }
}

#[test]
fn blocks_of_another_form_are_refused() {
    let longer = |extra: &[u8]| [v4().as_slice(), extra].concat();
    for (command, family, body) in [
        (0x11, 0x11, v4()),
        (0x22, 0x11, v4()),
        // Datagrams don't come by a connection.
        (0x21, 0x12, v4()),
        (0x21, 0x41, v4()),
        (0x21, 0x11, v4()[..11].to_vec()),
        (0x21, 0x21, v4()),
        (0x21, 0x31, vec![b'/'; 215]),
        (0x21, 0x11, longer(&[1, 0])),
        (0x21, 0x11, longer(&[1, 0, 3, 0, 0])),
        (0x21, 0x11, longer(&[3, 0, 3, 0, 0, 0])),
        (0x21, 0x00, vec![0; HEADER_MAX]),
    ] {
        check(&block(command, family, &body), None);
    }
}

#[test]
fn a_checksum_must_be_right() {
    // The check value of CRC-32C.
    assert_eq!(binary::checksum(b"123456789", 9), 0xe306_9283);
    let body = [v4().as_slice(), &[3, 0, 4, 0, 0, 0, 0, 4, 0, 1, 0]].concat();
    let mut bytes = block(0x21, 0x11, &body);
    let start = 16 + 12 + 3;
    let sum = binary::checksum(&bytes, start).to_be_bytes();
    bytes[start..start + 4].copy_from_slice(&sum);
    check(&bytes, Some(Some(V4)));
    for place in [16, start, bytes.len() - 1] {
        let mut other = bytes.clone();
        other[place] ^= 1;
        check(&other, None);
    }
}

#[tokio::test]
async fn the_header_is_taken_and_no_byte_more() {
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n";
    for header in [header.to_vec(), block(0x21, 0x11, &v4())] {
        let (mut client, mut server) = connection().await;
        let sending = async {
            for byte in &header {
                client.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.write_all(b"hello").await.unwrap();
        };
        let ((), taken) = tokio::join!(sending, take(&mut server));
        assert_eq!(taken.unwrap().source, Some(V4.parse().unwrap()));
        let mut rest = [0; 5];
        server.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"hello");
    }
}

#[tokio::test]
async fn a_connection_without_a_header_is_refused() {
    let (mut client, mut server) = connection().await;
    client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let error = take(&mut server).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let (mut client, mut server) = connection().await;
    client.write_all(b"PROXY TCP4").await.unwrap();
    client.shutdown().await.unwrap();
    let error = take(&mut server).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

fn any_end() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<(Ipv4Addr, Ipv4Addr)>().prop_map(|(a, b)| (a.into(), b.into())),
        any::<(Ipv6Addr, Ipv6Addr)>().prop_map(|(a, b)| (a.into(), b.into())),
    ]
}

proptest! {
    #[test]
    fn nothing_that_comes_makes_it_fail(
        start in prop_oneof![
            Just(Vec::new()),
            Just(b"PROXY TCP4 ".to_vec()),
            Just([binary::SIGNATURE, &[0x21, 0x11]].concat()),
        ],
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [start, rest].concat();
        // What is decided once stays decided, and decided at the same byte.
        let whole = read(&bytes);
        for length in 0..=bytes.len() {
            match read(&bytes[..length]) {
                Reading::NeedMore => {}
                Reading::Parsed(header) => {
                    prop_assert!(header.consumed <= length);
                    prop_assert_eq!(&whole, &Reading::Parsed(header));
                }
                Reading::Refused(_) => prop_assert!(matches!(whole, Reading::Refused(_))),
            }
        }
    }

    #[test]
    fn what_a_balancer_writes_is_read_back(
        (source, destination) in any_end(), ports: (u16, u16),
    ) {
        let source = SocketAddr::new(source, ports.0);
        let destination = SocketAddr::new(destination, ports.1);
        let (word, family) = if source.is_ipv4() { ("TCP4", 0x11) } else { ("TCP6", 0x21) };
        let line = format!(
            "PROXY {word} {} {} {} {}\r\n",
            source.ip(), destination.ip(), ports.0, ports.1
        );
        for bytes in [line.into_bytes(), block(0x21, family, &ends(source, destination))] {
            prop_assert_eq!(read(&bytes), Reading::Parsed(Header {
                source: Some(source),
                destination: Some(destination),
                consumed: bytes.len(),
            }));
        }
    }
}
