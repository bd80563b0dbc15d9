use super::*;

const ALLOWANCE: Allowance = Allowance {
    attempts: NonZeroUsize::new(10).unwrap(),
    per: Duration::from_secs(60),
};

fn at(seconds: u64) -> Moment {
    Moment::from_nanos(seconds * 1_000_000_000)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// How many attempts may be made and fail at this time.
fn tries(attempts: &FailedAttempts, from: &str, now: Moment) -> usize {
    let from = address(from);
    (0..1_000)
        .take_while(|_| {
            let may = attempts.check(from, now).is_ok();
            if may {
                attempts.failed(from, 1, now);
            }
            may
        })
        .count()
}

#[test]
fn an_address_may_fail_so_often_and_gets_its_attempts_back_evenly() {
    let attempts = FailedAttempts::new(ALLOWANCE);
    let from = address("192.0.2.7");
    assert_eq!(tries(&attempts, "192.0.2.7", at(100)), 10);
    assert_eq!(attempts.check(from, at(100)), Err(Duration::from_secs(6)));
    assert_eq!(attempts.check(from, at(105)), Err(Duration::from_secs(1)));
    assert_eq!(tries(&attempts, "192.0.2.7", at(106)), 1);
    assert_eq!(tries(&attempts, "192.0.2.7", at(166)), 10);
    // Another is not held up by this one.
    assert_eq!(tries(&attempts, "192.0.2.8", at(166)), 10);
}

#[test]
fn who_is_refused_uses_nothing_up() {
    let attempts = FailedAttempts::new(ALLOWANCE);
    let from = address("192.0.2.7");
    assert_eq!(tries(&attempts, "192.0.2.7", at(100)), 10);
    for _ in 0..10_000 {
        assert!(attempts.check(from, at(101)).is_err());
    }
    assert_eq!(attempts.check(from, at(106)), Ok(()));
}

#[test]
fn heavy_failures_never_bar_for_longer_than_the_whole_allowance() {
    let attempts = FailedAttempts::new(ALLOWANCE);
    let from = address("192.0.2.7");
    attempts.failed(from, u32::MAX, at(100));
    attempts.failed(from, u32::MAX, at(100));
    assert_eq!(attempts.check(from, at(100)), Err(Duration::from_secs(6)));
    attempts.failed(from, 5, at(200));
    attempts.failed(from, 5, at(200));
    assert_eq!(attempts.check(from, at(200)), Err(Duration::from_secs(6)));
}

#[test]
fn an_ipv6_network_is_one_address_and_ipv4_in_its_clothes_is_ipv4() {
    let attempts = FailedAttempts::new(ALLOWANCE);
    assert_eq!(tries(&attempts, "2001:db8::1", at(1)), 10);
    assert_eq!(tries(&attempts, "2001:db8::ffff:0:1", at(1)), 0);
    assert_eq!(tries(&attempts, "2001:db8:0:1::1", at(1)), 10);
    assert_eq!(tries(&attempts, "::ffff:192.0.2.9", at(1)), 10);
    assert_eq!(tries(&attempts, "192.0.2.9", at(1)), 0);
}

#[test]
fn memory_is_bounded_and_what_is_whole_again_makes_room() {
    let attempts = FailedAttempts::with_room(ALLOWANCE, NonZeroUsize::new(640).unwrap());
    let flood = |now| {
        for number in 0..10_000_u32 {
            attempts.failed(IpAddr::V4((0x0a00_0000 + number).into()), 1, now);
        }
    };
    flood(at(100));
    assert!(attempts.len() <= 640);
    assert!(attempts.uncounted() > 9_000);
    // Those that are counted stay so.
    let before = attempts.len();
    flood(at(101));
    assert_eq!(attempts.len(), before);
    attempts.failed(address("192.0.2.7"), 1, at(1_000));
    assert!(attempts.len() < before);
}
