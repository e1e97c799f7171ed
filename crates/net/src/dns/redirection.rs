//! DNAME records: what is below one name is found below another.
//!
//! Source: RFC 6672.

use hickory_proto::op::Message;
use hickory_proto::rr::{DNSClass, Name as WireName, RData, Record, RecordType as WireType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};

/// The record of an answer that redirects a name: the one closest to it, of a name above it.
/// RFC 6672 §2.2.
pub(super) fn redirecting<'m>(message: &'m Message, name: &WireName) -> Option<&'m Record> {
    let records = message.answers.iter().filter(|record| {
        record.record_type() == WireType::DNAME
            && record.dns_class == DNSClass::IN
            && record.name != *name
            && record.name.zone_of(name)
    });
    records.max_by_key(|record| record.name.iter().count())
}

/// Where a record redirects a name: its part below the owner stays, the rest is replaced. `None` if
/// that is too long or the record is damaged. RFC 6672 §2.2, §2.3.
pub(super) fn redirected(record: &Record, name: &WireName) -> Option<WireName> {
    let RData::Unknown { rdata, .. } = &record.data else { return None };
    let mut decoder = BinDecoder::new(&rdata.anything);
    let target = WireName::read(&mut decoder).ok()?;
    if !decoder.is_empty() {
        return None;
    }
    let below = name.iter().count().checked_sub(record.name.iter().count())?;
    WireName::from_labels(name.iter().take(below)).ok()?.append_domain(&target).ok()
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{MessageType, OpCode};
    use hickory_proto::rr::rdata::NULL;

    use super::*;
    use crate::dns::lab::{dname, wire};

    fn record(owner: &str, data: RData) -> Record {
        Record::from_rdata(wire(owner), 60, data)
    }

    #[track_caller]
    fn check(name: &str, owner: &str, target: &str, want: Option<&str>) {
        let got = redirected(&record(owner, dname(target)), &wire(name));
        assert_eq!(got, want.map(wire), "{name} from {owner} to {target}");
    }

    /// RFC 6672 §2.2, table 1.
    #[test]
    fn names_are_redirected() {
        let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63)].join(".");
        check("x.a.example", "a.example", "b.test", Some("x.b.test"));
        check("x.y.a.example", "a.example", "b.test", Some("x.y.b.test"));
        check("x.a.example", "a.example", ".", Some("x"));
        check("x.example", "example", "y.x.example", Some("x.y.x.example"));
        check("X.A.example", "a.Example", "b.test", Some("x.b.test"));
        check("x", ".", "b.test", Some("x.b.test"));
        // 255 bytes are a name, with the length of each label and of the root.
        let (fits, past) = ("d".repeat(61), "d".repeat(62));
        check(&format!("{fits}.a"), "a", &longest, Some(&format!("{fits}.{longest}")));
        check(&format!("{past}.a"), "a", &longest, None);
    }

    #[test]
    fn damaged_records_redirect_nothing() {
        for bytes in [&b"\x01a"[..], b"\x01a\x00\x00", b"\xc0\x00", b"\x40", b"\x3fa"] {
            let rdata = NULL::with(bytes.to_vec());
            let data = RData::Unknown { code: WireType::DNAME, rdata };
            assert_eq!(redirected(&record("a", data), &wire("x.a")), None, "{bytes:?}");
        }
    }

    #[test]
    fn the_closest_name_above_counts() {
        let mut message = Message::new(0, MessageType::Response, OpCode::Query);
        for owner in ["example", "a.example", "x.a.example", "b.example", "."] {
            message.add_answer(record(owner, dname("test")));
        }
        let owner = |name| redirecting(&message, &wire(name)).map(|one| one.name.clone());
        assert_eq!(owner("x.a.example"), Some(wire("a.example")));
        assert_eq!(owner("y.x.a.example"), Some(wire("x.a.example")));
        assert_eq!(owner("xa.example"), Some(wire("example")));
        assert_eq!(owner("."), None);
        message.answers.iter_mut().for_each(|one| one.dns_class = DNSClass::CH);
        assert_eq!(redirecting(&message, &wire("x.example")), None);
    }
}
