//! `mox help`.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory as _};

use super::{Cli, print, say};

/// The exit code for what is not understood.
pub(super) const USAGE_FAULT: u8 = 2;

/// List commands, or show the help of one.
///
/// With the first words of several commands, lists these.
#[derive(Debug, Args)]
pub(super) struct Help {
    /// The words of a command, such as "config test".
    words: Vec<String>,
}

impl Help {
    pub(super) fn run(self) -> Result<ExitCode> {
        if let Some(text) = full(&self.words) {
            print(&text)?;
            return Ok(ExitCode::SUCCESS);
        }
        let listing = listing(&self.words);
        if listing.is_empty() {
            say(&format!("unknown command {:?}: \"mox help\" lists all\n", self.words.join(" ")));
            return Ok(ExitCode::from(USAGE_FAULT));
        }
        print(&listing)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The help of the command with exactly these words.
fn full(words: &[String]) -> Option<String> {
    let mut root = Cli::command();
    root.build();
    let mut command = &root;
    for word in words {
        command = command.find_subcommand(word)?;
    }
    let is_one = !words.is_empty() && !command.has_subcommands();
    is_one.then(|| command.clone().render_long_help().to_string())
}

/// The commands that begin with these words, with the first line of their help. Empty if there are
/// none.
pub(super) fn listing(words: &[String]) -> String {
    let mut root = Cli::command();
    root.build();
    let mut found = Vec::new();
    collect(&root, "mox", words, &mut found);
    let width = found.iter().map(|(usage, _)| usage.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (usage, about) in &found {
        text.push_str(&format!("{usage:<width$}  {about}\n"));
    }
    if !text.is_empty() {
        text.push_str("\n\"mox help <command>\" tells more, and of the flags that all take.\n");
    }
    text
}

fn collect(
    command: &clap::Command,
    path: &str,
    words: &[String],
    found: &mut Vec<(String, String)>,
) {
    for below in command.get_subcommands() {
        let is_asked = words.first().is_none_or(|word| below.get_name() == word);
        // Those that are not for everyday are told of only to those who ask.
        if !is_asked || (below.is_hide_set() && words.is_empty()) {
            continue;
        }
        let path = format!("{path} {}", below.get_name());
        let rest = words.get(1..).unwrap_or_default();
        if below.has_subcommands() {
            collect(below, &path, rest, found);
        } else if rest.is_empty() {
            let about = below.get_about().map(ToString::to_string).unwrap_or_default();
            found.push((format!("{path}{}", parameters(below)), about));
        }
    }
}

/// The parameters of a command as its usage shows them.
fn parameters(command: &clap::Command) -> String {
    let mut text = String::new();
    for argument in command.get_positionals() {
        let name = argument.get_id().as_str();
        let shown =
            if argument.is_required_set() { format!(" {name}") } else { format!(" [{name}]") };
        text.push_str(&shown);
    }
    text
}

/// The words of a command in arguments that were not understood, without flags and their values.
pub(super) fn words(args: &[OsString]) -> Vec<String> {
    let root = Cli::command();
    let mut command = &root;
    let mut words = Vec::new();
    for argument in args.iter().skip(1).filter_map(|argument| argument.to_str()) {
        if let Some(below) = command.find_subcommand(argument) {
            words.push(argument.to_owned());
            command = below;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Vec<String> {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        let listing = listing(&words);
        let lines = listing.lines().take_while(|line| !line.is_empty());
        lines.map(|line| line.split("  ").next().unwrap_or_default().to_owned()).collect()
    }

    /// All commands with their parameters, in the order of the listing.
    const COMMANDS: &[&str] = &[
        "mox quickstart address [user]",
        "mox serve",
        "mox stop",
        "mox restart",
        "mox localserve",
        "mox setaccountpassword account",
        "mox setadminpassword",
        "mox loglevels [level] [package]",
        "mox clientconfig domain",
        "mox cid id",
        "mox example [name]",
        "mox config test",
        "mox config dnscheck domain",
        "mox config describe-static",
        "mox config describe-domains",
        "mox config describe-sendmail",
        "mox config printservice",
        "mox config tlspubkey list [account]",
        "mox config tlspubkey get fingerprint",
        "mox config tlspubkey add address [name]",
        "mox config tlspubkey rm fingerprint",
        "mox config tlspubkey gen stem",
        "mox config account list",
        "mox config account addresses account",
        "mox config account add account address",
        "mox config account rm account",
        "mox config account disable account message",
        "mox config account enable account",
        "mox config address add address account",
        "mox config address rm address",
        "mox config address account address",
        "mox config alias list domain",
        "mox config alias print alias",
        "mox config alias add alias members",
        "mox config alias update alias",
        "mox config alias rm alias",
        "mox config alias addaddr alias members",
        "mox config alias rmaddr alias members",
        "mox config domain add domain account [localpart]",
        "mox config domain rm domain",
        "mox config domain disable domain",
        "mox config domain enable domain",
        "mox config dnsrecords domain",
        "mox config ensureacmehostprivatekeys",
        "mox config example [name]",
        "mox config printclientconfig domain",
        "mox message parse file",
        "mox spf check domain ip",
        "mox spf lookup domain",
        "mox spf parse txtrecord",
        "mox dkim gened25519",
        "mox dkim genrsa",
        "mox dkim txt",
        "mox dkim lookup selector domain",
        "mox dkim verify message",
        "mox dkim sign message",
        "mox dmarc lookup domain",
        "mox dmarc verify remoteip mailfromaddress helodomain",
        "mox dmarc checkreportaddrs domain",
        "mox dmarc parsereportmsg files",
        "mox tlsrpt parsereportmsg files",
        "mox mtasts lookup domain",
        "mox dane dial server",
        "mox dane dialmx domain [host]",
        "mox dane makerecord usage selector match [pem]",
        "mox smtp dial server",
        "mox dns lookup type name",
        "mox dnsbl check zone ip",
        "mox dnsbl checkhealth zone",
        "mox rdap domainage domain",
        "mox queue list",
        "mox queue hold",
        "mox queue unhold",
        "mox queue schedule duration",
        "mox queue transport [name]",
        "mox queue requiretls value",
        "mox queue fail",
        "mox queue drop",
        "mox queue dump id",
        "mox queue holdrules list",
        "mox queue holdrules add",
        "mox queue holdrules remove id",
        "mox queue retired list",
        "mox queue retired print id",
        "mox queue suppress list",
        "mox queue suppress add account address",
        "mox queue suppress remove account address",
        "mox queue suppress lookup address",
        "mox queue webhook list",
        "mox queue webhook schedule duration",
        "mox queue webhook cancel",
        "mox queue webhook print id",
        "mox queue webhook retired list",
        "mox queue webhook retired print id",
        "mox doctor",
        "mox backup dest",
        "mox restore backup [datadir]",
        "mox checkupdate",
        "mox updates addsigned key changelog",
        "mox updates genkey",
        "mox updates pubkey key",
        "mox updates serve",
        "mox updates verify key changelog",
        "mox verifydata datadir",
        "mox reparse [account]",
        "mox ensureparsed [account]",
        "mox fixmsgsize [account]",
        "mox reassignthreads [account]",
        "mox recalculatemailboxcounts [account]",
        "mox bumpuidvalidity account [mailbox]",
        "mox fixuidmeta [account]",
        "mox reassignuids account [mailbox]",
        "mox rebuildsearch [account]",
        "mox retrain [account]",
        "mox decisions [account]",
        "mox import maildir account mailbox path",
        "mox import mbox account mailbox path",
        "mox import zip account path",
        "mox import tgz account path",
        "mox import imap account",
        "mox import moxdata",
        "mox export maildir dst accountpath [mailbox]",
        "mox export mbox dst accountpath [mailbox]",
        "mox sendmail [arguments]",
        "mox admin imapserve address",
        "mox completions shell",
        "mox manpages dir",
        "mox licenses",
        "mox version",
        "mox help [words]",
    ];

    #[test]
    fn the_listing_has_every_command_with_its_parameters() {
        assert_eq!(list(&[]), COMMANDS);
    }

    #[test]
    fn first_words_list_what_goes_on_from_them() {
        assert_eq!(list(&["message"]), ["mox message parse file"]);
        assert_eq!(list(&["config", "tlspubkey"]).len(), 5);
        assert_eq!(list(&["deliver"]), ["mox deliver address"]);
        assert_eq!(list(&["nonsense"]), Vec::<String>::new());
        assert_eq!(list(&["config", "nonsense"]), Vec::<String>::new());
    }

    #[test]
    fn whole_commands_have_their_own_help() {
        let full =
            |words: &[&str]| full(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        let text = full(&["localserve"]).unwrap();
        for part in ["Usage: mox localserve", "--dir", "--ip", "--initonly", "--config"] {
            assert!(text.contains(part), "{part} missing in\n{text}");
        }
        assert!(full(&["config", "test"]).is_some());
        assert_eq!(full(&[]), None);
        assert_eq!(full(&["config"]), None);
        assert_eq!(full(&["nonsense"]), None);
    }

    #[test]
    fn the_words_of_a_command_are_found_among_flags() {
        let args = ["mox", "--loglevel", "info", "config", "--pedantic", "tlspubkey"];
        assert_eq!(words(&args.map(OsString::from)), ["config", "tlspubkey"]);
    }
}
