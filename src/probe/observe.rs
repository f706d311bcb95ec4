//! What a host does, whoever the mail would be for: a connection to each address by the ways of a delivery, and one for
//! each version of TLS.

use std::net::SocketAddr;

use crate::model::domain::Domain;
use crate::model::reply::Reply;
use crate::model::tls::{ProtocolVersion, Stack, TlsFacts};
use crate::net::talk::Talk;
use crate::outbound::ladder::{Ladder, TlsWay, Way};
use crate::policy::outbound::Requirement;
use crate::tls::client::by_key::{self, KeyKind};
use crate::tls::client::{ClientHandshake, ClientTls, Peer};
use crate::tls::failure::{FailureKind, HandshakeFailure};
use crate::tls::probe::{VersionProbe, can_speak, shake_version};
use crate::tls::stream::Stream;

use super::Prober;
use super::session::{Caller, Greeted, Hello, Trouble, hello_under_tls, quit};

/// Addresses of one host that are connected to.
pub const ADDRESSES_PER_HOST_MAX: usize = 4;
/// Connections in a row that do not come to a handshake, after which the versions are left alone: the host has had
/// enough of us.
const REBUFFS_MAX: u32 = 2;

/// How close a host is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Each version of TLS, each by a connection of its own.
    pub versions: bool,
    /// At most [`ADDRESSES_PER_HOST_MAX`].
    pub addresses_max: usize,
}

impl Look {
    /// Everything.
    pub const CLOSE: Self = Self { versions: true, addresses_max: ADDRESSES_PER_HOST_MAX };
    /// One handshake with each address.
    pub const QUICK: Self = Self { versions: false, addresses_max: ADDRESSES_PER_HOST_MAX };
}

/// A host to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// `None` for an address literal.
    pub name: Option<&'a Domain>,
    /// The name to ask for in the handshake: the TLSA base domain, else the host's.
    pub server_name: Option<&'a Domain>,
}

/// What a host did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    pub addresses: Vec<AddressSeen>,
    /// Of the first address that offered TLS; empty if none did, or if nobody looked.
    pub versions: Vec<VersionSeen>,
    /// The certificate with a key of another kind that the same address has besides; `None` also if nobody looked.
    pub other: Option<Peer>,
    /// Addresses that were not connected to.
    pub addresses_left_out: usize,
}

/// What one address did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressSeen {
    pub address: SocketAddr,
    pub greeting: Option<Reply>,
    /// In clear.
    pub hello: Option<Hello>,
    /// Ways that failed before the last.
    pub(crate) tries: Vec<(TlsWay, Trouble)>,
    /// How it ended.
    pub end: End,
}

/// Where a connection to an address led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Tls(Box<Secured>),
    /// It would take mail in plaintext only, and this is why.
    Plaintext(Trouble),
    /// It would take nothing.
    Nothing(Trouble),
}

/// A session under TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured {
    pub(crate) way: TlsWay,
    pub peer: Peer,
    pub hello: Hello,
}

/// What came of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSeen {
    pub version: ProtocolVersion,
    pub result: VersionResult,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionResult {
    Spoken(Box<TlsFacts>),
    Refused(HandshakeFailure),
    /// No library of this build has it.
    NotBuilt,
    /// The connection did not come so far.
    NotAsked(Trouble),
}

impl AddressSeen {
    pub fn secured(&self) -> Option<&Secured> {
        match &self.end {
            End::Tls(secured) => Some(secured),
            End::Plaintext(_) | End::Nothing(_) => None,
        }
    }

    /// Whether it answered so far that mail could be sent, by TLS or without.
    pub fn takes_mail(&self) -> bool {
        !matches!(self.end, End::Nothing(_))
    }
}

impl Observation {
    /// The first session under TLS.
    pub fn secured(&self) -> Option<&Secured> {
        self.addresses.iter().find_map(AddressSeen::secured)
    }

    /// Whether nobody there answered at any address.
    pub fn is_unreachable(&self) -> bool {
        let silent = |seen: &AddressSeen| matches!(&seen.end, End::Nothing(trouble) if trouble.is_unreachable());
        self.addresses.iter().all(silent)
    }
}

impl Prober {
    pub(super) fn caller(&self) -> Caller<'_> {
        Caller { hostname: &self.hostname, patience: self.patience }
    }

    /// Looks at a host, one connection after the other.
    pub async fn observe(&self, subject: Subject<'_>, addresses: &[SocketAddr], look: Look) -> Observation {
        let max = look.addresses_max.min(ADDRESSES_PER_HOST_MAX);
        let mut seen =
            Observation { addresses_left_out: addresses.len().saturating_sub(max), ..Observation::default() };
        for address in addresses.iter().take(max) {
            seen.addresses.push(self.observe_address(subject, *address).await);
        }
        let offers_tls = |seen: &&AddressSeen| seen.secured().is_some() || !seen.tries.is_empty();
        if let Some(address) = seen.addresses.iter().find(offers_tls).filter(|_| look.versions) {
            seen.versions = self.observe_versions(subject, address.address).await;
        }
        let secured = seen.addresses.iter().find_map(|seen| Some((seen.address, seen.secured()?)));
        if let Some((address, secured)) = secured.filter(|_| look.versions) {
            seen.other = self.observe_other(subject, address, secured).await;
        }
        seen
    }

    /// A server may have a certificate for each kind of key, and shows one by what the client takes.
    async fn observe_other(&self, subject: Subject<'_>, address: SocketAddr, shown: &Secured) -> Option<Peer> {
        let certificate = shown.peer.facts.peer.as_ref()?;
        let kind = if certificate.rsa_bits.is_some() { KeyKind::Ecdsa } else { KeyKind::Rsa };
        // What OpenSSL alone can speak with has no second one worth the connection.
        if shown.way.stack != Stack::Rustls {
            return None;
        }
        let _turn = self.pace.turn(subject.name, address.ip()).await;
        let tcp = Greeted::open(self.caller(), address).await.ok()?.start_tls().await.ok()?;
        let server_name = subject.server_name.filter(|_| shown.way.sni);
        let (stream, peer) = by_key::shake(tcp, kind, server_name, self.patience.handshake).await.ok()?;
        quit(Talk::new(Stream::Tls(stream), self.patience.reply)).await;
        let key = peer.facts.peer.as_ref().map(|other| &other.key_sha256);
        (key != Some(&certificate.key_sha256)).then_some(peer)
    }

    /// The ways of a delivery that nothing is asked of, until one works.
    async fn observe_address(&self, subject: Subject<'_>, address: SocketAddr) -> AddressSeen {
        let lax = Requirement::of(&[]);
        let mut ladder = Ladder::anew(&lax, subject.server_name.is_some());
        let mut seen = AddressSeen {
            address,
            greeting: None,
            hello: None,
            tries: Vec::new(),
            end: End::Nothing(Trouble::NotOffered),
        };
        while let Way::Tls(way) = ladder.way() {
            let trouble = match self.try_way(subject, &mut seen, &lax, way).await {
                Ok(secured) => {
                    seen.end = End::Tls(Box::new(secured));
                    return seen;
                }
                Err(trouble) => trouble,
            };
            let next = trouble.of_tls().map(|failure| (failure, ladder.failed(failure)));
            match next {
                Some((_, Some(Way::Tls(_)))) => seen.tries.push((way, trouble)),
                Some(_) => {
                    let is_handshake = matches!(trouble, Trouble::Handshake(_) | Trouble::Injected);
                    seen.tries.extend(is_handshake.then(|| (way, trouble.clone())));
                    let telling = seen.tries.get(ladder.most_telling()).map(|(_, trouble)| trouble.clone());
                    seen.end = End::Plaintext(telling.unwrap_or(trouble));
                    return seen;
                }
                None => {
                    seen.end = End::Nothing(trouble);
                    return seen;
                }
            }
        }
        seen
    }

    /// One connection by one way.
    async fn try_way(
        &self,
        subject: Subject<'_>,
        seen: &mut AddressSeen,
        requirement: &Requirement,
        way: TlsWay,
    ) -> Result<Secured, Trouble> {
        let _turn = self.pace.turn(subject.name, seen.address.ip()).await;
        let greeted = Greeted::open(self.caller(), seen.address).await?;
        seen.greeting = Some(greeted.greeting.clone());
        seen.hello = Some(greeted.hello.clone());
        let (talk, secured) = self.secure(greeted, subject, (seen.address, requirement), way).await?;
        quit(talk).await;
        Ok(secured)
    }

    /// STARTTLS and the handshake of a delivery.
    pub(super) async fn secure(
        &self,
        greeted: Greeted,
        subject: Subject<'_>,
        (address, requirement): (SocketAddr, &Requirement),
        way: TlsWay,
    ) -> Result<(Talk<Stream>, Secured), Trouble> {
        let tcp = greeted.start_tls().await?;
        let handshake = ClientHandshake {
            stack: way.stack,
            server_name: subject.server_name.cloned().filter(|_| way.sni),
            port: address.port(),
            min_version: requirement.min_version.as_ref().map(|minimum| minimum.value),
            min_grade: requirement.cipher.value,
            timeout: self.patience.handshake,
        };
        // Anew each time, so that no session is resumed: its certificate would be the one of before.
        let tls = ClientTls::new(None).map_err(|error| HandshakeFailure {
            kind: FailureKind::Other,
            detail: error.to_string(),
            offer: None,
        })?;
        let (stream, peer) = tls.connect(tcp, handshake).await?;
        let (talk, hello) = hello_under_tls(self.caller(), stream).await?;
        Ok((talk, Secured { way, peer, hello }))
    }

    async fn observe_versions(&self, subject: Subject<'_>, address: SocketAddr) -> Vec<VersionSeen> {
        let mut seen = Vec::new();
        let mut rebuffs = 0;
        let mut given_up: Option<Trouble> = None;
        for version in ProtocolVersion::ALL {
            let result = match &given_up {
                _ if !can_speak(version) => VersionResult::NotBuilt,
                Some(trouble) => VersionResult::NotAsked(trouble.clone()),
                None => self.try_version(subject, address, version).await,
            };
            match &result {
                VersionResult::NotAsked(trouble) => {
                    rebuffs += 1;
                    given_up = given_up.or_else(|| (rebuffs >= REBUFFS_MAX).then(|| trouble.clone()));
                }
                _ => rebuffs = 0,
            }
            seen.push(VersionSeen { version, result });
        }
        seen
    }

    async fn try_version(&self, subject: Subject<'_>, address: SocketAddr, version: ProtocolVersion) -> VersionResult {
        let _turn = self.pace.turn(subject.name, address.ip()).await;
        let opened = async { Greeted::open(self.caller(), address).await?.start_tls().await };
        let tcp = match opened.await {
            Ok(tcp) => tcp,
            Err(trouble) => return VersionResult::NotAsked(trouble),
        };
        let server_name = subject.server_name.cloned();
        let probe = VersionProbe { version, server_name, timeout: self.patience.handshake };
        match shake_version(tcp, &probe).await {
            Ok((stream, peer)) => {
                quit(Talk::new(Stream::Tls(stream), self.patience.reply)).await;
                VersionResult::Spoken(Box::new(peer.facts))
            }
            Err(failure) => VersionResult::Refused(failure),
        }
    }
}
