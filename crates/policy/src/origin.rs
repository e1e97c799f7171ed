//! By what a message is judged, and remembered: its identities, without those that a forwarder lent it.

use mox_base::{Address, Domain, Validation};

use crate::facts::{Author, DKIM_DOMAINS_MAX, Message, Proven};
use crate::network::Network;
use crate::ruleset::Ruleset;

/// The identities of a message, as its reputation is looked up and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The author.
    pub author: Option<Author>,
    /// The networks it came from, narrowest first; `None` for what was forwarded.
    pub networks: Option<[Network; 3]>,
    /// The domain of EHLO; `None` for what was forwarded.
    pub ehlo: Option<Proven<Domain>>,
    /// MAIL FROM; `None` for the null sender, and for what was forwarded.
    pub mail_from: Option<Proven<Address>>,
    /// What SPF says of MAIL FROM.
    pub mail_from_validation: Validation,
    /// Domains whose signatures passed, each once, at most [`DKIM_DOMAINS_MAX`]; without that of the
    /// forwarder.
    pub dkim_domains: Vec<Domain>,
    /// Of what was forwarded: the forwarder's EHLO.
    pub forwarder_ehlo: Option<Domain>,
    /// Of what was forwarded: all domains whose signatures passed.
    pub forwarder_dkim_domains: Vec<Domain>,
}

impl Origin {
    /// The identities of a message that came by `ruleset`.
    ///
    /// What a forwarder passes on is not judged by the forwarder, nor the forwarder by it: else junk
    /// sent to an old address would cost the user all mail that comes through it.
    #[must_use]
    pub fn new(message: &Message, ruleset: Option<&Ruleset>) -> Self {
        let mut dkim_domains: Vec<Domain> = Vec::new();
        for signature in &message.signatures {
            if dkim_domains.len() < DKIM_DOMAINS_MAX && !dkim_domains.contains(&signature.domain) {
                dkim_domains.push(signature.domain.clone());
            }
        }
        let origin = Self {
            author: message.author.clone(),
            networks: Some(Network::all_of(message.remote_ip)),
            ehlo: message.ehlo.clone(),
            mail_from: message.mail_from.clone(),
            mail_from_validation: message.mail_from_validation,
            dkim_domains,
            forwarder_ehlo: None,
            forwarder_dkim_domains: Vec::new(),
        };
        match ruleset {
            Some(ruleset) if ruleset.is_forward => origin.forwarded(ruleset),
            _ => origin,
        }
    }

    fn forwarded(self, ruleset: &Ruleset) -> Self {
        let is_forwarders = |domain: &&Domain| Some(*domain) == ruleset.verified_domain.as_ref();
        let others = self.dkim_domains.iter().filter(|domain| !is_forwarders(domain));
        Self {
            networks: None,
            ehlo: None,
            mail_from: None,
            dkim_domains: others.cloned().collect(),
            forwarder_ehlo: self.ehlo.map(|ehlo| ehlo.name),
            forwarder_dkim_domains: self.dkim_domains,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{message, ruleset, signature};

    #[test]
    fn domains_are_kept_once_and_not_without_end() {
        let mut message = message("carol@example.org");
        message.signatures =
            (0..1_000).map(|n| signature(&format!("d{}.example", n / 2))).collect();
        let origin = Origin::new(&message, None);
        let names: Vec<&str> = origin.dkim_domains.iter().map(Domain::ascii).collect();
        assert_eq!(names.len(), DKIM_DOMAINS_MAX);
        assert_eq!(names[..3], ["d0.example", "d1.example", "d2.example"]);
    }

    #[test]
    fn what_is_forwarded_loses_what_is_the_forwarders() {
        let mut message = message("carol@example.org");
        message.signatures = vec![signature("old.example"), signature("example.org")];
        let mut rule = ruleset("Old");
        rule.verified_domain = Domain::parse("old.example").ok();
        let plain = Origin::new(&message, Some(&rule));
        assert!(plain.networks.is_some() && plain.ehlo.is_some() && plain.mail_from.is_some());
        assert_eq!(plain.dkim_domains.len(), 2);
        rule.is_forward = true;
        let origin = Origin::new(&message, Some(&rule));
        assert_eq!((origin.networks, origin.ehlo, origin.mail_from), (None, None, None));
        assert_eq!(origin.dkim_domains, [Domain::parse("example.org").unwrap()]);
        assert_eq!(origin.forwarder_dkim_domains, plain.dkim_domains);
        assert_eq!(origin.forwarder_ehlo, plain.ehlo.map(|ehlo| ehlo.name));
    }
}
