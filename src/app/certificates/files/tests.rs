//! Which changes of files are news, and when they have settled.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;

fn seen(version: u64, readable: bool) -> FileState {
    let stamp = Stamp { device: 1, inode: 1, size: version, modified: (1, 0), changed: (1, 0), leads_to: "/c".into() };
    FileState::Seen { stamp, readable }
}

/// A pair whose chain and key have these versions.
fn pair(name: &str, chain: u64, key: u64) -> PairFiles {
    let paths = CertificatePaths::new(format!("{name}.pem"), format!("{name}.key"));
    PairFiles { paths, chain: seen(chain, true), key: seen(key, true), ocsp: None }
}

#[test]
fn what_is_worth_reading_again() {
    use FileState::{Hidden, Missing};
    for (before, now, expected) in [
        (seen(1, true), seen(1, true), false),
        (seen(1, true), seen(2, true), true),
        (seen(1, true), seen(2, false), true),
        (seen(1, true), seen(1, false), false),
        (seen(1, false), seen(1, true), true),
        (seen(1, true), Missing, true),
        (Missing, Missing, false),
        (Missing, seen(1, true), true),
        (seen(1, true), Hidden, false),
        (Hidden, seen(1, true), true),
    ] {
        assert_eq!(now.is_news_after(&before), expected, "{before:?} {now:?}");
    }
}

#[test]
fn a_change_is_put_in_force_once_it_has_stood_still() {
    let in_force = [pair("a", 1, 1), pair("b", 1, 1)];
    let mut settling = Settling::default();
    // What is seen of `a` and `b`, and what of them settles.
    for (a, b, expected) in [
        ((1, 1), (1, 1), None),
        ((2, 1), (1, 1), None),
        ((2, 2), (1, 1), None),
        ((2, 2), (1, 1), Some(((2, 2), (1, 1)))),
        ((3, 2), (2, 2), None),
        // One that never stands still does not hold up the other.
        ((4, 2), (2, 2), Some(((1, 1), (2, 2)))),
        ((1, 1), (1, 1), None),
        ((1, 1), (1, 1), None),
    ] {
        let of = |(a, b): ((u64, u64), (u64, u64))| vec![pair("a", a.0, a.1), pair("b", b.0, b.1)];
        assert_eq!(settling.look(&in_force, of((a, b))), expected.map(of), "{a:?} {b:?}");
    }
}

#[test]
fn another_configuration_begins_anew() {
    let mut settling = Settling::default();
    assert_eq!(settling.look(&[pair("a", 1, 1)], vec![pair("a", 2, 2)]), None);
    assert_eq!(settling.look(&[pair("b", 1, 1)], vec![pair("b", 2, 2)]), None);
    assert_eq!(settling.look(&[pair("b", 1, 1)], vec![pair("b", 2, 2)]), Some(vec![pair("b", 2, 2)]));
    assert_eq!(settling.look(&[], vec![]), None);
}

#[test]
fn a_file_that_was_closed_is_named() {
    let before = PairFiles { ocsp: Some(seen(1, true)), ..pair("a", 1, 1) };
    let before = PairFiles { paths: CertificatePaths { ocsp: Some("a.ocsp".into()), ..before.paths }, ..before };
    let closed = |chain, key, ocsp: FileState| {
        let now = PairFiles { chain, key, ocsp: Some(ocsp), ..before.clone() };
        now.closed_since(&before).into_iter().map(Path::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(closed(seen(1, true), seen(1, false), seen(1, true)), [Path::new("a.key")]);
    assert_eq!(
        closed(FileState::Missing, FileState::Hidden, FileState::Hidden),
        [Path::new("a.key"), Path::new("a.ocsp")]
    );
}

#[test]
fn real_files_are_news_when_they_are_written_replaced_linked_elsewhere_or_opened() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("one")).unwrap();
    std::fs::create_dir(at("two")).unwrap();
    std::fs::write(at("one/c.pem"), "a").unwrap();
    std::fs::write(at("two/c.pem"), "a").unwrap();
    symlink(at("one"), at("current")).unwrap();
    let path = at("current/c.pem");

    let first = FileState::look(&path);
    assert!(!FileState::look(&path).is_news_after(&first));
    std::fs::write(at("one/c.pem"), "ab").unwrap();
    let written = FileState::look(&path);
    assert!(written.is_news_after(&first));

    std::fs::write(at("new"), "ab").unwrap();
    std::fs::rename(at("new"), at("one/c.pem")).unwrap();
    let replaced = FileState::look(&path);
    assert!(replaced.is_news_after(&written));

    symlink(at("two"), at("next")).unwrap();
    std::fs::rename(at("next"), at("current")).unwrap();
    let linked = FileState::look(&path);
    assert!(linked.is_news_after(&replaced));

    std::fs::set_permissions(at("two/c.pem"), PermissionsExt::from_mode(0o640)).unwrap();
    assert!(FileState::look(&path).is_news_after(&linked));
    std::fs::remove_file(at("two/c.pem")).unwrap();
    assert_eq!(FileState::look(&path), FileState::Missing);
}
