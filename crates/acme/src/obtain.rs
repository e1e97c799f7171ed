//! One certificate, from the order to the chain. RFC 8555 §7.4.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier,
    KeyAuthorization, NewOrder, Order, OrderStatus, RetryPolicy,
};
use mox_base::Domain;
use mox_net::blocking;
use mox_net::tls::KeyCertPem;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName};

use crate::AcmeError;
use crate::error::kind_of;
use crate::keys::{HostKey, KeyKind};
use crate::pair::Pair;
use crate::upkeep::{CertKey, Inner};

/// How long a provider may take to check a name, and again to issue.
const PROVIDER_WAIT: Duration = Duration::from_secs(120);

/// How much less often a provider is asked each time.
const POLL_BACKOFF: f32 = 1.5;

/// An answer to a check of the provider that is given until this is dropped.
struct Shown<'a> {
    inner: &'a Inner,
    host: Domain,
    /// Of `http-01`; none for `tls-alpn-01`.
    token: Option<String>,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        match &self.token {
            Some(token) => drop(self.inner.http01.lock().remove(token)),
            None => self.inner.certs.end_challenge(self.host.ascii()),
        }
    }
}

/// The name of a certificate in requests for renewal information. RFC 9773 §4.1.
pub(crate) fn certificate_id(pair: &Pair) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(&pair.leaf).ok().map(CertificateIdentifier::into_owned)
}

impl Inner {
    /// Obtains a certificate: by `tls-alpn-01`, and if the provider cannot check that way by
    /// `http-01`, for which a new order is needed. An account that is gone is made again, once.
    ///
    /// - `replaces`: the certificate that this one is the renewal of. RFC 9773 §5.
    pub(crate) async fn obtain(
        &self,
        account: &mut Option<Account>,
        cert: &CertKey,
        replaces: Option<&Pair>,
    ) -> Result<Pair, AcmeError> {
        let key = self.key_for(cert).await?;
        let mut faults = Vec::new();
        let mut may_reopen = true;
        let mut challenges = vec![ChallengeType::TlsAlpn01];
        challenges.extend(self.settings.has_http01.then_some(ChallengeType::Http01));
        let mut challenges = challenges.into_iter().peekable();
        while let Some(challenge) = challenges.peek().cloned() {
            if account.is_none() {
                *account = Some(self.open_account().await?);
            }
            let Some(open) = account.as_ref() else { break };
            match self.attempt(open, cert, &key, &challenge, replaces).await {
                Err(AcmeError::AccountLost(_)) if may_reopen => {
                    may_reopen = false;
                    *account = None;
                    self.state.lock().ledger.account = None;
                    continue;
                }
                Err(error @ (AcmeError::NotProven { .. } | AcmeError::NoChallenge)) => {
                    faults.push(error);
                }
                outcome => return outcome,
            }
            challenges.next();
        }
        Err(together(faults))
    }

    /// The key that the host keeps, or a fresh one.
    async fn key_for(&self, cert: &CertKey) -> Result<Arc<HostKey>, AcmeError> {
        if let Some(kept) = self.settings.required_key(&cert.host, cert.kind) {
            return Ok(kept);
        }
        let kind = cert.kind;
        blocking(move || HostKey::generate(kind)).await.map(Arc::new).map_err(AcmeError::Make)
    }

    async fn attempt(
        &self,
        account: &Account,
        cert: &CertKey,
        key: &HostKey,
        challenge: &ChallengeType,
        replaces: Option<&Pair>,
    ) -> Result<Pair, AcmeError> {
        let host = &cert.host;
        let mut order = self.order(account, host, replaces).await?;
        let policy = RetryPolicy::new()
            .initial_delay(self.settings.poll)
            .backoff(POLL_BACKOFF)
            .timeout(PROVIDER_WAIT);
        let shown = self.prove(&mut order, host, challenge).await?;
        if order.state().status == OrderStatus::Pending {
            let status = order.poll_ready(&policy).await.map_err(|error| self.fault(error));
            match status {
                Ok(OrderStatus::Ready) => {}
                Ok(_) | Err(AcmeError::Refused(_)) => {
                    let why = self.why(&mut order).await;
                    return Err(AcmeError::NotProven { challenge: name_of(challenge), why });
                }
                Err(error) => return Err(error),
            }
        }
        drop(shown);
        if order.state().status == OrderStatus::Ready {
            let csr = request(host, key).map_err(AcmeError::Make)?;
            order.finalize_csr(&csr).await.map_err(|error| self.fault(error))?;
        }
        let chain = order.poll_certificate(&policy).await.map_err(|error| self.fault(error))?;
        Ok(Pair::join(key, &chain, host)?)
    }

    async fn order(
        &self,
        account: &Account,
        host: &Domain,
        replaces: Option<&Pair>,
    ) -> Result<Order, AcmeError> {
        let hosts = [Identifier::Dns(host.ascii().to_owned())];
        if let Some(id) = replaces.and_then(certificate_id) {
            match account.new_order(&NewOrder::new(&hosts).replaces(id)).await {
                Ok(order) => return Ok(order),
                Err(error) => match self.fault(error) {
                    // It was replaced before, or the provider does not know it: a new order will do.
                    AcmeError::Refused(problem) => {
                        tracing::debug!(kind = kind_of(&problem), "order without replaces");
                    }
                    AcmeError::Provider(error) => {
                        tracing::debug!(%error, "order without replaces");
                    }
                    error => return Err(error),
                },
            }
        }
        account.new_order(&NewOrder::new(&hosts)).await.map_err(|error| self.fault(error))
    }

    /// Has the provider check that the host is ours, if it does not know yet. RFC 8555 §7.5.1.
    async fn prove(
        &self,
        order: &mut Order,
        host: &Domain,
        challenge: &ChallengeType,
    ) -> Result<Vec<Shown<'_>>, AcmeError> {
        let mut shown = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut authorization = next.map_err(|error| self.fault(error))?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let offered = authorization.challenge(challenge.clone());
            let mut handle = offered.ok_or(AcmeError::NoChallenge)?;
            let token = handle.token.clone();
            shown.push(self.show(host, challenge, token, &handle.key_authorization())?);
            match handle.set_ready().await.map_err(|error| self.fault(error)) {
                Err(AcmeError::Refused(problem)) => {
                    let why = problem.to_string();
                    return Err(AcmeError::NotProven { challenge: name_of(challenge), why });
                }
                ready => ready?,
            }
        }
        Ok(shown)
    }

    fn show(
        &self,
        host: &Domain,
        challenge: &ChallengeType,
        token: String,
        proof: &KeyAuthorization,
    ) -> Result<Shown<'_>, AcmeError> {
        let shown = |token| Shown { inner: self, host: host.clone(), token };
        if *challenge == ChallengeType::Http01 {
            let answer = (host.clone(), proof.as_str().to_owned());
            self.http01.lock().insert(token.clone(), answer);
            return Ok(shown(Some(token)));
        }
        let pair = proof_certificate(host, proof.digest().as_ref()).map_err(AcmeError::Make)?;
        if let Err(error) = self.certs.begin_challenge(host.ascii(), &pair) {
            tracing::error!(%error, "certificate that proves control");
        }
        Ok(shown(None))
    }

    /// What the provider says of a check that failed: it stands with the challenge.
    async fn why(&self, order: &mut Order) -> String {
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if let Ok(state) = authorization.refresh().await {
                let mut errors = state.challenges.iter().filter_map(|one| one.error.as_ref());
                if let Some(problem) = errors.next_back() {
                    return problem.to_string();
                }
            }
        }
        "the check failed".to_owned()
    }
}

fn name_of(challenge: &ChallengeType) -> &'static str {
    if *challenge == ChallengeType::Http01 { "http-01" } else { "tls-alpn-01" }
}

/// All that was wrong, in one.
fn together(mut faults: Vec<AcmeError>) -> AcmeError {
    if faults.len() > 1 {
        let why = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        return AcmeError::NotProven { challenge: "all checks", why };
    }
    faults.pop().unwrap_or(AcmeError::NoChallenge)
}

/// The certificate that proves control: it has the digest of the key authorization in an extension.
/// RFC 8737 §3.
fn proof_certificate(host: &Domain, digest: &[u8]) -> Result<KeyCertPem, rcgen::Error> {
    let mut params = CertificateParams::new(vec![host.ascii().to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = HostKey::generate(KeyKind::Ecdsa)?;
    let cert = params.self_signed(key.pair())?;
    Ok(KeyCertPem { cert: cert.pem().into_bytes(), key: key.pem().as_bytes().to_vec() })
}

/// The request for a certificate, PKCS #10: the host alone, as subject alternative name. RFC 8555
/// §7.4.
fn request(host: &Domain, key: &HostKey) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::new(vec![host.ascii().to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key.pair())?.der().to_vec())
}
