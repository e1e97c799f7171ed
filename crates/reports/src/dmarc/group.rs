//! Counting equal records.

use std::collections::HashMap;

use super::parse::RECORDS_MAX;
use super::{Record, write};

/// All records of a report we write, in bytes of XML. Ours: less than what a report read here may have,
/// and far more than mail systems take, once packed.
pub const RECORDS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Records of single messages, grouped: those that differ only in their counts become one.
/// RFC 9990 §3.1.1 (`row`).
///
/// Holds at most [`RECORDS_MAX`] records with [`RECORDS_BYTES_MAX`] bytes; messages that need more are
/// counted as left out.
#[derive(Debug, Default)]
pub struct Grouped {
    /// With a count of zero; and the place in order of coming, and the count.
    records: HashMap<Record, (usize, u64)>,
    bytes: usize,
    left_out: u64,
}

impl Grouped {
    /// Counts a record.
    pub fn add(&mut self, mut record: Record) {
        let count = std::mem::take(&mut record.row.count);
        if let Some((_, sum)) = self.records.get_mut(&record) {
            *sum = sum.saturating_add(count);
            return;
        }
        // The count can grow to the longest number.
        let bytes = write::record_bytes(&record) + u64::MAX.to_string().len();
        let place = self.records.len();
        if place >= RECORDS_MAX || self.bytes.saturating_add(bytes) > RECORDS_BYTES_MAX {
            self.left_out = self.left_out.saturating_add(count);
            return;
        }
        self.bytes += bytes;
        self.records.insert(record, (place, count));
    }

    /// How many messages are not in the records, because there was no room.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The records with their counts, in the order in which they came first.
    #[must_use]
    pub fn into_records(self) -> Vec<Record> {
        let mut records: Vec<_> = self.records.into_iter().collect();
        records.sort_unstable_by_key(|(_, (place, _))| *place);
        let counted = records.into_iter().map(|(mut record, (_, count))| {
            record.row.count = count;
            record
        });
        counted.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(ip: &str, from: &str, count: u64) -> Record {
        let mut record = Record::default();
        record.row.source_ip = Some(ip.parse().unwrap());
        record.row.count = count;
        from.clone_into(&mut record.identifiers.header_from);
        record
    }

    /// RFC 9990 §3.1.1.
    #[test]
    fn equal_records_are_counted() {
        let mut grouped = Grouped::default();
        let (one, other) = (record("192.0.2.1", "a.example", 1), record("::1", "a.example", 2));
        let third = record("::1", "b.example", 1);
        for record in [&one, &other, &one, &third, &one, &other] {
            grouped.add(record.clone());
        }
        assert_eq!(grouped.left_out(), 0);
        let counts = grouped.into_records().into_iter().map(|record| {
            (
                record.row.source_ip.unwrap().to_string(),
                record.identifiers.header_from,
                record.row.count,
            )
        });
        let want =
            [("192.0.2.1", "a.example", 3), ("::1", "a.example", 4), ("::1", "b.example", 1)];
        let want = want.map(|(ip, from, count)| (ip.to_owned(), from.to_owned(), count));
        assert_eq!(counts.collect::<Vec<_>>(), want);
    }

    #[test]
    fn what_has_no_room_is_counted_as_left_out() {
        let mut grouped = Grouped::default();
        let long = "x".repeat(4_000);
        let mut number = 0_u64;
        while grouped.left_out() == 0 {
            grouped.add(record("::1", &format!("{number}{long}"), 1));
            number += 1;
        }
        assert!(number > 3_000, "{number}");
        // Those that are there go on to count.
        grouped.add(record("::1", &format!("0{long}"), 4));
        grouped.add(record("::1", &format!("other{long}"), u64::MAX));
        assert_eq!(grouped.left_out(), u64::MAX);
        let records = grouped.into_records();
        assert_eq!(records[0].row.count, 5);
        let bytes: usize = records.iter().map(write::record_bytes).sum();
        assert!(bytes <= RECORDS_BYTES_MAX);

        let mut grouped = Grouped::default();
        for number in 0..=RECORDS_MAX {
            grouped.add(record("::1", &number.to_string(), 1));
        }
        assert_eq!(grouped.left_out(), 1);
    }
}
