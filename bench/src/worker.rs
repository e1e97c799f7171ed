//! The clients of the crash test: they work until the server is gone.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use mox_testkit::TestRng;
use mox_testkit::mail::{Shape, Spec};

use crate::imap::{Imap, uids_of};
use crate::model::{Doubt, FLAGS, Model, Place, known};
use crate::smtp::{Smtp, to_data};

/// The most messages that one command changes.
const BATCH_MAX: u64 = 8;

/// A message this large does not fit into the database and becomes a file.
const LARGE_BYTES: usize = 600_000;

/// One in this many messages is large.
const LARGE_EVERY: u64 = 40;

/// What a client did, as far as it was acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    /// Changes, each message of a command for itself.
    pub(crate) changes: u64,
}

/// The message with a number: always the same one.
pub(crate) fn message(number: u64) -> Vec<u8> {
    let mut spec = Spec::number(number);
    spec.size_bytes = 1_500 + usize::try_from(number % 5_000).unwrap_or_default();
    if number % LARGE_EVERY == LARGE_EVERY - 1 {
        (spec.size_bytes, spec.shape) = (LARGE_BYTES, Shape::Attachment);
    }
    spec.build()
}

/// Delivers by SMTP until that fails.
pub(crate) fn deliver(addr: SocketAddr, numbers: &AtomicU64, model: &mut Model) -> Done {
    let mut done = Done::default();
    let Ok(mut session) = Smtp::connect(addr) else { return done };
    loop {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let data = to_data(&message(number));
        model.doubt = Some(Doubt::Added { number });
        if session.deliver("crash@fixture.example", &data).is_err() {
            return done;
        }
        // SMTP does not tell the UID: the first look will.
        model.known.insert(number, Place { mailbox: 0, uid: 0, flags: 0 });
        model.doubt = None;
        done.changes += 1;
    }
}

/// Appends, flags, moves and removes by IMAP until that fails.
pub(crate) fn change(
    addr: SocketAddr,
    numbers: &AtomicU64,
    model: &mut Model,
    rng: &TestRng,
) -> Done {
    let mut done = Done::default();
    let Ok(mut session) = Imap::open(addr) else { return done };
    loop {
        let changed = match rng.next_u64() % 8 {
            0..4 => append(&mut session, numbers, model, rng),
            4 | 5 => flag(&mut session, model, rng),
            6 => move_some(&mut session, model, rng),
            _ => remove(&mut session, model, rng),
        };
        let Ok(changed) = changed else { return done };
        model.doubt = None;
        done.changes += changed;
    }
}

fn append(
    session: &mut Imap,
    numbers: &AtomicU64,
    model: &mut Model,
    rng: &TestRng,
) -> Result<u64> {
    let number = numbers.fetch_add(1, Ordering::Relaxed);
    let mailbox = pick(rng, model.mailboxes.len());
    let name = model.mailboxes.get(mailbox).context("a mailbox")?;
    let flags = random_flags(rng);
    model.doubt = Some(Doubt::Added { number });
    let uid = session.append(name, &names(flags), &message(number))?;
    model.known.insert(number, Place { mailbox, uid, flags });
    Ok(1)
}

fn flag(session: &mut Imap, model: &mut Model, rng: &TestRng) -> Result<u64> {
    let Some((numbers, set)) = select_some(session, model, rng)? else { return Ok(0) };
    let flags = random_flags(rng);
    model.doubt = Some(Doubt::Flagged { numbers: numbers.clone(), flags });
    session.command(&format!("UID STORE {set} FLAGS.SILENT ({})", names(flags)), |_| ())?;
    for number in &numbers {
        known(model, *number)?.flags = flags;
    }
    Ok(numbers.len() as u64)
}

fn move_some(session: &mut Imap, model: &mut Model, rng: &TestRng) -> Result<u64> {
    let Some((numbers, set)) = select_some(session, model, rng)? else { return Ok(0) };
    let from = numbers.first().map(|number| known(model, *number)).transpose()?;
    let mailbox = 1 - from.context("a message")?.mailbox;
    let name = model.mailboxes.get(mailbox).context("a mailbox")?.clone();
    model.doubt = Some(Doubt::Moved { numbers: numbers.clone(), mailbox });
    // COPYUID is in an untagged response. RFC 6851 §4.3.
    let mut uids = None;
    session.command(&format!("UID MOVE {set} {name}"), |response| {
        uids = uids_of(&response.text(), "COPYUID").or_else(|| uids.take());
    })?;
    let uids = uids.context("no COPYUID")?;
    // The set was sent in the order of the UIDs, and the answer has that order.
    for (number, uid) in numbers.iter().zip(&uids) {
        let place = known(model, *number)?;
        (place.mailbox, place.uid) = (mailbox, *uid);
    }
    Ok(numbers.len() as u64)
}

fn remove(session: &mut Imap, model: &mut Model, rng: &TestRng) -> Result<u64> {
    let Some((numbers, set)) = select_some(session, model, rng)? else { return Ok(0) };
    model.doubt = Some(Doubt::Removed { numbers: numbers.clone() });
    session.command(&format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)"), |_| ())?;
    session.command(&format!("UID EXPUNGE {set}"), |_| ())?;
    for number in &numbers {
        model.known.remove(number);
    }
    Ok(numbers.len() as u64)
}

/// Selects a mailbox of the client and some of its messages, in the order of their UIDs.
fn select_some(
    session: &mut Imap,
    model: &Model,
    rng: &TestRng,
) -> Result<Option<(Vec<u64>, String)>> {
    let mailbox = pick(rng, model.mailboxes.len());
    let here = model.known.iter().filter(|(_, place)| place.mailbox == mailbox);
    let mut here: Vec<_> = here.map(|(number, place)| (place.uid, *number)).collect();
    if here.is_empty() {
        return Ok(None);
    }
    here.sort_unstable();
    let count = usize::try_from(1 + rng.next_u64() % BATCH_MAX)?;
    let first = pick(rng, here.len());
    let chosen: Vec<_> = here.iter().skip(first).take(count).collect();
    let set: Vec<_> = chosen.iter().map(|(uid, _)| uid.to_string()).collect();
    let name = model.mailboxes.get(mailbox).context("a mailbox")?;
    session.command(&format!("SELECT {name}"), |_| ())?;
    Ok(Some((chosen.iter().map(|(_, number)| *number).collect(), set.join(","))))
}

fn pick(rng: &TestRng, count: usize) -> usize {
    usize::try_from(rng.next_u64() % count.max(1) as u64).unwrap_or_default()
}

fn random_flags(rng: &TestRng) -> u8 {
    u8::try_from(rng.next_u64() % (1 << FLAGS.len())).unwrap_or_default()
}

fn names(flags: u8) -> String {
    let set = FLAGS.iter().enumerate().filter(|(place, _)| flags >> place & 1 == 1);
    set.map(|(_, flag)| *flag).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bits;

    #[test]
    fn flags_and_their_bits_are_the_same() {
        for flags in 0..1 << FLAGS.len() {
            let text = names(flags);
            assert_eq!(bits(|flag| text.split(' ').any(|name| name == flag)), flags);
        }
    }

    #[test]
    fn some_messages_are_large() {
        assert_eq!(message(39).len(), LARGE_BYTES);
        assert_eq!(message(40).len(), 1_540);
        assert_eq!(message(39), message(39));
    }
}
