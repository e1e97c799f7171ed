//! Whole sessions of the client, from `tests/transcripts/client/`.
//!
//! Options of a case: `tls=never`, `tls=required` (instead of if offered), `on` (TLS from the
//! start), `private`, `login=` with mechanisms. `A:` lines are what `client::Client::tell` knows;
//! `Q:` lines tell what it does but for what it sends.

#[expect(dead_code, reason = "each test uses a part of it")]
mod client;

use client::{Client, Event};
use mox_sasl::Mechanism;
use mox_smtp::client::TlsUse;
use mox_testkit::transcript::run_client_folder;
use mox_testkit::{Case, Input, Output};

fn start(case: &Case) -> impl FnMut(&Input) -> Vec<Output> + use<> {
    let tls = match case.option("tls") {
        Some("never") => TlsUse::Never,
        Some("required") => TlsUse::Required,
        _ => TlsUse::IfOffered,
    };
    let mechanisms = case.option("login").map(|names| {
        names.split(',').filter_map(|name| Mechanism::parse(name).ok()).collect::<Vec<_>>()
    });
    let mut config = client::config(tls, mechanisms);
    config.is_private = case.has("private");
    let mut client = Client::new(config, case.has("on"));
    move |input| {
        match input {
            Input::Start | Input::Advance(_) => {}
            Input::Client(bytes) => client.receive(bytes),
            Input::Answer(words) => client.tell(words),
        }
        let output = |event| match event {
            Event::Sent(bytes) => Output::Server(bytes),
            Event::Told(text) => Output::Question(text),
        };
        client.take_events().into_iter().map(output).collect()
    }
}

#[test]
fn transcripts() {
    run_client_folder(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts/client"), start);
}
