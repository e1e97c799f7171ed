//! Where the messages come from.

use anyhow::Result;
use mox_base::UnixSeconds;
use mox_junk::{arrival, visit_messages};
use mox_testkit::junk::Corpus;

use crate::args::JunkArgs;

/// A message whose class is known.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) date: UnixSeconds,
    pub(super) is_spam: bool,
    pub(super) message: Vec<u8>,
}

/// All messages, in the order of time.
///
/// Those without a date come where the one before them in their folder does.
pub(super) fn items(args: &JunkArgs) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let corpus = Corpus::new(args.seed);
    items.extend((0..args.synthetic).map(|number| {
        let sample = corpus.sample(number);
        Item { date: sample.date, is_spam: sample.is_spam, message: sample.message }
    }));
    for (paths, is_spam) in [(&args.ham, false), (&args.spam, true)] {
        for path in paths {
            let mut last = UnixSeconds(0);
            visit_messages(path, &mut |_, message| {
                last = arrival(message).unwrap_or(last);
                items.push(Item { date: last, is_spam, message: message.to_vec() });
                Ok(())
            })?;
        }
    }
    items.sort_by_key(|item| item.date);
    Ok(items)
}
