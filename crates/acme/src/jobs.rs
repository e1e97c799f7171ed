//! What is to be done next. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mox_base::{Domain, UnixSeconds};

use crate::keys::KeyKind;
use crate::ledger::Ledger;
use crate::obtain::certificate_id;
use crate::pair::Pair;
use crate::schedule::{Validity, renewal};
use crate::upkeep::CertKey;
use crate::{HostStatus, Settings};

/// Nothing is slept on for longer: the wall clock may jump.
pub(crate) const LOOK_MAX: Duration = Duration::from_secs(60);

/// All that changes while a manager runs.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Those that may have certificates, the most important first.
    pub(crate) hosts: Vec<Domain>,
    pub(crate) certs: BTreeMap<CertKey, Pair>,
    /// Missing, and asked for.
    pub(crate) wanted: BTreeSet<CertKey>,
    /// Hosts whose addresses were not compared with ours yet.
    pub(crate) unseen: Vec<Domain>,
    /// What is being obtained: how it stands with it is not known yet.
    pub(crate) working: Option<CertKey>,
    pub(crate) ledger: Ledger,
}

/// The next thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Look where a host is.
    See(Domain),
    /// Have a certificate issued.
    Obtain(CertKey),
    /// Ask when one should be renewed.
    AskSuggestion(CertKey),
    /// Wait for this long, or for a change.
    Wait(Duration),
}

impl State {
    /// - `order_at`: before this no order is made.
    pub(crate) fn next(
        &mut self,
        settings: &Settings,
        now: UnixSeconds,
        order_at: UnixSeconds,
    ) -> Next {
        if let Some(host) = self.unseen.pop() {
            return Next::See(host);
        }
        let mut earliest = now.plus_secs(i64::try_from(LOOK_MAX.as_secs()).unwrap_or(60));
        for cert in self.due(settings, now) {
            let at = self.ledger.earliest(&cert.file(), now).max(order_at);
            if at <= now {
                return Next::Obtain(cert);
            }
            earliest = earliest.min(at);
        }
        if let Some(cert) = self.unasked(now) {
            return Next::AskSuggestion(cert);
        }
        let wait = earliest.secs_since(now).max(1);
        Next::Wait(Duration::from_secs(u64::try_from(wait).unwrap_or(1)).min(LOOK_MAX))
    }

    /// What is missing, the most important host first, then what is to be renewed, that which ends
    /// first first.
    fn due(&self, settings: &Settings, now: UnixSeconds) -> Vec<CertKey> {
        let mut due = Vec::new();
        for host in &self.hosts {
            let kinds = [KeyKind::Ecdsa, KeyKind::Rsa];
            let certs = kinds.map(|kind| CertKey { host: host.clone(), kind });
            due.extend(certs.into_iter().filter(|cert| self.wanted.contains(cert)));
        }
        let mut old: Vec<_> = self
            .certs
            .iter()
            .filter(|(cert, pair)| self.renew_at(settings, cert, pair) <= now)
            .map(|(cert, pair)| (pair.not_after, cert.clone()))
            .collect();
        old.sort();
        due.extend(old.into_iter().map(|(_, cert)| cert));
        due
    }

    /// When a certificate is renewed: at once, if it is not for the key that the host is to keep.
    pub(crate) fn renew_at(&self, settings: &Settings, cert: &CertKey, pair: &Pair) -> UnixSeconds {
        let required = settings.required_key(&cert.host, cert.kind);
        if required.is_some_and(|key| key.public() != pair.public) {
            return UnixSeconds(0);
        }
        let (not_before, not_after) = (pair.not_before, pair.not_after);
        let validity = Validity { not_before, not_after, permille: pair.permille() };
        let id = certificate_id(pair).map(|id| id.to_string());
        let suggested = id.and_then(|id| self.ledger.suggested(&cert.file(), &id));
        renewal(validity, settings.renew_before, suggested)
    }

    /// A certificate about which the provider is to be asked.
    fn unasked(&self, now: UnixSeconds) -> Option<CertKey> {
        if !self.ledger.is_provider_open(now) || self.ledger.account.is_none() {
            return None;
        }
        let is_unasked = |(cert, pair): &(&CertKey, &Pair)| {
            let id = certificate_id(pair).map(|id| id.to_string());
            id.is_some_and(|id| self.ledger.ask_suggestion_at(&cert.file(), &id) <= now)
        };
        self.certs.iter().find(is_unasked).map(|(cert, _)| cert.clone())
    }

    pub(crate) fn status(&self, settings: &Settings) -> Vec<HostStatus> {
        let status = |host: &Domain| {
            let kind = settings.kinds(host).first().copied().unwrap_or(KeyKind::Ecdsa);
            let cert = CertKey { host: host.clone(), kind };
            let pair = self.certs.get(&cert);
            let is_at_work = self.working.as_ref() == Some(&cert);
            let record = self.ledger.get(&cert.file()).filter(|_| !is_at_work);
            HostStatus {
                host: host.clone(),
                not_after: pair.map(|pair| pair.not_after),
                renew_at: pair.map(|pair| self.renew_at(settings, &cert, pair)),
                last_error: record.and_then(|record| record.error.clone()),
                retry_at: record.and_then(|record| record.retry_at()),
            }
        };
        self.hosts.iter().map(status).collect()
    }
}
