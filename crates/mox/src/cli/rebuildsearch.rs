//! `mox rebuildsearch`.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::{Global, print};
use crate::ctl::Client;

/// How often the server is asked how far it is.
const INTERVAL: Duration = Duration::from_secs(1);

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
            if no_wait { Ok(()) } else { follow(&mut client, &account).await }
        })
    }
}

/// Prints the progress whenever it has changed, until all is done.
async fn follow(client: &mut Client, account: &str) -> Result<()> {
    let mut told = None;
    loop {
        let progress = sum(&client.text("searchprogress", &[account]).await?)?;
        if told.replace(progress) != Some(progress) {
            print(&format!("{} of {} messages\n", progress.0, progress.1))?;
        }
        if progress.0 >= progress.1 {
            return Ok(());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Messages in the index and in all, of all accounts together.
fn sum(answer: &str) -> Result<(u64, u64)> {
    let mut sum = (0_u64, 0_u64);
    for line in answer.lines() {
        let mut numbers = line.split('\t').map(str::parse);
        let (Some(Ok(done)), Some(Ok(total))) = (numbers.next(), numbers.next()) else {
            return Err(anyhow::anyhow!("{line:?}")).context("progress of the search index");
        };
        sum = (sum.0.saturating_add(done), sum.1.saturating_add(total));
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, want: Option<(u64, u64)>) {
        assert_eq!(sum(answer).ok(), want, "{answer:?}");
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
