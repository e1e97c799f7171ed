//! What sessions cost. A process of its own: what other tests take would be counted too.

#[cfg(test)]
#[path = "../imapd/support.rs"]
#[expect(dead_code, reason = "made for the other tests")]
mod support;

#[cfg(test)]
mod memory {
    use mox_net::COMPRESSOR_KEEP;
    use mox_testkit::memory::resident_bytes;
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

    use crate::support::server;

    /// One after the other, as they are measured by the memory of the process.
    #[tokio::test(start_paused = true)]
    async fn sessions_cost_little() {
        // But for the waits of compressed sessions the clock is the real one.
        tokio::time::resume();
        a_client_that_does_not_read_costs_little().await;
        an_idle_session_is_small().await;
        an_idle_compressed_session_is_small().await;
    }

    /// A client that asks for a gigabyte and reads nothing holds one page, and nobody up.
    async fn a_client_that_does_not_read_costs_little() {
        let server = server();
        let mut message = b"Subject: x\r\n\r\n".to_vec();
        while message.len() < 1_000_000 {
            message.extend_from_slice(format!("line {}\r\n", message.len()).as_bytes());
        }
        for _ in 0..20 {
            server.deliver(&message);
        }
        let mut other = server.inbox().await;
        let before = resident_bytes();
        // Fifty times the same mail in each command, a thousand megabytes in all.
        let items = vec!["BODY.PEEK[]"; 25].join(" ");
        let halves = vec!["BODY.PEEK[]<0.250000>"; 100].join(" ");
        let mut clients = Vec::new();
        for _ in 0..10 {
            for items in [&items, &halves] {
                let mut client = server.inbox().await;
                client.send(&format!("a FETCH 1:* ({items})\r\n")).await;
                clients.push(client);
            }
        }
        for number in 0..200 {
            other.ok("NOOP").await;
            other.ok(&format!("FETCH {} (BODY.PEEK[]<0.1000>)", number % 20 + 1)).await;
        }
        let more = resident_bytes().saturating_sub(before);
        // For each of the 20 the message being read, a page, what is on the way, and what the
        // allocator keeps of it: 40 MB on a busy machine. Without a bound they would hold 25 MB each.
        assert!(more < 100 << 20, "{more} bytes more");
        // No transaction is open: the log of the database can be emptied.
        other.ok("STORE 1:* +FLAGS.SILENT (\\Seen)").await;
        for client in clients {
            client.vanish().await;
        }
        server.check();
    }

    /// The goal of the project: 40 KiB for an idle session, all included.
    async fn an_idle_session_is_small() {
        const SESSIONS: u64 = 300;
        let server = server();
        for number in 0..100 {
            server.deliver(format!("Subject: {number}\r\n\r\nbody\r\n").as_bytes());
        }
        let mut clients = Vec::new();
        let mut idle = async |count: u64| {
            for number in 0..count {
                let mut client = server.inbox().await;
                if number % 2 == 1 {
                    // One that listens without IDLE, to everything there is.
                    client
                        .ok("NOTIFY SET (SELECTED (MessageNew (UID FLAGS ENVELOPE) MessageExpunge \
                        FlagChange)) (PERSONAL (MessageNew MessageExpunge FlagChange MailboxName))")
                        .await;
                    client.ok("FETCH 1:* (FLAGS ENVELOPE)").await;
                    clients.push(client);
                    continue;
                }
                client.ok("FETCH 1:* (FLAGS ENVELOPE)").await;
                client.send("a IDLE\r\n").await;
                assert_eq!(client.line().await, "+ waiting");
                clients.push(client);
            }
        };
        // What is allocated once is not counted.
        idle(50).await;
        let before = resident_bytes();
        idle(SESSIONS).await;
        let each = resident_bytes().saturating_sub(before) / SESSIONS;
        // In this number are the client's own buffers too.
        assert!(each < 40 << 10, "{each} bytes for each session");
    }

    /// With COMPRESS, what the client may refer to is kept, and not what only sending needs.
    async fn an_idle_compressed_session_is_small() {
        const SESSIONS: u64 = 200;
        /// Sessions that are busy at the same time.
        const BUSY: u64 = 10;
        let server = server();
        for number in 0..100 {
            server.deliver(format!("Subject: {number}\r\n\r\nbody\r\n").as_bytes());
        }
        let mut clients = Vec::new();
        let mut idle = async |count: u64| {
            for number in 1..=count {
                let mut client = server.inbox().await;
                client.ok("COMPRESS DEFLATE").await;
                // In one block of raw deflate that is stored as it is.
                let command = b"a FETCH 1:* (FLAGS ENVELOPE)\r\n";
                let count = u16::try_from(command.len()).unwrap();
                let mut block = vec![0];
                block.extend(count.to_le_bytes());
                block.extend((!count).to_le_bytes());
                block.extend(command);
                client.stream.write_all(&block).await.unwrap();
                assert!(!client.stream.fill_buf().await.unwrap().is_empty());
                clients.push(client);
                if number % BUSY == 0 {
                    // The clock goes on by itself while nothing happens.
                    tokio::time::pause();
                    tokio::time::sleep(COMPRESSOR_KEEP * 2).await;
                    tokio::time::resume();
                }
            }
        };
        idle(50).await;
        let before = resident_bytes();
        idle(SESSIONS).await;
        let each = resident_bytes().saturating_sub(before) / SESSIONS;
        // The window and the tables of a decompressor are 43 KB of it.
        assert!(each < 90 << 10, "{each} bytes for each session");
    }
}
