//! The files of a new set-up: made one after the other, `mox.conf` last. Without it no server starts,
//! so that up to there all can be taken away again.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use mox_admin::defaults::new_account;
use mox_admin::keys::{DKIM_DIR, HOST_KEYS_DIR};
use mox_admin::records::{Facts, domain_records};
use mox_base::{Domain, UnixSeconds};
use mox_config::{Config, Live, LogLevel, NamedFiles};
use mox_login::set_password;
use mox_sasl::Password;
use mox_store::RealDisk;

use super::journal::Journal;
use super::materials::Materials;
use super::output::Output;
use super::settings::{Choices, domains_conf, dynamic, mox_conf};
use crate::data_dir::DataDir;
use crate::log::Levels;
use crate::server::faults_text;
use crate::services::{Mode, Services};
use crate::unit;

/// The directory of the configuration.
pub(super) const CONFIG: &str = "config";

/// The file that makes a set-up complete.
pub(super) const MOX_CONF: &str = "config/mox.conf";

/// The directory for mail.
const DATA: &str = "data";

/// The unit for systemd.
pub(super) const UNIT: &str = "mox.service";

/// What files are for the server and its group; keys of the host are not for the group.
const CONF_MODE: u32 = 0o660;
const HOST_KEY_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o750;

/// What others may read: the unit, and records for DNS.
const OPEN_MODE: u32 = 0o644;

/// What the files depend on besides keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    /// Where.
    pub(super) dir: &'a Path,
    /// What was asked for.
    pub(super) choices: &'a Choices,
    /// Whether DNSSEC vouches for the host.
    pub(super) is_secure: bool,
    /// The program that the unit starts; none if there is to be no unit.
    pub(super) program: Option<&'a Path>,
    /// The time.
    pub(super) now: UnixSeconds,
}

/// Makes everything, and tells the passwords. Blocks.
///
/// # Errors
///
/// At the first thing that cannot be made, and when interrupted. What was made is in the journal.
pub(super) fn make(
    plan: Plan<'_>,
    materials: &Materials,
    journal: &mut Journal,
    output: &mut Output<'_>,
) -> Result<()> {
    let choices = plan.choices;
    journal.dir(CONFIG, DIR_MODE)?;
    journal.file("config/adminpasswd", materials.admin_hash.as_bytes(), CONF_MODE)?;
    let host_keys = materials.host_keys.iter().map(|file| (file, HOST_KEY_MODE));
    let dkim_keys = materials.domain.key_files.iter().map(|file| (file, CONF_MODE));
    if !materials.host_keys.is_empty() {
        journal.dir(&format!("{CONFIG}/{HOST_KEYS_DIR}"), DIR_MODE)?;
    }
    journal.dir(&format!("{CONFIG}/{DKIM_DIR}"), DIR_MODE)?;
    for (file, mode) in host_keys.chain(dkim_keys) {
        journal.file(&format!("{CONFIG}/{}", file.name), file.pem().as_bytes(), mode)?;
    }
    let account = new_account(&choices.address);
    let dynamic = dynamic(choices, materials.domain.settings.clone(), account);
    let text = domains_conf(choices, &dynamic)?;
    journal.file("config/domains.conf", text.as_bytes(), CONF_MODE)?;
    let prepared =
        journal.prepare(MOX_CONF, mox_conf(&materials.statics)?.as_bytes(), CONF_MODE)?;

    let live = Arc::new(load(&prepared, choices.has_webserver, plan.now)?);
    let zone = zone(&live.snapshot(), choices.domain(), plan.is_secure)?;
    journal.file(&zone_name(choices.domain()), zone.as_bytes(), OPEN_MODE)?;
    if let Some(program) = plan.program {
        journal.file(UNIT, unit::service(program, plan.dir).as_bytes(), OPEN_MODE)?;
    }
    journal.fill(DATA, DIR_MODE)?;
    open_account(live, &choices.account, &materials.account_password)?;

    // Told before they count: whoever has the server has its passwords.
    output.say(&passwords(choices, materials))?;
    output.sync()?;
    journal.publish(MOX_CONF, &prepared)
}

fn passwords(choices: &Choices, materials: &Materials) -> String {
    format!(
        "\nAdmin password: {}\nIMAP, SMTP submission and HTTP account password for {}: {}\n",
        materials.admin_password, choices.address, materials.account_password
    )
}

/// Reads what was written, as a server will.
///
/// - `lacks_certificates`: they are still to be brought, so that named files are not looked at.
///
/// # Errors
///
/// All faults.
pub(super) fn load(mox_conf: &Path, lacks_certificates: bool, now: UnixSeconds) -> Result<Live> {
    let named_files = if lacks_certificates { NamedFiles::Skip } else { NamedFiles::Check };
    let loaded = Live::load(mox_conf, named_files, now);
    let (live, _) = loaded.map_err(|faults| anyhow!("{}", faults_text(&faults)))?;
    Ok(live)
}

/// The name of the file with the records.
pub(super) fn zone_name(domain: &Domain) -> String {
    format!("{CONFIG}/{}.zone", domain.ascii())
}

/// The records of the domain, as part of a zone file. Blocks.
///
/// # Errors
///
/// If a key cannot be read.
pub(super) fn zone(config: &Config, domain: &Domain, is_secure: bool) -> Result<String> {
    let facts = Facts { has_dnssec: is_secure, ..Facts::default() };
    let lines = domain_records(config, domain, &facts).context("records for DNS")?;
    Ok(lines.join("\n") + "\n")
}

/// Makes the databases and the account. Blocks.
fn open_account(live: Arc<Live>, account: &str, password: &str) -> Result<()> {
    let data = DataDir::take(&live.snapshot().data_dir())?;
    data.temporary()?;
    let (levels, disk) = (Levels::new(LogLevel::Info), Arc::new(RealDisk));
    let services = Services::build(Mode::Serve, live, levels, false, disk, None, &data)?;
    let account = services.store.account(account).context("make account")?;
    let password = Password::for_storing(password)?;
    set_password(&account, &password, &*services.rng).wait().context("set password")
}
