//! The folders of an account. RFC 9051 §6.3.9, RFC 6154.

use mox_base::{MailboxName, SpecialUse};
use mox_imap::client::Value;
use mox_transfer::{decode_utf7, mailbox_name};

use crate::ClientError;
use crate::session::{Reply, Session, text_of};

/// The most folders of an account. Ours: as many as an account here may have.
pub const FOLDERS_MAX: usize = 10_000;

/// A folder on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Its name as the server writes it.
    pub wire_name: String,
    /// The mailbox that it becomes.
    pub mailbox: MailboxName,
    /// Whether its name had to be changed for that.
    pub is_renamed: bool,
    /// Its roles.
    pub special_use: SpecialUse,
    /// It shows messages of other folders, such as all of them.
    pub is_view: bool,
    /// Whether the user is subscribed to it, if the server tells.
    pub subscribed: Option<bool>,
}

impl Session {
    /// Lists the folders that have messages.
    ///
    /// # Errors
    ///
    /// If the server refuses, or has more than [`FOLDERS_MAX`].
    pub async fn folders(&mut self) -> Result<Vec<Folder>, ClientError> {
        let prefix = self.personal_prefix().await?;
        let is_extended = self.has("LIST-EXTENDED") || self.has("IMAP4REV2");
        let mut options = Vec::new();
        if is_extended {
            options.push("SUBSCRIBED");
            if self.has("SPECIAL-USE") {
                options.push("SPECIAL-USE");
            }
        }
        let arguments = if options.is_empty() {
            "\"\" \"*\"".to_owned()
        } else {
            format!("\"\" \"*\" RETURN ({})", options.join(" "))
        };
        let is_gmail = self.has("X-GM-EXT-1");
        let mut folders: Vec<Folder> = Vec::new();
        self.run("LIST", &arguments, &mut |reply| {
            if let Some(mut folder) = read_list(reply, b"LIST", prefix.as_deref()) {
                folder.is_view |= is_gmail && folder.special_use.contains(SpecialUse::IMPORTANT);
                folder.subscribed = folder.subscribed.or_else(|| is_extended.then_some(false));
                folders.push(folder);
            }
            if folders.len() > FOLDERS_MAX { Err(ClientError::TooMuch) } else { Ok(()) }
        })
        .await?;
        if !is_extended {
            self.ask_subscribed(&mut folders).await?;
        }
        // A server may name one twice.
        folders.sort_by(|a, b| a.wire_name.cmp(&b.wire_name));
        folders.dedup_by(|a, b| a.wire_name == b.wire_name);
        Ok(folders)
    }

    /// What the names of the user's own folders begin with, such as `INBOX.`. RFC 2342.
    async fn personal_prefix(&mut self) -> Result<Option<String>, ClientError> {
        if !self.has("NAMESPACE") {
            return Ok(None);
        }
        let mut prefix = None;
        let asked = self
            .run("NAMESPACE", "", &mut |reply| {
                if let [Value::Atom(name), Value::List(personal), ..] = reply.values.as_slice()
                    && name.eq_ignore_ascii_case(b"NAMESPACE")
                    && let Some(Value::List(first)) = personal.first()
                {
                    prefix = first.first().and_then(text_of).filter(|prefix| !prefix.is_empty());
                }
                Ok(())
            })
            .await;
        match asked {
            Ok(_) | Err(ClientError::Refused { .. }) => Ok(prefix),
            Err(error) => Err(error),
        }
    }

    async fn ask_subscribed(&mut self, folders: &mut [Folder]) -> Result<(), ClientError> {
        let mut names = std::collections::HashSet::new();
        let asked = self
            .run("LSUB", "\"\" \"*\"", &mut |reply| {
                names.extend(read_list(reply, b"LSUB", None).map(|folder| folder.wire_name));
                if names.len() > FOLDERS_MAX { Err(ClientError::TooMuch) } else { Ok(()) }
            })
            .await;
        match asked {
            Ok(_) => {}
            // RFC 9051 appendix E: it is no more.
            Err(ClientError::Refused { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        for folder in folders {
            folder.subscribed = Some(names.contains(&folder.wire_name));
        }
        Ok(())
    }
}

/// Reads a LIST or LSUB response. `None` for others, and for names that have no messages.
fn read_list(reply: &Reply, word: &[u8], prefix: Option<&str>) -> Option<Folder> {
    let [Value::Atom(found), Value::List(attributes), separator, name, ..] =
        reply.values.as_slice()
    else {
        return None;
    };
    if !found.eq_ignore_ascii_case(word) {
        return None;
    }
    let wire_name = text_of(name)?;
    let attributes: Vec<String> =
        attributes.iter().filter_map(text_of).map(|name| name.to_ascii_lowercase()).collect();
    let has = |name: &str| attributes.iter().any(|attribute| attribute == name);
    if word == b"LIST" && (has("\\noselect") || has("\\nonexistent")) {
        return None;
    }
    // A name with control characters could not be written in a command.
    if wire_name.is_empty() || wire_name.chars().any(char::is_control) {
        return None;
    }
    let separator = text_of(separator).filter(|separator| !separator.is_empty());
    let roles = attributes.iter().filter_map(|name| SpecialUse::from_name(name));
    let (mailbox, is_renamed) = name_of(&wire_name, separator.as_deref(), prefix);
    Some(Folder {
        mailbox,
        is_renamed,
        special_use: roles.fold(SpecialUse::NONE, |all, one| all | one),
        is_view: has("\\all") || has("\\flagged"),
        subscribed: has("\\subscribed").then_some(true),
        wire_name,
    })
}

/// The mailbox that a folder becomes. What stands before the names of all folders is left out.
fn name_of(wire_name: &str, separator: Option<&str>, prefix: Option<&str>) -> (MailboxName, bool) {
    let own =
        prefix.and_then(|prefix| wire_name.strip_prefix(prefix)).filter(|own| !own.is_empty());
    let own = own.unwrap_or(wire_name);
    let levels: Vec<String> = match separator {
        Some(separator) => own.split(separator).map(decode_utf7).collect(),
        None => vec![decode_utf7(own)],
    };
    mailbox_name(levels.iter().map(String::as_str)).unwrap_or_else(|| (MailboxName::inbox(), true))
}
