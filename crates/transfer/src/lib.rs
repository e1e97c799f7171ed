//! Mail into and out of accounts: mbox, Maildir, zip and tar files.
