//! Signatures against the examples of the RFCs, and against what verifiers see.

use aws_lc_rs::encoding::Pkcs8V1Der;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ED25519, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey, VerificationAlgorithm,
};
use proptest::prelude::*;

use super::*;

/// The message of RFC 8463 appendix A.3.
const MESSAGE: &str = "From: Joe SixPack <joe@football.example.com>\r\n\
    To: Suzie Q <suzie@shopping.example.net>\r\n\
    Subject: Is dinner ready?\r\n\
    Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
    Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\
    \r\n\
    Hi.\r\n\
    \r\n\
    We lost the game.  Are you hungry yet?\r\n\
    \r\n\
    Joe.\r\n";
const NAMES: [&str; 9] = ["from", "to", "subject", "date", "message-id", "from", "subject", "date", "cc"];
const BODY_HASH: &str = "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=";

/// The Ed25519 key of RFC 8463 appendix A.1 (and of RFC 8032 section 7.1) as PKCS #8.
const ED25519_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";
const ED25519_PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const ED25519_SIGNATURE: &str =
    "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==";

/// The RSA key of RFC 8463 appendix A.1. It has 1024 bits.
const RSA_KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\n\
    MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi\n\
    Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM\n\
    KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB\n\
    AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm\n\
    6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe\n\
    zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy\n\
    6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc\n\
    uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy\n\
    WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd\n\
    WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a\n\
    licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst\n\
    o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe\n\
    uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL\n\
    -----END RSA PRIVATE KEY-----\n";
const RSA_PUBLIC: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi\
    Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kry\
    OTIKT+l/K4w3QIDAQAB";
const RSA_SIGNATURE: &str = "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tF\
    OeS9mPYQTnGdaSGsgeefOsk2JzdA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=";

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn base64_decoded(text: &str) -> Vec<u8> {
    mail_parser::decoders::base64::base64_decode(text.as_bytes()).unwrap()
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", base64::encode(der))
}

fn rsa_pem(size: KeySize) -> String {
    let der: Pkcs8V1Der<'_> = RsaKeyPair::generate(size).unwrap().as_der().unwrap();
    pem(der.as_ref())
}

/// The value of the signature field of RFC 8463 appendix A.3 without the signature.
fn example(algorithm: &str, selector: &str) -> String {
    format!(
        "v=1; a={algorithm}; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n q=dns/txt; \
         s={selector}; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n \
         bh={BODY_HASH};\r\n b="
    )
}

/// Whether a signature holds over a message by its own field, as a verifier reads it: `h=` says which fields count, and
/// the value of `b=`, which stands last, is taken out.
fn verifies(message: &str, public: &[u8], algorithm: &'static dyn VerificationAlgorithm, prehashed: bool) -> bool {
    let (fields, body) = canonical::split(message.as_bytes()).unwrap();
    let header = message.split("\r\nFrom:").next().unwrap().strip_prefix("DKIM-Signature:").unwrap();
    let (unsigned, signature) = header.split_at(header.find(" b=").unwrap() + 3);
    let tag = |name: &str| {
        let found = header.split(';').find_map(|tag| tag.trim_ascii().strip_prefix(name));
        found.unwrap().split_ascii_whitespace().collect::<String>()
    };
    let body_hash = base64::encode(digest(&SHA256, &relaxed_body(body)).as_ref());
    let names = tag("h=");
    let data = signed_data(&fields[1..], &names.split(':').collect::<Vec<_>>(), unsigned);
    let data = if prehashed { digest(&SHA256, &data).as_ref().to_vec() } else { data };
    let signature = base64_decoded(&signature.split_ascii_whitespace().collect::<String>());
    tag("bh=") == body_hash && UnparsedPublicKey::new(algorithm, public).verify(&data, &signature).is_ok()
}

#[test]
fn the_examples_of_rfc_8463_come_out() {
    let (fields, body) = canonical::split(MESSAGE.as_bytes()).unwrap();
    assert_eq!(base64::encode(digest(&SHA256, &relaxed_body(body)).as_ref()), BODY_HASH);

    let data = signed_data(&fields, &NAMES, &example("ed25519-sha256", "brisbane"));
    let key = Key::from_pem(ED25519_KEY.as_bytes()).unwrap();
    assert_eq!(base64::encode(&key.sign(&data).unwrap()), ED25519_SIGNATURE);

    let data = signed_data(&fields, &NAMES, &example("rsa-sha256", "test"));
    let (public, signature) = (base64_decoded(RSA_PUBLIC), base64_decoded(RSA_SIGNATURE));
    let public = UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, public);
    assert_eq!(public.verify(&data, &signature), Ok(()));
}

#[test]
fn bodies_have_the_relaxed_form() {
    for (body, expected) in [
        // RFC 6376 section 3.4.5.
        (" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
        ("", ""),
        ("\r\n\r\n", ""),
        ("a", "a\r\n"),
        ("a\r\n\r\nb", "a\r\n\r\nb\r\n"),
        ("a  \t b\t\r\n", "a b\r\n"),
        // Lines of white space alone are empty, at the end of the body too.
        ("hello\r\n \t\r\n", "hello\r\n"),
        (" \r\n\t\r\n", ""),
        ("a\nb\r\n", "a\nb\r\n"),
    ] {
        assert_eq!(String::from_utf8(relaxed_body(body.as_bytes())).unwrap(), expected, "{body:?}");
    }
}

#[test]
fn fields_have_the_relaxed_form() {
    for (header, name, expected) in [
        // RFC 6376 section 3.4.5.
        ("A: X\r\nB : Y\t\r\n\tZ  \r\n", "a", "a:X\r\n"),
        ("A: X\r\nB : Y\t\r\n\tZ  \r\n", "b", "b:Y Z\r\n"),
        // Of equal fields the last counts first.
        ("A: 1\r\nA: 2\r\n", "A", "a:2\r\n"),
        ("A:\r\n", "a", "a:\r\n"),
        ("A: x\r\n", "other", ""),
    ] {
        let message = format!("{header}\r\n");
        let (fields, _) = canonical::split(message.as_bytes()).unwrap();
        let data = String::from_utf8(signed_data(&fields, &[name], "v=1;\r\n b=")).unwrap();
        assert_eq!(data, format!("{expected}dkim-signature:v=1; b="), "{header:?}");
    }
}

#[test]
fn what_is_signed_verifies_and_no_change_does() {
    let body = "Hi.\r\n\r\n  spaced   out\t\r\n\r\n";
    let message =
        format!("From: <a@sender.example>\r\nTLS-Required: No\r\nSubject: a\r\n  folded one\r\nX: y\r\n\r\n{body}");
    let at = Timestamp::from_secs(1_798_938_000);
    for (pem, prehashed) in [(ED25519_KEY.to_owned(), true), (rsa_pem(KeySize::Rsa2048), false)] {
        let signer = Signer::from_pem(domain("sender.example"), "S1.tlsrpt", pem.as_bytes()).unwrap();
        let field = signer.sign(message.as_bytes(), at).unwrap();
        assert!(field.starts_with("DKIM-Signature: v=1; a="), "{field}");
        let unfolded = field.replace("\r\n ", " ");
        assert!(unfolded.contains(" d=sender.example; s=s1.tlsrpt; t=1798938000; h=From: From: Subject: "), "{field}");
        assert!(field.split("\r\n").all(|line| line.len() <= 78), "{field}");
        let algorithm: &'static dyn VerificationAlgorithm =
            if prehashed { &ED25519 } else { &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY };
        let record = signer.record().unwrap();
        let public = base64_decoded(record.split_once("p=").unwrap().1);
        let holds = |message: &str| verifies(&format!("{field}{message}"), &public, algorithm, prehashed);
        assert!(holds(&message));
        assert!(holds(&message.replace("spaced   out\t", "spaced out")));
        assert!(holds(&message.replace("X: y", "X: z")));
        for (old, new) in [
            ("a@sender", "b@sender"),
            ("spaced", "spiced"),
            ("folded", "unfolded"),
            ("No\r\n", "No\r\nSubject: another\r\n"),
            ("No\r\n", "No\r\nTLS-Required: No\r\n"),
            ("spaced   out\t\r\n", "spaced   out\t\r\nmore\r\n"),
        ] {
            assert!(!holds(&message.replace(old, new)), "{old} for {new}");
        }
    }
}

#[test]
fn the_record_says_what_the_key_is_for() {
    let signer = Signer::from_pem(domain("sender.example"), "brisbane", ED25519_KEY.as_bytes()).unwrap();
    assert_eq!(signer.record_name(), "brisbane._domainkey.sender.example");
    assert_eq!(signer.record(), Ok(format!("v=DKIM1; k=ed25519; s=*; p={ED25519_PUBLIC}")));
    assert_eq!(format!("{signer:?}"), "Signer(ed25519-sha256 brisbane._domainkey.sender.example)");
}

#[test]
fn keys_that_verifiers_would_not_take_are_refused() {
    let ec = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMC4=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (selector, pem, expected) in [
        ("s", RSA_KEY, DkimKeyError::TooShort),
        ("s", &ec, DkimKeyError::Kind),
        ("s", encrypted, DkimKeyError::Encrypted),
        ("s", "", DkimKeyError::NoKey),
        ("s", "-----BEGIN PRIVATE KEY-----\nMC4C\n", DkimKeyError::Malformed),
        ("s", &pem(b"no key"), DkimKeyError::Kind),
        ("", ED25519_KEY, DkimKeyError::Selector),
        ("a..b", ED25519_KEY, DkimKeyError::Selector),
        ("a b", ED25519_KEY, DkimKeyError::Selector),
        ("a;d=x", ED25519_KEY, DkimKeyError::Selector),
    ] {
        let refused = Signer::from_pem(domain("sender.example"), selector, pem.as_bytes()).map(|_| ());
        assert_eq!(refused, Err(expected), "{selector} {pem}");
    }
    // Making a longer key takes too long for a test.
    for (bits, expected) in [(4096, Ok(())), (4104, Err(DkimKeyError::TooLong)), (2040, Err(DkimKeyError::TooShort))] {
        assert_eq!(check_rsa_bits(bits), expected, "{bits}");
    }
}

#[test]
fn what_is_no_message_is_not_signed() {
    let signer = Signer::from_pem(domain("sender.example"), "s", ED25519_KEY.as_bytes()).unwrap();
    for (message, expected) in [
        ("", SignError::NoHeader),
        ("From: a@b.example\r\n", SignError::NoHeader),
        ("From a@b.example\r\n\r\n", SignError::NoHeader),
        ("Subject: x\r\n\r\nFrom: a@b.example\r\n", SignError::NoFrom),
        ("\r\nFrom: a@b.example\r\n", SignError::NoFrom),
    ] {
        assert_eq!(signer.sign(message.as_bytes(), Timestamp::from_secs(0)), Err(expected), "{message:?}");
    }
}

proptest! {
    #[test]
    fn no_octets_are_too_odd_to_split(message in "(From: |[\r\n\t :a]){0,30}") {
        let signer = Signer::from_pem(domain("sender.example"), "s", ED25519_KEY.as_bytes()).unwrap();
        let _ = signer.sign(message.as_bytes(), Timestamp::from_secs(0));
        let relaxed = relaxed_body(message.as_bytes());
        prop_assert_eq!(relaxed_body(&relaxed), relaxed);
    }
}
