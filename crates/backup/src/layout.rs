//! What there is in a data directory and in a backup, by name.

use mox_store::CLIENT_KEYS_DATABASE;

/// The folder of a backup with the data directory.
pub const DATA: &str = "data";

/// The folder of a backup with the configuration.
pub const CONFIG: &str = "config";

/// The folder with accounts in a data directory.
pub const ACCOUNTS: &str = "accounts";

/// The folder with the queue.
pub const QUEUE: &str = "queue";

/// The database of reports.
pub const REPORTS: &str = "reports.db";

/// The folder for what is not kept.
pub(crate) const TEMPORARY: &str = "tmp";

/// Where things go that are found where they do not belong; nothing is removed.
pub const MOVED: &str = "moved";

/// What a name at the top of a data directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Of the running server, or nothing that is kept.
    Skipped,
    Accounts,
    Queue,
    Database,
    Secret,
    /// Only where data and configuration are in one folder.
    Config,
    /// Known and of no secrecy.
    Other,
    Unknown,
}

pub(crate) fn place(name: &str) -> Place {
    match name {
        // What a backup leaves behind is of the server that it was made of.
        TEMPORARY | "ctl" | "ctl.new" | "lock" | "lastbackup" => Place::Skipped,
        ACCOUNTS => Place::Accounts,
        QUEUE => Place::Queue,
        REPORTS | CLIENT_KEYS_DATABASE => Place::Database,
        "decoy.key" | "receivedid.key" | "acme" => Place::Secret,
        "mox.conf" | "domains.conf" => Place::Config,
        "selfcheck.json" | "lastknownversion" | "takeover.json" | MOVED => Place::Other,
        name if is_log_of(name, REPORTS) || is_log_of(name, CLIENT_KEYS_DATABASE) => Place::Skipped,
        _ => Place::Unknown,
    }
}

/// Whether this is a database or one of the files that SQLite keeps beside it.
pub(crate) fn is_log_of(name: &str, database: &str) -> bool {
    let rest = name.strip_prefix(database);
    rest.is_some_and(|rest| matches!(rest, "" | "-wal" | "-shm" | "-journal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, want: Place) {
        assert_eq!(place(name), want, "{name}");
    }

    #[test]
    fn names_say_what_is_there() {
        check("accounts", Place::Accounts);
        check("reports.db", Place::Database);
        check("reports.db-wal", Place::Skipped);
        check("auth.db", Place::Database);
        check("auth.db-shm", Place::Skipped);
        check("reports.db-walx", Place::Unknown);
        check("ctl", Place::Skipped);
        check("lastbackup", Place::Skipped);
        check("moved", Place::Other);
        check("", Place::Unknown);
    }
}
