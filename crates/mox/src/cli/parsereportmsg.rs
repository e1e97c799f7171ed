//! `mox dmarc parsereportmsg` and `mox tlsrpt parsereportmsg`.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use mox_reports::{ReportError, dmarc, tls};
use serde::Serialize;

use super::{print, say};

/// Reports about the TLS of connections to our servers.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum Tlsrpt {
    Parsereportmsg(ParseTls),
}

/// Print the DMARC aggregate reports in messages, as JSON.
///
/// Only reads: who sent a message is not checked, and nothing is stored. A message may hold its
/// report as XML, or packed with gzip or zip. What is wrong with one file does not keep the others
/// from being read.
#[derive(Debug, Args)]
pub(super) struct ParseDmarc {
    /// Files with one message each.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Print the TLS reports in messages, as JSON.
///
/// Only reads: who sent a message is not checked, and nothing is stored. What is wrong with one file
/// does not keep the others from being read.
#[derive(Debug, Args)]
pub(super) struct ParseTls {
    /// Files with one message each.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

impl Tlsrpt {
    pub(super) fn run(self) -> Result<()> {
        let Self::Parsereportmsg(command) = self;
        parse_all(&command.files, tls::from_message)
    }
}

impl ParseDmarc {
    pub(super) fn run(self) -> Result<()> {
        parse_all(&self.files, dmarc::from_message)
    }
}

fn parse_all<T: Serialize>(
    files: &[PathBuf],
    read: impl Fn(&mut File) -> Result<T, ReportError>,
) -> Result<()> {
    let mut failed = 0;
    for file in files {
        match parse_one(file, &read) {
            Ok(json) => print(&json)?,
            Err(error) => {
                failed += 1;
                say(&format!("error: {error:#}\n"));
            }
        }
    }
    if failed > 0 {
        bail!("no report could be read from {failed} of {} files", files.len());
    }
    Ok(())
}

fn parse_one<T: Serialize>(
    file: &Path,
    read: impl Fn(&mut File) -> Result<T, ReportError>,
) -> Result<String> {
    let shown = file.display();
    let mut message = File::open(file).with_context(|| format!("open {shown}"))?;
    let report = read(&mut message).with_context(|| format!("read {shown}"))?;
    let mut json = serde_json::to_string_pretty(&report).context("print as JSON")?;
    json.push('\n');
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value at `path` in what is printed for a message, or the error.
    #[track_caller]
    fn check<T: Serialize>(
        message: &str,
        read: impl Fn(&mut File) -> Result<T, ReportError>,
        want: Result<(&str, &str), &str>,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("message.eml");
        std::fs::write(&file, message.replace('\n', "\r\n")).unwrap();
        match (parse_one(&file, read), want) {
            (Ok(json), Ok((path, want))) => {
                let json: serde_json::Value = serde_json::from_str(&json).unwrap();
                assert_eq!(json.pointer(path).unwrap(), want);
            }
            (got, want) => {
                let got = got.map_err(|error| error.root_cause().to_string());
                assert_eq!(got.err().as_deref(), want.err(), "{message}");
            }
        }
    }

    #[test]
    fn reports_are_printed_as_json() {
        let dmarc = "Content-Type: text/xml\n\n<feedback><report_metadata><date_range><begin>1</begin>\
            <end>2</end></date_range></report_metadata><policy_published><domain>example.org</domain>\
            </policy_published></feedback>\n";
        let tls = "Content-Type: application/tlsrpt+json\n\n{\"organization-name\":\"Reporter\",\
            \"date-range\":{\"start-datetime\":\"2026-11-20T00:00:00Z\",\
            \"end-datetime\":\"2026-11-20T23:59:59Z\"},\"policies\":[]}\n";
        check(dmarc, dmarc::from_message, Ok(("/policy_published/domain", "example.org")));
        check(tls, tls::from_message, Ok(("/organization-name", "Reporter")));
        check(dmarc, tls::from_message, Err("no report in the message"));
        check("\nhello\n", dmarc::from_message, Err("no report in the message"));
    }

    #[test]
    fn one_bad_file_does_not_hide_the_others() {
        let missing = [PathBuf::from("/nonexistent/a"), PathBuf::from("/nonexistent/b")];
        let error = parse_all(&missing, tls::from_message).unwrap_err();
        assert_eq!(error.to_string(), "no report could be read from 2 of 2 files");
    }
}
