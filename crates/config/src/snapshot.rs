//! One state of both files, checked and prepared, that does not change any more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mox_base::{Address, Domain, Localpart};
use mox_sconf::{Docs, Document, Faults, read_document};

use crate::addresses::{AccountTarget, AddressBook, LookupError, Target};
use crate::finding::{Checker, Finding, Report};
use crate::{Account, DomainSettings, Dynamic, Listener, Static, Text, check};

/// The name of the file with [`Dynamic`], beside the file with [`Static`].
pub const DYNAMIC_FILE: &str = "domains.conf";

/// The name of the file with [`Static`] in its directory.
pub const STATIC_FILE: &str = "mox.conf";

/// Whether the files that settings name, such as certificates, are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedFiles {
    /// They must be there and hold what they are to hold.
    Check,
    /// As [`NamedFiles::Check`], but one that may not be read is no fault: for a server that gave
    /// up its privileges, and was given the files that it needs.
    CheckReadable,
    /// They may be out of reach, as for a server that gave up its privileges.
    Skip,
}

/// Files that are read at another place than the settings name: a process with the right to read
/// them opened them for one without it. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedFiles(Arc<BTreeMap<PathBuf, PathBuf>>);

impl PassedFiles {
    /// - `places`: the path that [`Config::path`] would give, and where to read instead.
    #[must_use]
    pub fn new(places: BTreeMap<PathBuf, PathBuf>) -> Self {
        Self(Arc::new(places))
    }

    /// Where to read a file.
    #[must_use]
    pub fn place(&self, path: PathBuf) -> PathBuf {
        self.0.get(&path).cloned().unwrap_or(path)
    }
}

/// A snapshot of the configuration: valid, immutable, cheap to share.
#[derive(Debug)]
pub struct Config {
    /// What `mox.conf` says.
    pub statics: Arc<Static>,
    /// What `domains.conf` says.
    pub dynamic: Arc<Dynamic>,
    dir: PathBuf,
    addresses: AddressBook,
    passed: PassedFiles,
}

/// Reads `mox.conf`: the settings, unless it has faults, and all that was found.
pub(crate) fn read_static(
    path: &Path,
    text: &str,
    named_files: NamedFiles,
) -> (Option<Static>, Report) {
    let mut faults = Faults::default();
    let document = Document::read(text, &mut faults);
    let statics: Option<Static> = read_document(&document, &mut faults);
    let mut checker = Checker::new(path, &document, faults);
    if let Some(statics) = &statics {
        check::statics(statics, dir_of(path), named_files, &mut checker);
    }
    check::unused_statics(&mut checker);
    (statics, checker.finish())
}

/// Reads `domains.conf`, and what of it must agree with `mox.conf`.
pub(crate) fn read_dynamic(
    path: &Path,
    text: &str,
    statics: &Arc<Static>,
    named_files: NamedFiles,
) -> (Option<(Config, Document)>, Report) {
    let mut faults = Faults::default();
    let document = Document::read(text, &mut faults);
    let dynamic: Option<Dynamic> = read_document(&document, &mut faults);
    let mut checker = Checker::new(path, &document, faults);
    let config = dynamic.map(|dynamic| {
        let addresses = AddressBook::build(statics, &dynamic, &mut checker);
        let config = Config {
            statics: Arc::clone(statics),
            dynamic: Arc::new(dynamic),
            dir: dir_of(path).to_owned(),
            addresses,
            passed: PassedFiles::default(),
        };
        check::dynamic(&config, named_files, &mut checker);
        config
    });
    check::unused_dynamic(&mut checker);
    let report = checker.finish();
    (config.map(|config| (config, document)), report)
}

/// The directory of a file, `.` for a bare name.
pub(crate) fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => Path::new("."),
        Some(dir) => dir,
        None => path,
    }
}

impl Config {
    /// Makes a snapshot of settings made in code, as if they stood in two files in `dir`.
    ///
    /// Nothing is written; line numbers in faults are those of the files that would be. Files
    /// named in the settings are not looked at.
    pub fn new(dir: &Path, statics: &Static, dynamic: &Dynamic) -> Result<Self, Vec<Finding>> {
        let text = |file: &str, text: Result<String, mox_sconf::EncodeError>| {
            text.map_err(|error| {
                vec![Finding { file: dir.join(file), line: 0, message: error.to_string() }]
            })
        };
        let statics = text(STATIC_FILE, mox_sconf::to_string(statics, Docs::Omit))?;
        let dynamic = text(DYNAMIC_FILE, mox_sconf::to_string(dynamic, Docs::Omit))?;
        Self::parse(dir, &statics, &dynamic)
    }

    /// Makes a snapshot of the text of both files, as if they stood in `dir`.
    ///
    /// Files named in the settings are not looked at.
    pub fn parse(dir: &Path, mox_conf: &str, domains_conf: &str) -> Result<Self, Vec<Finding>> {
        let (statics, report) = read_static(&dir.join(STATIC_FILE), mox_conf, NamedFiles::Skip);
        let mut faults = report.faults;
        let statics = Arc::new(statics.unwrap_or_default());
        let path = dir.join(DYNAMIC_FILE);
        let (config, report) = read_dynamic(&path, domains_conf, &statics, NamedFiles::Skip);
        faults.extend(report.faults);
        match config {
            Some((config, _)) if faults.is_empty() => Ok(config),
            _ => Err(faults),
        }
    }

    /// The directory of the files, where relative names of files start.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The place of a file named in the settings.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.passed.place(self.dir.join(name))
    }

    /// The same with files that were passed to this process.
    pub(crate) fn with_passed(mut self, passed: &PassedFiles) -> Self {
        self.passed = passed.clone();
        self
    }

    /// The directory for all data.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.path(&self.statics.data_dir)
    }

    /// The name of this host.
    #[must_use]
    pub fn hostname(&self) -> &Domain {
        &self.statics.hostname
    }

    /// The name of this host on a listener, with which clients are greeted.
    #[must_use]
    pub fn listener_hostname<'a>(&'a self, listener: &'a Listener) -> &'a Domain {
        listener.hostname.as_deref().unwrap_or_else(|| self.hostname())
    }

    /// The settings of an account.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.dynamic.accounts.get(name)
    }

    /// The settings of a domain.
    #[must_use]
    pub fn domain(&self, name: &Domain) -> Option<&DomainSettings> {
        self.dynamic.domains.get(&Text::from(name.clone()))
    }

    /// The most bytes of messages an account may hold; `None` for no limit.
    #[must_use]
    pub fn quota_bytes(&self, account: &str) -> Option<u64> {
        let own = self.account(account).map_or(0, |account| account.quota_message_size);
        let quota = if own == 0 { self.statics.quota_message_size } else { own };
        u64::try_from(quota).ok().filter(|quota| *quota > 0)
    }

    /// Whether the domain is among those of `domains.conf`, for reports only or not.
    #[must_use]
    pub fn is_configured_domain(&self, domain: &Domain) -> bool {
        self.addresses.is_configured(domain)
    }

    /// The separator to put in addresses made for a domain, if it has one.
    #[must_use]
    pub fn separator(&self, domain: &Domain) -> Option<&str> {
        self.addresses.separator(domain)
    }

    /// Whether mail for some address in the domain is ours, the domain being disabled or not.
    #[must_use]
    pub fn is_local_domain(&self, domain: &Domain) -> bool {
        self.addresses.is_local(domain)
    }

    /// Whether the domain is configured and switched off: mail for it is refused for now, and none is
    /// sent from it, while its users log in as before.
    #[must_use]
    pub fn is_disabled_domain(&self, domain: &Domain) -> bool {
        self.addresses.is_disabled(domain)
    }

    /// Who gets mail for an address.
    ///
    /// In this order: postmaster of the host, the report address of the host, the alias, the
    /// address after its localpart was made canonical, the domain's catch-all, the domain's
    /// postmaster (RFC 5321 §4.5.1).
    ///
    /// - `domain`: `None` for `<postmaster>`, the one address without (RFC 5321 §4.1.1.3).
    pub fn lookup_address(
        &self,
        localpart: &Localpart,
        domain: Option<&Domain>,
    ) -> Result<Target, LookupError> {
        self.addresses.delivery(localpart, domain)
    }

    /// The account that a user name belongs to.
    ///
    /// A user name is an address of the account, in any form in which it gets mail; also in a
    /// disabled domain. Aliases, and postmaster where no account has it as destination, do not log
    /// in. Whether the account may log in at all is a question for after the password:
    /// [`Account::login_disabled`].
    pub fn account_for_login(&self, user_name: &str) -> Result<AccountTarget, LookupError> {
        let address = Address::parse(user_name).map_err(|_| LookupError::UnknownUser)?;
        self.addresses.login(&address)
    }

    /// Whether an account may send messages from an address.
    ///
    /// It may from its own addresses, those of its catch-alls, and from aliases that it is a
    /// member of and that allow it. The error is [`LookupError::DomainDisabled`] only.
    pub fn account_may_send_as(
        &self,
        account: &str,
        address: &Address,
    ) -> Result<bool, LookupError> {
        self.addresses.may_send_as(account, address)
    }

    /// The address that an address of a configured domain stands for: in lower case unless that
    /// matters, without what follows a separator. `None` for other domains.
    #[must_use]
    pub fn canonical_address(&self, address: &Address) -> Option<Address> {
        self.addresses.canonical(address)
    }

    /// The configured destinations of an account: addresses and `@domain` for catch-alls.
    pub fn account_addresses(&self, account: &str) -> impl Iterator<Item = String> {
        let account = self.account(account);
        account.into_iter().flat_map(|account| {
            account.destinations.keys().map(|key| match (&key.0, &account.domain.0.0) {
                (crate::DestinationKey::Localpart(localpart), Some(domain)) => {
                    format!("{localpart}@{domain}")
                }
                (key, _) => key.to_string(),
            })
        })
    }
}
