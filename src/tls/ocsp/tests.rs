//! Responses built octet by octet, and what is made of them.

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SERIAL: &[u8] = &[0x01, 0x02, 0x03];
const GOOD: &[u8] = &[0x80, 0x00];
const UNKNOWN: &[u8] = &[0x82, 0x00];

/// A DER value of less than 64 KiB.
fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let header = match length {
        0..0x80 => vec![tag, low],
        0x80..0x100 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [header, content].concat()
}

fn time(moment: Timestamp) -> Vec<u8> {
    let digits: String = moment.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
    value(GENERALIZED_TIME, &[format!("{digits}Z").as_bytes()])
}

fn revoked() -> Vec<u8> {
    value(EXPLICIT | 1, &[&time(NOW)])
}

fn single(serial: &[u8], status: &[u8], this_update: Timestamp, next_update: Option<Timestamp>) -> Vec<u8> {
    let sha1 = value(SEQUENCE, &[&value(OBJECT_IDENTIFIER, &[&[0x2b, 0x0e, 0x03, 0x02, 0x1a]])]);
    let hash = value(OCTET_STRING, &[&[7; 20]]);
    let id = value(SEQUENCE, &[&sha1, &hash, &hash, &value(INTEGER, &[serial])]);
    let next_update = next_update.map(|next| value(EXPLICIT, &[&time(next)])).unwrap_or_default();
    value(SEQUENCE, &[&id, status, &time(this_update), &next_update])
}

fn response(kind: &[u8], singles: &[Vec<u8>]) -> Vec<u8> {
    let responder = value(EXPLICIT | 2, &[&value(OCTET_STRING, &[&[9; 20]])]);
    let singles = value(SEQUENCE, &[&singles.concat()]);
    let data = value(SEQUENCE, &[&responder, &time(NOW), &singles]);
    let algorithm = value(SEQUENCE, &[&value(OBJECT_IDENTIFIER, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]])]);
    let basic = value(SEQUENCE, &[&data, &algorithm, &value(0x03, &[&[0; 65]])]);
    let bytes = value(SEQUENCE, &[&value(OBJECT_IDENTIFIER, &[kind]), &value(OCTET_STRING, &[&basic])]);
    value(SEQUENCE, &[&value(ENUMERATED, &[&[0]]), &value(EXPLICIT, &[&bytes])])
}

/// A response that calls the certificate with this serial number good.
pub(crate) fn good_response(serial: &[u8], this_update: Timestamp, next_update: Timestamp) -> Vec<u8> {
    response(BASIC_RESPONSE, &[single(serial, GOOD, this_update, Some(next_update))])
}

fn parse(der: Vec<u8>) -> Result<OcspResponse, OcspError> {
    OcspResponse::parse(Path::new("x.ocsp"), der, SERIAL)
}

#[test]
fn a_response_is_stapled_while_it_is_valid_and_good() {
    let until = NOW + 4 * DAY;
    let of = |status: &[u8], next| response(BASIC_RESPONSE, &[single(SERIAL, status, NOW, next)]);
    let good = of(GOOD, Some(until));
    for (der, at, expected) in [
        (&good, NOW, OcspState::Stapled { until }),
        (&good, until, OcspState::Stapled { until }),
        (&good, until + DAY, OcspState::Stale { since: until }),
        (&good, NOW - DAY, OcspState::NotYetValid { from: NOW }),
        (&of(GOOD, None), NOW + 6 * DAY, OcspState::Stapled { until: NOW + 7 * DAY }),
        (&of(GOOD, None), NOW + 8 * DAY, OcspState::Stale { since: NOW + 7 * DAY }),
        (&of(&revoked(), Some(until)), NOW, OcspState::Revoked),
        (&of(UNKNOWN, Some(until)), NOW, OcspState::Unknown),
    ] {
        assert_eq!(parse(der.clone()).unwrap().state(at), expected, "{at}");
    }
}

#[test]
fn the_response_for_the_certificate_is_found_among_others() {
    let other = single(&[0x05], &revoked(), NOW, None);
    let ours = single(SERIAL, GOOD, NOW, Some(NOW + DAY));
    let found = parse(response(BASIC_RESPONSE, &[other.clone(), ours])).unwrap();
    assert_eq!(found.state(NOW), OcspState::Stapled { until: NOW + DAY });
    let file = PathBuf::from("x.ocsp");
    assert_eq!(parse(response(BASIC_RESPONSE, &[other])), Err(OcspError::OtherCertificate { file: file.clone() }));
    assert_eq!(parse(response(BASIC_RESPONSE, &[])), Err(OcspError::OtherCertificate { file }));
}

#[test]
fn what_is_no_response_is_refused_with_its_file_and_a_remedy() {
    let file = PathBuf::from("x.ocsp");
    let no_response = OcspError::NotAResponse { file: file.clone() };
    let good = good_response(SERIAL, NOW, NOW + DAY);
    let refused = |status: u8| value(SEQUENCE, &[&value(ENUMERATED, &[&[status]])]);
    for (der, expected) in [
        (vec![], no_response.clone()),
        (b"-----BEGIN OCSP RESPONSE-----".to_vec(), no_response.clone()),
        ([good.clone(), vec![0]].concat(), no_response.clone()),
        (response(&[0x2a], &[single(SERIAL, GOOD, NOW, None)]), no_response.clone()),
        (response(BASIC_RESPONSE, &[single(SERIAL, &[0x83, 0x00], NOW, None)]), no_response.clone()),
        (refused(0), no_response),
        (refused(3), OcspError::Refused { file: file.clone(), status: 3 }),
        (refused(6), OcspError::Refused { file, status: 6 }),
    ] {
        assert_eq!(parse(der).unwrap_err(), expected);
    }
    assert_eq!(
        parse(refused(3)).unwrap_err().to_string(),
        "x.ocsp is the refusal of an OCSP responder (try later), not a response; fetch it again"
    );
}

#[test]
fn a_cut_or_damaged_response_never_panics_and_a_cut_one_is_refused() {
    let good = good_response(SERIAL, NOW, NOW + DAY);
    for cut in 0..good.len() {
        assert!(parse(good[..cut].to_vec()).is_err(), "{cut}");
    }
    for at in 0..good.len() {
        for bits in [0x01, 0x80, 0xff] {
            let mut odd = good.clone();
            odd[at] ^= bits;
            _ = parse(odd);
        }
    }
}

#[test]
fn a_file_is_read_up_to_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("big.ocsp");
    File::create(&file).unwrap().set_len(OCSP_FILE_BYTES_MAX + 1).unwrap();
    assert_eq!(OcspResponse::read(&file, SERIAL), Err(OcspError::TooBig { file }));
    let missing = folder.path().join("missing.ocsp");
    let kind = io::ErrorKind::NotFound;
    assert_eq!(OcspResponse::read(&missing, SERIAL), Err(OcspError::Unreadable { file: missing, kind }));
}
