//! `mox config describe-static`, `describe-domains` and `describe-sendmail`.

use anyhow::Result;
use clap::Args;

use super::print;

/// Print a template of mox.conf with all keys and what they mean.
///
/// It is not valid as it stands: keys that exclude one another are all in it.
#[derive(Debug, Args)]
pub(super) struct DescribeStatic {}

/// Print a template of domains.conf with all keys and what they mean.
///
/// It is not valid as it stands: keys that exclude one another are all in it.
#[derive(Debug, Args)]
pub(super) struct DescribeDomains {}

/// Print a template of moxsubmit.conf, the file of "mox sendmail", with all keys and what they mean.
///
/// It is not valid as it stands: keys that exclude one another are all in it.
#[derive(Debug, Args)]
pub(super) struct DescribeSendmail {}

impl DescribeSendmail {
    pub(super) fn run(self) -> Result<()> {
        print(&crate::sendmail::describe())
    }
}

impl DescribeStatic {
    pub(super) fn run(self) -> Result<()> {
        print(&mox_config::describe_static())
    }
}

impl DescribeDomains {
    pub(super) fn run(self) -> Result<()> {
        print(&mox_config::describe_domains())
    }
}
