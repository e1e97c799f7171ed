//! The commands about TLS client keys.

use mox_base::Address;
use mox_net::blocking;
use mox_store::ClientKey;
use tokio::io::{AsyncRead, AsyncWrite};

use super::commands::{CommandError, Handler};
use super::parameters::boolean;
use super::wire::Wire;
use crate::client_key::{CERTIFICATE_BYTES_MAX, Certificate};

impl Handler {
    /// Parameter: account, or nothing for all.
    pub(super) async fn list_keys<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let account = wire.parameter().await?;
        let keys = self.services.client_keys.clone();
        let keys = blocking(move || {
            keys.list(Some(account.as_str()).filter(|account| !account.is_empty()))
        })
        .await?;
        let mut text = String::new();
        text.push_str("# fingerprint, type, name, account, login address, no imap preauth (");
        text.push_str(&format!("{})\n", keys.len()));
        for key in keys {
            text.push_str(&format!(
                "{}\t{}\t{}\t{}\t{}\t{}\n",
                key.fingerprint,
                key.kind,
                key.name,
                key.account,
                key.login_address,
                key.no_imap_preauth
            ));
        }
        wire.write_ok().await?;
        Ok(wire.send_data(text.as_bytes()).await?)
    }

    /// Parameter: fingerprint. Answers with type, name, account, address and whether IMAP does
    /// not begin logged in, a line each, and the certificate in DER.
    pub(super) async fn get_key<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let fingerprint = wire.parameter().await?;
        let keys = self.services.client_keys.clone();
        let key = blocking(move || keys.find(&fingerprint)).await?;
        let key = key.ok_or_else(no_such_key)?;
        wire.write_ok().await?;
        let address = key.login_address.to_string();
        let no_imap_preauth = key.no_imap_preauth.to_string();
        for line in [&key.kind, &key.name, &key.account, &address, &no_imap_preauth] {
            wire.write_line(line).await?;
        }
        Ok(wire.send_data(&*key.certificate).await?)
    }

    /// Parameters: login address, name or nothing for one from the certificate, whether IMAP shall
    /// not begin logged in, and the certificate in DER.
    pub(super) async fn add_key<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let address = wire.parameter().await?;
        let name = wire.parameter().await?;
        let no_imap_preauth = boolean(&wire.parameter().await?)?;
        let mut der = Vec::new();
        wire.receive_data(CERTIFICATE_BYTES_MAX, &mut der).await?;

        let refused = |error: &dyn std::error::Error| CommandError::refused(error);
        let login_address = Address::parse(&address).map_err(|error| refused(&error))?;
        let config = self.services.config.snapshot();
        let target = config.account_for_login(&address).map_err(|error| refused(&error))?;
        let certificate = Certificate::parse(&der).map_err(|error| refused(&error))?;
        let key = ClientKey {
            fingerprint: certificate.fingerprint,
            created: self.services.clock.now(),
            kind: certificate.kind,
            name: if name.is_empty() { certificate.default_name } else { name },
            no_imap_preauth,
            certificate: der,
            account: target.account.to_string(),
            login_address,
        };
        let keys = self.services.client_keys.clone();
        blocking(move || keys.add(&key)).await?;
        Ok(wire.write_ok().await?)
    }

    /// Parameter: fingerprint.
    pub(super) async fn remove_key<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let fingerprint = wire.parameter().await?;
        let keys = self.services.client_keys.clone();
        if !blocking(move || keys.remove(&fingerprint)).await? {
            return Err(no_such_key());
        }
        Ok(wire.write_ok().await?)
    }
}

fn no_such_key() -> CommandError {
    CommandError::Refused("no such key: see \"mox config tlspubkey list\"".to_owned())
}
