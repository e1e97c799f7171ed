//! From events to lines.

use std::error::Error;
use std::fmt;
use std::io::Write as _;

use mox_config::LogLevel;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;

use super::levels::Levels;
use super::line::{Form, Record};
use super::{PRINT, TRACE};

/// The packages, as administrators name them, of the crates that log.
pub const PACKAGES: &[(&str, &str)] = &[
    ("mox", "mox"),
    ("mox_config", "config"),
    ("mox_imap", "imapserver"),
    ("mox_imapd", "imapserver"),
    ("mox_login", "login"),
    ("mox_mime", "message"),
    ("mox_net", "net"),
    ("mox_sasl", "login"),
    ("mox_sconf", "config"),
    ("mox_smtp", "smtpserver"),
    ("mox_smtpd", "smtpserver"),
    ("mox_store", "store"),
    ("mox_web", "http"),
];

/// Libraries whose warnings and errors are about what others send: to us they are details.
///
/// Attack: whoever has a domain with wrong signatures could fill the log with whole DNS answers, by
/// sending mail from it.
const DETAILED: &[&str] = &["hickory_net", "hickory_proto"];

/// The package that an event belongs to: by the crate in its target, else that crate itself.
#[must_use]
pub fn package_of(target: &str) -> &str {
    let name = crate_of(target);
    PACKAGES.iter().find(|(one, _)| *one == name).map_or(name, |(_, package)| package)
}

/// The package that a file of source code belongs to; `library` for those of others.
#[must_use]
pub fn package_of_file(path: &str) -> &'static str {
    let inside = path.split_once("crates/").map(|(_, rest)| rest);
    let folder = inside.and_then(|rest| rest.split_once("/src/")).map(|(folder, _)| folder);
    let Some(folder) = folder.filter(|folder| !folder.contains('/')) else { return "library" };
    let known = PACKAGES.iter().find(|(name, _)| {
        *name == folder || name.strip_prefix("mox_").is_some_and(|name| name == folder)
    });
    known.map_or("other", |(_, package)| package)
}

fn crate_of(target: &str) -> &str {
    target.split_once("::").map_or(target, |(name, _)| name)
}

/// Prints the events that the levels let through.
#[derive(Debug)]
pub struct LogLayer<W> {
    levels: Levels,
    form: Form,
    writer: W,
}

impl<W> LogLayer<W> {
    /// Prints to `writer`, each line in one write.
    pub fn new(levels: Levels, form: Form, writer: W) -> Self {
        Self { levels, form, writer }
    }

    fn lets_through(&self, metadata: &Metadata<'_>) -> bool {
        match metadata.target() {
            // The session asked its own switch before it made the event.
            TRACE | PRINT => true,
            target => level_of(metadata) <= self.levels.level(package_of(target)),
        }
    }
}

/// How serious an event is.
fn level_of(metadata: &Metadata<'_>) -> LogLevel {
    if metadata.target() == PRINT {
        return LogLevel::Print;
    }
    match *metadata.level() {
        Level::ERROR | Level::WARN | Level::INFO
            if DETAILED.contains(&crate_of(metadata.target())) =>
        {
            LogLevel::Debug
        }
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

impl<S, W> Layer<S> for LogLayer<W>
where
    S: Subscriber,
    W: for<'w> MakeWriter<'w> + 'static,
{
    /// Spans are not used: what an event is about stands in its own fields.
    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        metadata.is_event() && self.lets_through(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.levels.highest() {
            LogLevel::Print | LogLevel::Fatal | LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace | LogLevel::TraceAuth | LogLevel::TraceData => LevelFilter::TRACE,
        })
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let level = level_of(metadata);
        match level {
            LogLevel::Error => mox_metrics::log::error(),
            LogLevel::Warn => mox_metrics::log::warn(),
            LogLevel::Info => mox_metrics::log::info(),
            _ => {}
        }
        let mut record = Record {
            level,
            package: package_of(metadata.target()).to_owned(),
            ..Record::default()
        };
        event.record(&mut Fields(&mut record));
        let line = record.print(self.form);
        // There is nowhere to say that the log cannot be written.
        let _unwritten = self.writer.make_writer().write_all(line.as_bytes());
    }
}

/// Puts the fields of an event where they belong in a record.
struct Fields<'r>(&'r mut Record);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.0.message = value,
            "err" | "error" => self.0.error = Some(value),
            "pkg" => self.0.package = value,
            name => self.0.fields.push((name, value)),
        }
    }
}

impl Visit for Fields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "cid" {
            self.0.cid = Some(value);
        } else {
            self.put(field, value.to_string());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    /// With its causes, which `Display` leaves out.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.put(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use mox_net::trace::{Kind, Tracer};
    use parking_lot::Mutex;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// A log that is kept in memory.
    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Captured {
        type Writer = Self;

        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    #[track_caller]
    fn check(levels: &Levels, log: impl FnOnce(), want: &[&str]) {
        let captured = Captured::default();
        let layer = LogLayer::new(levels.clone(), Form::Logfmt, captured.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(captured.0.lock().clone()).unwrap();
        assert_eq!(text.lines().collect::<Vec<_>>(), want);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("open account")]
    struct Outer(#[source] io::Error);

    #[test]
    fn panics_belong_to_packages() {
        for (place, want) in [
            ("crates/smtpd/src/session.rs:1:2", "smtpserver"),
            ("crates/mox/src/main.rs:1:2", "mox"),
            ("/build/crates/web/src/lib.rs:1:2", "http"),
            ("crates/junk/src/lib.rs:1:2", "other"),
            ("/registry/src/index.crates.io-1/hyper-1.0.0/src/lib.rs:1:2", "library"),
            ("", "library"),
        ] {
            assert_eq!(package_of_file(place), want, "{place}");
        }
    }

    #[test]
    fn events_become_lines() {
        let levels = Levels::new(LogLevel::Info);
        let log = || {
            tracing::info!(target: "mox_imapd::session", cid = 255_u64, user = "a b", "logged in");
            let error = Outer(io::Error::other("gone"));
            let error: &(dyn Error + 'static) = &error;
            tracing::error!(target: "mox_store::account", account = %"mjl", error, count = 3, "no");
            tracing::warn!(error = %"plain", wait = ?std::time::Duration::from_secs(1), "later");
            tracing::error!(target: PRINT, "ready to serve");
        };
        check(
            &levels,
            log,
            &[
                "l=info m=\"logged in\" pkg=imapserver user=\"a b\" cid=ff",
                "l=error m=no err=\"open account: gone\" pkg=store account=mjl count=3",
                "l=warn m=later err=plain pkg=mox wait=1s",
                "l=print m=\"ready to serve\" pkg=mox",
            ],
        );
    }

    #[test]
    fn levels_go_by_package_and_change_while_running() {
        let levels = Levels::new(LogLevel::Warn);
        levels.set_package("smtpserver", Some(LogLevel::Debug)).unwrap();
        let events = || {
            tracing::debug!(target: "mox_smtpd", "smtp detail");
            tracing::info!(target: "mox_imapd", "imap news");
            tracing::error!(target: PRINT, "always");
        };
        let log = || {
            events();
            levels.set_default(LogLevel::Print);
            levels.set_package("smtpserver", None).unwrap();
            tracing::error!(target: "mox_imapd", "not even errors");
            events();
            levels.set_default(LogLevel::Info);
            events();
        };
        let (smtp, imap) = ("l=debug m=\"smtp detail\" pkg=smtpserver", "l=info m=\"imap news\"");
        let (imap, always) = (format!("{imap} pkg=imapserver"), "l=print m=always pkg=mox");
        check(&levels, log, &[smtp, always, always, &imap, always]);
    }

    #[test]
    fn what_a_library_says_of_others_is_a_detail() {
        let levels = Levels::new(LogLevel::Info);
        let log = || {
            tracing::error!(target: "hickory_net::dnssec", "bogus");
            levels.set_default(LogLevel::Debug);
            tracing::warn!(target: "hickory_net::dnssec", "bogus");
            tracing::trace!(target: "hickory_net::dnssec", "more");
            tracing::warn!(target: "hickory_network", "no such library");
        };
        let want =
            ["l=debug m=bogus pkg=hickory_net", "l=warn m=\"no such library\" pkg=hickory_network"];
        check(&levels, log, &want);
    }

    #[test]
    fn traces_hide_secrets_until_asked() {
        let levels = Levels::new(LogLevel::Info);
        let tracer = Tracer::new("imapserver", 16, levels.trace_switch("imapserver"));
        let log = || {
            let login = || tracer.received(Kind::Auth, b"a LOGIN mjl secret\r\n");
            login();
            levels.set_package("imapserver", Some(LogLevel::Trace)).unwrap();
            login();
            levels.set_package("imapserver", Some(LogLevel::TraceAuth)).unwrap();
            login();
        };
        let hidden = "l=trace m=\"C: ***\" pkg=imapserver cid=10";
        let shown = "l=trace m=\"C: a LOGIN mjl secret\" pkg=imapserver cid=10";
        check(&levels, log, &[hidden, shown]);
    }

    #[test]
    fn crates_are_named_as_administrators_know_them() {
        for (target, want) in [
            ("mox_smtpd::connection", "smtpserver"),
            ("mox_imapd", "imapserver"),
            ("mox_store::writer", "store"),
            ("mox::server", "mox"),
            ("mox", "mox"),
            ("rustls::conn", "rustls"),
            ("", ""),
        ] {
            assert_eq!(package_of(target), want, "{target}");
        }
    }
}
