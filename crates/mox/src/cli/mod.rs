//! The command line: one file for each command.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed,
//! 2 not understood.

mod admin_imapserve;
mod backup;
mod checkupdate;
mod cid;
mod clientconfig;
mod completions;
mod config_account;
mod config_address;
mod config_alias;
mod config_describe;
mod config_domain;
mod config_printservice;
mod config_test;
mod dane;
mod dane_mx;
mod decisions;
mod deliver;
mod dkim;
mod dkim_sign;
mod dmarc;
mod dns;
mod dnsbl;
mod dnscheck;
mod dnsrecords;
mod doctor;
mod example;
mod export;
mod flags;
mod follow;
mod help;
mod hostkeys;
mod import;
mod import_imap;
mod import_moxdata;
mod junk;
mod licenses;
mod localserve;
mod loglevels;
mod lookups;
mod manpages;
mod message_file;
mod message_parse;
mod mtasts;
mod network;
mod parsereportmsg;
mod progress;
mod queue;
mod quickstart;
mod rdap;
mod rebuildsearch;
mod repair;
mod restart;
mod restore;
mod retrain;
mod sendmail;
mod serve;
mod setaccountpassword;
mod setadminpassword;
mod smtp_dial;
mod spf;
mod stop;
mod tlspubkey;
mod tlspubkey_gen;
mod updates;
mod verifydata;
mod version;
mod watching;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use mox_base::Clock as _;
use mox_config::{Live, LogLevel, NamedFiles, Text};
use mox_net::SystemClock;

use crate::ctl::Client;
use crate::log::{Form, Levels, install};
use crate::server::faults_text;

/// Names the file with the configuration where `--config` does not.
const CONFIG_VARIABLE: &str = "MOXCONF";

/// The file with the configuration if nothing names one.
const CONFIG_DEFAULT: &str = "config/mox.conf";

/// A mail server. Long flags are also taken with a single dash.
#[derive(Debug, Parser)]
#[command(
    name = "mox",
    bin_name = "mox",
    version,
    disable_help_subcommand = true,
    subcommand_required = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What all commands take.
#[derive(Clone, Debug, Args)]
struct Global {
    /// Configuration file; domains.conf lies beside it. Default: $MOXCONF, else config/mox.conf.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, traceauth or tracedata. Default: info, and
    /// for servers what the configuration says.
    #[arg(long, global = true, value_name = "LEVEL", value_parser = log_level)]
    loglevel: Option<LogLevel>,
    /// Refuse deviations from the protocols even where they do no harm.
    #[arg(long, global = true)]
    pedantic: bool,
}

fn log_level(text: &str) -> Result<LogLevel, String> {
    text.parse::<Text<LogLevel>>().map(|level| level.0)
}

#[derive(Debug, Subcommand)]
enum Command {
    Quickstart(quickstart::Quickstart),
    Serve(serve::Serve),
    Stop(stop::Stop),
    Restart(restart::Restart),
    Localserve(localserve::Localserve),
    Setaccountpassword(setaccountpassword::SetAccountPassword),
    Setadminpassword(setadminpassword::SetAdminPassword),
    Loglevels(loglevels::LogLevels),
    Clientconfig(clientconfig::ClientConfig),
    Cid(cid::Cid),
    Example(example::Example),
    #[command(subcommand)]
    Config(ConfigCommand),
    #[command(subcommand)]
    Message(MessageCommand),
    #[command(subcommand)]
    Spf(spf::Spf),
    #[command(subcommand)]
    Dkim(dkim::Dkim),
    #[command(subcommand)]
    Dmarc(dmarc::Dmarc),
    #[command(subcommand)]
    Tlsrpt(parsereportmsg::Tlsrpt),
    #[command(subcommand)]
    Mtasts(mtasts::Mtasts),
    #[command(subcommand)]
    Dane(dane::Dane),
    #[command(subcommand)]
    Smtp(smtp_dial::Smtp),
    #[command(subcommand)]
    Dns(dns::Dns),
    #[command(subcommand)]
    Dnsbl(dnsbl::Dnsbl),
    #[command(subcommand)]
    Rdap(rdap::Rdap),
    #[command(subcommand)]
    Queue(queue::Queue),
    Doctor(doctor::Doctor),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Checkupdate(checkupdate::CheckUpdate),
    #[command(subcommand)]
    Updates(updates::Updates),
    Verifydata(verifydata::VerifyData),
    Reparse(repair::Reparse),
    Ensureparsed(repair::EnsureParsed),
    Fixmsgsize(repair::FixMsgSize),
    Reassignthreads(repair::ReassignThreads),
    Recalculatemailboxcounts(repair::RecalculateMailboxCounts),
    Bumpuidvalidity(repair::BumpUidvalidity),
    Fixuidmeta(repair::FixUidMeta),
    Reassignuids(repair::ReassignUids),
    Rebuildsearch(rebuildsearch::RebuildSearch),
    Retrain(retrain::Retrain),
    #[command(subcommand)]
    Junk(junk::Junk),
    Decisions(decisions::Decisions),
    Deliver(deliver::Deliver),
    #[command(subcommand)]
    Import(import::Import),
    #[command(subcommand)]
    Export(export::Export),
    Sendmail(sendmail::Sendmail),
    #[command(subcommand)]
    Admin(AdminCommand),
    Completions(completions::Completions),
    Manpages(manpages::Manpages),
    Licenses(licenses::Licenses),
    Version(version::Version),
    Help(help::Help),
}

/// Check and describe the configuration, and change it.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
enum ConfigCommand {
    Test(config_test::ConfigTest),
    Dnscheck(dnscheck::DnsCheck),
    DescribeStatic(config_describe::DescribeStatic),
    DescribeDomains(config_describe::DescribeDomains),
    DescribeSendmail(config_describe::DescribeSendmail),
    Printservice(config_printservice::Printservice),
    #[command(subcommand)]
    Tlspubkey(tlspubkey::TlsPubkey),
    #[command(subcommand)]
    Account(config_account::ConfigAccount),
    #[command(subcommand)]
    Address(config_address::ConfigAddress),
    #[command(subcommand)]
    Alias(config_alias::ConfigAlias),
    #[command(subcommand)]
    Domain(config_domain::ConfigDomain),
    Dnsrecords(dnsrecords::DnsRecords),
    Ensureacmehostprivatekeys(hostkeys::EnsureHostKeys),
    Example(example::ConfigExample),
    Printclientconfig(clientconfig::ClientConfig),
}

impl ConfigCommand {
    fn run(self, global: &Global) -> Result<ExitCode> {
        match self {
            Self::Test(command) => return command.run(global),
            Self::Dnscheck(command) => command.run(global)?,
            Self::DescribeStatic(command) => command.run()?,
            Self::DescribeDomains(command) => command.run()?,
            Self::DescribeSendmail(command) => command.run()?,
            Self::Printservice(command) => command.run()?,
            Self::Tlspubkey(command) => command.run(global)?,
            Self::Account(command) => command.run(global)?,
            Self::Address(command) => command.run(global)?,
            Self::Alias(command) => command.run(global)?,
            Self::Domain(command) => command.run(global)?,
            Self::Dnsrecords(command) => command.run(global)?,
            Self::Ensureacmehostprivatekeys(command) => command.run(global)?,
            Self::Example(command) => command.run()?,
            Self::Printclientconfig(command) => command.run(global)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Act for a user, as the operator of the server.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
enum AdminCommand {
    Imapserve(admin_imapserve::AdminImapserve),
}

/// Look at messages.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
enum MessageCommand {
    Parse(message_parse::MessageParse),
}

/// Runs the program: everything but `main`.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<_> = args.into_iter().collect();
    if let Some(command) = sendmail::Sendmail::of(&args) {
        return command.run_alone();
    }
    if crate::sendmail::is_setgid() {
        say("fatal: installed for sendmail, and of no other use\n");
        return ExitCode::FAILURE;
    }
    let args = flags::normalized(args, &Cli::command());
    let parsed = Cli::command().try_get_matches_from(&args);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return usage_fault(&error, &args),
    };
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("fatal: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode> {
    let Cli { global, command } = cli;
    // Servers log in their own way, when they have read their configuration.
    if !matches!(command, Command::Serve(_) | Command::Localserve(_)) {
        install(&Levels::new(global.loglevel.unwrap_or_default()), Form::Human);
    }
    match command {
        Command::Serve(command) => return command.run(&global),
        Command::Localserve(command) => return command.run(&global),
        Command::Help(command) => return command.run(),
        Command::Sendmail(command) => return Ok(command.run(&global)),
        Command::Doctor(command) => return command.run(&global),
        Command::Config(command) => return command.run(&global),
        Command::Backup(command) => return command.run(&global),
        Command::Restore(command) => return command.run(&global),
        Command::Verifydata(command) => return command.run(&global),
        Command::Quickstart(command) => command.run()?,
        Command::Stop(command) => command.run(&global)?,
        Command::Restart(command) => command.run(&global)?,
        Command::Setaccountpassword(command) => command.run(&global)?,
        Command::Setadminpassword(command) => command.run(&global)?,
        Command::Loglevels(command) => command.run(&global)?,
        Command::Clientconfig(command) => command.run(&global)?,
        Command::Cid(command) => command.run(&global)?,
        Command::Example(command) => command.run()?,
        Command::Message(MessageCommand::Parse(command)) => command.run()?,
        Command::Spf(command) => command.run()?,
        Command::Dkim(command) => command.run(&global)?,
        Command::Dmarc(command) => command.run()?,
        Command::Tlsrpt(command) => command.run()?,
        Command::Mtasts(command) => command.run()?,
        Command::Dane(command) => command.run()?,
        Command::Smtp(command) => command.run()?,
        Command::Dns(command) => command.run()?,
        Command::Dnsbl(command) => command.run()?,
        Command::Rdap(command) => command.run()?,
        Command::Checkupdate(command) => command.run(&global)?,
        Command::Updates(command) => command.run()?,
        Command::Queue(command) => command.run(&global)?,
        Command::Reparse(command) => command.run(&global)?,
        Command::Ensureparsed(command) => command.run(&global)?,
        Command::Fixmsgsize(command) => command.run(&global)?,
        Command::Reassignthreads(command) => command.run(&global)?,
        Command::Recalculatemailboxcounts(command) => command.run(&global)?,
        Command::Bumpuidvalidity(command) => command.run(&global)?,
        Command::Fixuidmeta(command) => command.run(&global)?,
        Command::Reassignuids(command) => command.run(&global)?,
        Command::Rebuildsearch(command) => command.run(&global)?,
        Command::Retrain(command) => command.run(&global)?,
        Command::Junk(command) => command.run(&global)?,
        Command::Decisions(command) => command.run(&global)?,
        Command::Deliver(command) => command.run(&global)?,
        Command::Import(command) => return command.run(&global),
        Command::Export(command) => command.run(&global)?,
        Command::Admin(AdminCommand::Imapserve(command)) => command.run(&global)?,
        Command::Completions(command) => command.run()?,
        Command::Manpages(command) => command.run()?,
        Command::Licenses(command) => command.run()?,
        Command::Version(command) => command.run()?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what was not understood. `--help` and `--version` come here too.
fn usage_fault(error: &clap::Error, args: &[OsString]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            match print(&error.render().to_string()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        // No command, or the first word of some: these are they.
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            say(&help::listing(&help::words(args)));
            ExitCode::from(help::USAGE_FAULT)
        }
        _ => {
            say(&error.render().to_string());
            ExitCode::from(help::USAGE_FAULT)
        }
    }
}

/// Prints a result: the one place that writes to standard output.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read it has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("write to standard output"),
    }
}

/// Prints what is no result, such as errors.
fn say(text: &str) {
    // There is nowhere to say that it cannot be said.
    let _unwritten = io::stderr().lock().write_all(text.as_bytes());
}

impl Global {
    /// The file with the configuration, and whether something named it.
    fn config_path(&self) -> (PathBuf, bool) {
        let variable = std::env::var_os(CONFIG_VARIABLE).filter(|value| !value.is_empty());
        match self.config.clone().or_else(|| variable.map(PathBuf::from)) {
            Some(path) => (path, true),
            None => (CONFIG_DEFAULT.into(), false),
        }
    }

    /// What to do if the file with the configuration is not there.
    fn hint(&self) -> &'static str {
        let (path, is_named) = self.config_path();
        if is_named || path.exists() {
            return "";
        }
        "\nname the configuration file with --config, or in the variable MOXCONF"
    }

    /// Reads the configuration, without looking at the files it names.
    fn config(&self) -> Result<Live> {
        let (path, _) = self.config_path();
        let loaded = Live::load(&path, NamedFiles::Skip, SystemClock::new().now());
        let (live, _) =
            loaded.map_err(|faults| anyhow!("{}{}", faults_text(&faults), self.hint()))?;
        Ok(live)
    }

    /// Talks to the server that runs with this configuration.
    fn control<T>(&self, work: impl AsyncFnOnce(Client) -> Result<T>) -> Result<T> {
        let data_dir = self.config()?.snapshot().data_dir();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("start runtime")?.block_on(async {
            let client = Client::connect(&data_dir).await?;
            work(client).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_has_help() {
        fn check(command: &clap::Command, path: &str) {
            assert!(command.get_about().is_some(), "{path} has no help");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path} {} has no help", argument.get_id());
            }
            for below in command.get_subcommands() {
                check(below, &format!("{path} {}", below.get_name()));
            }
        }
        let mut command = Cli::command();
        command.build();
        check(&command, "mox");
    }

    #[track_caller]
    fn parse(line: &str) -> Result<Cli, ErrorKind> {
        let words = line.split_whitespace().map(OsString::from);
        let args = flags::normalized(words, &Cli::command());
        Cli::try_parse_from(args).map_err(|error| error.kind())
    }

    #[test]
    fn flags_are_taken_before_and_after_the_command_with_one_dash_or_two() {
        for line in [
            "mox --config x --loglevel debug --pedantic stop",
            "mox -config x -loglevel debug -pedantic stop",
            "mox stop -config=x --loglevel=debug -pedantic",
            "mox -config x stop --pedantic -loglevel debug",
        ] {
            let Cli { global, command } = parse(line).unwrap();
            assert!(matches!(command, Command::Stop(_)), "{line}");
            assert_eq!(global.config_path(), ("x".into(), true), "{line}");
            assert_eq!((global.loglevel, global.pedantic), (Some(LogLevel::Debug), true), "{line}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let refused = |line| parse(line).map(|_| ()).unwrap_err();
        let missing = ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        assert_eq!(refused("mox"), missing);
        assert_eq!(refused("mox config"), missing);
        assert_eq!(refused("mox nonsense"), ErrorKind::InvalidSubcommand);
        assert_eq!(refused("mox --loglevel loud stop"), ErrorKind::ValueValidation);
        assert_eq!(refused("mox stop now"), ErrorKind::UnknownArgument);
        assert_eq!(refused("mox -x stop"), ErrorKind::UnknownArgument);
    }
}
