//! All measurements, one group after another.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::args::{Args, Group};
use crate::table::{Figure, Verdict};
use crate::{
    auth, backup, complain, deliver, history, idle, import, junk, login, mailbox, say, send, start,
    submit, table, takeover,
};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Of each rate.
    pub(crate) run: Duration,
    /// In the large mailbox.
    pub(crate) mailbox_messages: u64,
    /// That change at once in the large mailbox.
    pub(crate) changes: u64,
    /// At the same time, when many deliver.
    pub(crate) sessions: usize,
    /// That do nothing.
    pub(crate) idle_sessions: usize,
    /// Sent from the queue.
    pub(crate) sent_messages: usize,
    /// That wait in a queue.
    pub(crate) queued_messages: usize,
    /// Of what is done once at a time: the median counts.
    pub(crate) repeats: usize,
}

const FULL: Sizes = Sizes {
    run: Duration::from_secs(3),
    mailbox_messages: 100_000,
    changes: 1_000,
    sessions: 50,
    idle_sessions: 10_000,
    sent_messages: 6_000,
    queued_messages: 100_000,
    repeats: 5,
};

const QUICK: Sizes = Sizes {
    run: Duration::from_millis(300),
    mailbox_messages: 2_000,
    changes: 100,
    sessions: 10,
    idle_sessions: 50,
    sent_messages: 300,
    queued_messages: 2_000,
    repeats: 2,
};

/// Measures what is asked for, and prints the table.
pub(crate) fn run(args: &Args) -> Result<()> {
    let sizes = if args.quick { QUICK } else { FULL };
    let mut figures = Vec::new();
    type Measure = fn(&Args, &Sizes) -> Result<Vec<Figure>>;
    let groups: [(Group, &str, Measure); 12] = [
        (Group::Start, "start", start::measure),
        (Group::Idle, "idle sessions", idle::measure),
        (Group::Auth, "authentication", auth::measure),
        (Group::Login, "logins", login::measure),
        (Group::History, "history", history::measure),
        (Group::Import, "import", import::measure),
        (Group::Takeover, "takeover", takeover::measure),
        (Group::Backup, "backup", backup::measure),
        (Group::Junk, "junk filter", junk::speed::measure),
        (Group::Send, "sending", send::measure),
        (Group::Submit, "submission", submit::measure),
        (Group::Deliver, "delivery", |args, sizes| Ok(deliver::measure(args, sizes)?.0)),
    ];
    // Both, since the cost on a full account is told as a multiple of that on a fresh one.
    let wants_mailbox = args.wants(Group::Mailbox);
    let wants_full = wants_mailbox || args.wants(Group::Search);
    for (group, name, measure) in groups {
        if args.wants(group) && !(group == Group::Deliver && wants_mailbox) {
            complain(&format!("measuring: {name}"));
            figures.extend(measure(args, &sizes).context(name)?);
        }
    }
    let mut fresh = None;
    if wants_mailbox {
        complain("measuring: delivery");
        let (fresh_figures, outcomes) = deliver::measure(args, &sizes).context("delivery")?;
        figures.extend(fresh_figures);
        fresh = Some(outcomes);
    }
    if wants_full {
        complain("measuring: large mailbox");
        figures.extend(mailbox::measure(args, &sizes, fresh.as_ref()).context("large mailbox")?);
    }
    say(&table::text(&figures));
    let missed = figures.iter().filter(|figure| figure.verdict() == Verdict::Missed).count();
    say(&format!("\n{} figures, {missed} targets missed", figures.len()));
    if args.quick {
        say("Sizes were small (--quick): these figures say nothing about speed.");
    }
    if let Some(path) = &args.json {
        let written = fs::write(path, table::json_text(&figures));
        written.with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The one in the middle; of an even number the higher of two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![2.0, 1.0]) - 2.0).abs() < 1e-9);
        assert!(median(Vec::new()).is_nan());
    }
}
