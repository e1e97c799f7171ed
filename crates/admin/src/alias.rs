//! Aliases: addresses that stand for several others.

use mox_base::{Address, Domain};
use mox_config::{Alias, Config, Dynamic, Text};

use crate::AdminError;
use crate::admin::{Admin, Result};

/// What of an alias is changed; `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AliasChange {
    /// Whether anyone may write to it.
    pub post_public: Option<bool>,
    /// Whether members may see who the members are.
    pub list_members: Option<bool>,
    /// Whether members may write as the alias.
    pub allow_msg_from: Option<bool>,
}

impl Admin {
    /// The aliases of a domain, by address.
    ///
    /// # Errors
    ///
    /// If there is no such domain.
    pub fn alias_list(&self, domain: &Domain) -> Result<Vec<Address>> {
        let config = self.snapshot();
        let settings = config.domain(domain);
        let settings = settings.ok_or_else(|| AdminError::UnknownDomain(domain.clone()))?;
        let address = |localpart: &Text<mox_base::Localpart>| Address {
            localpart: localpart.0.clone(),
            domain: domain.clone(),
        };
        Ok(settings.aliases.keys().map(address).collect())
    }

    /// The settings of an alias.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn alias(&self, address: &Address) -> Result<Alias> {
        let config = self.snapshot();
        let mut dynamic = (*config.dynamic).clone();
        find(&config, &mut dynamic, address).cloned()
    }

    /// Adds an alias.
    ///
    /// # Errors
    ///
    /// If there is one, or somebody has the address, or a member is no address of an account.
    pub fn alias_add(&self, address: &Address, alias: Alias) -> Result<()> {
        let config = self.snapshot();
        if alias.addresses.is_empty() {
            return Err(AdminError::NoMembers(address.clone()));
        }
        crate::account::check_free(&config, &mox_config::DestinationKey::Address(address.clone()))?;
        check_members(&config, &alias.addresses)?;
        self.edit(|dynamic| {
            if find(&config, dynamic, address).is_ok() {
                return Err(AdminError::AliasExists(address.clone()));
            }
            let settings = dynamic.domains.get_mut(&address.domain.clone().into());
            let settings =
                settings.ok_or_else(|| AdminError::UnknownDomain(address.domain.clone()))?;
            settings.aliases.insert(Text(address.localpart.clone()), alias);
            Ok(())
        })
    }

    /// Changes who may write to an alias, see its members, and write as it.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn alias_update(&self, address: &Address, change: AliasChange) -> Result<()> {
        let config = self.snapshot();
        self.edit(|dynamic| {
            let alias = find(&config, dynamic, address)?;
            alias.post_public = change.post_public.unwrap_or(alias.post_public);
            alias.list_members = change.list_members.unwrap_or(alias.list_members);
            alias.allow_msg_from = change.allow_msg_from.unwrap_or(alias.allow_msg_from);
            Ok(())
        })
    }

    /// Removes an alias.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn alias_remove(&self, address: &Address) -> Result<()> {
        let config = self.snapshot();
        self.edit(|dynamic| {
            let localpart = written(&config, dynamic, address)?;
            let settings = dynamic.domains.get_mut(&address.domain.clone().into());
            if let Some(settings) = settings {
                settings.aliases.remove(&localpart);
            }
            Ok(())
        })
    }

    /// Adds members to an alias.
    ///
    /// # Errors
    ///
    /// If there is no such alias, or an address is a member already or belongs to no account.
    pub fn alias_add_members(&self, address: &Address, members: &[Address]) -> Result<()> {
        let config = self.snapshot();
        let members: Vec<_> = members.iter().cloned().map(Text).collect();
        check_members(&config, &members)?;
        self.edit(|dynamic| {
            let alias = find(&config, dynamic, address)?;
            for member in members {
                if alias.addresses.iter().any(|other| is_same(&config, other, &member)) {
                    return Err(AdminError::IsMember(member.0));
                }
                alias.addresses.push(member);
            }
            Ok(())
        })
    }

    /// Removes members from an alias.
    ///
    /// # Errors
    ///
    /// If there is no such alias, an address is no member, or none would be left.
    pub fn alias_remove_members(&self, address: &Address, members: &[Address]) -> Result<()> {
        let config = self.snapshot();
        self.edit(|dynamic| {
            let alias = find(&config, dynamic, address)?;
            for member in members {
                let count = alias.addresses.len();
                alias.addresses.retain(|other| !is_same(&config, other, member));
                if alias.addresses.len() == count {
                    return Err(AdminError::NotMember(member.clone()));
                }
            }
            match alias.addresses.is_empty() {
                true => Err(AdminError::NoMembers(address.clone())),
                false => Ok(()),
            }
        })
    }
}

fn is_same(config: &Config, one: &Address, other: &Address) -> bool {
    let canonical =
        |address: &Address| config.canonical_address(address).unwrap_or_else(|| address.clone());
    canonical(one) == canonical(other)
}

/// Members are addresses of accounts: neither aliases nor addresses elsewhere.
fn check_members(config: &Config, members: &[Text<Address>]) -> Result<()> {
    let is_account =
        |member: &&Text<Address>| config.account_for_login(&member.0.to_string()).is_ok();
    match members.iter().find(|member| !is_account(member)) {
        Some(member) => Err(AdminError::UnknownAddress(member.0.to_string())),
        None => Ok(()),
    }
}

/// How the localpart of an alias is written in the settings.
fn written(
    config: &Config,
    dynamic: &Dynamic,
    address: &Address,
) -> Result<Text<mox_base::Localpart>> {
    let domain = &address.domain;
    let settings = dynamic.domains.get(&domain.clone().into());
    let settings = settings.ok_or_else(|| AdminError::UnknownDomain(domain.clone()))?;
    let is_it = |localpart: &&Text<mox_base::Localpart>| {
        let alias = Address { localpart: localpart.0.clone(), domain: domain.clone() };
        is_same(config, &alias, address)
    };
    let found = settings.aliases.keys().find(is_it);
    found.cloned().ok_or_else(|| AdminError::UnknownAlias(address.clone()))
}

fn find<'a>(config: &Config, dynamic: &'a mut Dynamic, address: &Address) -> Result<&'a mut Alias> {
    let localpart = written(config, dynamic, address)?;
    let settings = dynamic.domains.get_mut(&address.domain.clone().into());
    let alias = settings.and_then(|settings| settings.aliases.get_mut(&localpart));
    alias.ok_or_else(|| AdminError::UnknownAlias(address.clone()))
}
