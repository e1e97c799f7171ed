//! Reading mail over the control socket, without a password.

use tokio::io::{AsyncRead, AsyncWrite};

use super::commands::{CommandError, Handler, Next};
use super::wire::Wire;

impl Handler {
    /// Parameter: an address of the account. After `ok` the socket speaks IMAP, logged in.
    pub(super) async fn imap_serve<S>(&self, wire: &mut Wire<S>) -> Result<Next, CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let address = wire.parameter().await?;
        let login = self.services.logins.by_operator(&address).await;
        let login = login.map_err(|error| CommandError::refused(&error))?;
        wire.write_ok().await?;
        Ok(Next::Imap(Box::new(login), wire.early()))
    }
}
