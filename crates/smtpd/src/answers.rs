//! The session's questions, answered from the configuration, the logins and the store.

use std::sync::Arc;
use std::time::Duration;

use mox_base::{Domain, Host};
use mox_config::{Config, LookupError, Target};
use mox_mailauth::spf;
use mox_net::blocking;
use mox_smtp::command::RcptCommand;
use mox_smtp::server::{
    Answer, Decision, LoginVerdict, Question, RcptRefusal, SenderRefusal, Service,
};
use mox_smtp::simulate::{Simulated, Stage, simulated};
use mox_smtp::{ForwardPath, Mailbox, ReversePath};
use mox_store::{Store, StoreError};

use crate::connection::{Connection, End};
use crate::facts::{Sender, check_sender};
use crate::reach::{Reach, may_exist, reach};
use crate::routing::{Rules, may_send_to, resolve};
use crate::{delivery, reach, refusal};

/// What a message to addresses of which none exists costs a client of the delivery port: guessing
/// addresses is slow, and takes a message each time.
pub const UNKNOWN_RCPT_DELAY: Duration = Duration::from_secs(5);

/// How long a simulated time-out lasts.
pub const SIMULATED_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// The code after a simulated time-out, if the client is still there.
const AFTER_TIMEOUT: u16 = 451;

/// Answers a question. An error is the end of the connection.
pub(crate) async fn answer(connection: &mut Connection, question: Question) -> Result<Answer, End> {
    Ok(match question {
        Question::ClientExists(host) => {
            Answer::ClientExists(client_exists(connection, &host).await)
        }
        Question::Sasl(question) => Answer::Sasl(sasl(connection, question).await),
        Question::Login { username } => Answer::Login(login(connection, username).await),
        Question::Sender(path) => Answer::Sender(sender(connection, &path).await?),
        Question::SenderVerified(path) => {
            Answer::SenderVerified(is_verified(connection, &path).await)
        }
        Question::Rcpt(path) => Answer::Rcpt(rcpt(connection, &path).await?),
        Question::Decide { envelope, report } => {
            let results = delivery::deliver(connection, &envelope, &report).await?;
            delivery::log(connection, &envelope, &report, &results);
            Answer::Decision(Decision::Each(results))
        }
    })
}

async fn sasl(connection: &Connection, question: mox_sasl::Question) -> mox_sasl::Answer {
    let logins = &connection.smtpd.services.logins;
    let peer = connection.peer();
    if !logins.may_try(peer.ip) {
        tracing::info!(cid = connection.cid, remote = %peer.ip, "too many failed logins");
        mox_metrics::auth::ratelimited("submission");
        return mox_sasl::Answer::Unavailable;
    }
    match logins.answer(&peer, question).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(cid = connection.cid, %error, "looking up credentials");
            mox_sasl::Answer::Unavailable
        }
    }
}

async fn login(connection: &mut Connection, username: String) -> LoginVerdict {
    let logins = connection.smtpd.services.logins.clone();
    match logins.authorize(&connection.peer(), username).await {
        Ok(login) => {
            connection.account = Some(login.account.name().to_owned());
            LoginVerdict::Ok
        }
        Err(error) => {
            tracing::info!(cid = connection.cid, %error, "login refused");
            refusal::login(&error)
        }
    }
}

async fn sender(
    connection: &mut Connection,
    path: &ReversePath,
) -> Result<Result<(), SenderRefusal>, End> {
    let Some(mailbox) = path.mailbox() else { return Ok(Ok(())) };
    if let Some(code) = simulate(connection, mailbox.localpart.as_str(), Stage::Mail).await? {
        return Ok(Err(SenderRefusal::Simulated(code)));
    }
    if connection.port.kind == Service::Delivery {
        let verdict = sender_reach(connection, mailbox).await;
        if let Err(refusal) = &verdict {
            tracing::info!(cid = connection.cid, mail_from = %path, ?refusal, "sender refused");
        }
        return Ok(verdict);
    }
    let config = connection.smtpd.services.config.snapshot();
    let (Some(account), Some(address)) = (connection.account.as_deref(), mailbox.address()) else {
        return Ok(Err(SenderRefusal::NotYours));
    };
    Ok(match config.account_may_send_as(account, &address) {
        Ok(true) => Ok(()),
        Ok(false) => Err(SenderRefusal::NotYours),
        Err(LookupError::DomainDisabled) => Err(SenderRefusal::DomainDisabled),
        Err(_) => Err(SenderRefusal::Unavailable),
    })
}

/// Whether a sender could be answered. That of an address literal is left to the session. One of
/// ours can, whatever DNS has.
async fn sender_reach(connection: &Connection, mailbox: &Mailbox) -> Result<(), SenderRefusal> {
    let services = &connection.smtpd.services;
    let Host::Domain(domain) = &mailbox.host else { return Ok(()) };
    if services.is_localserve || services.config.snapshot().is_local_domain(domain) {
        return Ok(());
    }
    match Box::pin(reach(&reach::resolver(&services.resolver), domain)).await {
        Reach::Can => Ok(()),
        Reach::Cannot => Err(SenderRefusal::CannotReceive),
        Reach::Unknown => Err(SenderRefusal::DnsUnavailable),
    }
}

/// Whether the host exists that an old client says it is. A localserve has nobody to ask.
async fn client_exists(connection: &Connection, host: &Domain) -> bool {
    let services = &connection.smtpd.services;
    services.is_localserve || Box::pin(may_exist(&reach::resolver(&services.resolver), host)).await
}

/// Whether the client may use the sender's domain: SPF passes for MAIL FROM. RFC 7208 §2.6.3.
async fn is_verified(connection: &mut Connection, path: &ReversePath) -> bool {
    let client = connection.session.transaction().and_then(|mail| mail.client_name.clone());
    let sender = Sender::new(connection.conn.peer_ip(), client.as_ref(), path);
    let services = &connection.smtpd.services;
    let (resolver, now) = (Arc::clone(&services.resolver), services.clock.now());
    let received = check_sender(&sender, resolver, &connection.port.hostname, now).await;
    let is_verified =
        received.identity == spf::Identity::MailFrom && received.status == spf::Status::Pass;
    connection.spf = Some((sender, received));
    is_verified
}

async fn rcpt(
    connection: &mut Connection,
    path: &ForwardPath,
) -> Result<Result<(), RcptRefusal>, End> {
    if let Some(code) = simulate(connection, path.localpart(), Stage::Rcpt).await? {
        return Ok(Err(RcptRefusal::Simulated(code)));
    }
    let config = connection.smtpd.services.config.snapshot();
    let verdict = match connection.port.kind {
        Service::Delivery => delivery_rcpt(connection, &config, path).await,
        Service::Submission => switched_off(connection, &config)
            .map_or_else(|| may_send_to(&config, path, Rules::of(connection)), Err),
    };
    if let Err(refusal) = &verdict {
        tracing::info!(cid = connection.cid, rcpt = %path, ?refusal, "recipient refused");
    }
    Ok(verdict)
}

async fn delivery_rcpt(
    connection: &Connection,
    config: &Config,
    path: &ForwardPath,
) -> Result<(), RcptRefusal> {
    match resolve(config, path, Rules::of(connection)) {
        // Whoever may not speak without TLS is told nothing of who exists.
        resolved if needs_tls(connection, &resolved) => Err(RcptRefusal::NeedsTls),
        Ok(Target::Account(target)) => match config.quota_bytes(&target.account) {
            Some(quota_bytes) => {
                let transaction = connection.session.transaction();
                let size = transaction.and_then(|envelope| envelope.mail.size_bytes).unwrap_or(1);
                let store = connection.smtpd.services.store.clone();
                let fits = move || fits(&store, &target.account, size, quota_bytes);
                quota_verdict(connection.cid, blocking(fits).await)
            }
            None => Ok(()),
        },
        Ok(Target::Alias(_)) => Ok(()),
        // To be refused after the data: who exists is not told for a line. RFC 5321 §7.3.
        Err(RcptRefusal::UnknownAddress) => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// Why a user who is logged in may send no more, if the account was switched off or removed since:
/// whoever has its password may be why. Asked for each recipient, as there is no message without one.
fn switched_off(connection: &Connection, config: &Config) -> Option<RcptRefusal> {
    let Some(account) = config.account(connection.account.as_deref()?) else {
        return Some(RcptRefusal::AccountDisabled("it was removed".to_owned()));
    };
    let text = Some(&account.login_disabled).filter(|text| !text.is_empty())?;
    Some(RcptRefusal::AccountDisabled(text.clone()))
}

/// Whether none of the recipients of a delivery exists; guessing costs the client a while then.
pub(crate) async fn nobody_exists(
    connection: &mut Connection,
    config: &Config,
    rcpts: &[RcptCommand],
) -> Result<bool, End> {
    let rules = Rules::of(connection);
    let is_unknown = |rcpt: &RcptCommand| {
        matches!(resolve(config, &rcpt.forward_path, rules), Err(RcptRefusal::UnknownAddress))
    };
    if connection.port.kind != Service::Delivery || !rcpts.iter().all(is_unknown) {
        return Ok(false);
    }
    connection.pause(UNKNOWN_RCPT_DELAY).await?;
    Ok(true)
}

/// Whether mail for this recipient takes TLS that is not there. Reports of failing TLS come without.
fn needs_tls(connection: &Connection, resolved: &Result<Target, RcptRefusal>) -> bool {
    let takes_reports = match resolved {
        Ok(Target::Account(target)) => target.reports.tls || target.reports.host_tls,
        _ => false,
    };
    connection.port.kind == Service::Delivery
        && connection.port.requires_tls
        && connection.conn.tls().is_none()
        && !takes_reports
}

/// Whether the account has room for as much as the client announced. It is asked early since after
/// the data the refusal for one recipient of several could only be told by mail.
fn fits(store: &Store, account: &str, size: u64, quota_bytes: u64) -> Result<bool, StoreError> {
    let used_bytes = store.account(account)?.read()?.used_bytes();
    Ok(used_bytes.saturating_add(size) <= quota_bytes)
}

fn quota_verdict(cid: u64, fits: Result<bool, StoreError>) -> Result<(), RcptRefusal> {
    match fits {
        Ok(true) => Ok(()),
        Ok(false) => Err(RcptRefusal::OverQuota),
        Err(error) => {
            tracing::error!(cid, %error, "reading the size of an account");
            Err(RcptRefusal::Unavailable)
        }
    }
}

/// On a server for developers, the error that a localpart asks for, after the wait that it asks
/// for.
pub(crate) async fn simulate(
    connection: &mut Connection,
    localpart: &str,
    stage: Stage,
) -> Result<Option<u16>, End> {
    if !connection.smtpd.services.is_localserve {
        return Ok(None);
    }
    Ok(match simulated(localpart, stage) {
        None => None,
        Some(Simulated::Code(code)) => Some(code),
        Some(Simulated::Timeout) => {
            connection.pause(SIMULATED_TIMEOUT).await?;
            Some(AFTER_TIMEOUT)
        }
    })
}
