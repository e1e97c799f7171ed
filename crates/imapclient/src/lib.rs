//! An IMAP client, for taking over accounts from other servers.
