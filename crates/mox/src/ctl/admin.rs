//! The commands that change domains, accounts, addresses and aliases.

use mox_admin::{Admin, AdminError, AliasChange, NewDomain};
use mox_base::{Address, Localpart};
use mox_config::{Alias, DestinationKey, Text};
use mox_net::blocking;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use super::commands::{CommandError, Handler};
use super::parameters::{address, boolean, domain, json, read, some_boolean};
use super::wire::Wire;

/// The words of these commands.
pub(super) const COMMANDS: &[&str] = &[
    "domainadd",
    "domainrm",
    "domaindisabled",
    "accountadd",
    "accountrm",
    "accountlist",
    "accountaddresses",
    "accountdisabled",
    "accountenable",
    "addressadd",
    "addressrm",
    "addressaccount",
    "aliaslist",
    "aliasprint",
    "aliasadd",
    "aliasupdate",
    "aliasrm",
    "aliasaddaddr",
    "aliasrmaddr",
];

/// An alias on the wire.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct AliasWords {
    /// The addresses of the members.
    pub(crate) addresses: Vec<String>,
    #[serde(default)]
    pub(crate) post_public: bool,
    #[serde(default)]
    pub(crate) list_members: bool,
    #[serde(default)]
    pub(crate) allow_msg_from: bool,
}

impl From<AdminError> for CommandError {
    fn from(error: AdminError) -> Self {
        Self::refused(&error)
    }
}

/// What a command answers after `ok`.
enum Answer {
    Nothing,
    Line(String),
    Data(String),
}

impl Handler {
    /// One of [`COMMANDS`].
    pub(super) async fn admin<S>(
        &self,
        wire: &mut Wire<S>,
        command: &str,
    ) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let answer = match command.split_at_checked(5) {
            Some(("domai", _)) => self.change_domains(wire, command).await?,
            Some(("accou", _)) => self.change_accounts(wire, command).await?,
            Some(("addre", _)) => self.change_addresses(wire, command).await?,
            _ => self.change_aliases(wire, command).await?,
        };
        wire.write_ok().await?;
        match answer {
            Answer::Nothing => {}
            Answer::Line(line) => wire.write_line(&line).await?,
            Answer::Data(text) => wire.send_data(text.as_bytes()).await?,
        }
        Ok(())
    }

    /// Does work that blocks.
    async fn with_admin<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Admin) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, CommandError> {
        let admin = self.services.admin();
        Ok(blocking(move || work(&admin)).await?)
    }

    async fn change_domains<S>(
        &self,
        wire: &mut Wire<S>,
        command: &str,
    ) -> Result<Answer, CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match command {
            "domainadd" => {
                let is_disabled = boolean(&wire.parameter().await?)?;
                let domain = domain(&wire.parameter().await?)?;
                let account = wire.parameter().await?;
                let localpart = match wire.parameter().await?.as_str() {
                    "" => None,
                    text => Some(read(Localpart::parse(text), text)?),
                };
                let new = NewDomain { domain, is_disabled, account, localpart };
                self.with_admin(move |admin| admin.domain_add(&new)).await?;
            }
            "domainrm" => {
                let domain = domain(&wire.parameter().await?)?;
                self.with_admin(move |admin| admin.domain_remove(&domain)).await?;
            }
            // domaindisabled
            _ => {
                let domain = domain(&wire.parameter().await?)?;
                let is_disabled = boolean(&wire.parameter().await?)?;
                self.with_admin(move |admin| admin.domain_set_disabled(&domain, is_disabled))
                    .await?;
            }
        }
        Ok(Answer::Nothing)
    }

    async fn change_accounts<S>(
        &self,
        wire: &mut Wire<S>,
        command: &str,
    ) -> Result<Answer, CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if command == "accountlist" {
            let list = self.with_admin(|admin| Ok(admin.account_list())).await?;
            let line = |(name, is_disabled): (String, bool)| match is_disabled {
                true => format!("{name}\t(disabled)\n"),
                false => format!("{name}\n"),
            };
            return Ok(Answer::Data(list.into_iter().map(line).collect()));
        }
        let account = wire.parameter().await?;
        match command {
            "accountadd" => {
                let address = address(&wire.parameter().await?)?;
                self.with_admin(move |admin| admin.account_add(&account, &address)).await?;
            }
            "accountrm" => {
                self.with_admin(move |admin| admin.account_remove(&account)).await?;
            }
            "accountaddresses" => {
                let list = self.with_admin(move |admin| admin.account_addresses(&account)).await?;
                return Ok(Answer::Data(lines(&list)));
            }
            "accountdisabled" => {
                let message = wire.parameter().await?;
                self.with_admin(move |admin| admin.account_disable(&account, &message)).await?;
            }
            // accountenable
            _ => self.with_admin(move |admin| admin.account_enable(&account)).await?,
        }
        Ok(Answer::Nothing)
    }

    async fn change_addresses<S>(
        &self,
        wire: &mut Wire<S>,
        command: &str,
    ) -> Result<Answer, CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let key = destination(&wire.parameter().await?)?;
        match command {
            "addressadd" => {
                let account = wire.parameter().await?;
                self.with_admin(move |admin| admin.address_add(&key, &account)).await?;
            }
            "addressrm" => self.with_admin(move |admin| admin.address_remove(&key)).await?,
            // addressaccount
            _ => {
                let account = self.with_admin(move |admin| admin.address_account(&key)).await?;
                return Ok(Answer::Line(account));
            }
        }
        Ok(Answer::Nothing)
    }

    async fn change_aliases<S>(
        &self,
        wire: &mut Wire<S>,
        command: &str,
    ) -> Result<Answer, CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if command == "aliaslist" {
            let domain = domain(&wire.parameter().await?)?;
            let list = self.with_admin(move |admin| admin.alias_list(&domain)).await?;
            return Ok(Answer::Data(lines(&list)));
        }
        let address = address(&wire.parameter().await?)?;
        match command {
            "aliasprint" => {
                let alias = self.with_admin(move |admin| admin.alias(&address)).await?;
                return Ok(Answer::Data(alias_text(&alias)));
            }
            "aliasadd" => {
                let words: AliasWords = json(&wire.parameter().await?)?;
                let alias = words.alias()?;
                self.with_admin(move |admin| admin.alias_add(&address, alias)).await?;
            }
            "aliasupdate" => {
                let change = AliasChange {
                    post_public: some_boolean(&wire.parameter().await?),
                    list_members: some_boolean(&wire.parameter().await?),
                    allow_msg_from: some_boolean(&wire.parameter().await?),
                };
                self.with_admin(move |admin| admin.alias_update(&address, change)).await?;
            }
            "aliasrm" => self.with_admin(move |admin| admin.alias_remove(&address)).await?,
            "aliasaddaddr" => {
                let members = addresses(&wire.parameter().await?)?;
                self.with_admin(move |admin| admin.alias_add_members(&address, &members)).await?;
            }
            // aliasrmaddr
            _ => {
                let members = addresses(&wire.parameter().await?)?;
                self.with_admin(move |admin| admin.alias_remove_members(&address, &members))
                    .await?;
            }
        }
        Ok(Answer::Nothing)
    }
}

impl AliasWords {
    fn alias(self) -> Result<Alias, CommandError> {
        let Self { addresses, post_public, list_members, allow_msg_from } = self;
        let addresses: Result<_, CommandError> =
            addresses.iter().map(|text| address(text).map(Text)).collect();
        Ok(Alias { addresses: addresses?, post_public, list_members, allow_msg_from })
    }
}

fn lines(list: &[impl ToString]) -> String {
    list.iter().map(|item| format!("{}\n", item.to_string())).collect()
}

fn alias_text(alias: &Alias) -> String {
    let mut text = format!(
        "# postpublic {}\n# listmembers {}\n# allowmsgfrom {}\n# members:\n",
        alias.post_public, alias.list_members, alias.allow_msg_from
    );
    text.push_str(&lines(&alias.addresses));
    text
}

/// An address, or `@` and a domain.
fn destination(text: &str) -> Result<DestinationKey, CommandError> {
    match text.strip_prefix('@') {
        Some(of) => Ok(DestinationKey::Catchall(domain(of)?)),
        None => Ok(DestinationKey::Address(address(text)?)),
    }
}

fn addresses(text: &str) -> Result<Vec<Address>, CommandError> {
    let texts: Vec<String> = json(text)?;
    texts.iter().map(|text| address(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Client;
    use super::super::tests::{check_refused, client, server};
    use super::super::wire::WireError;

    async fn check(control: &mut Client, command: &str, parameters: &[&str], want: &str) {
        let text = control.text(command, parameters).await.unwrap();
        assert_eq!(text, want, "{command} {parameters:?}");
    }

    #[tokio::test]
    async fn domains_accounts_and_addresses_are_changed() {
        let (server, dir) = server().await;
        let mut control = client(&server).await;
        control.run("domainadd", &["true", "a.example", "ann", "ann"]).await.unwrap();
        control.run("domaindisabled", &["a.example", "false"]).await.unwrap();
        control.run("accountadd", &["bob", "bob@a.example"]).await.unwrap();
        control.run("accountdisabled", &["bob", "on leave"]).await.unwrap();
        check(&mut control, "accountlist", &[], "ann\nbob\t(disabled)\nmox\n").await;
        control.run("accountenable", &["bob"]).await.unwrap();
        check(&mut control, "accountlist", &[], "ann\nbob\nmox\n").await;
        control.run("addressadd", &["@a.example", "bob"]).await.unwrap();
        check(&mut control, "accountaddresses", &["bob"], "bob@a.example\n@a.example\n").await;
        for (address, want) in [("ann@a.example", "ann"), ("any@a.example", "bob")] {
            control.run("addressaccount", &[address]).await.unwrap();
            assert_eq!(control.line().await.unwrap(), want);
        }
        control.run("addressrm", &["@a.example"]).await.unwrap();
        control.run("accountrm", &["bob"]).await.unwrap();
        assert!(!dir.path().join("ls/accounts/bob").exists());
        check(&mut control, "accountlist", &[], "ann\nmox\n").await;
        check_refused(control.run("domainrm", &["a.example"]).await, "account ann");
        server.shutdown().await;
    }

    #[tokio::test]
    async fn aliases_are_changed() {
        let (server, _dir) = server().await;
        let mut control = client(&server).await;
        control.run("addressadd", &["ann@localhost", "mox"]).await.unwrap();
        let members = r#"{"Addresses":["mox@localhost"],"PostPublic":true}"#;
        control.run("aliasadd", &["team@localhost", members]).await.unwrap();
        check(&mut control, "aliaslist", &["localhost"], "team@localhost\n").await;
        control.run("aliasupdate", &["team@localhost", "false", "true", ""]).await.unwrap();
        control.run("aliasaddaddr", &["team@localhost", r#"["ann@localhost"]"#]).await.unwrap();
        let want = "# postpublic false\n# listmembers true\n# allowmsgfrom false\n# members:\n\
                    mox@localhost\nann@localhost\n";
        check(&mut control, "aliasprint", &["team@localhost"], want).await;
        control.run("aliasrmaddr", &["team@localhost", r#"["mox@localhost"]"#]).await.unwrap();
        control.run("aliasrm", &["team@localhost"]).await.unwrap();
        check(&mut control, "aliaslist", &["localhost"], "").await;
        server.shutdown().await;
    }

    #[tokio::test]
    async fn what_is_malformed_is_refused() {
        let (server, _dir) = server().await;
        let unknown_field = r#"{"Addresses":["mox@localhost"],"Color":"red"}"#;
        for (command, parameters, part) in [
            ("domainadd", &["maybe", "a.example", "mox", ""][..], "true or false?"),
            ("domainadd", &["true", "a b", "mox", ""], "\"a b\": "),
            ("domainadd", &["true", "a.example", "new", "a b"], "\"a b\": "),
            ("domainrm", &["b.example"], "no such domain: b.example"),
            ("domaindisabled", &["localhost", ""], "true or false?"),
            ("accountadd", &["mox", "mox@localhost"], "exists already"),
            ("accountadd", &["new", "localhost"], "\"localhost\": "),
            ("accountrm", &["mox"], "Postmaster in mox.conf"),
            ("accountaddresses", &["new"], "no such account: new"),
            ("accountdisabled", &["mox", ""], "give a message"),
            ("addressadd", &["mox", "mox"], "\"mox\": "),
            ("addressaccount", &["@b.example"], "no such address"),
            ("aliaslist", &["b.example"], "no such domain"),
            ("aliasprint", &["team@localhost"], "no such alias"),
            ("aliasadd", &["team@localhost", unknown_field], "Color"),
            ("aliasadd", &["team@localhost", "x"], "expected value"),
            ("aliasaddaddr", &["team@localhost", "[\"x\"]"], "\"x\": "),
        ] {
            let refused: Result<(), WireError> =
                client(&server).await.run(command, parameters).await;
            check_refused(refused, part);
        }
        server.shutdown().await;
    }
}
