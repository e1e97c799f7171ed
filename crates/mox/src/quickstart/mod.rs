//! `mox quickstart`: from an empty directory to a server that is ready to start.
//!
//! First a look at the machine and its surroundings ([`survey`]), which changes nothing; then keys
//! and passwords in memory ([`materials`]); then all files, with a journal of them ([`making`],
//! [`journal`]), `mox.conf` last: before it is there, all can be taken away, and is when something
//! fails or the run is interrupted. A run that was killed is cleaned up by the next.

mod journal;
mod making;
mod materials;
mod output;
mod password;
mod settings;
mod survey;
mod words;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use mox_base::{Address, Domain, Rng};
use mox_checks::Services;
use mox_checks::setup::Interface;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use journal::{Former, Journal, STATE};
use making::{MOX_CONF, Plan, load, make, zone_name};
use materials::Materials;
use output::{NOTICE, Output};
use settings::Choices;
use survey::{Survey, mail_elsewhere, survey};
use words::Told;

/// What the hash of the admin password costs, as a power of two. What the original takes.
const BCRYPT_COST: u32 = 10;

/// Set to end a set-up at its next step.
pub(crate) type Interrupt = CancellationToken;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    /// Where: an absolute path.
    pub(crate) dir: PathBuf,
    /// The first address; its localpart is the name of the account.
    pub(crate) address: Address,
    /// The user that the server is to run as.
    pub(crate) user: String,
    /// The name of the machine, if it is not to be found out.
    pub(crate) hostname: Option<Domain>,
    /// Another web server has ports 80 and 443.
    pub(crate) has_webserver: bool,
    /// Nobody is connected to.
    pub(crate) skips_dial: bool,
}

/// The world that a set-up is made in.
pub(crate) struct World {
    /// What checks ask through, and the time.
    pub(crate) services: Services,
    /// The randomness.
    pub(crate) rng: Arc<dyn Rng>,
    /// The network interfaces.
    pub(crate) interfaces: Vec<Interface>,
    /// What the system calls itself.
    pub(crate) system_name: String,
    /// This program; none where there is no systemd.
    pub(crate) program: Option<PathBuf>,
    /// Whether the user that the server is to run as exists.
    pub(crate) has_user: bool,
    /// Whether this is a container, which starts the server by itself.
    pub(crate) is_container: bool,
    /// Ends the set-up.
    pub(crate) interrupt: Interrupt,
}

/// Sets up a server. All output goes to `screen` and a file. Blocks.
///
/// - `runtime`: what checks run in.
///
/// # Errors
///
/// If there is a set-up already, DNS does not work, something cannot be made, or it is interrupted.
/// All that was made is removed then, but for the file with the output.
pub(crate) fn run(
    wishes: &Wishes,
    world: &World,
    runtime: &Runtime,
    screen: &mut dyn Write,
) -> Result<()> {
    refuse_complete(&wishes.dir)?;
    let mut output = Output::open(&wishes.dir, screen)?;
    let done = set_up(wishes, world, runtime, &mut output);
    if let Err(error) = &done {
        output.log_only(&format!("fatal: {error:#}\n"))?;
    }
    output.say(NOTICE)?;
    done
}

/// Without a journal, `mox.conf` is of a set-up that is complete.
fn refuse_complete(dir: &Path) -> Result<()> {
    let path = dir.join(MOX_CONF);
    if path.symlink_metadata().is_ok() && !dir.join(STATE).exists() {
        bail!(
            "there is a set-up already: {}\nStart it with \"mox serve\". For another one, use an \
             empty directory, or move config, data and mox.service away",
            path.display()
        );
    }
    Ok(())
}

fn set_up(
    wishes: &Wishes,
    world: &World,
    runtime: &Runtime,
    output: &mut Output<'_>,
) -> Result<()> {
    let (mut journal, former) = Journal::open(&wishes.dir, MOX_CONF, world.interrupt.clone())?;
    match former {
        Former::None => {}
        Former::Removed => output.say(
            "A former run was cut off: what it made was removed, its passwords are void.\n\n",
        )?,
        Former::Kept => {
            output.say(
                "A former run made everything, and was cut off after that. Its passwords are in \
                 quickstart.log.\n",
            )?;
            tell(wishes, world, &[], output)?;
            return journal.finish();
        }
    }
    let Err(error) = attempt(wishes, world, runtime, &mut journal, output) else {
        return journal.finish();
    };
    if journal.is_final() {
        return Err(error.context("all is made, but not all was told: start again to be told"));
    }
    match journal.remove_all() {
        Ok(()) => {
            output.say("\nNothing was set up: all files that were made are removed.\n")?;
            Err(error)
        }
        Err(left) => Err(error.context(format!("not all could be removed again: {left:#}"))),
    }
}

fn attempt(
    wishes: &Wishes,
    world: &World,
    runtime: &Runtime,
    journal: &mut Journal,
    output: &mut Output<'_>,
) -> Result<()> {
    let found = runtime.block_on(survey(wishes, world, output))?;
    let Survey { machine, is_secure, mail_hosts } = found;
    let choices = Choices {
        address: wishes.address.clone(),
        account: wishes.address.localpart.as_str().to_owned(),
        user: wishes.user.clone(),
        has_webserver: wishes.has_webserver,
    };
    output.say("\nMaking keys, configuration, databases and the account ...\n")?;
    let now = world.services.clock.now();
    let materials = Materials::make(&choices, &machine, now, &*world.rng, BCRYPT_COST)?;
    let program = world.program.as_deref().filter(|_| !world.is_container);
    let plan = Plan { dir: &wishes.dir, choices: &choices, is_secure, program, now };
    make(plan, &materials, journal, output)?;
    tell(wishes, world, &mail_hosts, output)
}

/// Tells all that is to be known about a set-up that is complete.
fn tell(
    wishes: &Wishes,
    world: &World,
    mail_hosts: &[String],
    output: &mut Output<'_>,
) -> Result<()> {
    let path = wishes.dir.join(MOX_CONF);
    let live = load(&path, wishes.has_webserver, world.services.clock.now())?;
    let (config, domain) = (&*live.snapshot(), &wishes.address.domain);
    let told = Told {
        dir: &wishes.dir,
        domain,
        has_user: world.has_user,
        is_container: world.is_container,
    };
    output.say(&words::client_settings(config, domain))?;
    let name = zone_name(domain);
    let zone = std::fs::read_to_string(wishes.dir.join(&name));
    output.say(&words::records(config, told, &zone.with_context(|| format!("read {name}"))?))?;
    if let Some(finding) = mail_elsewhere(domain, mail_hosts) {
        output.finding(&finding)?;
    }
    if wishes.has_webserver {
        output.say(&words::proxy(config, told))?;
    }
    output.say(&words::start(&config.statics, told))?;
    output.say(words::postscript(wishes.has_webserver))
}
