//! What holds of a queue of the original whose records have any values. Also the check of a fuzz target.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use mox_base::UnixSeconds;
use mox_queue::{
    Filter, HookFilter, HookSort, LeaseRequest, Queue, RetiredFilter, RetiredSort, Sort,
};
use mox_takeover::{QueueAccount, QueueFiles, Summary, Watch};
use mox_testkit::TestRng;
use mox_testkit::original::{Field, Kind, Row, Schema, Type, Value, Writer, row, time_at};

const TYPES: [&str; 6] = ["HoldRule", "Hook", "HookRetired", "Msg", "MsgRetired", "Suppression"];

/// The most records of one type.
const ROWS_MAX: u8 = 4;

/// When it is taken over.
const NOW: UnixSeconds = UnixSeconds(1_795_170_000);

/// Later than anything is due.
const END: UnixSeconds = UnixSeconds(1 << 42);

/// The file of every message.
const CONTENT: &[u8] = b"Subject: test\r\n\r\ntext\r\n";

/// Texts that mean something in one field or another. Each begins as another does.
const WORDS: [&str; 28] = [
    "",
    "a",
    "b",
    "gone",
    "x.example",
    "local.example",
    "b\u{fc}cher.example",
    "xn--bcher-kva.example",
    "not..one",
    "[192.0.2.1]",
    "[IPv6:2001:db8::1]",
    "[",
    "u.ser+x-y@x.example",
    "\"two words\"@x.example",
    "user@[192.0.2.1]",
    "@x.example",
    "a\r\nb",
    "a\0b",
    "jos\u{65}\u{301}",
    "<id@x.example>",
    "id@x.example",
    "for;60",
    "for;9223372036854775807",
    "until;2026-12-24T12:00:00Z",
    "until;9999-99-99T99:99:99Z",
    "7.30",
    "delivering...",
    "relayed",
];

/// Integers about which something could be wrong.
const NUMBERS: [i64; 12] = [
    0,
    -1,
    -5,
    451,
    550,
    CONTENT.len() as i64,
    65_536,
    1 << 32,
    i64::MAX >> 1,
    (i64::MAX >> 1) + 1,
    i64::MIN,
    i64::MAX,
];

/// Seconds that are added to the time of the takeover, and such that are times themselves.
const SECONDS: [i64; 8] = [0, -1, 1, -100, 100, i64::MIN / 2, i64::MAX / 2, -NOW.0];

/// A record by its fields.
type Fields = BTreeMap<String, Value>;

/// Takes what is needed from the bytes of an input; all is zero behind their end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn one_in_four(&mut self) -> bool {
        self.byte().is_multiple_of(4)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    fn bytes(&mut self) -> Vec<u8> {
        let count = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes.to_vec()
    }

    fn number(&mut self) -> i64 {
        match self.byte() % 4 {
            0 | 1 => i64::from(self.byte() % 10),
            2 => self.pick(&NUMBERS),
            _ => i64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn text(&mut self) -> String {
        match self.byte() % 4 {
            0 => String::from_utf8_lossy(&self.bytes()).into_owned(),
            1 => self.pick(&WORDS).repeat(usize::from(self.byte() % 80)),
            _ => self.pick(&WORDS).to_owned(),
        }
    }

    fn time(&mut self) -> Value {
        let secs = self.pick(&SECONDS).saturating_add(NOW.0);
        time_at(secs, u32::from(self.byte()), i32::from(self.byte()) * 60)
    }

    /// - `numbered`: structures that may stand here again.
    fn value(&mut self, of: &Type, numbered: &mut BTreeMap<u32, Vec<Field>>) -> Value {
        match &of.kind {
            Kind::Bool => Value::Bool(self.byte() % 2 == 1),
            Kind::Int(_) => Value::Int(self.number()),
            Kind::Uint(_) => Value::Uint(self.number().cast_unsigned()),
            Kind::Float32 | Kind::Float64 => Value::Float(f64::from(self.byte()) / 3.0),
            Kind::Text => Value::Text(self.text()),
            Kind::Bytes | Kind::Marshaled => Value::Bytes(match self.byte() % 4 {
                0 => vec![192, 0, 2, self.byte()],
                1 => vec![0; 16],
                2 => self.text().into_bytes(),
                _ => self.bytes(),
            }),
            Kind::Time => self.time(),
            Kind::Struct(number, fields) => {
                numbered.insert(*number, fields.clone());
                self.fields(fields, numbered)
            }
            Kind::Again(number) => self.fields(&numbered[number].clone(), numbered),
            Kind::Slice(element) => {
                // Above what ours keeps, once in a while.
                let count = if self.byte() == 255 { 150 } else { self.byte() % 4 };
                Value::List((0..count).map(|_| self.value(element, numbered)).collect())
            }
            Kind::Array(count, element) => {
                Value::List((0..*count).map(|_| self.value(element, numbered)).collect())
            }
            Kind::Map(key, element) => {
                let count = self.byte() % 4;
                let mut entry = || (self.value(key, numbered), self.value(element, numbered));
                Value::Map((0..count).map(|_| entry()).collect())
            }
        }
    }

    fn fields(&mut self, fields: &[Field], numbered: &mut BTreeMap<u32, Vec<Field>>) -> Value {
        let mut values = Vec::new();
        for field in fields {
            // The numbers of structures must be known for those that come later.
            let value = self.value(&field.r#type, numbered);
            if !self.one_in_four() {
                values.push((field.name.clone().into(), value));
            }
        }
        Value::Struct(values)
    }

    /// A type as the original has it, or with a field that is something else than it should be.
    fn schema(&mut self, name: &str) -> Schema {
        let own = Schema::of("queue", name);
        if !self.one_in_four() {
            return own;
        }
        let mut fields = own.fields().to_vec();
        let at = 1 + usize::from(self.byte()) % (fields.len() - 1);
        // What stands there may be meant later.
        if !matches!(fields[at].r#type.kind, Kind::Struct(..) | Kind::Slice(_)) {
            let other = match self.byte() % 8 {
                0 => Kind::Bool,
                1 => Kind::Int(None),
                2 => Kind::Uint(Some(64)),
                3 => Kind::Float64,
                4 => Kind::Text,
                5 => Kind::Time,
                6 => Kind::Slice(Box::new(Kind::Bytes.into())),
                _ => Kind::Bytes,
            };
            fields[at].r#type = other.into();
        }
        Schema::new(name, fields)
    }

    fn rows(&mut self, schema: &Schema) -> BTreeMap<i64, Fields> {
        let mut rows = BTreeMap::new();
        for _ in 0..self.byte() % (ROWS_MAX + 1) {
            let key = self.number();
            let mut numbered = BTreeMap::new();
            let mut record = if !self.one_in_four() { usual(schema) } else { Fields::new() };
            for field in &schema.fields()[1..] {
                let value = self.value(&field.r#type, &mut numbered);
                if self.one_in_four() {
                    record.insert(field.name.clone(), value);
                }
            }
            rows.insert(key, record);
        }
        rows
    }
}

/// What most records have, or nothing would be taken.
fn usual(schema: &Schema) -> Fields {
    let domain = || {
        let name = ("ASCII".into(), Value::from("x.example"));
        Value::Struct(vec![("Domain".into(), Value::Struct(vec![name]))])
    };
    let usual = [
        ("SenderAccount", Kind::Text, Value::from("a")),
        ("Account", Kind::Text, Value::from("a")),
        ("RecipientLocalpart", Kind::Text, Value::from("rcpt")),
        ("RecipientDomain", Kind::Struct(0, Vec::new()), domain()),
        ("Queued", Kind::Time, time_at(NOW.0 - 100, 0, 0)),
        ("KeepUntil", Kind::Time, time_at(NOW.0 + 100, 0, 0)),
    ];
    let fits = |field: &Field, kind: &Kind| {
        std::mem::discriminant(&field.r#type.kind) == std::mem::discriminant(kind)
            // That of a rule is a plain one.
            && !matches!(&field.r#type.kind, Kind::Struct(_, within) if within[0].name != "IP")
    };
    let of = |name: &str| schema.fields().iter().find(|field| field.name == name);
    usual
        .into_iter()
        .filter(|(name, kind, _)| of(name).is_some_and(|field| fits(field, kind)))
        .map(|(name, _, value)| (name.to_owned(), value))
        .collect()
}

/// Whether a field is not there, or as if it were not.
fn is_nothing(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Nil | Value::Bool(false) | Value::Int(0) | Value::Uint(0)) => true,
        Some(Value::Text(text)) => text.is_empty(),
        Some(Value::Bytes(bytes)) => bytes.is_empty(),
        Some(Value::Float(number)) => *number == 0.0,
        Some(Value::Struct(fields)) => fields.iter().all(|(_, one)| is_nothing(Some(one))),
        Some(Value::List(list)) => list.is_empty(),
        _ => false,
    }
}

struct ToTheEnd;

impl Watch for ToTheEnd {
    fn progress(&mut self, _done: u64, _total: u64) -> bool {
        true
    }
}

fn but_gone(name: &str) -> Option<QueueAccount> {
    (name != "gone").then_some(QueueAccount { keep_calls_secs: 3_600 })
}

type Tables = BTreeMap<String, BTreeMap<i64, Fields>>;

/// Writes a queue of the original with the records that the input describes.
fn write(dir: &Path, input: &mut Input<'_>) -> Tables {
    fs::create_dir_all(dir.join("a")).unwrap();
    let mut writer = Writer::create(&dir.join("index.db"));
    let mut tables = Tables::new();
    for name in TYPES {
        let schema = input.schema(name);
        let rows = input.rows(&schema);
        let written = rows.iter().map(|(key, fields)| {
            let fields = fields.clone().into_iter();
            fields.fold(row(*key), |row: Row, (name, value)| row.with(name, value))
        });
        writer.table(&schema, written);
        for id in rows.keys().filter(|id| name == "Msg" && (1..10).contains(*id)) {
            fs::write(dir.join("a").join(id.to_string()), CONTENT).unwrap();
        }
        tables.insert(name.to_owned(), rows);
    }
    writer.finish();
    tables
}

/// Takes over a queue of the original whose records the bytes describe: there is no panic, whatever the
/// fields hold; what a check says comes true; and what is then in ours is sound and can be sent.
pub(crate) fn check_queue(data: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let theirs = write(&dir.path().join("queue"), &mut Input(data));
    let ours = Queue::open(&dir.path().join("ours"), Arc::new(TestRng::new(1))).unwrap();
    let files = QueueFiles::open(dir.path()).unwrap().unwrap();
    let would = files.check(NOW, &but_gone, &mut ToTheEnd).unwrap();
    let summary = files.copy(&ours, NOW, &but_gone, &mut ToTheEnd).unwrap();
    let again = files.copy(&ours, NOW, &but_gone, &mut ToTheEnd).unwrap();
    assert_eq!(again, summary, "done again");
    let mut known = summary.clone();
    known.differs.remove("FromIDs that were taken");
    assert_eq!(would, known, "checked");
    check_ours(&ours, &theirs, &summary);
    check_sending(&ours);
}

fn check_ours(ours: &Queue, theirs: &Tables, summary: &Summary) {
    assert_eq!(ours.check().unwrap(), Vec::<String>::new());
    let taken = |kind: &str| summary.taken.get(kind).copied().unwrap_or(0) as usize;
    let queued = ours.list(&Filter::default(), &Sort::default()).unwrap();
    assert_eq!(queued.len(), taken("queued messages"));
    for message in &queued {
        let theirs = &theirs["Msg"][&message.id.0];
        let is_set = |name: &str| !is_nothing(theirs.get(name));
        // Reports about it would go nowhere.
        let has_sender = message.mail_from.mailbox().is_some();
        assert!(has_sender || !is_set("SenderLocalpart") && !is_set("SenderDomain"), "{theirs:?}");
        assert_eq!(message.account.is_empty(), !is_set("SenderAccount"), "{theirs:?}");
        let mut body = Vec::new();
        ours.body(message.id).unwrap().read_to_end(&mut body).unwrap();
        assert_eq!(body.len() as u64, message.size);
        assert!(body.ends_with(CONTENT));
    }
    let retired = ours.retired_list(&RetiredFilter::default(), &RetiredSort::default()).unwrap();
    assert_eq!(retired.len(), taken("messages of the history"));
    let (filter, sort) = (HookFilter::default(), HookSort::default());
    assert_eq!(ours.hooks(&filter, &sort).unwrap().len(), taken("webhook calls"));
    let made = ours.hooks_retired(&filter, &sort).unwrap();
    assert_eq!(made.len(), taken("webhook calls of the history"));
    let suppressions = ours.suppressions(None, None).unwrap();
    assert_eq!(suppressions.len(), taken("suppressed addresses"));
    let rules = ours.hold_rules().unwrap();
    assert_eq!(rules.len(), taken("hold rules"));
    for (id, rule) in rules {
        let theirs = &theirs["HoldRule"][&id.0];
        let is_set = |name: &str| !is_nothing(theirs.get(name));
        // One that lost a part would hold the mail of everybody.
        assert_eq!(rule.account.is_some(), is_set("Account"), "{theirs:?}");
        assert_eq!(rule.sender_domain.is_some(), is_set("SenderDomain"), "{theirs:?}");
        assert_eq!(rule.rcpt_domain.is_some(), is_set("RecipientDomain"), "{theirs:?}");
    }
}

/// Everything that is not held can be sent, and all calls be made.
fn check_sending(ours: &Queue) {
    let waiting = ours.list(&Filter::default(), &Sort::default()).unwrap();
    let due = waiting.iter().filter(|message| !message.is_held).count();
    let request = LeaseRequest { max: 100, per_domain_max: 100, ..LeaseRequest::default() };
    let leased = ours.lease(request, END).wait().unwrap();
    assert_eq!(leased.len(), due);
    let calls = ours.hooks(&HookFilter::default(), &HookSort::default()).unwrap();
    let urls: std::collections::BTreeSet<_> = calls.iter().map(|one| &one.call.url).collect();
    assert_eq!(ours.lease_hooks(100, Vec::new(), END).wait().unwrap().len(), urls.len());
    assert_eq!(ours.check().unwrap(), Vec::<String>::new());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    proptest! {
        // The same on every run: the fuzz target looks for what is new.
        #![proptest_config(ProptestConfig {
            cases: 64,
            rng_seed: RngSeed::Fixed(7),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]
        #[test]
        fn records_with_any_values_cost_nothing_but_themselves(
            data in prop::collection::vec(any::<u8>(), 0..2_000),
        ) {
            check_queue(&data);
        }
    }
}
