//! Certificates whose files change while they are in use.

mod running;

use super::*;
use crate::tls::demo_authority::{DemoAuthority, KeyKind};
use crate::tls::ocsp::tests::good_response;
use crate::tls::self_signed::Validity;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A folder with the files of certificates, and an authority that renews them.
struct Stage {
    folder: tempfile::TempDir,
    authority: DemoAuthority,
    now: Timestamp,
}

impl Stage {
    fn new() -> Self {
        // Certificates know whole seconds only.
        let now = Timestamp::from_secs(clock::timestamp().micros() / 1_000_000);
        Self { folder: tempfile::tempdir().unwrap(), authority: DemoAuthority::new(now).unwrap(), now }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    /// A new certificate of this name, valid for so many days, in `NAME.pem` and `NAME.key`.
    fn renew(&self, name: &str, days: u32) {
        let validity = Validity::starting(self.now, DAY * days);
        let pair = self.authority.issue(&[&format!("{name}.example")], KeyKind::P256, validity).unwrap();
        self.write(&format!("{name}.pem"), &pair.certificate_pem);
        self.write(&format!("{name}.key"), &pair.key_pem);
    }

    fn paths(&self, name: &str) -> CertificatePaths {
        let at = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        CertificatePaths::new(at("pem"), at("key"))
    }

    /// An OCSP response for what is in the chain file, valid for so many days.
    fn answer_ocsp(&self, name: &str, days: u32) {
        let pem = std::fs::read(self.folder.path().join(format!("{name}.pem"))).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        let serial = pem.parse_x509().unwrap().raw_serial().to_vec();
        self.write(&format!("{name}.ocsp"), good_response(&serial, self.now, self.now + DAY * days));
    }
}

/// What is in use: the days that each is valid for from now on, and whether something is wrong with its files.
fn in_use(certificates: &Certificates, now: Timestamp) -> Vec<(u64, bool)> {
    let status = certificates.status(now).into_iter();
    status.map(|one| (one.not_after.saturating_since(now).as_secs() / 86_400, !one.problems.is_empty())).collect()
}

#[test]
fn a_broken_new_pair_keeps_the_old_one_and_holds_up_no_other() {
    let stage = Stage::new();
    let now = stage.now;
    stage.renew("a", 20);
    stage.renew("b", 20);
    let first = Certificates::read(&[stage.paths("a"), stage.paths("b")], now).unwrap();
    assert_eq!(in_use(&first, now), [(20, false), (20, false)]);

    let old_key = std::fs::read(stage.folder.path().join("a.key")).unwrap();
    stage.renew("a", 90);
    stage.renew("b", 90);
    let new_key = std::fs::read(stage.folder.path().join("a.key")).unwrap();
    stage.write("a.key", old_key);
    let broken = first.renewed(&first.look(), now).unwrap();
    assert_eq!(in_use(&broken, now), [(20, true), (90, false)]);
    assert!(broken.has_problems());
    let problem = &broken.status(now)[0].problems[0];
    assert!(problem.contains("a.pem") && problem.contains("name the key that"), "{problem}");

    // Another change changes nothing for it, and another attempt finds the same.
    stage.renew("b", 30);
    let still = broken.renewed(&broken.look(), now).unwrap();
    assert_eq!(in_use(&still, now), [(20, true), (30, false)]);
    assert_eq!(still.pairs[0].problems, broken.pairs[0].problems);

    stage.write("a.key", new_key);
    let mended = still.renewed(&still.look(), now).unwrap();
    assert_eq!(in_use(&mended, now), [(90, false), (30, false)]);
    assert_eq!(mended.ends().len(), 2);
}

#[test]
fn files_that_have_not_changed_are_not_read() {
    let stage = Stage::new();
    let now = stage.now;
    stage.renew("a", 20);
    let first = Certificates::read(&[stage.paths("a")], now).unwrap();
    let seen = first.look();
    stage.write("a.pem", "nothing");
    assert_eq!(in_use(&first.renewed(&seen, now).unwrap(), now), [(20, false)]);
    // A look at the files of an older configuration is none.
    let other = vec![PairFiles::look(&stage.paths("b"))];
    assert_eq!(in_use(&first.renewed(&other, now).unwrap(), now), [(20, false)]);
}

#[test]
fn an_ocsp_response_follows_its_file_its_certificate_and_the_time() {
    let stage = Stage::new();
    let now = stage.now;
    let told = |certificates: &Certificates, at| certificates.status(at)[0].ocsp.clone();
    let renew = |before: &Certificates, at| before.renewed(&before.look(), at).unwrap();
    stage.renew("a", 20);
    stage.answer_ocsp("a", 4);
    let paths = CertificatePaths { ocsp: Some(stage.folder.path().join("a.ocsp")), ..stage.paths("a") };
    let first = Certificates::read(&[paths], now).unwrap();
    assert_eq!(told(&first, now), Some(format!("stapled until {}", (now + 4 * DAY).day())));

    // Without a new file it is left out once it is stale.
    assert!(!first.is_outdated(now + 3 * DAY) && first.is_outdated(now + 5 * DAY));
    let stale = renew(&first, now + 5 * DAY);
    assert!(!stale.is_outdated(now + 5 * DAY));
    assert_eq!((stale.pairs[0].warnings.len(), stale.has_problems()), (1, false));

    // A damaged one leaves the one before.
    stage.write("a.ocsp", "half a resp");
    let damaged = renew(&first, now);
    assert_eq!((told(&damaged, now), damaged.has_problems()), (told(&first, now), true));

    // That of the certificate before is not sent with the new one, which is used all the same.
    stage.renew("a", 90);
    let renewed = renew(&damaged, now);
    assert_eq!((told(&renewed, now), in_use(&renewed, now)), (None, vec![(90, true)]));

    stage.answer_ocsp("a", 6);
    let complete = renew(&renewed, now);
    assert_eq!(told(&complete, now), Some(format!("stapled until {}", (now + 6 * DAY).day())));
    assert!(!complete.has_problems());
}

#[test]
fn what_fails_as_a_whole_is_told_and_not_tried_again_without_a_change() {
    let stage = Stage::new();
    stage.renew("a", 20);
    let first = Certificates::read(&[stage.paths("a")], stage.now).unwrap();
    stage.renew("a", 90);
    let failed = first.with_problem(first.look(), "no memory");
    assert_eq!(in_use(&failed, stage.now), [(20, true)]);
    assert_eq!(failed.files(), failed.look());
}

#[test]
fn without_certificates_there_is_nothing_to_watch() {
    let none = Certificates::default();
    assert!(none.look().is_empty() && none.renewed(&[], clock::timestamp()).unwrap().store().is_none());
}
