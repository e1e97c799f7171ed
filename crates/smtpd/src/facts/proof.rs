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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::fixture::{facts, signed, spf};

    const KEY: &str = "v=DKIM1; k=ed25519; p=AAAA";

    /// - `sent`: the domain of MAIL FROM and what SPF says of it.
    /// - `signers`: who signed, and what became of it.
    #[track_caller]
    fn check(
        sent: (&str, spf::Status),
        signers: &[(&str, Status)],
        dmarc: dmarc::Status,
        want: (Validation, Standing),
    ) {
        let mut facts = facts("ann@mail.example.co.uk");
        facts.spf = spf(sent.0, sent.1);
        let signatures = signers.iter().map(|(name, status)| signed(name, *status, "", KEY));
        facts.dkim = Ok(signatures.collect());
        facts.dmarc.status = dmarc;
        let got = (facts.author_validation(), facts.standing());
        assert_eq!(got, want, "{sent:?} {signers:?} {dmarc:?}");
    }

    /// RFC 7489 §3.1.
    #[test]
    fn a_domain_is_proven_by_itself_or_by_its_organisation() {
        use dmarc::Status as Dmarc;
        let (same, related, other) = ("mail.example.co.uk", "example.co.uk", "other.co.uk");
        let (yes, no) = (spf::Status::Pass, spf::Status::Fail);
        let proven = |validation| (validation, Standing::Proven);
        check((same, yes), &[], Dmarc::None, proven(Validation::Strict));
        check((other, no), &[(same, Status::Pass)], Dmarc::None, proven(Validation::Strict));
        check((related, yes), &[], Dmarc::Pass, proven(Validation::Dmarc));
        check((related, yes), &[], Dmarc::None, proven(Validation::Relaxed));
        check((other, no), &[(related, Status::Pass)], Dmarc::None, proven(Validation::Relaxed));
        // DMARC fails under a strict policy, and the organisation is known all the same.
        check((related, yes), &[], Dmarc::Fail, proven(Validation::Relaxed));
        // Just past: another organisation under the same suffix, or a failure.
        let unproven = (Validation::None, Standing::Unproven);
        check((other, yes), &[(other, Status::Pass)], Dmarc::None, unproven);
        check((same, no), &[(same, Status::Fail)], Dmarc::None, unproven);
        check((same, spf::Status::Neutral), &[(same, Status::Policy)], Dmarc::PermError, unproven);
        // What was not found out may be found out later.
        let unknown = (Validation::None, Standing::Unknown);
        check((same, spf::Status::TempError), &[], Dmarc::None, unknown);
        check((other, no), &[(same, Status::TempError)], Dmarc::None, unknown);
        check((other, no), &[], Dmarc::TempError, unknown);
        check((same, yes), &[(same, Status::TempError)], Dmarc::None, proven(Validation::Strict));
    }

    #[test]
    fn nobody_is_proven_to_be_nobody() {
        let mut facts = facts("ann@mail.example.co.uk");
        facts.spf = spf("mail.example.co.uk", spf::Status::Pass);
        facts.author = Err(mox_mime::FromError::ManyFields);
        assert_eq!(facts.author_validation(), Validation::None);
        assert_eq!(facts.standing(), Standing::Unproven);
    }
}
