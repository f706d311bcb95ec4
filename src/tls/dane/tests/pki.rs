//! Certificates with a name each, and records that speak of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose,
    NameConstraints,
};
use rustls::pki_types::CertificateDer;

use crate::model::time::Timestamp;
use crate::model::tlsa::Tlsa;
use crate::tls::peer;
use crate::tls::self_signed::{Validity, common_name, server_params, set_validity};

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const VALID: Validity =
    Validity { not_before: Timestamp::from_secs(0), not_after: Timestamp::from_secs(1_900_000_000) };
const PAST: Validity = Validity { not_before: Timestamp::from_secs(0), not_after: Timestamp::from_secs(1_700_000_000) };
const FUTURE: Validity =
    Validity { not_before: Timestamp::from_secs(1_850_000_000), not_after: Timestamp::from_secs(1_900_000_000) };

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority_params(name: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    set_validity(&mut params, validity);
    params
}

/// An authority that lets so many others stand below it.
fn limited(name: &str, path_length: u8) -> Authority {
    let mut params = authority_params(name, VALID);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn root(name: &str, validity: Validity) -> Authority {
    CertifiedIssuer::self_signed(authority_params(name, validity), KeyPair::generate().unwrap()).unwrap()
}

fn below(name: &str, validity: Validity, above: &Authority) -> Authority {
    CertifiedIssuer::signed_by(authority_params(name, validity), KeyPair::generate().unwrap(), above).unwrap()
}

/// An authority for names below `mx.example` alone.
fn bound() -> Authority {
    let mut params = authority_params("bound", VALID);
    let permitted_subtrees = vec![GeneralSubtree::DnsName("mx.example".to_owned())];
    params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn server(names: &[&str], validity: Validity, issuer: &Authority) -> CertificateDer<'static> {
    let params = server_params(names, validity).unwrap();
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
}

/// A server with a name in the subject, and perhaps others beside it.
fn in_subject(subject: &str, names: &[&str], issuer: &Authority) -> CertificateDer<'static> {
    let mut params = server_params(names, VALID).unwrap();
    params.distinguished_name = common_name(subject);
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
}

/// One that its own key signed, as many servers have it.
fn lonely() -> CertificateDer<'static> {
    server_params(&["mx.example"], VALID).unwrap().self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

static ALL: LazyLock<BTreeMap<&str, CertificateDer<'static>>> = LazyLock::new(|| {
    let root_one = root("root", VALID);
    let inter = below("inter", VALID, &root_one);
    let stale = below("stale", PAST, &root_one);
    let (faded, other, bound) = (root("faded", PAST), root("other", VALID), bound());
    let (short, wide) = (limited("short", 0), limited("wide", 1));
    let (sub, twin) = (below("sub", VALID, &short), below("short", VALID, &short));
    let mid = below("mid", VALID, &wide);
    let low = below("low", VALID, &mid);
    BTreeMap::from([
        ("of-short", server(&["mx.example"], VALID, &short)),
        ("of-sub", server(&["mx.example"], VALID, &sub)),
        ("of-twin", server(&["mx.example"], VALID, &twin)),
        ("of-mid", server(&["mx.example"], VALID, &mid)),
        ("of-low", server(&["mx.example"], VALID, &low)),
        ("short", short.der().clone()),
        ("sub", sub.der().clone()),
        ("twin", twin.der().clone()),
        ("wide", wide.der().clone()),
        ("mid", mid.der().clone()),
        ("low", low.der().clone()),
        ("leaf", server(&["mx.example"], VALID, &inter)),
        ("alien", server(&["other.example"], VALID, &inter)),
        ("star", server(&["*.mx.example"], VALID, &inter)),
        ("old", server(&["mx.example"], PAST, &inter)),
        ("early", server(&["mx.example"], FUTURE, &inter)),
        ("old-alien", server(&["other.example"], PAST, &inter)),
        ("of-stale", server(&["mx.example"], VALID, &stale)),
        ("of-faded", server(&["mx.example"], VALID, &faded)),
        ("of-bound", server(&["mx.example"], VALID, &bound)),
        ("out-of-bounds", server(&["mx.example", "other.example"], VALID, &bound)),
        ("subject", in_subject("mx.example", &[], &inter)),
        ("subject-of-bound", in_subject("mx.example", &[], &bound)),
        ("subject-and-other", in_subject("mx.example", &["other.example"], &inter)),
        ("lonely", lonely()),
        ("garbage", CertificateDer::from(vec![0x30; 40])),
        ("empty", CertificateDer::from(vec![])),
        ("root", root_one.der().clone()),
        ("inter", inter.der().clone()),
        ("stale", stale.der().clone()),
        ("faded", faded.der().clone()),
        ("other", other.der().clone()),
        ("bound", bound.der().clone()),
    ])
});

pub(super) fn certificate(name: &str) -> CertificateDer<'static> {
    ALL.get(name).unwrap_or_else(|| panic!("{name}")).clone()
}

/// The certificates with these names.
pub(super) fn chain(names: &str) -> Vec<CertificateDer<'static>> {
    names.split_whitespace().map(certificate).collect()
}

/// The record that speaks of a certificate: `3 1 1 leaf`.
pub(super) fn record(text: &str) -> Tlsa {
    let [usage, selector, matching, name] = text.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let numbers = [usage, selector, matching].map(|number: &str| number.parse().unwrap());
    record_of(numbers, &certificate(name))
}

pub(super) fn record_of([usage, selector, matching]: [u8; 3], certificate: &CertificateDer<'_>) -> Tlsa {
    let part = match selector {
        0 => certificate.to_vec(),
        _ => peer::parse(certificate).unwrap().public_key().raw.to_vec(),
    };
    let data = match matching {
        0 => part,
        1 => aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &part).as_ref().to_vec(),
        _ => aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &part).as_ref().to_vec(),
    };
    Tlsa { usage, selector, matching, data }
}
