//! A server for developers, whose queue delivers everything to itself.

use crate::remote::listen;
use crate::rig::{Rig, takes};

#[tokio::test]
async fn everything_goes_to_the_one_server() {
    let (addr, played) = listen(&[&takes()]).await;
    let rig = Rig::new().with_loopback(addr);
    rig.add(&["b@no.such.domain.example"]);
    let heard = rig.attempt((addr, played)).await;
    assert_eq!(heard[0].lines[2], "RCPT TO:<b@no.such.domain.example>");
    assert_eq!(rig.queued(), []);
}

#[tokio::test]
async fn localparts_can_ask_for_failures() {
    let (addr, _played) = listen(&[]).await;
    let rig = Rig::new().with_loopback(addr);
    // Of recipients that would share a transaction, each gets what it asked for.
    rig.add(&["queuepermerror@one.example", "queue556@one.example", "queue452@one.example"]);
    let mail = rig.alone(2).await;
    let codes: Vec<_> = rig.queued().iter().map(|one| one.results[0].code).collect();
    assert_eq!(codes, [Some(452)]);
    for mail in &mail {
        mail.check(&["Action: failed"]);
    }
    rig.add(&["queuetemperror@one.example"]);
    let running = rig.start(1);
    rig.until(|rig| rig.queued().iter().all(|one| !one.is_leased && one.attempts == 1)).await;
    running.stop().await;
    assert_eq!(rig.queued()[1].results[0].code, Some(451));
}

/// A route to a transport that fails does so here too.
#[tokio::test]
async fn transports_that_fail_still_do() {
    let (addr, _played) = listen(&[]).await;
    let rig = Rig::new().with_loopback(addr);
    rig.add(&["b@routed.example"]);
    assert!(rig.alone(1).await[0].text.contains("not from here"));
}
