//! Limits guessing of passwords, per client address and per account. What cannot be told apart is
//! counted together, so it fails closed.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// Keys remembered per limiter; beyond it, new ones share a few buckets.
const MAX_KEYS: usize = 10_000;
const SHARED: u64 = 64;

/// So many at once, and then so many a minute.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub burst: NonZeroU32,
    pub per_minute: NonZeroU32,
}

#[derive(Clone, Copy, Debug)]
pub struct LoginRates {
    pub per_address: Rate,
    /// Higher than per address, so that one attacker cannot lock the owner out.
    pub per_account: Rate,
}

impl Default for LoginRates {
    fn default() -> Self {
        let rate = |count| Rate {
            burst: count,
            per_minute: count,
        };
        Self {
            per_address: rate(const { NonZeroU32::new(10).unwrap() }),
            per_account: rate(const { NonZeroU32::new(30).unwrap() }),
        }
    }
}

/// Come back after this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled(pub Duration);

impl Throttled {
    /// In whole seconds, rounded up.
    pub fn seconds(self) -> u64 {
        self.0.as_secs() + 1
    }
}

type Buckets<C> =
    RateLimiter<u64, HashMapStateStore<u64>, C, NoOpMiddleware<<C as Clock>::Instant>>;

pub struct LoginLimiter<C: Clock = DefaultClock> {
    addresses: Buckets<C>,
    accounts: Buckets<C>,
    hasher: RandomState,
    clock: C,
    throttled: AtomicU64,
}

impl LoginLimiter {
    pub fn new(rates: LoginRates) -> Self {
        Self::with_clock(rates, DefaultClock::default())
    }
}

impl<C: Clock + Clone> LoginLimiter<C> {
    fn with_clock(rates: LoginRates, clock: C) -> Self {
        let buckets = |rate: Rate| {
            let quota = Quota::per_minute(rate.per_minute).allow_burst(rate.burst);
            RateLimiter::hashmap_with_clock(quota, clock.clone())
        };
        Self {
            addresses: buckets(rates.per_address),
            accounts: buckets(rates.per_account),
            hasher: RandomState::new(),
            clock,
            throttled: AtomicU64::new(0),
        }
    }

    /// Asks for one attempt. The address comes first: a throttled client costs the account nothing.
    pub fn admit(&self, address: Option<IpAddr>, account: &str) -> Result<(), Throttled> {
        self.take(&self.addresses, self.hasher.hash_one(address.map(network)))?;
        self.take(&self.accounts, self.hasher.hash_one(account))
    }

    fn take(&self, buckets: &Buckets<C>, hash: u64) -> Result<(), Throttled> {
        let full = buckets.len() >= MAX_KEYS;
        let key = if full { hash % SHARED } else { hash };
        buckets.check_key(&key).map_err(|until| {
            self.throttled.fetch_add(1, Ordering::Relaxed);
            Throttled(until.wait_time_from(self.clock.now()))
        })
    }

    /// Attempts turned away since the last time this was asked: one record for all of them.
    pub fn take_throttled(&self) -> u64 {
        self.throttled.swap(0, Ordering::Relaxed)
    }

    /// Forgets who has been quiet long enough. Call it now and then.
    pub fn sweep(&self) {
        for buckets in [&self.addresses, &self.accounts] {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
    }
}

/// One client: an IPv4 address, or the /64 that an IPv6 host commands alone.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn limiter() -> (LoginLimiter<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let limiter = LoginLimiter::with_clock(LoginRates::default(), clock.clone());
        (limiter, clock)
    }

    fn v4(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn an_address_is_throttled_and_recovers() {
        let (limiter, clock) = limiter();
        for n in 0..10 {
            assert_eq!(limiter.admit(v4(1), &format!("user{n}")), Ok(()));
        }
        let Throttled(wait) = limiter.admit(v4(1), "user").unwrap_err();
        assert!(wait <= Duration::from_secs(6), "{wait:?}");
        assert_eq!(
            limiter.admit(v4(2), "user"),
            Ok(()),
            "others are not affected"
        );
        clock.advance(Duration::from_secs(6));
        assert_eq!(limiter.admit(v4(1), "user"), Ok(()));
    }

    #[test]
    fn one_address_cannot_lock_an_account() {
        let (limiter, _) = limiter();
        for _ in 0..1000 {
            let _ = limiter.admit(v4(1), "admin");
        }
        assert_eq!(limiter.admit(v4(2), "admin"), Ok(()));
        assert_eq!(limiter.take_throttled(), 990);
        assert_eq!(limiter.take_throttled(), 0);
    }

    #[test]
    fn an_account_is_throttled_over_many_addresses() {
        let (limiter, _) = limiter();
        let admitted = (0..200).filter(|n| limiter.admit(v4(*n), "admin").is_ok());
        assert_eq!(admitted.count(), 30);
    }

    #[test]
    fn without_an_address_all_share_one_bucket() {
        let (limiter, _) = limiter();
        let admitted = (0..50).filter(|n| limiter.admit(None, &n.to_string()).is_ok());
        assert_eq!(admitted.count(), 10);
    }

    #[test]
    fn a_v6_host_is_its_64() {
        let (limiter, _) = limiter();
        let admitted = (0..50u16).filter(|n| {
            let address = IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, *n]);
            limiter.admit(Some(address), &n.to_string()).is_ok()
        });
        assert_eq!(admitted.count(), 10);
    }

    #[test]
    fn memory_is_bounded() {
        let (limiter, clock) = limiter();
        for n in 0..30_000u32 {
            let _ = limiter.admit(Some(IpAddr::from(n.to_be_bytes())), &n.to_string());
        }
        let most = MAX_KEYS + SHARED as usize;
        assert!(limiter.addresses.len() <= most && limiter.accounts.len() <= most);
        clock.advance(Duration::from_secs(120));
        limiter.sweep();
        assert_eq!(limiter.addresses.len(), 0);
    }
}
