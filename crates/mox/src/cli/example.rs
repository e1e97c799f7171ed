//! `mox example` and `mox config example`.

use anyhow::{Result, bail};
use clap::Args;

use super::print;

/// Examples by name.
type Examples = &'static [(&'static str, &'static str)];

/// Parts of configuration files.
const CONFIG: Examples = &[
    ("routes", include_str!("examples/routes.conf")),
    ("transport", include_str!("examples/transport.conf")),
    ("webhandlers", include_str!("examples/webhandlers.conf")),
];

/// What the server sends to programs.
const OTHERS: Examples = &[
    ("webhook-incoming-basic", include_str!("examples/webhook-incoming-basic.json")),
    ("webhook-outgoing-delivered", include_str!("examples/webhook-outgoing-delivered.json")),
    ("webhook-outgoing-dsn-failed", include_str!("examples/webhook-outgoing-dsn-failed.json")),
];

/// Print an example of a part of the configuration.
///
/// Without a name, prints the names of the examples.
#[derive(Debug, Args)]
pub(super) struct ConfigExample {
    /// Name of the example.
    name: Option<String>,
}

/// Print an example of what webhooks send, as JSON with comment lines.
///
/// Without a name, prints the names of the examples.
#[derive(Debug, Args)]
pub(super) struct Example {
    /// Name of the example.
    name: Option<String>,
}

impl ConfigExample {
    pub(super) fn run(self) -> Result<()> {
        print(&text(CONFIG, self.name.as_deref())?)
    }
}

impl Example {
    pub(super) fn run(self) -> Result<()> {
        print(&text(OTHERS, self.name.as_deref())?)
    }
}

/// An example, or the names of all.
fn text(examples: Examples, name: Option<&str>) -> Result<String> {
    let names = || examples.iter().map(|(name, _)| *name);
    let Some(name) = name else {
        return Ok(names().map(|name| format!("{name}\n")).collect());
    };
    match examples.iter().find(|(other, _)| *other == name) {
        Some((_, text)) => Ok((*text).to_owned()),
        None => bail!("no example {name:?}: known are {}", names().collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn examples_are_found_by_name() {
        assert_eq!(text(CONFIG, None).unwrap(), "routes\ntransport\nwebhandlers\n");
        assert!(text(CONFIG, Some("transport")).unwrap().contains("Submissions:"));
        let error = text(OTHERS, Some("x")).unwrap_err().to_string();
        assert!(error.contains("known are webhook-incoming-basic, "), "{error}");
    }

    /// What is printed can be put into the files as it is.
    #[test]
    fn examples_of_the_configuration_are_valid() {
        let example = |name| text(CONFIG, Some(name)).unwrap();
        let mox_conf = format!(
            "DataDir: data\nLogLevel: info\nHostname: mx.example.org\nListeners:\n\tpublic:\n\
             \t\tIPs:\n\t\t\t- 127.0.0.1\n\t\tWebserverHTTP:\n\t\t\tEnabled: true\n\
             Postmaster:\n\tAccount: mjl\n\tMailbox: Postmaster\n{}",
            example("transport")
        );
        let domains_conf = format!(
            "Domains:\n\texample.org:\n\t\tLocalpartCatchallSeparator: +\nAccounts:\n\tmjl:\n\
             \t\tDomain: example.org\n\t\tDestinations:\n\t\t\tmjl@example.org: nil\n{}{}",
            example("webhandlers"),
            example("routes")
        );
        mox_config::Config::parse(Path::new(""), &mox_conf, &domains_conf).unwrap();
    }

    #[test]
    fn examples_of_webhooks_are_json_with_comments() {
        for (name, text) in OTHERS {
            let is_json = |line: &&str| !line.trim_start().starts_with('#');
            let json: String = text.lines().filter(is_json).collect();
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(value["Version"], 0, "{name}");
        }
    }

    /// The names in the example are those that are sent.
    #[test]
    fn outgoing_examples_have_what_is_sent() {
        let names = |name: &str| -> Vec<String> {
            let text = text(OTHERS, Some(name)).unwrap();
            let fields = text.lines().filter(|line| line.starts_with("\t\""));
            fields.filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
        };
        let want = [
            "Version",
            "Event",
            "DSN",
            "Suppressing",
            "QueueMsgID",
            "FromID",
            "MessageID",
            "Subject",
            "WebhookQueued",
            "SMTPCode",
            "SMTPEnhancedCode",
            "Error",
            "Extra",
        ];
        assert_eq!(names("webhook-outgoing-delivered"), want);
        assert_eq!(names("webhook-outgoing-dsn-failed"), want);
    }
}
