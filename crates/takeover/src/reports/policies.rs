//! Policies of MTA-STS that were fetched. RFC 8461 §3.3: one that is kept protects against who takes away
//! the record of it, so it must not be lost.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use mox_base::{Domain, UnixSeconds};
use mox_bstore::{Record, Value};
use mox_reportdb::{STS_BYTES_MAX, STS_DOMAINS_MAX, StsEntry};
use mox_tlspolicy::mtasts::{MAX_AGE_SECS_MAX, POLICY_BYTES_MAX, parse_policy};

use super::{BATCH_ROWS_MAX, Work};
use crate::file::{DatabaseFile, TakeoverError};
use crate::known::{Kind, fields};
use crate::summary::Summary;

const POLICIES: Kind = Kind {
    table: "PolicyRecord",
    what: "MTA-STS policies",
    fields: fields!(
        "Inserted",
        "ValidEnd",
        "LastUpdate",
        "LastUse",
        "Backoff",
        "RecordID",
        "Version",
        "Mode",
        "MX": fields!("Wildcard", "Domain": fields!("ASCII", "Unicode")),
        "MaxAgeSeconds",
        "Extensions": fields!("Key", "Value"),
        "PolicyText",
    ),
};

/// The policies that ours has room for: those used last.
#[derive(Debug)]
pub(super) struct Newest {
    domains: HashSet<Domain>,
    /// Records in all.
    pub(super) total: u64,
}

impl Newest {
    pub(super) fn find(file: &DatabaseFile, now: UnixSeconds) -> Result<Self, TakeoverError> {
        let (mut total, mut bytes, mut heap) = (0, 0, BinaryHeap::new());
        file.each(&POLICIES, &mut Summary::default(), |record, unseen| {
            total += 1;
            let Some(entry) = entry(record, now, unseen) else { return Ok(true) };
            let size = entry.policy.map_or(0, |policy| policy.len() as u64);
            bytes += size;
            heap.push(Reverse((entry.used, entry.domain, size)));
            while heap.len() as u64 > STS_DOMAINS_MAX || bytes > STS_BYTES_MAX {
                let Some(Reverse((_, _, size))) = heap.pop() else { break };
                bytes = bytes.saturating_sub(size);
            }
            Ok(true)
        })?;
        let domains = heap.into_iter().map(|Reverse((_, domain, _))| domain).collect();
        Ok(Self { domains, total })
    }
}

impl Work<'_> {
    pub(super) fn policies(
        &mut self,
        file: &DatabaseFile,
        newest: &Newest,
    ) -> Result<(), TakeoverError> {
        let (mut batch, mut told) = (Vec::new(), Summary::default());
        let now = self.now;
        file.each(&POLICIES, &mut told, |record, told| {
            if self.is_stopped {
                return Ok(false);
            }
            self.done += 1;
            let Some(entry) = entry(record, now, told) else { return Ok(true) };
            if !newest.domains.contains(&entry.domain) {
                told.skip("MTA-STS policies beyond our limit", entry.domain.to_string());
                return Ok(true);
            }
            batch.push(entry);
            if batch.len() >= BATCH_ROWS_MAX {
                self.keep_policies(&mut batch)?;
            }
            Ok(true)
        })?;
        self.summary.add(told);
        self.keep_policies(&mut batch)
    }

    fn keep_policies(&mut self, batch: &mut Vec<StsEntry>) -> Result<(), TakeoverError> {
        let batch = std::mem::take(batch);
        if let Some(into) = self.into {
            into.keep_policies(&batch)?;
        }
        self.summary.took(POLICIES.what, batch.len() as u64);
        self.is_stopped |= !self.watch.progress(self.done, self.total);
        Ok(())
    }
}

/// What was fetched for a domain. `None` if it is of no use any more.
fn entry(record: &Record, now: UnixSeconds, summary: &mut Summary) -> Option<StsEntry> {
    let name = record.text("Domain");
    let time = |field: &str| record.time(field).map(|time| UnixSeconds(time.unix_secs));
    let valid_end = time("ValidEnd").unwrap_or(UnixSeconds(0));
    if valid_end <= now {
        summary.skip("MTA-STS policies that are out of date", name);
        return None;
    }
    let Ok(domain) = Domain::parse(name) else {
        summary.skip("records with names that are no domains", format!("{name:?}"));
        return None;
    };
    let policy = match record.bool("Backoff") {
        // There is a record, and the policy could not be had: not asked for again until then.
        true => None,
        false => {
            let Some(text) = policy_text(record) else {
                summary.skip("MTA-STS policies that ours cannot read", name);
                return None;
            };
            if text != record.text("PolicyText") {
                summary.differs("MTA-STS policies that were written anew", name);
            }
            Some(text)
        }
    };
    // A clock that was wrong for a while must not keep a policy from being fetched again.
    let updated = time("LastUpdate").or_else(|| time("Inserted")).unwrap_or(now).min(now);
    Some(StsEntry {
        domain,
        inserted: time("Inserted").unwrap_or(updated).min(now),
        valid_end: valid_end.min(now.plus_secs(MAX_AGE_SECS_MAX.into())),
        updated,
        used: time("LastUse").unwrap_or(updated).min(now),
        record_id: record.text("RecordID").to_owned(),
        policy,
    })
}

/// The text of a policy as it was fetched; of old records, and if ours cannot read it, from what was
/// understood of it.
fn policy_text(record: &Record) -> Option<String> {
    let fetched = record.text("PolicyText");
    let read = parse_policy(fetched.as_bytes()).ok();
    // What counted until now is what was understood.
    if read.is_some_and(|policy| policy.mode.as_str() == record.text("Mode")) {
        return Some(fetched.to_owned());
    }
    let mut text = format!("version: {}\nmode: {}\n", record.text("Version"), record.text("Mode"));
    let domain = |value: &Value| value.field("Domain").field("ASCII").text().to_owned();
    for pattern in record.get("MX").list() {
        let wildcard = if pattern.field("Wildcard").bool() { "*." } else { "" };
        text.push_str(&format!("mx: {wildcard}{}\n", domain(pattern)));
        if text.len() > POLICY_BYTES_MAX {
            return None;
        }
    }
    text.push_str(&format!("max_age: {}\n", record.u64("MaxAgeSeconds")));
    for field in record.get("Extensions").list() {
        text.push_str(&format!("{}: {}\n", field.field("Key").text(), field.field("Value").text()));
    }
    parse_policy(text.as_bytes()).ok().map(|_| text)
}
