//! Searches that are kept under a name, with a real store. RFC 5466.

use crate::support::server;

#[tokio::test]
async fn filters_are_kept_and_used() {
    let server = server();
    for subject in ["red", "blue", "red and blue"] {
        let mail = format!("From: a@example.org\r\nSubject: {subject}\r\n\r\nthe text\r\n");
        server.deliver(mail.as_bytes());
    }
    let mut client = server.inbox().await;
    client.fails("SEARCH FILTER red", "NO [UNDEFINED-FILTER red] ").await;
    client.ok("SETMETADATA \"\" (/shared/filters/values/Red \"SUBJECT red\")").await;
    client.ok("SETMETADATA \"\" (/private/filters/values/violet \"FILTER red FILTER blue\")").await;
    assert_eq!(client.ok("SEARCH FILTER RED").await, ["* SEARCH 1 3"]);
    client.fails("SEARCH FILTER violet", "NO [UNDEFINED-FILTER blue] ").await;
    client.ok("SETMETADATA \"\" (/private/filters/values/blue {12+}\r\nSUBJECT blue)").await;
    assert_eq!(client.ok("UID SEARCH FILTER violet").await, ["* SEARCH 3"]);
    assert_eq!(client.ok("SORT (REVERSE ARRIVAL) UTF-8 NOT FILTER red").await, ["* SORT 2"]);
    // The user's own counts before the shared one.
    client.ok("SETMETADATA \"\" (/private/filters/values/red \"SUBJECT none\")").await;
    assert_eq!(client.ok("SEARCH FILTER red").await, ["* SEARCH"]);
    let lines = client.ok("GETMETADATA \"\" /private/filters/values/red").await;
    assert_eq!(lines, ["* METADATA \"\" (/private/filters/values/red \"SUBJECT none\")"]);
    client.ok("SETMETADATA \"\" (/private/filters/values/red NIL)").await;
    let lines = client.ok("ESEARCH IN (inboxes) RETURN (COUNT) FILTER red").await;
    assert!(lines[0].ends_with(" UID COUNT 2"), "{lines:?}");
    client.fails("SETMETADATA \"\" (/private/filters/values/red \"SUBJECT\")", "BAD ").await;
    client.fails("SETMETADATA \"\" (/private/filters/values/a/b \"ALL\")", "BAD ").await;
    server.check();
}
