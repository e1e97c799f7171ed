//! Account storage: mailboxes, messages, flags, changes, threads, quota.
