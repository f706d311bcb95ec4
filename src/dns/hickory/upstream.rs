//! One question to the servers and the response to it, with the word of whoever vouches for it.

use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::ResolverOpts;
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer, RetryDnsHandle};
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};

use super::super::anchors;
use super::super::servers::{Dnssec, Mode, Servers, SetupError};
use super::super::{LookupError, Miss, Security};
use super::Options;
use super::reading::{Reply, Trust, is_denial};
use super::witness::Witness;

/// Questions at once on one connection to a DNS server; more wait.
const QUESTIONS_MAX: usize = 256;
/// Record sets of which it is remembered that their signatures are valid or not, such as keys of zones.
const VALIDATIONS_KEPT_MAX: usize = 8192;

type Pool = RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>;

pub(super) struct Upstream {
    pool: Pool,
    judge: Judge,
    options: DnsRequestOptions,
}

/// Who says how far a response can be believed.
enum Judge {
    Nobody,
    /// The server, by the AD bit.
    Server(Witness),
    /// We, by signatures.
    Validator(DnssecDnsHandle<Pool>),
}

impl Upstream {
    pub(super) fn new(options: &Options, servers: &Servers) -> Result<Self, SetupError> {
        let mut opts = ResolverOpts::default();
        opts.timeout = options.try_timeout;
        opts.max_active_requests = QUESTIONS_MAX;
        let mut request = DnsRequestOptions::default();
        request.edns_payload_len = opts.edns_payload_len;
        request.edns_set_dnssec_ok = servers.mode != Mode::Off;
        let tls = TlsConfig::new().map_err(|error| SetupError::Resolver { detail: error.to_string() })?;
        let context = Arc::new(PoolContext::new(opts, tls));
        let pool = NameServerPool::from_config(servers.configs.clone(), context, TokioRuntimeProvider::default());
        let tries_more = usize::try_from(options.tries.saturating_sub(1)).unwrap_or_default();
        let pool = RetryDnsHandle::new(pool, tries_more);
        let judge = match servers.mode {
            Mode::Off => Judge::Nobody,
            Mode::TrustAd => Judge::Server(Witness::default()),
            Mode::Validate => {
                let anchors = match &options.dnssec {
                    Dnssec::Validate { trust_anchor: Some(path) } => anchors::read(path)?,
                    _ => Arc::new(TrustAnchors::default()),
                };
                let handle = DnssecDnsHandle::with_trust_anchor(pool.clone(), anchors);
                Judge::Validator(handle.validation_cache_size(VALIDATIONS_KEPT_MAX))
            }
        };
        Ok(Self { pool, judge, options: request })
    }

    /// Whether one word goes for a whole response, so that it says nothing about an alias alone.
    pub(super) fn vouches_for_whole(&self) -> bool {
        matches!(self.judge, Judge::Server(_))
    }

    /// Asks. A reply has at least one record, which need not be of the type.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Reply, Miss> {
        match &self.judge {
            Judge::Nobody => {
                let message = self.send(name, kind, false).await?;
                Ok(Reply { message, trust: Trust::Whole(Security::Unknown) })
            }
            Judge::Server(witness) => {
                let message = self.send(name, kind, true).await?;
                let security = witness.judge(message.metadata.authentic_data, self.says_root_is_signed()).await;
                Ok(Reply { message, trust: Trust::Whole(security) })
            }
            Judge::Validator(handle) => self.validate(handle, name, kind).await,
        }
    }

    /// Finds out, and tells the log, whether anything will ever be secure.
    pub(super) async fn look_round(&self) {
        match &self.judge {
            Judge::Nobody => tracing::info!("DNSSEC is off: no answer counts as secure, and DANE is out of use"),
            Judge::Server(witness) => {
                witness.judge(false, self.says_root_is_signed()).await;
            }
            Judge::Validator(handle) => match self.validate(handle, &Name::root(), RecordType::NS).await {
                Ok(reply)
                    if reply
                        .read(&Name::root(), RecordType::NS)
                        .is_ok_and(|read| read.security == Security::Secure) => {}
                Err(Miss { error, .. }) if error != LookupError::Bogus => {
                    tracing::warn!(%error, "the DNS servers did not answer a question about the root");
                }
                _ => tracing::warn!(
                    "the signatures of the root cannot be validated, so no signed domain can be looked up: the DNS \
                     servers leave signatures out, or the clock is wrong, or the trust anchor is not the root's"
                ),
            },
        }
    }

    /// Whether the server says that it has validated something that is signed for certain. `None` if it says nothing.
    async fn says_root_is_signed(&self) -> Option<bool> {
        match self.send(&Name::root(), RecordType::NS, true).await {
            Ok(message) => Some(message.metadata.authentic_data),
            // It knows no root, or will not tell.
            Err(Miss { error: LookupError::NoSuchName | LookupError::NoData | LookupError::Refused, .. }) => {
                Some(false)
            }
            Err(_) => None,
        }
    }

    /// With the AD bit set the response has it only if it is authentic (RFC 6840 section 5.7).
    async fn send(&self, name: &Name, kind: RecordType, authentic: bool) -> Result<Message, Miss> {
        let mut request = DnsRequest::from_query(Query::query(name.clone(), kind), self.options);
        request.metadata.authentic_data = authentic;
        let response = self.pool.send(request).first_answer().await.map_err(|error| blame(&error))?;
        answered(response).map(DnsResponse::into_message)
    }

    async fn validate(&self, handle: &DnssecDnsHandle<Pool>, name: &Name, kind: RecordType) -> Result<Reply, Miss> {
        let query = Query::query(name.clone(), kind);
        match handle.lookup(query, self.options).first_answer().await {
            Ok(response) if response.answers.is_empty() => Err(denied(&response, name)),
            Ok(response) => {
                let message = answered(response)?.into_message();
                Ok(Reply { message, trust: Trust::Proofs(Security::Secure) })
            }
            Err(NetError::Dns(DnsError::Nsec { response, proof, .. })) => {
                let has_alias = response
                    .answers
                    .iter()
                    .any(|record| record.record_type() == RecordType::CNAME && record.name == *name);
                match proof {
                    // So many iterations of NSEC3 that they prove nothing (RFC 9276 section 3.2), or a gap in which
                    // unsigned zones may be (RFC 5155 section 6).
                    Proof::Insecure if response.answers.is_empty() => Err(negative(&response)),
                    Proof::Insecure => {
                        let message = answered(*response)?.into_message();
                        Ok(Reply { message, trust: Trust::Proofs(Security::Insecure) })
                    }
                    // What is not there is something at the end of the alias: the alias may stand on its own.
                    _ if has_alias && kind != RecordType::CNAME => {
                        Box::pin(self.validate(handle, name, RecordType::CNAME)).await
                    }
                    _ => Err(LookupError::Bogus.into()),
                }
            }
            Err(error) => Err(blame(&error)),
        }
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let judge = match self.judge {
            Judge::Nobody => "nobody",
            Judge::Server(_) => "server",
            Judge::Validator(_) => "validator",
        };
        f.debug_struct("Upstream").field("judge", &judge).finish_non_exhaustive()
    }
}

/// A response whose code lets it count as an answer; the code of a "no" is about the end of the aliases in it.
fn answered(response: DnsResponse) -> Result<DnsResponse, Miss> {
    match response.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(response),
        code => Err(blame_code(code).into()),
    }
}

/// The "no" of a response that the validator let pass. It lets pass a response without any proof if all records that
/// stand in place of one are unsigned, wherever they are from. Only those of a zone above the name say anything.
fn denied(response: &Message, name: &Name) -> Miss {
    let authorities = &response.authorities;
    let is_unsigned_zone = authorities.iter().any(|record| record.proof.is_insecure() && record.name.zone_of(name));
    // Without any record the validator has proved by itself that the name is in no signed zone.
    match authorities.is_empty() || is_unsigned_zone || authorities.iter().any(is_denial) {
        true => negative(response),
        false => LookupError::Bogus.into(),
    }
}

fn negative(response: &Message) -> Miss {
    let soa_ttl = response.authorities.iter().find_map(|record| match &record.data {
        hickory_resolver::proto::rr::RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    no(response.metadata.response_code, soa_ttl)
}

fn no(code: ResponseCode, soa_ttl: Option<u32>) -> Miss {
    let error = match code {
        ResponseCode::NoError => LookupError::NoData,
        code => blame_code(code),
    };
    Miss { error, ttl: soa_ttl.map(|secs| Duration::from_secs(secs.into())) }
}

fn blame(error: &NetError) -> Miss {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, negative_ttl, .. })) => {
            no(*response_code, *negative_ttl)
        }
        NetError::Dns(DnsError::ResponseCode(code)) => blame_code(*code).into(),
        NetError::Dns(DnsError::DnssecBogus) => LookupError::Bogus.into(),
        NetError::Timeout => LookupError::Timeout.into(),
        NetError::Io(_) | NetError::NoConnections | NetError::Busy => LookupError::Unreachable.into(),
        _ => LookupError::Malformed.into(),
    }
}

fn blame_code(code: ResponseCode) -> LookupError {
    match code {
        ResponseCode::NXDomain => LookupError::NoSuchName,
        ResponseCode::Refused => LookupError::Refused,
        _ => LookupError::ServFail,
    }
}
