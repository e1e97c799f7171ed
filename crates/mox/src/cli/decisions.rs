//! `mox decisions`.

use anyhow::{Context, Result, anyhow};
use clap::Args;
use mox_base::{DateTime, UnixSeconds};
use mox_store::Outcome;

use super::{Global, print};

/// Show which incoming messages were accepted or refused lately, and why.
///
/// The newest come first. Each has a reason, such as junk-content, a sentence about it, and how the
/// decision came about: earlier mail of the sender, the junk score, block lists. The server keeps
/// decisions for 30 days. Messages that are stored have the same in their field X-Mox-Reason.
#[derive(Debug, Args)]
pub(super) struct Decisions {
    /// Name of the account. Without it, all accounts.
    account: Option<String>,
    /// Show at most so many of each account, 1000 at most.
    #[arg(long, default_value_t = 20, value_name = "NUMBER")]
    limit: u32,
    /// Only those with this outcome: accepted, delayed (accepted after a wait) or refused.
    #[arg(long, value_name = "OUTCOME", value_parser = outcome)]
    only: Option<Outcome>,
    /// Only those with this in the sender's address.
    #[arg(long, value_name = "TEXT")]
    sender: Option<String>,
}

fn outcome(text: &str) -> Result<Outcome, &'static str> {
    Outcome::parse(text).ok_or("must be accepted, delayed or refused")
}

impl Decisions {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let Self { account, limit, only, sender } = self;
        let (account, sender) = (account.unwrap_or_default(), sender.unwrap_or_default());
        let only = only.map_or("", Outcome::as_str);
        let limit = limit.to_string();
        let listed = global.control(async |mut client| {
            Ok(client.text("decisions", &[&account, only, &sender, &limit]).await?)
        })?;
        let shown = listed.lines().map(show).collect::<Result<Vec<_>>>()?;
        if shown.is_empty() {
            return print("no decisions\n");
        }
        print(&shown.join("\n"))
    }
}

/// A line of the answer as people read it.
fn show(line: &str) -> Result<String> {
    let cells: Vec<&str> = line.split('\t').collect();
    let Some((fixed, explanation)) = cells.split_first_chunk::<13>() else {
        return Err(anyhow!("{line:?}")).context("line of the list of decisions");
    };
    let [
        account,
        time,
        times,
        outcome,
        code,
        reason,
        meaning,
        author,
        mail_from,
        ip,
        rcpt_to,
        mailbox,
        subject,
    ] = fixed;
    let time: i64 = time.parse().with_context(|| format!("time {time:?}"))?;
    let time = DateTime::from_unix(UnixSeconds(time)).to_rfc3339();
    let code = if code.is_empty() { String::new() } else { format!(" with {code}") };
    let times = if *times == "1" { String::new() } else { format!(", {times} times") };
    let mut text = format!("{time} {outcome}{code}{times}: {reason}\n");
    let mut row = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("    {name:<10}{value}\n"));
        }
    };
    let sender = match (author.is_empty(), mail_from.is_empty()) {
        (true, true) => "nobody (a report)".to_owned(),
        (true, false) => format!("nobody, sent as {mail_from}"),
        (false, true) => format!("{author}, sent as nobody (a report)"),
        (false, false) if author == mail_from => (*author).to_owned(),
        (false, false) => format!("{author}, sent as {mail_from}"),
    };
    row("from", &format!("{sender}, by {ip}"));
    row("to", &format!("{rcpt_to}, mailbox {mailbox} of account {account}"));
    row("subject", subject);
    row("why", meaning);
    explanation.iter().for_each(|line| row("", line));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: Option<&str>) {
        assert_eq!(show(line).ok().as_deref(), want, "{line:?}");
    }

    #[test]
    fn decisions_are_shown_to_people() {
        check(
            "mjl\t1795164932\t3\trefused\t451\tjunk-content\tLooks like junk.\tann@example.org\t\
             b@example.net\t192.0.2.1\tme@local.example\tInbox\tHello\tscore 0.99\tno history",
            Some(
                "2026-11-20T08:55:32Z refused with 451, 3 times: junk-content\n    \
                 from      ann@example.org, sent as b@example.net, by 192.0.2.1\n    \
                 to        me@local.example, mailbox Inbox of account mjl\n    \
                 subject   Hello\n    \
                 why       Looks like junk.\n              \
                 score 0.99\n              \
                 no history\n",
            ),
        );
        check(
            "mjl\t0\t1\taccepted\t\tmsgfromfull\tJudged.\ta@b.example\ta@b.example\t::1\t\
             me@local.example\tInbox\t",
            Some(
                "1970-01-01T00:00:00Z accepted: msgfromfull\n    \
                 from      a@b.example, by ::1\n    \
                 to        me@local.example, mailbox Inbox of account mjl\n    \
                 why       Judged.\n",
            ),
        );
        check("mjl\t0\t1\taccepted", None);
        check("mjl\tx\t1\taccepted\t\tr\tt\ta\tb\tc\td\te\tf", None);
        check("", None);
    }

    #[test]
    fn senders_are_named_by_what_there_is() {
        for (author, mail_from, want) in [
            ("a@b", "a@b", "a@b, by ::1"),
            ("a@b", "c@d", "a@b, sent as c@d, by ::1"),
            ("a@b", "", "a@b, sent as nobody (a report), by ::1"),
            ("", "c@d", "nobody, sent as c@d, by ::1"),
            ("", "", "nobody (a report), by ::1"),
        ] {
            let line = format!("m\t0\t1\taccepted\t\tr\tt\t{author}\t{mail_from}\t::1\tr\tm\ts");
            let shown = show(&line).unwrap();
            assert!(shown.contains(&format!("from      {want}\n")), "{shown}");
        }
    }
}
