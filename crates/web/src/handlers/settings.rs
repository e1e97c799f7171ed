//! The settings that mail programs are given, in whatever form.

use mox_base::Address;
use mox_config::Config;
use mox_config::client_settings::{self, Settings};

/// An address and where its mail is.
pub(super) struct Found {
    pub(super) address: Address,
    pub(super) settings: Settings,
}

/// Why there are no settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSettings {
    /// It is no address.
    BadAddress,
    /// It is not in a domain of ours.
    OtherDomain,
}

/// The settings for an address. Whether there is such an address is nobody's business: only its
/// domain is looked at.
pub(super) fn of_address(config: &Config, text: &str) -> Result<Found, NoSettings> {
    let address = Address::parse(text).map_err(|_| NoSettings::BadAddress)?;
    let is_off = config.is_disabled_domain(&address.domain);
    let settings = client_settings::of(config, &address.domain).filter(|_| !is_off);
    settings.map(|settings| Found { address, settings }).ok_or(NoSettings::OtherDomain)
}

/// The address with the A-labels of its domain, which every program understands.
pub(super) fn user_name(address: &Address) -> String {
    format!("{}@{}", address.localpart, address.domain.ascii())
}

impl NoSettings {
    /// What the client is told.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::BadAddress => "bad request: invalid email address",
            Self::OtherDomain => "bad request: unknown domain",
        }
    }
}
