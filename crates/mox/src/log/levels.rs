//! How much each part of the server logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use mox_config::{LogLevel, Static};
use mox_net::trace::{TraceLevel, TraceSwitch};
use parking_lot::Mutex;

/// The most packages that can have a level of their own.
pub const PACKAGES_MAX: usize = 100;

/// The longest name of a package that is given a level, in bytes.
pub const PACKAGE_BYTES_MAX: usize = 64;

/// Why a level was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelsError {
    /// More than [`PACKAGES_MAX`].
    #[error("too many packages have a level of their own, clear one first")]
    TooMany,
    /// Empty, longer than [`PACKAGE_BYTES_MAX`], or with other than letters, digits and hyphens.
    #[error("a package is named by letters and digits, such as smtpserver")]
    BadPackage,
}

/// The levels of all packages. Clones share them.
#[derive(Clone, Debug)]
pub struct Levels(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Read for every event.
    table: ArcSwap<Table>,
    /// Held while the table changes, so that switches and table agree.
    switches: Mutex<BTreeMap<&'static str, TraceSwitch>>,
}

#[derive(Clone, Debug)]
struct Table {
    default: LogLevel,
    packages: BTreeMap<String, LogLevel>,
}

impl Table {
    fn level(&self, package: &str) -> LogLevel {
        self.packages.get(package).copied().unwrap_or(self.default)
    }
}

impl Levels {
    /// One level for all packages.
    #[must_use]
    pub fn new(default: LogLevel) -> Self {
        Self::with_packages(default, BTreeMap::new())
    }

    /// The levels of the configuration. A level given on the command line stands for all of them.
    #[must_use]
    pub fn from_config(statics: &Static, command_line: Option<LogLevel>) -> Self {
        match command_line {
            Some(level) => Self::new(level),
            None => {
                let packages = statics.package_log_levels.iter();
                let packages = packages.map(|(package, level)| (package.clone(), level.0));
                Self::with_packages(statics.log_level.0, packages.collect())
            }
        }
    }

    fn with_packages(default: LogLevel, packages: BTreeMap<String, LogLevel>) -> Self {
        let table = ArcSwap::from_pointee(Table { default, packages });
        Self(Arc::new(Inner { table, switches: Mutex::default() }))
    }

    /// How much this package logs.
    #[must_use]
    pub fn level(&self, package: &str) -> LogLevel {
        self.0.table.load().level(package)
    }

    /// The level of all packages without one of their own, and those with one, by name.
    #[must_use]
    pub fn list(&self) -> (LogLevel, Vec<(String, LogLevel)>) {
        let table = self.0.table.load();
        let packages = table.packages.iter().map(|(package, level)| (package.clone(), *level));
        (table.default, packages.collect())
    }

    /// The highest level that any package logs at.
    #[must_use]
    pub fn highest(&self) -> LogLevel {
        let table = self.0.table.load();
        table.packages.values().copied().fold(table.default, LogLevel::max)
    }

    /// Sets the level of all packages without one of their own.
    pub fn set_default(&self, level: LogLevel) {
        let changed = self.change(|table| {
            table.default = level;
            Ok(())
        });
        debug_assert!(changed.is_ok(), "the default can always be set");
    }

    /// Sets the level of a package; `None` gives it the default again.
    ///
    /// # Errors
    ///
    /// See [`LevelsError`].
    pub fn set_package(&self, package: &str, level: Option<LogLevel>) -> Result<(), LevelsError> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_short = (1..=PACKAGE_BYTES_MAX).contains(&package.len());
        if !is_short || !package.bytes().all(is_name) {
            return Err(LevelsError::BadPackage);
        }
        self.change(|table| {
            match level {
                Some(level) => table.packages.insert(package.to_owned(), level),
                None => table.packages.remove(package),
            };
            if table.packages.len() > PACKAGES_MAX {
                return Err(LevelsError::TooMany);
            }
            Ok(())
        })
    }

    /// The switch for protocol traces of a package, which follows its level.
    #[must_use]
    pub fn trace_switch(&self, package: &'static str) -> TraceSwitch {
        let mut switches = self.0.switches.lock();
        let level = trace_level(self.level(package));
        switches.entry(package).or_insert_with(|| TraceSwitch::new(level)).clone()
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Table) -> Result<(), LevelsError>,
    ) -> Result<(), LevelsError> {
        let switches = self.0.switches.lock();
        let mut table = Table::clone(&self.0.table.load());
        change(&mut table)?;
        for (package, switch) in switches.iter() {
            switch.set(trace_level(table.level(package)));
        }
        self.0.table.store(Arc::new(table));
        drop(switches);
        // The interest in each event was remembered under the old levels.
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }
}

fn trace_level(level: LogLevel) -> TraceLevel {
    match level {
        LogLevel::Trace => TraceLevel::Protocol,
        LogLevel::TraceAuth => TraceLevel::Auth,
        LogLevel::TraceData => TraceLevel::Data,
        _ => TraceLevel::Off,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_has_its_own_level_or_the_default() {
        let levels = Levels::new(LogLevel::Info);
        levels.set_package("store", Some(LogLevel::Debug)).unwrap();
        assert_eq!(levels.level("store"), LogLevel::Debug);
        assert_eq!(levels.level("imapserver"), LogLevel::Info);
        levels.set_default(LogLevel::Error);
        assert_eq!(levels.level("imapserver"), LogLevel::Error);
        assert_eq!(levels.highest(), LogLevel::Debug);
        let own = vec![("store".to_owned(), LogLevel::Debug)];
        assert_eq!(levels.list(), (LogLevel::Error, own));
        levels.set_package("store", None).unwrap();
        assert_eq!(levels.list(), (LogLevel::Error, Vec::new()));
        assert_eq!(levels.highest(), LogLevel::Error);
    }

    #[test]
    fn trace_switches_follow_the_level_of_their_package() {
        let levels = Levels::new(LogLevel::Info);
        let switch = levels.trace_switch("imapserver");
        assert_eq!(switch.level(), TraceLevel::Off);
        levels.set_default(LogLevel::Trace);
        assert_eq!(switch.level(), TraceLevel::Protocol);
        levels.set_package("imapserver", Some(LogLevel::TraceData)).unwrap();
        assert_eq!(switch.level(), TraceLevel::Data);
        levels.set_package("imapserver", Some(LogLevel::Debug)).unwrap();
        assert_eq!(switch.level(), TraceLevel::Off);
        assert_eq!(levels.trace_switch("smtpserver").level(), TraceLevel::Protocol);
    }

    #[track_caller]
    fn check_name(package: &str, want: Result<(), LevelsError>) {
        let levels = Levels::new(LogLevel::Info);
        assert_eq!(levels.set_package(package, Some(LogLevel::Warn)), want, "{package:?}");
    }

    #[test]
    fn names_of_packages_are_bounded() {
        check_name("smtpserver", Ok(()));
        check_name(&"a".repeat(PACKAGE_BYTES_MAX), Ok(()));
        check_name(&"a".repeat(PACKAGE_BYTES_MAX + 1), Err(LevelsError::BadPackage));
        check_name("", Err(LevelsError::BadPackage));
        check_name("a b", Err(LevelsError::BadPackage));
        check_name("a\n", Err(LevelsError::BadPackage));
    }

    #[test]
    fn the_number_of_packages_is_bounded() {
        let levels = Levels::new(LogLevel::Info);
        for number in 0..PACKAGES_MAX {
            levels.set_package(&format!("p{number}"), Some(LogLevel::Warn)).unwrap();
        }
        let more = levels.set_package("more", Some(LogLevel::Warn));
        assert_eq!(more, Err(LevelsError::TooMany));
        assert_eq!(levels.level("more"), LogLevel::Info);
        levels.set_package("p0", Some(LogLevel::Error)).unwrap();
    }

    #[test]
    fn the_command_line_stands_for_all_levels_of_the_configuration() {
        let mut statics = Static::default();
        statics.package_log_levels.insert("store".to_owned(), LogLevel::Debug.into());
        let levels = Levels::from_config(&statics, None);
        assert_eq!((levels.level("store"), levels.level("x")), (LogLevel::Debug, LogLevel::Info));
        let levels = Levels::from_config(&statics, Some(LogLevel::Warn));
        assert_eq!((levels.level("store"), levels.level("x")), (LogLevel::Warn, LogLevel::Warn));
    }
}
