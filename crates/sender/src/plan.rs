//! What TLS a delivery to a host must have: a pure function over what DNS and policies say.
//!
//! Source: RFC 8461 §5 (MTA-STS), RFC 7672 §2.2 (DANE), RFC 8689 §4 (REQUIRETLS), RFC 7435
//! (opportunistic security).

/// What the sender asks of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// What the recipient's domain asks for, else what can be had.
    #[default]
    Default,
    /// The field `TLS-Required: No`: that the message arrives matters more. RFC 8689 §5.
    NotRequired,
    /// The parameter REQUIRETLS: proven servers only, which pass the demand on. RFC 8689 §4.2.1.
    Required,
}

impl Demand {
    /// From how the queue has it.
    #[must_use]
    pub fn new(require_tls: Option<bool>) -> Self {
        match require_tls {
            None => Self::Default,
            Some(false) => Self::NotRequired,
            Some(true) => Self::Required,
        }
    }
}

/// What the MTA-STS policy of the recipient's domain says of a host. RFC 8461 §4.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sts {
    /// There is no policy, or its mode is none.
    #[default]
    None,
    /// Mode testing: nothing is refused for it.
    Testing {
        /// Whether the policy lists the host.
        is_listed: bool,
    },
    /// Mode enforce.
    Enforce {
        /// Whether the policy lists the host.
        is_listed: bool,
    },
}

/// What TLSA records say of a host. RFC 7672 §2.1, §2.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dane {
    /// No records, or DNS that could be forged.
    #[default]
    None,
    /// Records are there or should be, and could not be looked up.
    LookupFailed,
    /// Records are there, none that we can use.
    Unusable,
    /// Records to verify the host with.
    Usable,
}

/// All that the plan for a host depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// What the sender wants.
    pub demand: Demand,
    /// MTA-STS.
    pub sts: Sts,
    /// DANE.
    pub dane: Dane,
    /// A DMARC report: what it tells of others' mail does not go out in the clear where TLS is
    /// offered.
    pub is_dmarc_report: bool,
}

/// Whether a connection goes over to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starttls {
    /// If the server offers it.
    IfOffered,
    /// Or fail.
    Required,
}

/// How to treat a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether there must be TLS.
    pub starttls: Starttls,
    /// The certificate must be trusted and for the host. It is looked at in any case, for reports.
    pub verifies_pkix: bool,
    /// The certificate must agree with the TLSA records.
    pub verifies_dane: bool,
    /// What the verification finds is told in reports, and stops nothing.
    pub ignores_errors: bool,
    /// If TLS fails, the host is connected to once more, without.
    pub falls_back: bool,
    /// The server must have REQUIRETLS, and the message is sent with it.
    pub passes_requiretls: bool,
}

/// Why a host is not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// The policy is enforced and does not list the host. RFC 8461 §5.
    NotInPolicy,
    /// DANE is to be used, and its records could not be looked up. RFC 7672 §2.1.2.
    TlsaLookup,
    /// REQUIRETLS, and nothing proves who the host is: `5.7.30`. RFC 8689 §4.2.1.
    NothingToVerify,
}

/// Says how to treat a host, or why not to try it.
///
/// A host with both DANE and an enforced policy has to pass both: RFC 8461 §2 does not let the one
/// override the other.
pub fn plan(facts: &Facts) -> Result<Plan, Skip> {
    let is_lenient = facts.demand == Demand::NotRequired;
    let is_enforced = matches!(facts.sts, Sts::Enforce { .. });
    if !is_lenient {
        if facts.sts == (Sts::Enforce { is_listed: false }) {
            return Err(Skip::NotInPolicy);
        }
        if facts.dane == Dane::LookupFailed {
            return Err(Skip::TlsaLookup);
        }
    }
    let is_required = facts.demand == Demand::Required;
    if is_required && !is_enforced && facts.dane != Dane::Usable {
        return Err(Skip::NothingToVerify);
    }
    let has_dane = matches!(facts.dane, Dane::Unusable | Dane::Usable);
    // Deviation: RFC 8689 §5 has a server ignore the demands of policies for TLS-Required: No;
    // STARTTLS is asked for all the same, and plain text comes second.
    let must = is_enforced || has_dane;
    Ok(Plan {
        starttls: if must && !is_lenient { Starttls::Required } else { Starttls::IfOffered },
        verifies_pkix: is_enforced,
        verifies_dane: facts.dane == Dane::Usable,
        ignores_errors: is_lenient,
        falls_back: is_lenient || !(must || facts.is_dmarc_report),
        passes_requiretls: is_required,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: Sts = Sts::Enforce { is_listed: true };
    const UNLISTED: Sts = Sts::Enforce { is_listed: false };

    /// `want`: the words of the plan that are set, or the reason to skip.
    #[track_caller]
    fn check(demand: Demand, sts: Sts, dane: Dane, want: Result<&str, Skip>) {
        let facts = Facts { demand, sts, dane, is_dmarc_report: false };
        let found = plan(&facts).map(|plan| words(&plan));
        assert_eq!(found, want.map(str::to_owned), "{facts:?}");
    }

    fn words(plan: &Plan) -> String {
        let words = [
            (plan.starttls == Starttls::Required, "tls"),
            (plan.verifies_pkix, "pkix"),
            (plan.verifies_dane, "dane"),
            (plan.ignores_errors, "lenient"),
            (plan.falls_back, "fallback"),
            (plan.passes_requiretls, "requiretls"),
        ];
        let set: Vec<_> = words.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
        set.join(" ")
    }

    /// RFC 8461 §5, RFC 7672 §2.2, RFC 7435 §3.
    #[test]
    fn without_demands_the_recipient_decides() {
        let check = |sts, dane, want| check(Demand::Default, sts, dane, want);
        check(Sts::None, Dane::None, Ok("fallback"));
        check(Sts::Testing { is_listed: true }, Dane::None, Ok("fallback"));
        check(Sts::Testing { is_listed: false }, Dane::None, Ok("fallback"));
        check(LISTED, Dane::None, Ok("tls pkix"));
        check(LISTED, Dane::Usable, Ok("tls pkix dane"));
        check(LISTED, Dane::Unusable, Ok("tls pkix"));
        check(Sts::None, Dane::Usable, Ok("tls dane"));
        check(Sts::None, Dane::Unusable, Ok("tls"));
        check(UNLISTED, Dane::None, Err(Skip::NotInPolicy));
        check(UNLISTED, Dane::Usable, Err(Skip::NotInPolicy));
        check(Sts::None, Dane::LookupFailed, Err(Skip::TlsaLookup));
        check(LISTED, Dane::LookupFailed, Err(Skip::TlsaLookup));
    }

    /// RFC 8689 §5: nothing stops a message that says so.
    #[test]
    fn not_required_ignores_failures() {
        let check = |sts, dane, want| check(Demand::NotRequired, sts, dane, Ok(want));
        check(Sts::None, Dane::None, "lenient fallback");
        check(LISTED, Dane::None, "pkix lenient fallback");
        check(UNLISTED, Dane::None, "pkix lenient fallback");
        check(Sts::None, Dane::Usable, "dane lenient fallback");
        check(Sts::None, Dane::Unusable, "lenient fallback");
        check(Sts::None, Dane::LookupFailed, "lenient fallback");
    }

    /// RFC 8689 §4.2.1.
    #[test]
    fn required_needs_proof() {
        let check = |sts, dane, want| check(Demand::Required, sts, dane, want);
        check(LISTED, Dane::None, Ok("tls pkix requiretls"));
        check(Sts::None, Dane::Usable, Ok("tls dane requiretls"));
        check(LISTED, Dane::Unusable, Ok("tls pkix requiretls"));
        check(Sts::None, Dane::None, Err(Skip::NothingToVerify));
        check(Sts::None, Dane::Unusable, Err(Skip::NothingToVerify));
        check(Sts::Testing { is_listed: true }, Dane::None, Err(Skip::NothingToVerify));
        check(UNLISTED, Dane::None, Err(Skip::NotInPolicy));
        check(Sts::None, Dane::LookupFailed, Err(Skip::TlsaLookup));
    }

    #[test]
    fn dmarc_reports_do_not_fall_back() {
        let facts = Facts { is_dmarc_report: true, ..Facts::default() };
        assert_eq!(words(&plan(&facts).unwrap()), "");
        let facts = Facts { demand: Demand::NotRequired, ..facts };
        assert_eq!(words(&plan(&facts).unwrap()), "lenient fallback");
    }

    #[test]
    fn the_queue_has_three_demands() {
        assert_eq!(Demand::new(None), Demand::Default);
        assert_eq!(Demand::new(Some(false)), Demand::NotRequired);
        assert_eq!(Demand::new(Some(true)), Demand::Required);
    }
}
