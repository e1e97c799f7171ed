//! The command that lists decisions on incoming mail.

use mox_net::blocking;
use mox_store::{Decision, DecisionFilter, Outcome, Store, StoreError};
use tokio::io::{AsyncRead, AsyncWrite};

use super::commands::{CommandError, Handler};
use super::wire::Wire;

/// The most decisions of one account in one answer.
pub(crate) const DECISIONS_LISTED_MAX: u32 = 1_000;

impl Handler {
    /// Parameters: account, or nothing for all; outcome, or nothing for any; a part of the sender's
    /// address, or nothing; how many of each account. Answers with a line for each decision, the newest
    /// of each account first, in cells: account, time in seconds, how often, outcome, SMTP code or
    /// nothing, reason, its text, author, MAIL FROM, address of the client, RCPT TO, mailbox, subject,
    /// and a cell for each line of the explanation.
    pub(super) async fn decisions<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let names = self.accounts(wire.parameter().await?);
        let (outcome, sender) = (wire.parameter().await?, wire.parameter().await?);
        let limit = wire.parameter().await?;
        let refused = |what: &str, text: &str| CommandError::Refused(format!("{what}: {text:?}"));
        let filter = DecisionFilter {
            outcome: match outcome.as_str() {
                "" => None,
                word => Some(Outcome::parse(word).ok_or_else(|| refused("unknown outcome", word))?),
            },
            sender: Some(sender).filter(|sender| !sender.is_empty()),
        };
        let number: u32 = limit.parse().map_err(|_| refused("not a number", &limit))?;
        let limit = number.min(DECISIONS_LISTED_MAX);
        let store = self.services.store.clone();
        let text = blocking(move || list(&store, &names, &filter, limit)).await?;
        wire.write_ok().await?;
        Ok(wire.send_data(text.as_bytes()).await?)
    }
}

fn list(
    store: &Store,
    names: &[String],
    filter: &DecisionFilter,
    limit: u32,
) -> Result<String, StoreError> {
    let mut text = String::new();
    for name in names {
        for decision in store.account(name)?.read()?.decisions(filter, limit)? {
            text.push_str(&line(name, &decision));
        }
    }
    Ok(text)
}

fn line(account: &str, decision: &Decision) -> String {
    let code = decision.code.map(|code| code.to_string()).unwrap_or_default();
    let (time, times) = (decision.time.0.to_string(), decision.times.to_string());
    let cells = [
        account,
        &time,
        &times,
        decision.outcome.as_str(),
        &code,
        decision.reason.token(),
        decision.reason.text(),
        &decision.author,
        &decision.mail_from,
        &decision.remote_ip,
        &decision.rcpt_to,
        &decision.mailbox,
        &decision.subject,
    ];
    let explanation = decision.explanation.iter().map(String::as_str);
    let cells: Vec<String> = cells.into_iter().chain(explanation).map(cell).collect();
    cells.join("\t") + "\n"
}

/// Much of it comes from strangers: what would end a cell, or make the terminal do things, is replaced.
fn cell(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_write_stays_in_its_cell() {
        assert_eq!(cell("a\tb\r\nc\u{1b}[2J\u{9b}d\u{7f} \u{fc}"), "a b  c [2J d  \u{fc}");
    }
}
