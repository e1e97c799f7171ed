//! How far it is proven that the author wrote the message.

use mox_base::{Domain, Validation};
use mox_dns::organizational_domain;
use mox_mailauth::dkim::Status;
use mox_mailauth::dmarc::{self, Authenticated, Identifier};
use mox_mailauth::spf;

use super::Facts;
use crate::routing::Standing;

impl Facts {
    /// How far the domain of the author is proven: by a signature or by SPF, for that domain or for
    /// another of its organisation. RFC 7489 §3.1.
    ///
    /// Without a record of DMARC too: who sent mail before is known by it all the same.
    pub(crate) fn author_validation(&self) -> Validation {
        let Ok(author) = &self.author else { return Validation::None };
        let organization = organizational_domain(&author.domain);
        let is_related = |domain: &&Domain| organizational_domain(domain) == organization;
        if self.proven_domains().any(|domain| *domain == author.domain) {
            Validation::Strict
        } else if self.dmarc.status == dmarc::Status::Pass {
            Validation::Dmarc
        } else if self.proven_domains().any(|domain| is_related(&domain)) {
            Validation::Relaxed
        } else {
            Validation::None
        }
    }

    /// Whether the author is who From says, for aliases.
    pub(crate) fn standing(&self) -> Standing {
        let is_late = self.dmarc.status == dmarc::Status::TempError
            || self.spf.status == spf::Status::TempError
            || self.dkim.iter().flatten().any(|found| found.status == Status::TempError);
        if self.author_validation().is_validated() {
            Standing::Proven
        } else if is_late {
            Standing::Unknown
        } else {
            Standing::Unproven
        }
    }

    /// The domains that sent or signed the message.
    fn proven_domains(&self) -> impl Iterator<Item = &Domain> {
        let signed = self.dkim.iter().flatten().filter_map(Identifier::from_dkim);
        let sent = Identifier::from_spf(&self.spf);
        let proven = |one: &Identifier<'_>| one.result == Authenticated::Pass;
        signed.chain(sent).filter(proven).map(|identifier| identifier.domain)
    }
}
