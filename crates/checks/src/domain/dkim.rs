//! Whether the keys of signatures are published.

use futures_util::future::join_all;
use mox_admin::records::{Purpose, RecordsError};
use mox_dns::Name;
use mox_mailauth::dkim::{KeyRecord, Selector, look_up};

use super::context::Context;
use super::result::{DkimRecord, DkimResult, Subject as _};
use super::shown;

/// Each selector must have the key that is in its file. RFC 6376 §3.6.
pub(super) async fn check(context: &Context<'_>) -> DkimResult {
    let mut result = DkimResult::default();
    let selectors = &context.settings.dkim.selectors;
    if selectors.is_empty() || context.settings.dkim.sign.is_empty() {
        result.told().error("mail of the domain is not signed: no DKIM keys are configured for it");
        result.told().instruction(
            "Make a key with \"mox dkim gened25519\" or \"mox dkim genrsa\", and list it in domains.conf \
             under DKIM of the domain, in Selectors and in Sign.",
        );
    }
    if let Err(error) = &context.known.groups {
        let key = matches!(error, RecordsError::Dkim(_) | RecordsError::DkimRecord { .. });
        let what = if key { "the keys of this server" } else { "the records of this domain" };
        result.told().error(format!("{what} cannot be read: {}", chain(error)));
        return result;
    }
    let names = selectors.keys().filter_map(|text| {
        let selector = Selector::parse(text).ok()?;
        Some((text, selector.key_name(context.domain).ok()?))
    });
    let resolver = &*context.services.resolver;
    let found = join_all(names.map(async |(text, name)| {
        let key = look_up(resolver, &name).await;
        (text, name, key)
    }));
    for (selector, name, found) in found.await {
        let mut record = DkimRecord { selector: selector.clone(), ..DkimRecord::default() };
        match found {
            Ok(key) => {
                record.txt = shown(&key.text);
                record.record = Some(key.record.to_string());
                compare(context, &mut result, &name, &key.record);
            }
            Err(error) => {
                result.told().error(format!("DKIM key of selector {selector}: {error}"));
                tell_how(context, &mut result, &name);
            }
        }
        result.records.push(record);
    }
    result
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        text.push_str(&format!(": {cause}"));
        at = cause.source();
    }
    text
}

fn compare(context: &Context<'_>, result: &mut DkimResult, name: &Name, found: &KeyRecord) {
    let Some(want) = wanted(context, name).and_then(|text| KeyRecord::parse(text.as_bytes()).ok())
    else {
        return;
    };
    let problem = if found.is_revoked() {
        "is revoked"
    } else if found.public_key != want.public_key || found.key_type != want.key_type {
        "is another one than in the file with the private key"
    } else if !found.allows_sha256() || !found.allows_email() {
        "may not be used for mail signed with SHA-256"
    } else {
        return;
    };
    result.told().error(format!("the DKIM key at {} {problem}", name.as_str()));
    tell_how(context, result, name);
}

fn wanted<'a>(context: &'a Context<'_>, name: &Name) -> Option<&'a str> {
    context.known.texts(Purpose::Dkim).find(|(at, _)| *at == name).map(|(_, text)| text)
}

fn tell_how(context: &Context<'_>, result: &mut DkimResult, name: &Name) {
    let record = context.known.records(Purpose::Dkim).find(|record| record.name == *name);
    if let Some(record) = record {
        let lines = super::context::indented(&record.to_string());
        result.told().instruction(format!("Make sure that DNS has:\n{lines}"));
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::tests::{World, told};

    #[test]
    fn keys_must_be_those_of_the_files() {
        let mut world = World::clean();
        let dkim = world.check().dkim;
        assert_eq!((told(&dkim.told).as_str(), dkim.records[0].selector.as_str()), ("", "s1"));
        world.other_key();
        let found = world.check().dkim.told;
        let want = "error: the DKIM key at s1._domainkey.a.example is another one than in the file with \
                    the private key\n";
        assert_eq!(told(&found), want);
        assert!(found.instructions[0].contains("s1._domainkey.a.example. TXT"), "{found:?}");
        let found = told(&World::without_records().check().dkim.told);
        assert_eq!(found, "error: DKIM key of selector s1: no key found\n");
    }

    #[test]
    fn revoked_keys_are_told() {
        let mut world = World::clean();
        world.replace_txt("s1._domainkey.a.example", "v=DKIM1;k=ed25519;p=");
        let found = told(&world.check().dkim.told);
        assert_eq!(found, "error: the DKIM key at s1._domainkey.a.example is revoked\n");
    }

    #[test]
    fn mail_must_be_signed() {
        let mut world = World::clean();
        world.change_dynamic(|text| text.replace("\t\t\tSign:\n\t\t\t\t- s1\n", ""));
        let found = told(&world.check().dkim.told);
        assert!(found.contains("mail of the domain is not signed"), "{found}");
    }
}
