//! `mox rebuildsearch`.

use anyhow::{Context, Result};
use clap::Args;

use super::Global;
use super::follow::{Progress, follow};

/// Make the search index of an account anew.
///
/// The server empties the index at once and fills it when the account is quiet. Searches find
/// the same meanwhile, but take longer. Prints how far it is until it is done; the server goes on
/// if this is interrupted.
#[derive(Debug, Args)]
pub(super) struct RebuildSearch {
    /// Name of the account. Without it, all accounts.
    account: Option<String>,
    /// Do not wait until the index is full.
    #[arg(long)]
    no_wait: bool,
}

impl RebuildSearch {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let Self { account, no_wait } = self;
        let account = account.unwrap_or_default();
        global.control(async |mut client| {
            client.run("rebuildsearch", &[&account]).await?;
            if no_wait {
                Ok(())
            } else {
                follow::<Indexed>(&mut client, "searchprogress", &account).await
            }
        })
    }
}

/// Messages in the index and in all, of all accounts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Indexed {
    done: u64,
    total: u64,
}

impl Progress for Indexed {
    fn parse(answer: &str) -> Result<Self> {
        let mut sum = Self { done: 0, total: 0 };
        for line in answer.lines() {
            let mut numbers = line.split('\t').map(str::parse);
            let (Some(Ok(done)), Some(Ok(total))) = (numbers.next(), numbers.next()) else {
                return Err(anyhow::anyhow!("{line:?}")).context("progress of the search index");
            };
            sum.done = sum.done.saturating_add(done);
            sum.total = sum.total.saturating_add(total);
        }
        Ok(sum)
    }

    fn text(self) -> String {
        format!("{} of {} messages", self.done, self.total)
    }

    fn is_done(self) -> bool {
        self.done >= self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, want: Option<(u64, u64)>) {
        let want = want.map(|(done, total)| Indexed { done, total });
        assert_eq!(Indexed::parse(answer).ok(), want, "{answer:?}");
    }

    #[test]
    fn progress_is_summed_up() {
        check("1\t2\ta\n30\t40\tb c\n", Some((31, 42)));
        check("0\t0\ta\n", Some((0, 0)));
        check("", Some((0, 0)));
        check("1\n", None);
        check("x\t1\ta\n", None);
    }
}
