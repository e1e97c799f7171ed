//! One port for several protocols within TLS, told apart by ALPN.
//!
//! For networks that let through nothing but HTTPS: a mail program names the protocol it speaks in
//! its first message of the handshake. Source: RFC 7301.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::Incoming;
use crate::tls::TlsAcceptor;

type Served = Pin<Box<dyn Future<Output = ()> + Send>>;
type Handler = Arc<dyn Fn(Incoming) -> Served + Send + Sync>;

/// A TLS port and who serves which protocol on it. Cheap to clone.
#[derive(Clone)]
pub struct AlpnPort {
    acceptor: TlsAcceptor,
    routes: Vec<(&'static [u8], Handler)>,
    unnamed: Option<Handler>,
}

impl fmt::Debug for AlpnPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.routes.iter().map(|(name, _)| String::from_utf8_lossy(name));
        f.debug_struct("AlpnPort").field("routes", &names.collect::<Vec<_>>()).finish()
    }
}

impl AlpnPort {
    /// A port that serves nothing yet. What `acceptor` offers by its
    /// [`alpn`](crate::tls::TlsOptions::alpn) should be what is routed.
    #[must_use]
    pub fn new(acceptor: TlsAcceptor) -> Self {
        Self { acceptor, routes: Vec::new(), unnamed: None }
    }

    /// Hands connections of a protocol, named as in ALPN, to `handler`: with TLS on, before
    /// anything was sent or received in it.
    #[must_use]
    pub fn route<F>(
        mut self,
        protocol: &'static [u8],
        handler: impl Fn(Incoming) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.routes.push((protocol, Arc::new(move |incoming| Box::pin(handler(incoming)))));
        self
    }

    /// Hands connections that name no protocol to `handler`, as programs do that are older than
    /// ALPN. Without this they are closed.
    #[must_use]
    pub fn route_unnamed<F>(
        mut self,
        handler: impl Fn(Incoming) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.unnamed = Some(Arc::new(move |incoming| Box::pin(handler(incoming))));
        self
    }

    /// Shakes hands and has the connection served. One that names no protocol is closed, or goes
    /// where [`Self::route_unnamed`] said; one that names only others has its handshake refused (RFC
    /// 7301 §3.2).
    pub async fn serve(self, incoming: Incoming) {
        let Incoming { conn, cid, stopping } = incoming;
        let conn = match Box::pin(conn.start_tls(&self.acceptor)).await {
            Ok(conn) => conn,
            Err(error) => {
                tracing::info!(cid, %error, reason = %error.reason(), "tls handshake");
                return;
            }
        };
        let agreed = conn.tls().and_then(|tls| tls.alpn.as_deref());
        let named = self.routes.iter().find(|(name, _)| Some(*name) == agreed);
        let unnamed = self.unnamed.as_ref().filter(|_| agreed.is_none());
        match named.map(|(_, handler)| handler).or(unnamed) {
            Some(handler) => handler(Incoming { conn, cid, stopping }).await,
            None => {
                tracing::info!(cid, remote = %conn.peer(), "no protocol named, closing");
                conn.close().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, duplex};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::tls::{TlsOptions, TlsVersion, testing};
    use crate::trace::Kind;
    use crate::{Conn, Wait};

    const TEST: Wait = Wait::new("test", Duration::from_secs(10));

    fn port(names: &[&'static [u8]]) -> AlpnPort {
        let alpn = names.iter().map(|name| name.to_vec()).collect();
        let options = TlsOptions { alpn, ..TlsOptions::default() };
        names.iter().fold(AlpnPort::new(testing::acceptor(options)), |port, name| {
            let name = *name;
            port.route(name, move |incoming| async move {
                let Incoming { mut conn, .. } = incoming;
                conn.send(Kind::Protocol, name);
                conn.flush(TEST).await.unwrap();
                conn.close().await;
            })
        })
    }

    /// What a client that offers these protocols gets to read; `None` if it is refused.
    async fn talk(port: &AlpnPort, version: TlsVersion, offered: &[&[u8]]) -> Option<String> {
        let (client, server) = duplex(64 << 10);
        let stopping = CancellationToken::new();
        let incoming = Incoming { conn: Conn::memory(server), cid: 1, stopping };
        let mut config = testing::client_config(version, None);
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let client = async {
            let name = ServerName::try_from("mail.example").unwrap();
            let mut stream = connector.connect(name, client).await.ok()?;
            let mut text = String::new();
            // The end is told by TLS, so that it cannot be mistaken for a cut.
            stream.read_to_string(&mut text).await.ok()?;
            Some(text)
        };
        let ((), text) = tokio::join!(port.clone().serve(incoming), client);
        text
    }

    /// RFC 7301 §3.2: the server chooses, by its own order.
    #[tokio::test]
    async fn each_protocol_has_its_own_server() {
        let port = port(&[b"imap", b"smtp"]);
        for version in [TlsVersion::V12, TlsVersion::V13] {
            for (offered, want) in [
                (&[&b"imap"[..]][..], Some("imap")),
                (&[b"smtp"], Some("smtp")),
                (&[b"http/1.1", b"smtp", b"imap"], Some("imap")),
                // None named: TLS is spoken, and nothing said.
                (&[], Some("")),
                // None of ours.
                (&[b"h2", b"http/1.1"], None),
                (&[b"IMAP"], None),
                (&[b"ima"], None),
            ] {
                let text = talk(&port, version, offered).await;
                assert_eq!(text.as_deref(), want, "{version} {offered:?}");
            }
        }
    }

    #[tokio::test]
    async fn who_names_nothing_may_have_a_server_too() {
        let port = port(&[b"imap"]).route_unnamed(|incoming| async move {
            let Incoming { mut conn, .. } = incoming;
            conn.send(Kind::Protocol, b"unnamed");
            conn.flush(TEST).await.unwrap();
            conn.close().await;
        });
        for (offered, want) in
            [(&[][..], Some("unnamed")), (&[&b"imap"[..]], Some("imap")), (&[b"smtp"], None)]
        {
            let text = talk(&port, TlsVersion::V13, offered).await;
            assert_eq!(text.as_deref(), want, "{offered:?}");
        }
    }

    #[tokio::test]
    async fn what_is_not_tls_is_dropped() {
        let (mut client, server) = duplex(1_024);
        let stopping = CancellationToken::new();
        let incoming = Incoming { conn: Conn::memory(server), cid: 1, stopping };
        tokio::io::AsyncWriteExt::write_all(&mut client, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        port(&[b"imap"]).serve(incoming).await;
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(!rest.starts_with(b"HTTP") && rest.len() < 20, "{rest:?}");
    }
}
