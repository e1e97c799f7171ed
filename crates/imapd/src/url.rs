//! URLs: whether they name what is here, and signing them.
//!
//! Source: RFC 5092 §3, RFC 4467.
//!
//! A token is 16 bytes made with a secret of the server, then 32 made with the key of the mailbox, by
//! HMAC-SHA-256 from the URL as it is spelled. The first tell whether this server signed the URL at
//! all: what is made up costs no look at an account, so that nobody learns by trying which there are.
//! The rest ends with the key, when the owner resets it.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use mox_base::MailboxName;
use mox_imap::print;
use mox_imap::session::{Outcome, Refusal, UrlRump};
use mox_imap::types::url::{ImapUrl, UrlAccess, UrlServer};
use mox_net::blocking;
use mox_net::trace::Kind;
use mox_store::{Account, StoreError, URL_KEY_BYTES, UrlKey};

use crate::connection::{Connection, End, no_account};
use crate::refusal;

/// The bytes of a token that show that the server signed it.
const SEAL_BYTES: usize = 16;

/// What the key of the server is for, so that it may be made from a secret of other use.
const PURPOSE: &[u8] = b"imap urlauth";

/// Signs URLs and knows its own signature.
pub struct UrlSealer(hmac::Key);

impl UrlSealer {
    /// Makes it from a secret of the server, which may have other uses too. URLs are good as long as it
    /// stays the same.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), PURPOSE);
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }

    /// The token of a URL.
    fn token(&self, key: &UrlKey, rump: &str) -> Vec<u8> {
        let mut token = hmac::sign(&self.0, rump.as_bytes()).as_ref().to_vec();
        token.truncate(SEAL_BYTES);
        token.extend_from_slice(proof(key, rump).as_ref());
        token
    }

    /// Whether the server made this token of the URL, under whatever key of a mailbox. Takes the same
    /// time for any token of this length.
    fn is_sealed(&self, token: &[u8], rump: &str) -> bool {
        let tag = hmac::sign(&self.0, rump.as_bytes());
        match (token.get(..SEAL_BYTES), tag.as_ref().get(..SEAL_BYTES)) {
            (Some(seal), Some(want)) => verify_slices_are_equal(seal, want).is_ok(),
            _ => false,
        }
    }
}

fn proof(key: &UrlKey, rump: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), rump.as_bytes())
}

/// Whether the owner of the key signed the URL.
pub(crate) fn is_proven(token: &[u8], key: &UrlKey, rump: &str) -> bool {
    let given = token.get(SEAL_BYTES..).unwrap_or_default();
    verify_slices_are_equal(given, proof(key, rump).as_ref()).is_ok()
}

impl Connection {
    /// Whether a URL is of the mailboxes of the one who is logged in, on this server.
    ///
    /// A user goes by any address of the account. RFC 5092 §3.2: a URL without a user is one of
    /// anonymous, who has no mailboxes here.
    pub(crate) fn is_own(&self, server: &UrlServer) -> bool {
        let (Some(user), Some(named)) = (&self.user, &server.user) else { return false };
        let is_user = *named == user.name || self.is_same_account(named);
        is_user && self.is_here(server)
    }

    /// Whether a name is one of the account that is logged in.
    fn is_same_account(&self, username: &str) -> bool {
        let own = self.user.as_ref().map(|user| user.account.name());
        let named = self.imapd.services.logins.account_name(username);
        own.is_some() && named.as_deref() == own
    }

    /// Whether a URL is of this server, by the name it has on this port.
    ///
    /// One host may have several ports for IMAP; the mailboxes are the same.
    fn is_here(&self, server: &UrlServer) -> bool {
        !self.port.hostname.is_empty() && server.host.eq_ignore_ascii_case(&self.port.hostname)
    }

    /// The account whose owner has let the one who is logged in have what a URL names, as far as that
    /// shows without the key of the mailbox. RFC 4467 §6.
    pub(crate) async fn granted(&self, url: &ImapUrl, text: &str) -> Option<Account> {
        let (server, auth) = (url.server.as_ref()?, url.auth.as_ref()?);
        let (owner, verifier) = (server.user.as_ref()?, auth.verifier.as_ref()?);
        let services = &self.imapd.services;
        if !services.sealer.is_sealed(&verifier.token, auth.rump(text)) {
            return None;
        }
        let is_over = auth.expire.is_some_and(|expire| expire <= services.clock.now());
        let may = match &auth.access {
            UrlAccess::User(user) => self.is_same_account(user),
            // Nobody is logged in as anonymous here.
            UrlAccess::AuthUser | UrlAccess::Anonymous => true,
            // Deviation: RFC 4467 §3 has it for servers that submit mail, of which none is known here.
            UrlAccess::Submit(_) => false,
        };
        if is_over || !may || !self.is_here(server) {
            return None;
        }
        if self.is_same_account(owner) {
            return self.account();
        }
        services.logins.account_of_owner(owner).await
    }
}

/// Signs URLs of the user's own mailboxes. RFC 4467 §7.
pub(crate) async fn generate(
    connection: &mut Connection,
    rumps: Vec<UrlRump>,
    utf8: bool,
) -> Result<Outcome, End> {
    let urls = match sign(connection, rumps).await {
        Ok(urls) => urls,
        Err(refusal) => return Ok(Outcome::Refused(refusal)),
    };
    connection.send().await?;
    let mut out = Vec::new();
    print::gen_url_auth(&mut out, &urls, utf8);
    connection.write(Kind::Auth, &out).await?;
    Ok(Outcome::Done)
}

async fn sign(connection: &Connection, rumps: Vec<UrlRump>) -> Result<Vec<String>, Refusal> {
    let cid = connection.cid;
    let account = connection.account().ok_or(Refusal::Failed)?;
    let mut urls = Vec::with_capacity(rumps.len());
    for UrlRump { text, url } in rumps {
        let is_own = url.server.as_ref().is_some_and(|server| connection.is_own(server));
        let name = url.mailbox.as_deref().and_then(|name| MailboxName::parse(name).ok());
        let Some(name) = name.filter(|_| is_own) else {
            return Err(Refusal::BadUrl(text));
        };
        match key(connection, &account, name).await {
            Ok(key) => {
                let token = connection.imapd.services.sealer.token(&key, &text);
                let token: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
                urls.push(format!("{text}:INTERNAL:{token}"));
            }
            Err(StoreError::NoMailbox) => return Err(Refusal::BadUrl(text)),
            Err(error) => return Err(refusal::store(cid, &error)),
        }
    }
    Ok(urls)
}

/// The key of a mailbox, made if there is none.
async fn key(
    connection: &Connection,
    account: &Account,
    name: MailboxName,
) -> Result<UrlKey, StoreError> {
    let (reading, wanted) = (account.clone(), name.clone());
    let known = blocking(move || {
        let reader = reading.read()?;
        reader.url_key(reader.mailbox(&wanted)?.id)
    });
    if let Some(key) = known.await? {
        return Ok(key);
    }
    let mut fresh = [0; URL_KEY_BYTES];
    connection.imapd.services.rng.fill(&mut fresh);
    account.url_key(name, fresh).await
}

/// Makes signed URLs worthless. RFC 4467 §7.
pub(crate) async fn reset(connection: &Connection, mailbox: Option<MailboxName>) -> Outcome {
    let Some(account) = connection.account() else { return no_account() };
    refusal::outcome(connection.cid, account.reset_url_keys(mailbox).await, |()| Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4467 §5: the token is bound to the URL, the key and the server.
    #[test]
    fn a_token_is_good_for_one_url() {
        let (sealer, key) = (UrlSealer::new(b"secret"), [1; URL_KEY_BYTES]);
        let token = sealer.token(&key, "url");
        assert_eq!(token.len(), SEAL_BYTES + 32);
        assert!(sealer.is_sealed(&token, "url") && is_proven(&token, &key, "url"));
        assert!(!sealer.is_sealed(&token, "Url") && !is_proven(&token, &key, "Url"));
        assert!(!UrlSealer::new(b"other").is_sealed(&token, "url"));
        assert!(!is_proven(&token, &[2; URL_KEY_BYTES], "url"));
        for wrong in [&token[..47], &token[..16], &token[..1], &[]] {
            assert!(!is_proven(wrong, &key, "url"), "{wrong:?}");
        }
        for at in 0..token.len() {
            let mut wrong = token.clone();
            wrong[at] ^= 1;
            assert!(!(sealer.is_sealed(&wrong, "url") && is_proven(&wrong, &key, "url")), "{at}");
        }
    }
}
