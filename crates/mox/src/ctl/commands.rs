//! The commands of the control socket.

use std::time::Duration;

use mox_config::{LogLevel, Text};
use mox_login::Login;
use mox_net::blocking;
use mox_sasl::Password;
use mox_sender::Sender;
use mox_store::StoreError;
use tokio::io::{AsyncRead, AsyncWrite};

use super::wire::{COMMANDS_MAX, GREETING, Wire, WireError};
use super::{admin, queue, repair};
use crate::services::Services;

/// All commands, as [`Handler::command`] knows them.
const COMMANDS: &[&str] = &[
    "stop",
    "restart",
    "confinement",
    "doctor",
    "setaccountpassword",
    "loglevels",
    "setloglevels",
    "tlspubkeylist",
    "tlspubkeyget",
    "tlspubkeyadd",
    "tlspubkeyrm",
    "deliver",
    "rebuildsearch",
    "searchprogress",
    "retrain",
    "junkprogress",
    "junkcheck",
    "decisions",
    "backup",
    "import",
    "imapserve",
];

/// How a connection goes on.
pub(super) enum Next {
    /// With the next command.
    Command,
    /// Not at all.
    Close,
    /// The server ends.
    Stop,
    /// With IMAP for this account, of which so much was received already.
    Imap(Box<Login>, Vec<u8>),
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// The connection failed: nobody can be told.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A text for whoever gave the command. They administrate the server, so it may say
    /// everything.
    #[error("{0}")]
    Refused(String),
}

impl CommandError {
    /// An error with its causes.
    pub(super) fn refused(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Self::Refused(text)
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::refused(&error)
    }
}

/// Serves one control connection.
pub(super) struct Handler {
    pub(super) services: Services,
    pub(super) sender: Sender,
    cid: u64,
}

impl Handler {
    pub(super) fn new(services: Services, sender: Sender, cid: u64) -> Self {
        Self { services, sender, cid }
    }

    /// Answers commands until the client goes, one fails, or the server is to end.
    pub(super) async fn serve<S>(&self, stream: S, wait: Duration) -> Next
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut wire = Wire::new(stream, Some(wait));
        match self.commands(&mut wire).await {
            Ok(next) => next,
            Err(error) => {
                tracing::debug!(cid = self.cid, %error, "control connection");
                Next::Close
            }
        }
    }

    async fn commands<S>(&self, wire: &mut Wire<S>) -> Result<Next, WireError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        wire.write_line(GREETING).await?;
        for _ in 0..COMMANDS_MAX {
            let Some(command) = wire.line().await? else { return Ok(Next::Close) };
            // Words that are no commands stay out of the log: somebody who sends lines in the wrong
            // order would find a password there.
            let mut known =
                [COMMANDS, queue::COMMANDS, admin::COMMANDS, repair::COMMANDS].concat().into_iter();
            let is_known = known.any(|known| known == command);
            let shown = if is_known { &*command } else { "unrecognized" };
            tracing::info!(cid = self.cid, command = shown, "control command");
            match self.command(wire, &command).await {
                Ok(Next::Command) => {}
                Ok(next) => return Ok(next),
                // What is wrong with the lines is worth telling; a lost connection is not.
                Err(CommandError::Wire(error @ (WireError::Closed | WireError::Io(_)))) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::info!(cid = self.cid, %error, "control command failed");
                    wire.write_line(&error.to_string()).await?;
                    return Ok(Next::Close);
                }
            }
        }
        Ok(Next::Close)
    }

    async fn command<S>(&self, wire: &mut Wire<S>, command: &str) -> Result<Next, CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match command {
            "stop" => return Ok(Next::Stop),
            // Returns if there is none, and else ends with the server.
            "restart" => {
                return Err(CommandError::Refused(self.services.privileges.restart().await));
            }
            "confinement" => self.confinement(wire).await?,
            "doctor" => self.doctor(wire).await?,
            "imapserve" => return self.imap_serve(wire).await,
            "setaccountpassword" => self.set_account_password(wire).await?,
            "loglevels" => self.log_levels(wire).await?,
            "setloglevels" => self.set_log_levels(wire).await?,
            "tlspubkeylist" => self.list_keys(wire).await?,
            "tlspubkeyget" => self.get_key(wire).await?,
            "tlspubkeyadd" => self.add_key(wire).await?,
            "tlspubkeyrm" => self.remove_key(wire).await?,
            "deliver" => self.deliver(wire).await?,
            "rebuildsearch" => self.rebuild_search(wire).await?,
            "searchprogress" => self.search_progress(wire).await?,
            "retrain" => self.retrain(wire).await?,
            "junkprogress" => self.junk_progress(wire).await?,
            "junkcheck" => self.junk_check(wire).await?,
            "decisions" => self.decisions(wire).await?,
            word if admin::COMMANDS.contains(&word) => self.admin(wire, word).await?,
            "backup" => self.backup(wire).await?,
            word if repair::COMMANDS.contains(&word) => self.repair(wire, word).await?,
            "import" => self.import(wire).await?,
            word if word.starts_with("queue") => self.queue(wire, word).await?,
            _ => return Err(CommandError::Refused("unrecognized command".to_owned())),
        }
        Ok(Next::Command)
    }

    /// Parameters: account, password.
    async fn set_account_password<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let account = wire.parameter().await?;
        let password = wire.parameter().await?;
        let password =
            Password::for_storing(&password).map_err(|error| CommandError::refused(&error))?;
        let services = self.services.clone();
        let set = move || {
            let account = services.store.account(&account)?;
            services.logins.set_password(&account, &password)
        };
        blocking(set).await?;
        Ok(wire.write_ok().await?)
    }

    /// Answers with what keeps this process from the files of others, and what does not.
    async fn confinement<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let privileges = self.services.privileges.clone();
        let text = blocking(move || privileges.confinement_text()).await;
        wire.write_ok().await?;
        Ok(wire.send_data(text.as_bytes()).await?)
    }

    async fn log_levels<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (default, packages) = self.services.levels.list();
        let mut text = format!("(default): {default}\n");
        for (package, level) in packages {
            text.push_str(&format!("{package}: {level}\n"));
        }
        wire.write_ok().await?;
        Ok(wire.send_data(text.as_bytes()).await?)
    }

    /// Parameters: package or nothing for the default, level or nothing to clear the package's.
    async fn set_log_levels<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let package = wire.parameter().await?;
        let level = wire.parameter().await?;
        let level = match level.as_str() {
            "" => None,
            level => Some(level.parse::<Text<LogLevel>>().map_err(|known| {
                CommandError::Refused(format!("unknown log level {level:?}: {known}"))
            })?),
        };
        let levels = &self.services.levels;
        match (package.as_str(), level) {
            ("", None) => {
                return Err(CommandError::Refused("give a level or a package".to_owned()));
            }
            ("", Some(level)) => levels.set_default(level.0),
            (package, level) => levels
                .set_package(package, level.map(|level| level.0))
                .map_err(|error| CommandError::refused(&error))?,
        }
        Ok(wire.write_ok().await?)
    }
}
