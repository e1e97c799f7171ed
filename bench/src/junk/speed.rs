//! What learning and judging cost.

use std::io::Cursor;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mox_base::{Flags, MailboxName, NumSet};
use mox_junk::{Kinds, Params, Words};
use mox_mime::Limits;
use mox_net::SystemClock;
use mox_store::{Account, Destination, FlagChange, FlagOp, JunkFilter, NewMessage, Policy, Store};
use mox_testkit::junk::Corpus;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::args::Args;
use crate::run::{Sizes, median};
use crate::table::{Figure, Target};

const FILTER: JunkFilter = JunkFilter {
    kinds: Kinds { onegrams: true, twograms: false, threegrams: false },
    params: Params { max_power: 0.01, top_words: 10, ignore_words: 0.1, rare_words: 2 },
    threshold: 0.95,
};

/// Messages that are learnt, as multiples of those that change at once in the large mailbox.
const TIMES: u64 = 10;

/// Messages of one commit while filling.
const BATCH: usize = 250;

/// The size of a message that is judged.
const JUDGED_BYTES: usize = 50_000;

/// Messages that are judged, each another one.
const JUDGED: u64 = 100;

/// The most that judging one may take, in milliseconds.
const TARGET_MS: f64 = 2.0;

/// How often maintenance is asked for.
const INTERVAL: Duration = Duration::from_millis(1);

/// Marks messages, lets them be learnt, and judges others.
pub(crate) fn measure(args: &Args, sizes: &Sizes) -> Result<Vec<Figure>> {
    let dir = args.new_dir()?;
    let junk_filter = Some(FILTER);
    let policy = Arc::new(Policy { junk_filter, ..Policy::default() });
    let store = Store::new(dir.path(), Arc::new(SystemClock::new()), policy);
    let account = store.account("bench")?;
    let corpus = Corpus::new(1);
    let count = TIMES * sizes.changes;
    fill(&account, &corpus, count)?;

    let started = Instant::now();
    mark(&account, &corpus, count)?;
    let marked = started.elapsed().as_secs_f64();
    let started = Instant::now();
    while account.read()?.junk_progress()?.waiting > 0 {
        store.tick();
        std::thread::sleep(INTERVAL);
    }
    let rate = count as f64 / started.elapsed().as_secs_f64();
    let progress = account.read()?.junk_progress()?;
    let learnt = u64::from(progress.totals.ham) + u64::from(progress.totals.spam);
    ensure!(learnt == count, "{learnt} messages learnt, not {count}");
    let mut figures = vec![
        Figure::new(format!("marking {count} messages as junk or not"), marked * 1e3, "ms"),
        Figure::new("  learning them, beside the search index", rate, "/s"),
        Figure::new("  words known from them", progress.words as f64, ""),
    ];
    figures.extend(judge(&account, &corpus)?);
    Ok(figures)
}

fn fill(account: &Account, corpus: &Corpus, count: u64) -> Result<()> {
    let numbers: Vec<u64> = (0..count).collect();
    for batch in numbers.chunks(BATCH) {
        let messages = batch.iter().map(|number| {
            let sample = corpus.sample(*number);
            let content = account.stage(Vec::new(), &mut Cursor::new(sample.message))?;
            let (flags, received) = (Flags::NONE, Some(sample.date.into()));
            Ok(NewMessage { content, flags, keywords: Vec::new(), received, envelope: None })
        });
        let messages = messages.collect::<Result<Vec<_>>>()?;
        let destination = Destination { mailbox: MailboxName::inbox(), create: false };
        account.add(destination, messages).wait().context("fill the account")?;
    }
    Ok(())
}

/// In two commits.
fn mark(account: &Account, corpus: &Corpus, count: u64) -> Result<()> {
    let inbox = account.read()?.mailbox(&MailboxName::inbox())?.id;
    let uids = account.read()?.uids(inbox)?;
    ensure!(uids.len() as u64 == count, "{} messages, not {count}", uids.len());
    for (is_spam, flags) in [(false, Flags::NOT_JUNK), (true, Flags::JUNK)] {
        let numbered = uids.iter().zip(0..);
        let of_class = numbered.filter(|(_, number)| corpus.sample(*number).is_spam == is_spam);
        let set = NumSet::from_iter(of_class.map(|(uid, _)| *uid));
        let op = FlagOp::Add;
        let change = FlagChange { op, flags, keywords: Vec::new(), unchanged_since: None };
        account.change_flags(inbox, set, change).wait()?;
    }
    Ok(())
}

/// A message with many words.
fn long_message(corpus: &Corpus, first: u64) -> Vec<u8> {
    let mut message = Vec::new();
    for number in first.. {
        let sample = corpus.sample(number).message;
        let body = sample.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or_default();
        // The header is that of the first, without its boundary: the rest is text.
        message.extend_from_slice(match message.is_empty() {
            true => &sample,
            false => sample.get(body..).unwrap_or_default(),
        });
        if message.len() >= JUDGED_BYTES {
            break;
        }
    }
    message.truncate(JUDGED_BYTES);
    message
}

/// CPU time of this thread: others that work at the same time do not count.
fn cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

fn judge(account: &Account, corpus: &Corpus) -> Result<Vec<Figure>> {
    let messages: Vec<_> = (0..JUDGED)
        .map(|number| {
            let message = long_message(corpus, 1_000_000 + number * 100);
            let structure = mox_mime::parse_bytes(&message, &Limits::default());
            (message, structure)
        })
        .collect();
    let (mut reading, mut looking, mut words) = (vec![], vec![], vec![]);
    let before = cpu()?;
    for (message, structure) in &messages {
        let started = Instant::now();
        let found = Words::of_message(&mut Cursor::new(message), structure, FILTER.kinds)?;
        let read = started.elapsed();
        let score = account.read()?.classify(&found, &FILTER.params)?;
        let looked = started.elapsed().saturating_sub(read);
        ensure!((0.0..=1.0).contains(&score.probability), "{score:?}");
        reading.push(read.as_secs_f64() * 1e3);
        looking.push(looked.as_secs_f64() * 1e3);
        words.push(found.len() as f64);
    }
    let cpu_ms = cpu()?.saturating_sub(before).as_secs_f64() * 1e3 / JUDGED as f64;
    let name = format!("judging a message of {} KB, CPU", JUDGED_BYTES / 1_000);
    Ok(vec![
        Figure::new(name, cpu_ms, "ms").target(Target::AtMost(TARGET_MS)),
        Figure::new("  finding its words", median(reading), "ms"),
        Figure::new("  looking them up", median(looking), "ms"),
        Figure::new("  words it has", median(words), ""),
    ])
}
