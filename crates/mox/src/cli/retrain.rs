//! `mox retrain`.

use anyhow::{Context, Result, anyhow};
use clap::Args;

use super::Global;
use super::follow::{Progress, follow};

/// Have the junk filter of an account forget everything and learn anew.
///
/// It learns from all messages that are marked as junk or as no junk. The server does so when the
/// account is quiet, and until it is done the filter knows little. Prints how far it is; the server
/// goes on if this is interrupted. An account without a junk filter learns nothing.
#[derive(Debug, Args)]
pub(super) struct Retrain {
    /// Name of the account. Without it, all accounts.
    account: Option<String>,
    /// Do not wait until all is learnt.
    #[arg(long)]
    no_wait: bool,
}

impl Retrain {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let Self { account, no_wait } = self;
        let account = account.unwrap_or_default();
        global.control(async |mut client| {
            client.run("retrain", &[&account]).await?;
            if no_wait {
                Ok(())
            } else {
                follow::<Learnt>(&mut client, "junkprogress", &account).await
            }
        })
    }
}

/// How far learning is, of all accounts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Learnt {
    waiting: u64,
    ham: u64,
    spam: u64,
    words: u64,
}

impl Progress for Learnt {
    fn parse(answer: &str) -> Result<Self> {
        answer.lines().try_fold(Self::default(), |sum, line| {
            let wrong = || anyhow!("{line:?}");
            let cells: Vec<&str> = line.splitn(5, '\t').collect();
            let [waiting, ham, spam, words, _account] = cells.as_slice() else {
                return Err(wrong()).context("progress of the junk filter");
            };
            let add = |to: u64, cell: &str| {
                let number: u64 = cell.parse().ok().with_context(wrong)?;
                Ok::<_, anyhow::Error>(to.saturating_add(number))
            };
            Ok(Self {
                waiting: add(sum.waiting, waiting)?,
                ham: add(sum.ham, ham)?,
                spam: add(sum.spam, spam)?,
                words: add(sum.words, words)?,
            })
        })
    }

    fn text(self) -> String {
        let Self { waiting, ham, spam, words } = self;
        format!("{ham} ham and {spam} spam learnt, {words} words, {waiting} waiting")
    }

    fn is_done(self) -> bool {
        self.waiting == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, want: Option<[u64; 4]>) {
        let want = want.map(|[waiting, ham, spam, words]| Learnt { waiting, ham, spam, words });
        assert_eq!(Learnt::parse(answer).ok(), want, "{answer:?}");
    }

    #[test]
    fn progress_is_summed_up() {
        check("1\t2\t3\t4\ta\n10\t20\t30\t40\tb c\n", Some([11, 22, 33, 44]));
        check("0\t0\t0\t0\ta\n", Some([0; 4]));
        check("", Some([0; 4]));
        check("1\t2\t3\t4\n", None);
        check("1\t2\tx\t4\ta\n", None);
    }
}
