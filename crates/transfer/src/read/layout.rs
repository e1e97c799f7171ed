//! What a file is by its path: in a directory, a zip or a tar alike.

use mox_base::MailboxName;

use super::PATH_BYTES_MAX;
use crate::maildir_name::KEYWORDS_FILE;
use crate::names::{mailbox_name, maildir_levels};

/// What lies at a path. Levels are those of the folder's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A message in `new` or `cur` of a Maildir.
    Message { levels: Vec<String>, name: String },
    /// A Maildir itself: it is told even if it is empty.
    Maildir { levels: Vec<String> },
    /// The names of keywords of a Maildir.
    Keywords { levels: Vec<String> },
    /// An mbox; if its name does not say so, it is one if it begins as one.
    Mbox { levels: Vec<String>, is_certain: bool },
    /// What a mail program or system keeps for itself, of no use here.
    Ignored,
}

/// Files that mail programs keep beside mail: whole names, beginnings and ends.
const METADATA: [&str; 10] = [
    // Everything that is taken over is subscribed to.
    "subscriptions",
    "maildirfolder",
    "maildirsize",
    "maildirshared",
    "courierimapuiddb",
    "courierimapacl",
    "errors.txt",
    ".ds_store",
    "table_of_contents",
    "msgfilterrules.dat",
];
const METADATA_STARTS: [&str; 10] = [
    "dovecot.index",
    "dovecot.list",
    "dovecot.mailbox",
    "dovecot.sieve",
    "dovecot-uid",
    "dovecot-acl",
    "dovecot-attr",
    "courierimap",
    ".dovecot",
    "._",
];
const METADATA_ENDS: [&str; 6] = [".msf", ".lock", ".dat", ".plist", ".cmeta", ".ibex.index"];

/// What a path says. A directory has no other kind than [`Place::Maildir`]; `None` means that nothing
/// follows from it.
pub(super) fn place(path: &str, is_dir: bool) -> Option<Place> {
    if path.len() > PATH_BYTES_MAX {
        return None;
    }
    let parts: Vec<&str> =
        path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let (last, above) = parts.split_last()?;
    if is_dir {
        let is_maildir = matches!(*last, "cur" | "new" | "tmp");
        return is_maildir.then(|| Place::Maildir { levels: levels(above) });
    }
    if let Some((parent, above)) = above.split_last() {
        match *parent {
            "new" | "cur" => {
                // Some systems put files of their own everywhere.
                if last.starts_with('.') {
                    return Some(Place::Ignored);
                }
                return Some(Place::Message { levels: levels(above), name: (*last).to_owned() });
            }
            "tmp" => return Some(Place::Ignored),
            _ => {}
        }
    }
    let lower = last.to_ascii_lowercase();
    if lower == KEYWORDS_FILE {
        return Some(Place::Keywords { levels: levels(above) });
    }
    let is_metadata = METADATA.contains(&lower.as_str())
        || METADATA_STARTS.iter().any(|start| lower.starts_with(start))
            && (!lower.ends_with(".mbox") || lower.starts_with("._"))
        || METADATA_ENDS.iter().any(|end| lower.ends_with(end));
    if is_metadata {
        return Some(Place::Ignored);
    }
    // Apple Mail makes a folder `x.mbox` with a file `mbox` in it.
    if lower == "mbox"
        && let Some((folder, above)) = above.split_last()
        && let Some(name) = folder.strip_suffix(".mbox")
    {
        return Some(Place::Mbox { levels: with_name(above, name), is_certain: true });
    }
    match last.strip_suffix(".mbox") {
        Some(name) => Some(Place::Mbox { levels: with_name(above, name), is_certain: true }),
        None => Some(Place::Mbox { levels: with_name(above, last), is_certain: false }),
    }
}

fn with_name(above: &[&str], name: &str) -> Vec<String> {
    let mut levels = levels(above);
    levels.push(name.to_owned());
    levels
}

/// The levels of a folder in these directories.
///
/// A directory `.a.b` is the folder a/b of the Maildir++ that it lies in; `a.sbd` is where Thunderbird
/// keeps the folders below a. A directory `Maildir` at the top is that of the whole account.
fn levels(directories: &[&str]) -> Vec<String> {
    let mut levels = Vec::new();
    for (depth, directory) in directories.iter().enumerate() {
        if depth == 0 && directory.eq_ignore_ascii_case("maildir") {
            continue;
        }
        if directory.starts_with('.') && directory.len() > 1 {
            levels.extend(maildir_levels(directory));
        } else {
            let name = directory.strip_suffix(".sbd").or_else(|| directory.strip_suffix(".mbox"));
            levels.push(name.unwrap_or(directory).to_owned());
        }
    }
    levels
}

/// The mailbox for some levels, and whether its name had to be changed.
///
/// Those at the top of the source lie at the top of the account if the target is the Inbox.
pub(super) fn mailbox(target: &MailboxName, levels: &[String]) -> (MailboxName, bool) {
    let levels = levels.iter().map(String::as_str);
    let named = if target.is_inbox() {
        mailbox_name(levels)
    } else {
        mailbox_name(target.as_str().split('/').chain(levels))
    };
    named.unwrap_or_else(|| (target.clone(), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, is_dir: bool, want: Option<&str>) {
        let shown = place(path, is_dir).map(|place| match place {
            Place::Message { levels, name } => format!("message {} {name}", levels.join(">")),
            Place::Maildir { levels } => format!("maildir {}", levels.join(">")),
            Place::Keywords { levels } => format!("keywords {}", levels.join(">")),
            Place::Mbox { levels, is_certain } => format!("mbox {} {is_certain}", levels.join(">")),
            Place::Ignored => "ignored".to_owned(),
        });
        assert_eq!(shown.as_deref(), want, "{path}");
    }

    #[test]
    fn paths_tell_what_lies_there() {
        check("cur/1.2.3:2,S", false, Some("message  1.2.3:2,S"));
        check("./Maildir/new/1", false, Some("message  1"));
        check("a/b/cur/1", false, Some("message a>b 1"));
        check(".Sent.2020/cur/1", false, Some("message Sent>2020 1"));
        check("Maildir/.Entw&APw-rfe/cur/1", false, Some("message Entwürfe 1"));
        check("a/cur/", true, Some("maildir a"));
        check("tmp/", true, Some("maildir "));
        check("a/dovecot-keywords", false, Some("keywords a"));
        check("a/b.mbox", false, Some("mbox a>b true"));
        check(
            "Mail/Local Folders/Inbox.sbd/Sub",
            false,
            Some("mbox Mail>Local Folders>Inbox>Sub false"),
        );
        // Folders of people who write about mail servers.
        check("a/dovecot", false, Some("mbox a>dovecot false"));
        check("dovecot.index.mbox", false, Some("mbox dovecot.index true"));
        check("Work.mbox/mbox", false, Some("mbox Work true"));
        for ignored in [
            "a/tmp/1",
            "dovecot.index.log",
            "a/dovecot-uidlist",
            "._dovecot.mbox",
            "Inbox.msf",
            "cur/.x",
            "errors.txt",
            "._a",
            "subscriptions",
        ] {
            check(ignored, false, Some("ignored"));
        }
        // Nothing follows.
        check("a/", true, None);
        check("", false, None);
        check("/", true, None);
        check(&"a/".repeat(PATH_BYTES_MAX), false, None);
    }

    #[test]
    fn folders_lie_in_the_account_or_below_the_target() {
        let name = |target: &str, levels: &[&str]| {
            let levels: Vec<String> = levels.iter().map(|level| (*level).to_owned()).collect();
            let (name, changed) = mailbox(&MailboxName::parse(target).unwrap(), &levels);
            (name.to_string(), changed)
        };
        assert_eq!(name("Inbox", &[]), ("Inbox".to_owned(), false));
        assert_eq!(name("Inbox", &["a", "b"]), ("a/b".to_owned(), false));
        assert_eq!(name("old/x", &[]), ("old/x".to_owned(), false));
        assert_eq!(name("old", &["a"]), ("old/a".to_owned(), false));
        assert_eq!(name("Inbox", &["..", "x\n"]), ("unnamed/x_".to_owned(), true));
        assert_eq!(name("Inbox", &["inbox"]), ("Inbox".to_owned(), false));
    }
}
