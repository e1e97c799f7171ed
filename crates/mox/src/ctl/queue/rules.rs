//! The commands about hold rules.

use mox_base::Domain;
use mox_queue::{HoldRule, HoldRuleId};
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::commands::{CommandError, Handler};
use super::super::parameters::{domain, number, unless_empty};
use super::super::wire::Wire;
use super::listed;

impl Handler {
    /// Answers with a line for each rule.
    pub(super) async fn hold_rules<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.answer(wire, |queue| {
            let rules = queue.hold_rules()?;
            Ok(listed("hold rules:", rules.iter().map(|(id, rule)| line(*id, rule))))
        })
        .await
    }

    /// Parameters: account, domain of the sender, domain of the recipient; each may be empty.
    /// Answers with the number of the rule and how many messages it holds now.
    pub(super) async fn add_hold_rule<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let account = wire.parameter().await?;
        let sender_domain = unless_empty(&wire.parameter().await?, domain)?;
        let rcpt_domain = unless_empty(&wire.parameter().await?, domain)?;
        let account = Some(account).filter(|account| !account.is_empty());
        let rule = HoldRule { account, sender_domain, rcpt_domain };
        self.answer(wire, move |queue| {
            let (id, held) = queue.add_hold_rule(rule).wait()?;
            Ok(format!("{} {held}", id.0).into_bytes())
        })
        .await
    }

    /// Parameter: the number of a rule.
    pub(super) async fn remove_hold_rule<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let id = HoldRuleId(number(&wire.parameter().await?)?);
        self.services.queue.remove_hold_rule(id).await?;
        Ok(wire.write_ok().await?)
    }
}

fn line(id: HoldRuleId, rule: &HoldRule) -> String {
    let domain = |domain: &Option<Domain>| domain.as_ref().map(ToString::to_string);
    let parts = [
        ("account", rule.account.clone()),
        ("sender domain", domain(&rule.sender_domain)),
        ("recipient domain", domain(&rule.rcpt_domain)),
    ];
    let parts: Vec<_> = parts
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name} {value}")))
        .collect();
    let what = if parts.is_empty() { "all messages".to_owned() } else { parts.join(", ") };
    format!("id {}: {what}\n", id.0)
}
