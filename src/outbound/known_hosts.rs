//! Hosts that are not reached in the usual way, and what worked with them: bounded, and forgotten after a day.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::time::Instant;
use crate::model::tls::{ProtocolVersion, Stack};

use super::ladder::TlsWay;

const HOSTS_MAX: usize = 8192;
/// After this the usual way is tried again: hosts are mended, too.
const KNOWN_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The same where what was negotiated is nothing that only OpenSSL has, or where a host is not asked for its name: the
/// failure before may have been an accident, or forged.
const DOUBTFUL_TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// A host as it was connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KnownHost {
    pub(super) address: SocketAddr,
    pub(super) name: Option<Domain>,
}

/// The way that worked and what was negotiated by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worked {
    pub(super) way: TlsWay,
    pub(super) version: ProtocolVersion,
    pub(super) grade: CipherGrade,
}

/// The memory of all deliveries. It says where to begin and nothing about what is permitted.
#[derive(Debug, Default)]
pub struct KnownHosts(Mutex<HashMap<KnownHost, (Worked, Instant)>>);

impl KnownHosts {
    pub(super) fn find(&self, host: &KnownHost, now: Instant) -> Option<Worked> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (worked, since) = *hosts.get(host)?;
        if is_over(host, worked, since, now) {
            hosts.remove(host);
            return None;
        }
        Some(worked)
    }

    /// A session was good enough. The usual way need not be remembered; another one is, from its first success on.
    pub(super) fn worked(&self, host: KnownHost, worked: Worked, now: Instant) {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_usual = worked.way == TlsWay { stack: Stack::Rustls, sni: host.name.is_some() };
        if is_usual {
            hosts.remove(&host);
            return;
        }
        let holds = |before: Worked, since| before.way == worked.way && !is_over(&host, before, since, now);
        let before = hosts.get(&host).filter(|(before, since)| holds(*before, *since));
        let since = before.map_or(now, |(_, since)| *since);
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(&host) {
            make_room(&mut hosts, now);
        }
        hosts.insert(host, (worked, since));
    }

    /// What was known has failed, or led to a session that is not good enough.
    pub(super) fn forget(&self, host: &KnownHost) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(host);
    }
}

fn is_over(host: &KnownHost, worked: Worked, since: Instant, now: Instant) -> bool {
    let rustls_could = worked.way.stack == Stack::Openssl
        && worked.version >= ProtocolVersion::Tls1_2
        && worked.grade == CipherGrade::Aead;
    let leaves_out_name = host.name.is_some() && !worked.way.sni;
    let is_doubtful = rustls_could || leaves_out_name;
    now.saturating_since(since) >= if is_doubtful { DOUBTFUL_TIME_MAX } else { KNOWN_TIME_MAX }
}

/// Drops what is out of date, and if that is nothing the oldest.
fn make_room(hosts: &mut HashMap<KnownHost, (Worked, Instant)>, now: Instant) {
    hosts.retain(|host, (worked, since)| !is_over(host, *worked, *since, now));
    if hosts.len() >= HOSTS_MAX
        && let Some(oldest) = hosts.values().map(|(_, since)| *since).min()
    {
        hosts.retain(|_, (_, since)| *since > oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENSSL: TlsWay = TlsWay { stack: Stack::Openssl, sni: true };
    const NAMELESS: TlsWay = TlsWay { stack: Stack::Rustls, sni: false };
    const USUAL: TlsWay = TlsWay { stack: Stack::Rustls, sni: true };

    fn host(port: u16) -> KnownHost {
        KnownHost { address: ([192, 0, 2, 1], port).into(), name: Domain::parse("mx.example").ok() }
    }

    fn worked(way: TlsWay) -> Worked {
        Worked { way, version: ProtocolVersion::Tls1_0, grade: CipherGrade::Strong }
    }

    fn at(hours: u64) -> Instant {
        Instant::from_start(Duration::from_secs(hours * 60 * 60))
    }

    #[test]
    fn what_worked_is_known_for_a_day_from_its_first_success_and_the_usual_way_replaces_it() {
        let hosts = KnownHosts::default();
        for (successes, asked, expected) in [
            (&[(0, OPENSSL)][..], 23, Some(OPENSSL)),
            (&[(0, OPENSSL)], 24, None),
            (&[(0, OPENSSL), (20, OPENSSL)], 25, None),
            (&[(0, OPENSSL), (25, OPENSSL)], 26, Some(OPENSSL)),
            (&[(0, OPENSSL), (20, NAMELESS)], 20, Some(NAMELESS)),
            (&[(0, OPENSSL), (20, NAMELESS)], 21, None),
            (&[(0, NAMELESS), (23, OPENSSL)], 46, Some(OPENSSL)),
            (&[(0, OPENSSL), (20, USUAL)], 21, None),
            (&[(0, USUAL)], 1, None),
        ] {
            for (hour, way) in successes {
                hosts.worked(host(25), worked(*way), at(*hour));
            }
            let found = hosts.find(&host(25), at(asked)).map(|worked| worked.way);
            assert_eq!(found, expected, "{successes:?} {asked}");
            assert_eq!(hosts.find(&host(26), at(asked)), None);
            hosts.forget(&host(25));
            assert_eq!(hosts.find(&host(25), at(asked)), None);
        }
    }

    #[test]
    fn what_rustls_or_a_name_could_have_done_too_is_known_for_minutes_only() {
        let old = (ProtocolVersion::Tls1_0, CipherGrade::Strong);
        let today = (ProtocolVersion::Tls1_3, CipherGrade::Aead);
        let unnamed = KnownHost { name: None, ..host(25) };
        let (old_nameless, stays) = (TlsWay { sni: false, ..OPENSSL }, 24 * 60);
        for (host, way, (version, grade), lasts_minutes) in [
            (host(25), OPENSSL, today, 10),
            (host(25), OPENSSL, old, stays),
            (host(25), NAMELESS, today, 10),
            (host(25), old_nameless, old, 10),
            (unnamed, old_nameless, old, stays),
        ] {
            let hosts = KnownHosts::default();
            hosts.worked(host.clone(), Worked { way, version, grade }, at(0));
            let found = |minutes: u64| hosts.find(&host, at(0) + Duration::from_secs(minutes * 60)).is_some();
            assert_eq!((found(lasts_minutes - 1), found(lasts_minutes)), (true, false), "{host:?} {way:?}");
        }
    }

    #[test]
    fn without_a_name_to_send_none_is_the_usual_way() {
        let hosts = KnownHosts::default();
        let unnamed = KnownHost { name: None, ..host(25) };
        hosts.worked(unnamed.clone(), worked(NAMELESS), at(0));
        assert_eq!(hosts.find(&unnamed, at(0)), None);
    }

    #[test]
    fn a_full_memory_gives_up_what_is_oldest() {
        let hosts = KnownHosts::default();
        let max = u16::try_from(HOSTS_MAX).unwrap();
        for port in 0..max {
            hosts.worked(host(port), worked(OPENSSL), at(u64::from(port > 0)));
        }
        // One that is known takes no room.
        hosts.worked(host(1), worked(NAMELESS), at(2));
        assert!(hosts.find(&host(0), at(2)).is_some());
        hosts.worked(host(max), worked(OPENSSL), at(2));
        let known = [0, 1, max].map(|port| hosts.find(&host(port), at(2)).is_some());
        assert_eq!((known, hosts.0.lock().unwrap().len()), ([false, true, true], HOSTS_MAX));
    }
}
