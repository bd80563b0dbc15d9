//! The addresses of a target: resolved in the background, all of them used, those that fail passed over.

use arc_swap::ArcSwapOption;
use keyward_model::{Clock, Moment};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How many of a name's addresses are used: a bound on what an answer full of them costs.
const ADDRESSES_MAX: usize = 32;
/// An address that could not be connected to is tried last for so long.
const PASSED_OVER: Duration = Duration::from_secs(10);

/// What a target's name stands for.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    known: ArcSwapOption<Vec<KnownAddress>>,
    turn: AtomicU32,
    /// Raised when the addresses change, so that connections to old ones are noticed cheaply.
    generation: AtomicU32,
}

#[derive(Debug)]
struct KnownAddress {
    ip: IpAddr,
    /// Nanoseconds.
    passed_over_until: AtomicU64,
}

impl Addresses {
    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// How many there are; none for a target that is named by its address.
    pub(super) fn count(&self) -> usize {
        self.known.load().as_ref().map_or(0, |known| known.len())
    }

    /// Whether the target is still at this address.
    pub(super) fn has(&self, ip: IpAddr) -> bool {
        let known = self.known.load();
        known.as_ref().is_none_or(|known| {
            let ip = ip.to_canonical();
            known.iter().any(|address| address.ip == ip)
        })
    }

    /// The addresses in the order in which they are to be tried: another first each time, those that have
    /// failed lately last.
    pub(super) async fn in_turn(&self, host: &str, now: Moment) -> io::Result<Vec<IpAddr>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![ip.to_canonical()]);
        }
        if self.known.load().is_none() {
            self.resolve(host).await?;
        }
        let known = self.known.load();
        let known = known.as_ref().map_or(&[][..], |known| known.as_slice());
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
        let first = turn.checked_rem(known.len()).unwrap_or_default();
        let turned = known.iter().skip(first).chain(known.iter().take(first));
        let (well, failed): (Vec<_>, Vec<_>) = turned.partition(|address| {
            address.passed_over_until.load(Ordering::Relaxed) <= now.as_nanos()
        });
        Ok(well.iter().chain(&failed).map(|known| known.ip).collect())
    }

    /// No connection could be made to this address.
    pub(super) fn failed(&self, ip: IpAddr, now: Moment) {
        let known = self.known.load();
        let mut addresses = known.iter().flat_map(|known| known.iter());
        if let Some(address) = addresses.find(|address| address.ip == ip) {
            let until = now.plus(PASSED_OVER).as_nanos();
            address.passed_over_until.store(until, Ordering::Relaxed);
        }
    }

    /// Asks what the name stands for now. When nobody can say, what was known stays.
    pub(super) async fn resolve(&self, host: &str) -> io::Result<()> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        self.replace(found.map(|address| address.ip()), host)
    }

    pub(super) fn replace(
        &self,
        found: impl Iterator<Item = IpAddr>,
        host: &str,
    ) -> io::Result<()> {
        let mut ips: Vec<IpAddr> = Vec::new();
        for ip in found.map(|ip| ip.to_canonical()) {
            if ips.len() < ADDRESSES_MAX && !ips.contains(&ip) {
                ips.push(ip);
            }
        }
        if ips.is_empty() {
            let why = format!("the name {host} has no address");
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        let before = self.known.load();
        let before = before.as_ref().map_or(&[][..], |known| known.as_slice());
        let of = |ip: &IpAddr| before.iter().find(|address| address.ip == *ip);
        if before.len() == ips.len() && ips.iter().all(|ip| of(ip).is_some()) {
            return Ok(());
        }
        let known = ips.iter().map(|ip| KnownAddress {
            ip: *ip,
            passed_over_until: AtomicU64::new(
                of(ip).map_or(0, |known| known.passed_over_until.load(Ordering::Relaxed)),
            ),
        });
        self.known.store(Some(Arc::new(known.collect())));
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// Keeps a name's addresses fresh until the task is stopped.
pub(super) async fn keep_fresh(
    state: Arc<super::state::TargetState>,
    host: Box<str>,
    interval: Duration,
    clock: Arc<dyn Clock>,
) {
    loop {
        let resolved = tokio::time::timeout(interval, state.addresses.resolve(&host)).await;
        let failure = match resolved {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {interval:?}")),
        };
        if let Some(failure) = failure {
            tracing::warn!(
                %host,
                "an upstream's name can't be resolved, and the addresses known before are used: {failure}"
            );
        }
        tokio::time::sleep(super::jittered(interval, clock.moment())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    #[tokio::test]
    async fn all_addresses_take_their_turn_and_one_that_fails_comes_last() {
        let addresses = Addresses::default();
        let all = ["192.0.2.1", "192.0.2.2", "2001:db8::3"].map(ip);
        addresses.replace(all.into_iter(), "a.test").unwrap();
        let mut firsts = Vec::new();
        for _ in 0..3 {
            firsts.push(addresses.in_turn("a.test", at(1)).await.unwrap()[0]);
        }
        assert_eq!(firsts, all);
        addresses.failed(all[0], at(1));
        for _ in 0..3 {
            let order = addresses.in_turn("a.test", at(2)).await.unwrap();
            assert_eq!((order.len(), order[2]), (3, all[0]));
        }
        let order = addresses.in_turn("a.test", at(12)).await.unwrap();
        assert_eq!(order[0], all[0]);
    }

    #[test]
    fn a_change_is_noticed_and_an_empty_answer_changes_nothing() {
        let addresses = Addresses::default();
        let resolve = |ips: &[&str]| addresses.replace(ips.iter().map(|text| ip(text)), "a.test");
        resolve(&["192.0.2.1", "192.0.2.2"]).unwrap();
        let first = addresses.generation();
        resolve(&["192.0.2.2", "192.0.2.1", "192.0.2.1"]).unwrap();
        assert!(resolve(&[]).is_err());
        assert_eq!(addresses.generation(), first);
        assert!(addresses.has(ip("192.0.2.1")) && addresses.has(ip("::ffff:192.0.2.2")));
        resolve(&["192.0.2.2"]).unwrap();
        assert_ne!(addresses.generation(), first);
        assert!(!addresses.has(ip("192.0.2.1")));
    }

    #[test]
    fn an_answer_full_of_addresses_is_cut() {
        let addresses = Addresses::default();
        let many = (0..1000u32).map(|number| IpAddr::from(number.to_be_bytes()));
        addresses.replace(many, "a.test").unwrap();
        assert_eq!(
            addresses.known.load().as_ref().unwrap().len(),
            ADDRESSES_MAX
        );
    }
}
