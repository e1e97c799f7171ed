//! The flags that say which messages are meant, and in which order.

use anyhow::Result;
use clap::{Args, ValueEnum};
use mox_config::Duration;

use crate::ctl::queue::words::{FilterWords, SortWords, When};

/// Flags of all commands about messages.
#[derive(Clone, Debug, Args)]
pub(super) struct Common {
    /// Only the messages with these numbers, such as 1,2.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    ids: Vec<i64>,
    /// At most so many messages.
    #[arg(
        short,
        long = "max",
        value_name = "NUMBER",
        default_value_t = 0,
        hide_default_value = true
    )]
    n: usize,
    /// Only messages of this account.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only messages with this in the sender's address: an address, a part of one, or @domain.
    #[arg(long, value_name = "TEXT")]
    from: Option<String>,
    /// Only messages with this in the recipient's address: an address, a part of one, or @domain.
    #[arg(long, value_name = "TEXT")]
    to: Option<String>,
    /// Only messages added before (<) or after (>) a time from now, such as "<-1h" for those that
    /// are older than an hour. "now" is taken too.
    #[arg(long, value_name = "TIME", value_parser = when, allow_hyphen_values = true)]
    submitted: Option<When>,
    /// Only messages for which this transport was set; "" for those with none.
    #[arg(long, value_name = "NAME")]
    transport: Option<String>,
}

impl Common {
    fn words(self) -> FilterWords {
        FilterWords {
            ids: self.ids,
            max: self.n,
            account: self.account,
            from: self.from,
            to: self.to,
            submitted: self.submitted,
            transport: self.transport,
            ..FilterWords::default()
        }
    }
}

/// Flags of commands about queued messages.
#[derive(Clone, Debug, Args)]
pub(super) struct Filter {
    #[command(flatten)]
    common: Common,
    /// Only messages whose next attempt is before (<) or after (>) a time from now.
    #[arg(long, value_name = "TIME", value_parser = when, allow_hyphen_values = true)]
    nextattempt: Option<When>,
    /// Only messages that are held, or that are not.
    #[arg(long, value_name = "BOOL")]
    hold: Option<bool>,
}

impl Filter {
    pub(super) fn json(self) -> Result<String> {
        let words = self.common.words();
        let words = FilterWords { next_attempt: self.nextattempt, hold: self.hold, ..words };
        Ok(serde_json::to_string(&words)?)
    }
}

/// Flags of commands about retired messages.
#[derive(Clone, Debug, Args)]
pub(super) struct RetiredFilter {
    #[command(flatten)]
    common: Common,
    /// Only messages that something was heard of before (<) or after (>) a time from now.
    #[arg(long, value_name = "TIME", value_parser = when, allow_hyphen_values = true)]
    lastactivity: Option<When>,
    /// Only messages that were delivered, or that failed.
    #[arg(long, value_name = "RESULT")]
    result: Option<Outcome>,
}

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Outcome {
    /// Delivered.
    Success,
    /// Failed.
    Failure,
}

impl RetiredFilter {
    pub(super) fn json(self) -> Result<String> {
        let is_success = self.result.map(|outcome| outcome == Outcome::Success);
        let words = self.common.words();
        let words = FilterWords { last_activity: self.lastactivity, is_success, ..words };
        Ok(serde_json::to_string(&words)?)
    }
}

/// What queued messages are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SortField {
    /// The time of the next attempt.
    Nextattempt,
    /// The time of adding.
    Queued,
}

/// What retired messages are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RetiredSortField {
    /// The time when something was heard of it.
    Lastactivity,
    /// The time of adding.
    Queued,
}

/// The order of queued messages.
#[derive(Clone, Debug, Args)]
pub(super) struct Sort {
    /// What to order by.
    #[arg(long, value_enum, default_value = "nextattempt")]
    sort: SortField,
    /// Smallest first.
    #[arg(long)]
    asc: bool,
}

impl Sort {
    pub(super) fn json(&self) -> Result<String> {
        order(self.sort == SortField::Queued, self.asc)
    }
}

/// The order of retired messages.
#[derive(Clone, Debug, Args)]
pub(super) struct RetiredSort {
    /// What to order by.
    #[arg(long, value_enum, default_value = "lastactivity")]
    sort: RetiredSortField,
    /// Smallest first.
    #[arg(long)]
    asc: bool,
}

impl RetiredSort {
    pub(super) fn json(&self) -> Result<String> {
        order(self.sort == RetiredSortField::Queued, self.asc)
    }
}

pub(super) fn order(by_queued: bool, is_ascending: bool) -> Result<String> {
    Ok(serde_json::to_string(&SortWords { by_queued, is_ascending })?)
}

/// `<` or `>`, then `now` or a duration from now.
pub(super) fn when(text: &str) -> Result<When, String> {
    let (is_before, span) = match (text.strip_prefix('<'), text.strip_prefix('>')) {
        (Some(span), _) => (true, span),
        (_, Some(span)) => (false, span),
        _ => return Err("must begin with < or >".to_owned()),
    };
    let secs = if span == "now" { 0 } else { signed_secs(span)? };
    Ok(When { is_before, secs })
}

/// A duration such as `1h30m` or `-10m`, in seconds.
pub(super) fn signed_secs(text: &str) -> Result<i64, String> {
    let (sign, span) = match text.strip_prefix('-') {
        Some(span) if !span.starts_with(['+', '-']) => (-1, span),
        _ => (1, text),
    };
    let span: Duration = span.parse().map_err(|error| format!("{error}"))?;
    let secs = i64::try_from(span.0.as_secs()).map_err(|_| "too long".to_owned())?;
    Ok(sign * secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<(bool, i64)>) {
        let found = when(text).ok().map(|when| (when.is_before, when.secs));
        assert_eq!(found, want, "{text}");
    }

    #[test]
    fn times_from_now() {
        check("<now", Some((true, 0)));
        check(">1h30m", Some((false, 5_400)));
        check("<-10m", Some((true, -600)));
        check(">0", Some((false, 0)));
        // Neither before nor after, or no duration.
        check("1h", None);
        check("", None);
        check("<", None);
        check("<soon", None);
        check("<--1h", None);
        check("<-+1h", None);
        check("<10", None);
    }
}
