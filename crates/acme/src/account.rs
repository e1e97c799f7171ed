//! Our account at the provider. RFC 8555 §7.3.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use instant_acme::{Account, AccountBuilder, ExternalAccountKey, Key, NewAccount};
use mox_net::blocking;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::keys::{HostKey, KeyKind, print_pem};
use crate::ledger::AccountUrl;
use crate::upkeep::Inner;
use crate::{AcmeError, Binding};

/// The key of an account, in the form that the client takes.
struct AccountKey {
    private: PrivatePkcs8KeyDer<'static>,
    /// The public key in base64, to know it again.
    public: String,
}

impl Inner {
    /// Finds the account of our key, or makes one; the key is on disk before the provider knows it,
    /// except where an external account is bound. Agrees to the provider's terms.
    pub(crate) async fn open_account(&self) -> Result<Account, AcmeError> {
        let opened = match (self.kept_key().await?, &self.settings.binding) {
            (Some(key), binding) => {
                if let Some(url) = self.known_account(&key) {
                    let directory = self.settings.directory_url.clone();
                    let opened = self.builder().from_parts(url, key.private, directory).await;
                    return opened.map_err(|error| self.fault(error));
                }
                match (self.find(key, binding.is_none()).await, binding) {
                    (Err(AcmeError::AccountLost(_)), Some(binding)) => self.bind(binding).await,
                    (found, _) => found,
                }
            }
            (None, Some(binding)) => self.bind(binding).await,
            (None, None) => {
                let made = blocking(|| HostKey::generate(KeyKind::Ecdsa)).await;
                let pem = made.map_err(AcmeError::Make)?.pem().to_owned();
                let key = self.account_key(&pem)?;
                self.keep_key(pem).await?;
                self.find(key, true).await
            }
        };
        let account = opened.map_err(AcmeError::of_account)?;
        tracing::info!(provider = self.settings.name, url = account.id(), "acme account");
        if let Some(key) = self.kept_key().await? {
            let url = account.id().to_owned();
            let directory = self.settings.directory_url.clone();
            let known = AccountUrl { url, directory, key: key.public };
            self.state.lock().ledger.account = Some(known);
            self.keep_ledger().await?;
        }
        Ok(account)
    }

    /// The URL of the account, if it is one of this directory and this key.
    fn known_account(&self, key: &AccountKey) -> Option<String> {
        let state = self.state.lock();
        let account = state.ledger.account.as_ref();
        let directory = &self.settings.directory_url;
        let is_it = |known: &&AccountUrl| known.directory == *directory && known.key == key.public;
        let known = account.filter(is_it);
        known.map(|known| known.url.clone())
    }

    fn account_key(&self, pem: &str) -> Result<AccountKey, AcmeError> {
        let bad = || AcmeError::AccountKey(self.files.account_key());
        let key = HostKey::from_pem(pem).map_err(|_| bad())?;
        let der = PrivateKeyDer::from_pem_slice(key.pem().as_bytes()).map_err(|_| bad())?;
        if key.kind() != KeyKind::Ecdsa {
            // Deviation: the specification accepts RSA keys of accounts. Those come from versions
            // long past; the client library signs with ECDSA only.
            return Err(bad());
        }
        let private = PrivatePkcs8KeyDer::from(der.secret_der().to_vec());
        Ok(AccountKey { private, public: STANDARD.encode(key.public()) })
    }

    /// Asks for the account of a key, and has it made if it is missing and `makes` says so.
    async fn find(&self, key: AccountKey, makes: bool) -> Result<Account, AcmeError> {
        let directory = self.settings.directory_url.clone();
        let signer = Key::from_pkcs8_der(key.private.clone_key());
        let signer = signer.map_err(|error| self.fault(error))?;
        let key = (signer, PrivateKeyDer::Pkcs8(key.private));
        let found = if makes {
            self.builder().create_from_key(key, directory).await
        } else {
            self.builder().from_key(key, directory).await
        };
        let (account, _credentials) = found.map_err(|error| self.fault(error))?;
        let contact = self.contact();
        if let Err(error) = account.update_contacts(&[&contact]).await {
            // Nobody can write to us; certificates come all the same.
            tracing::warn!(provider = self.settings.name, %error, contact, "contact not taken");
        }
        Ok(account)
    }

    /// Makes an account that is bound to one outside of ACME. RFC 8555 §7.3.4.
    ///
    /// The key is kept when the provider has agreed: a crash in between leaves an account that
    /// nobody uses, and the next attempt makes another.
    async fn bind(&self, binding: &Binding) -> Result<Account, AcmeError> {
        let external = ExternalAccountKey::new(binding.key_id.clone(), &binding.key);
        let contact = self.contact();
        let new = NewAccount {
            contact: &[&contact],
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = self.settings.directory_url.clone();
        let made = self.builder().create(&new, directory, Some(&external)).await;
        let (account, credentials) = made.map_err(|error| self.fault(error))?;
        let pem = print_pem("PRIVATE KEY", credentials.private_key().secret_pkcs8_der());
        self.keep_key(pem).await?;
        Ok(account)
    }

    async fn kept_key(&self) -> Result<Option<AccountKey>, AcmeError> {
        let files = self.files.clone();
        let kept = blocking(move || files.read_account_key()).await?;
        kept.map(|pem| self.account_key(&pem)).transpose()
    }

    async fn keep_key(&self, pem: String) -> Result<(), AcmeError> {
        let files = self.files.clone();
        blocking(move || files.write_account_key(&pem)).await
    }

    fn contact(&self) -> String {
        format!("mailto:{}", self.settings.contact)
    }

    fn builder(&self) -> AccountBuilder {
        Account::builder_with_http(Box::new(self.requests.clone()))
    }

    /// What an error of the client means.
    pub(crate) fn fault(&self, error: instant_acme::Error) -> AcmeError {
        AcmeError::from_client(error, self.requests.retry_after.get())
    }
}
