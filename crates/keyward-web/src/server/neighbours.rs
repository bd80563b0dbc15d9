//! How many connections each address has: one alone never has all the seats.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The most connections of one address: a sixteenth of all.
const EACH_MAX: usize = 64;

/// Of an IPv6 address, the part that one customer has.
const IPV6_NETWORK: u128 = !0 << 64;

/// The connections of each address that has any.
#[derive(Debug, Default)]
pub(super) struct Neighbours(Mutex<HashMap<IpAddr, usize>>);

/// A connection that is counted until it is dropped.
#[derive(Debug)]
pub(super) struct Near {
    all: Arc<Neighbours>,
    address: IpAddr,
}

impl Neighbours {
    /// `None` where an address has as many as it may.
    pub(super) fn let_in(self: &Arc<Self>, address: IpAddr) -> Option<Near> {
        let address = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & IPV6_NETWORK).into(),
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= EACH_MAX {
            return None;
        }
        *count += 1;
        Some(Near {
            all: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Near {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_a_part_of_the_seats_and_others_have_theirs() {
        let all = Arc::new(Neighbours::default());
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut of_one: Vec<_> = (0..EACH_MAX)
            .map(|number| all.let_in(address(&format!("2001:db8::{number}"))).unwrap())
            .collect();
        assert!(all.let_in(address("2001:db8::ffff")).is_none());
        let other = all.let_in(address("192.0.2.1")).unwrap();
        of_one.pop();
        let again = all.let_in(address("2001:db8::ffff")).unwrap();
        drop((of_one, other, again));
        assert!(all.0.lock().unwrap().is_empty());
    }
}
