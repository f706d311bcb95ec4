//! L2: TLS as handshakes and certificates: accept, connect, read out what was negotiated, hold a chain against names.
//!
//! Each stack gives the same words: a stream, `TlsFacts` and, of a server, its chain; or a `HandshakeFailure`.
//! rustls serves TLS 1.2 and 1.3. A handshake never refuses for policy: judging comes after it.
//!
//! Must not: open sockets, know SMTP, decide what a policy asks for, or use a process-wide crypto provider.

pub mod certificates;
pub mod client;
pub mod dane;
pub mod demo_authority;
pub mod evaluate;
mod facts;
pub mod failure;
pub mod hello;
pub mod https;
pub mod inspect;
pub mod ocsp;
#[cfg(feature = "legacy-tls")]
pub(crate) mod openssl;
pub mod peer;
pub mod pem;
pub mod probe;
mod provider;
pub mod rewind;
pub mod roots;
pub mod self_signed;
pub mod server;
pub mod store;
pub mod stream;

#[cfg(test)]
mod handshake_tests;
#[cfg(all(test, feature = "legacy-tls"))]
pub(crate) mod old_server;
