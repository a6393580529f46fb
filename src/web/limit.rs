//! Limits guessing of passwords, per client address and per account. What cannot be told apart is
//! counted together, so it fails closed.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
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

impl Rate {
    /// `count` at once, and `count` a minute.
    pub const fn a_minute(count: NonZeroU32) -> Self {
        Self {
            burst: count,
            per_minute: count,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct LoginRates {
    pub per_address: Rate,
    /// For the network that an address is in: whoever has one has all of its addresses.
    pub per_network: Rate,
    /// Higher than per address, so that one attacker cannot lock the owner out.
    pub per_account: Rate,
}

impl LoginRates {
    /// So many a minute for an address, three times as many for an account, six times for a network.
    pub fn a_minute(count: NonZeroU32) -> Self {
        let times = |factor: NonZeroU32| Rate::a_minute(count.saturating_mul(factor));
        Self {
            per_address: Rate::a_minute(count),
            per_network: times(const { NonZeroU32::new(6).unwrap() }),
            per_account: times(const { NonZeroU32::new(3).unwrap() }),
        }
    }
}

impl Default for LoginRates {
    fn default() -> Self {
        Self::a_minute(const { NonZeroU32::new(10).unwrap() })
    }
}

/// What a limit says of a request, as the RateLimit header fields tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The name of the policy.
    pub policy: &'static str,
    /// So many requests…
    pub quota: u32,
    /// …in so many seconds.
    pub window: u64,
    /// How many are left.
    pub remaining: u32,
    /// After so many seconds there is one more, or all are back if it was admitted.
    pub reset: u64,
}

impl Allowance {
    /// Until when to wait; for one that was used up.
    pub fn retry_after(&self) -> u64 {
        self.reset.max(1)
    }
}

type State<C> = RateLimiter<u64, HashMapStateStore<u64>, C, StateInformationMiddleware>;

/// One limit, counted for each key apart.
pub struct Limiter<C: Clock = DefaultClock> {
    policy: &'static str,
    rate: Rate,
    state: State<C>,
    hasher: RandomState,
    clock: C,
}

impl Limiter {
    pub fn new(policy: &'static str, rate: Rate) -> Self {
        Self::with_clock(policy, rate, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limiter<C> {
    fn with_clock(policy: &'static str, rate: Rate, clock: C) -> Self {
        let quota = Quota::per_minute(rate.per_minute).allow_burst(rate.burst);
        Self {
            policy,
            rate,
            state: RateLimiter::hashmap_with_clock(quota, clock.clone())
                .with_middleware::<StateInformationMiddleware>(),
            hasher: RandomState::new(),
            clock,
        }
    }

    /// Asks for one request of whoever `key` stands for.
    pub fn admit(&self, key: impl Hash) -> Result<Allowance, Allowance> {
        let hash = self.hasher.hash_one(key);
        let full = self.state.len() >= MAX_KEYS;
        let key = if full { hash % SHARED } else { hash };
        let say = |remaining, reset| Allowance {
            policy: self.policy,
            quota: self.rate.burst.get(),
            window: 60 * u64::from(self.rate.burst.get()) / u64::from(self.rate.per_minute.get()),
            remaining,
            reset,
        };
        match self.state.check_key(&key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let used = u64::from(self.rate.burst.get().saturating_sub(remaining));
                Ok(say(
                    remaining,
                    (60 * used).div_ceil(u64::from(self.rate.per_minute.get())),
                ))
            }
            Err(until) => {
                let wait: Duration = until.wait_time_from(self.clock.now());
                Err(say(0, wait.as_secs_f64().ceil() as u64))
            }
        }
    }

    /// Whether so many are counted that there is soon no room for others.
    fn is_crowded(&self) -> bool {
        self.state.len() >= MAX_KEYS / 2
    }

    /// Forgets who has been quiet long enough. Call it now and then.
    pub fn sweep(&self) {
        self.state.retain_recent();
        self.state.shrink_to_fit();
    }
}

/// The limits of the login.
pub struct LoginLimiter<C: Clock = DefaultClock> {
    addresses: Limiter<C>,
    networks: Limiter<C>,
    accounts: Limiter<C>,
    throttled: AtomicU64,
}

impl LoginLimiter {
    pub fn new(rates: LoginRates) -> Self {
        Self::with_clock(rates, DefaultClock::default())
    }
}

impl<C: Clock + Clone> LoginLimiter<C> {
    fn with_clock(rates: LoginRates, clock: C) -> Self {
        Self {
            addresses: Limiter::with_clock("address", rates.per_address, clock.clone()),
            networks: Limiter::with_clock("network", rates.per_network, clock.clone()),
            accounts: Limiter::with_clock("account", rates.per_account, clock),
            throttled: AtomicU64::new(0),
        }
    }

    /// Asks for one attempt. The address comes first: a throttled client costs its neighbours and the account
    /// nothing. But where addresses come in crowds, the network does: else one that has millions of them would use
    /// up the room in which others are told apart.
    pub fn admit(
        &self,
        address: Option<IpAddr>,
        account: &str,
    ) -> Result<[Allowance; 3], Allowance> {
        let host = || self.addresses.admit(address.map(network));
        let neighbours = || self.networks.admit(address.map(neighbourhood));
        let both = if self.addresses.is_crowded() {
            neighbours().and_then(|neighbours| Ok((host()?, neighbours)))
        } else {
            host().and_then(|host| Ok((host, neighbours()?)))
        };
        let all = both
            .and_then(|(host, neighbours)| Ok([host, neighbours, self.accounts.admit(account)?]));
        if all.is_err() {
            self.throttled.fetch_add(1, Ordering::Relaxed);
        }
        all
    }

    /// Attempts turned away since the last time this was asked: one record for all of them.
    pub fn take_throttled(&self) -> u64 {
        self.throttled.swap(0, Ordering::Relaxed)
    }

    /// Forgets who has been quiet long enough. Call it now and then.
    pub fn sweep(&self) {
        self.addresses.sweep();
        self.networks.sweep();
        self.accounts.sweep();
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

/// Those who are likely to be one: the /24 of an IPv4 address, or the /48 that an IPv6 customer may have.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            IpAddr::from([a, b, c, 0, 0, 0, 0, 0])
        }
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::from([a, b, c, 0])
        }
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
            assert!(limiter.admit(v4(1), &format!("user{n}")).is_ok());
        }
        let refused = limiter.admit(v4(1), "user").unwrap_err();
        assert_eq!(refused.policy, "address");
        assert!((1..=6).contains(&refused.retry_after()), "{refused:?}");
        assert!(
            limiter.admit(v4(2), "user").is_ok(),
            "others are not affected"
        );
        clock.advance(Duration::from_secs(6));
        assert!(limiter.admit(v4(1), "user").is_ok());
    }

    #[test]
    fn one_address_cannot_lock_an_account() {
        let (limiter, _) = limiter();
        for _ in 0..1000 {
            let _ = limiter.admit(v4(1), "admin");
        }
        assert!(limiter.admit(v4(2), "admin").is_ok());
        assert_eq!(limiter.take_throttled(), 990);
        assert_eq!(limiter.take_throttled(), 0);
    }

    #[test]
    fn an_account_is_throttled_over_many_addresses() {
        let (limiter, _) = limiter();
        let admitted = (0..200).filter(|n| limiter.admit(v4(*n), "admin").is_ok());
        assert_eq!(admitted.count(), 30);
    }

    /// bug: distinct names from the many addresses of one network were all looked at, and took every place.
    #[test]
    fn a_network_is_throttled_over_many_addresses_and_names() {
        let (limiter, _) = limiter();
        let v6 = |n: u32| {
            let [high, low] = [(n >> 16) as u16, n as u16];
            Some(IpAddr::from([0x2001, 0xdb8, 7, low, high, 0, 0, 1]))
        };
        for address in [(|n| v4(n as u8)) as fn(u32) -> _, v6] {
            let tries = 0..20_000;
            let admitted =
                tries.filter(|n| limiter.admit(address(*n), &format!("user{n}")).is_ok());
            assert_eq!(admitted.count(), 60);
        }
        assert!(
            limiter
                .admit(Some([203, 0, 113, 9].into()), "admin")
                .is_ok(),
            "other networks are not affected"
        );
    }

    /// The room for addresses is used up by no single network.
    #[test]
    fn a_crowd_of_one_network_leaves_room_for_others() {
        let (limiter, _) = limiter();
        for n in 0..200_000u32 {
            let [high, low] = [(n >> 16) as u16, n as u16];
            let address = IpAddr::from([0x2001, 0xdb8, high, low, 0, 0, 0, 1]);
            let _ = limiter.admit(Some(address), &n.to_string());
        }
        assert!(limiter.addresses.state.len() < MAX_KEYS);
        assert!(limiter.admit(v4(1), "admin").is_ok());
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
    fn an_admitted_request_learns_what_is_left() {
        let (limiter, _) = limiter();
        let [address, network, account] = limiter.admit(v4(1), "admin").unwrap();
        assert_eq!(
            (address.quota, address.window, address.remaining),
            (10, 60, 9)
        );
        assert_eq!(
            (account.quota, account.window, account.remaining),
            (30, 60, 29)
        );
        assert_eq!((network.quota, network.remaining), (60, 59));
        assert_eq!((address.reset, account.reset), (6, 2));
    }

    #[test]
    fn memory_is_bounded() {
        let (limiter, clock) = limiter();
        for n in 0..30_000u32 {
            let _ = limiter.admit(Some(IpAddr::from(n.to_be_bytes())), &n.to_string());
        }
        let most = MAX_KEYS + SHARED as usize;
        assert!(limiter.addresses.state.len() <= most && limiter.accounts.state.len() <= most);
        clock.advance(Duration::from_secs(120));
        limiter.sweep();
        assert_eq!(limiter.addresses.state.len(), 0);
    }
}
