//! Aliases that are made of a DNAME record: they have no signature of their own (RFC 6672 section 5.3.1).

use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::BinDecodable;

/// Whether `alias` is what the DNAME record makes of the alias's owner (RFC 6672 section 2.2).
pub(super) fn makes(dname: &Record, alias: &Record) -> bool {
    let (RData::CNAME(end), Some(target)) = (&alias.data, target(dname)) else { return false };
    let (owner, below) = (&dname.name, &alias.name);
    let labels = usize::from(below.num_labels()).saturating_sub(owner.num_labels().into());
    // The DNAME record says nothing about its own owner.
    if labels == 0 || !owner.zone_of(below) {
        return false;
    }
    Name::from_labels(below.iter().take(labels).chain(target.iter())).is_ok_and(|made| made == end.0)
}

fn target(dname: &Record) -> Option<Name> {
    match &dname.data {
        RData::Unknown { code: RecordType::DNAME, rdata } => Name::from_bytes(&rdata.anything).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::{CNAME, NULL};
    use hickory_resolver::proto::serialize::binary::BinEncodable;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn a_dname_record_puts_another_end_to_names_below_its_own() {
        for (owner, target, alias, end, expected) in [
            ("old.example.", "new.example.", "mx.old.example.", "mx.new.example.", true),
            ("old.example.", "new.example.", "a.b.old.example.", "a.b.new.example.", true),
            ("old.example.", "new.example.", "MX.OLD.example.", "mx.New.example.", true),
            ("old.example.", ".", "mx.old.example.", "mx.", true),
            ("old.example.", "new.example.", "old.example.", "new.example.", false),
            ("old.example.", "new.example.", "mx.old.example.", "mx.evil.example.", false),
            ("old.example.", "new.example.", "mx.old.example.", "evil.new.example.", false),
            ("old.example.", "new.example.", "mx.other.example.", "mx.new.example.", false),
            ("old.example.", "new.example.", "mxold.example.", "mxnew.example.", false),
        ] {
            let rdata = NULL::with(name(target).to_bytes().unwrap());
            let dname = Record::from_rdata(name(owner), 60, RData::Unknown { code: RecordType::DNAME, rdata });
            let made = Record::from_rdata(name(alias), 60, RData::CNAME(CNAME(name(end))));
            assert_eq!(makes(&dname, &made), expected, "{owner} {target} {alias} {end}");
            assert!(!makes(&made, &made));
        }
        let garbage = RData::Unknown { code: RecordType::DNAME, rdata: NULL::with(vec![63, 1]) };
        let alias = Record::from_rdata(name("a.old."), 60, RData::CNAME(CNAME(name("a.new."))));
        assert!(!makes(&Record::from_rdata(name("old."), 60, garbage), &alias));
    }
}
