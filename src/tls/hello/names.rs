//! Names of the numbers in a hello, as IANA has them.

use crate::model::cipher::CipherSuite;

/// `TLS_FALLBACK_SCSV` (RFC 7507).
pub(super) const FALLBACK: u16 = 0x5600;

/// Signals that are written as suites.
const SIGNALS: &[(u16, &str)] = &[(0x00ff, "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"), (FALLBACK, "TLS_FALLBACK_SCSV")];

/// "TLS Supported Groups", in lower case as in `TlsFacts::group`.
const GROUPS: &[(u16, &str)] = &[
    (1, "sect163k1"),
    (2, "sect163r1"),
    (3, "sect163r2"),
    (4, "sect193r1"),
    (5, "sect193r2"),
    (6, "sect233k1"),
    (7, "sect233r1"),
    (8, "sect239k1"),
    (9, "sect283k1"),
    (10, "sect283r1"),
    (11, "sect409k1"),
    (12, "sect409r1"),
    (13, "sect571k1"),
    (14, "sect571r1"),
    (15, "secp160k1"),
    (16, "secp160r1"),
    (17, "secp160r2"),
    (18, "secp192k1"),
    (19, "secp192r1"),
    (20, "secp224k1"),
    (21, "secp224r1"),
    (22, "secp256k1"),
    (23, "secp256r1"),
    (24, "secp384r1"),
    (25, "secp521r1"),
    (26, "brainpoolp256r1"),
    (27, "brainpoolp384r1"),
    (28, "brainpoolp512r1"),
    (29, "x25519"),
    (30, "x448"),
    (31, "brainpoolp256r1tls13"),
    (32, "brainpoolp384r1tls13"),
    (33, "brainpoolp512r1tls13"),
    (41, "curvesm2"),
    (256, "ffdhe2048"),
    (257, "ffdhe3072"),
    (258, "ffdhe4096"),
    (259, "ffdhe6144"),
    (260, "ffdhe8192"),
    (512, "mlkem512"),
    (513, "mlkem768"),
    (514, "mlkem1024"),
    (4587, "secp256r1mlkem768"),
    (4588, "x25519mlkem768"),
    (4589, "secp384r1mlkem1024"),
    (25497, "x25519kyber768draft00"),
    (0xff01, "arbitrary_explicit_prime_curves"),
    (0xff02, "arbitrary_explicit_char2_curves"),
];

/// "TLS SignatureScheme".
const SIGNATURE_ALGORITHMS: &[(u16, &str)] = &[
    (0x0201, "rsa_pkcs1_sha1"),
    (0x0202, "dsa_sha1_reserved"),
    (0x0203, "ecdsa_sha1"),
    (0x0401, "rsa_pkcs1_sha256"),
    (0x0403, "ecdsa_secp256r1_sha256"),
    (0x0420, "rsa_pkcs1_sha256_legacy"),
    (0x0501, "rsa_pkcs1_sha384"),
    (0x0503, "ecdsa_secp384r1_sha384"),
    (0x0520, "rsa_pkcs1_sha384_legacy"),
    (0x0601, "rsa_pkcs1_sha512"),
    (0x0603, "ecdsa_secp521r1_sha512"),
    (0x0620, "rsa_pkcs1_sha512_legacy"),
    (0x0708, "sm2sig_sm3"),
    (0x0804, "rsa_pss_rsae_sha256"),
    (0x0805, "rsa_pss_rsae_sha384"),
    (0x0806, "rsa_pss_rsae_sha512"),
    (0x0807, "ed25519"),
    (0x0808, "ed448"),
    (0x0809, "rsa_pss_pss_sha256"),
    (0x080a, "rsa_pss_pss_sha384"),
    (0x080b, "rsa_pss_pss_sha512"),
    (0x081a, "ecdsa_brainpoolP256r1tls13_sha256"),
    (0x081b, "ecdsa_brainpoolP384r1tls13_sha384"),
    (0x081c, "ecdsa_brainpoolP512r1tls13_sha512"),
    (0x0904, "mldsa44"),
    (0x0905, "mldsa65"),
    (0x0906, "mldsa87"),
];

pub(super) fn cipher(number: u16) -> String {
    match CipherSuite::by_number(number) {
        Some(suite) => suite.name.to_owned(),
        None => named(SIGNALS, number),
    }
}

pub(super) fn group(number: u16) -> String {
    named(GROUPS, number)
}

pub(super) fn signature_algorithm(number: u16) -> String {
    named(SIGNATURE_ALGORITHMS, number)
}

/// `0x1a2b`, for what has no name.
pub(super) fn unnamed(number: u16) -> String {
    format!("0x{number:04x}")
}

/// A number that clients send at random so that nobody relies on the known ones (RFC 8701): 0x0a0a, 0x1a1a to 0xfafa.
pub(super) fn is_filler(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

fn named(table: &[(u16, &str)], number: u16) -> String {
    let row = table.iter().find(|(known, _)| *known == number);
    row.map_or_else(|| unnamed(number), |(_, name)| (*name).to_owned())
}
