//! A DNS server on loopback that answers from a table, for an implementation that takes its answers
//! from sockets only.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt as _;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, MX, PTR, SOA, TXT};
use hickory_proto::rr::{Name as WireName, RData, Record, RecordType as WireType};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use mail_auth::MessageAuthenticator;
use mox_dns::{Data, DnsError, FakeDns, Name, RecordType, Resolver as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

/// The longest string of a TXT record, in bytes. RFC 1035 §3.3.14.
const STRING_BYTES: usize = 255;

/// The longest answer by UDP, in bytes.
const UDP_BYTES: usize = 1_232;

const TTL_SECS: u32 = 60;

/// A server whose table can be changed, and the other implementation, which asks it.
pub(crate) struct Other {
    pub(crate) authenticator: MessageAuthenticator,
    table: Arc<Mutex<Arc<FakeDns>>>,
}

impl Other {
    pub(crate) async fn start() -> Result<Self> {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = udp.local_addr()?;
        let tcp = TcpListener::bind(addr).await?;
        let table = Arc::new(Mutex::new(Arc::new(FakeDns::new())));
        tokio::spawn(serve_udp(udp, Arc::clone(&table)));
        tokio::spawn(serve_tcp(tcp, Arc::clone(&table)));
        Ok(Self { authenticator: authenticator(addr)?, table })
    }

    /// Answers from this table from now on.
    pub(crate) fn answer_from(&self, dns: Arc<FakeDns>) {
        *self.table.lock().expect("nobody panics with it") = dns;
    }
}

fn authenticator(addr: SocketAddr) -> Result<MessageAuthenticator> {
    let [mut udp, mut tcp] = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    udp.port = addr.port();
    tcp.port = addr.port();
    let mut server = NameServerConfig::udp_and_tcp(addr.ip());
    server.connections = vec![udp, tcp];
    let mut config = ResolverConfig::default();
    config.name_servers = vec![server];
    let mut options = ResolverOpts::default();
    // Each case has answers of its own for the same names.
    options.cache_size = 0;
    options.attempts = 1;
    options.edns0 = true;
    options.timeout = Duration::from_secs(2);
    options.use_hosts_file = ResolveHosts::Never;
    Ok(MessageAuthenticator::new(config, options)?)
}

async fn serve_udp(socket: UdpSocket, table: Arc<Mutex<Arc<FakeDns>>>) {
    let mut buffer = vec![0; 65_535];
    while let Ok((read, peer)) = socket.recv_from(&mut buffer).await {
        let Some(mut answer) = answer(&buffer[..read], &table) else { continue };
        if answer.to_vec().is_ok_and(|bytes| bytes.len() > UDP_BYTES) {
            answer.answers.clear();
            answer.metadata.truncation = true;
        }
        if let Ok(bytes) = answer.to_vec() {
            let _sent = socket.send_to(&bytes, peer).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, table: Arc<Mutex<Arc<FakeDns>>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let table = Arc::clone(&table);
        tokio::spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut question = vec![0; length.into()];
                stream.read_exact(&mut question).await.ok()?;
                let bytes = answer(&question, &table)?.to_vec().ok()?;
                stream.write_u16(u16::try_from(bytes.len()).ok()?).await.ok()?;
                stream.write_all(&bytes).await.ok()?;
            }
            Some(())
        });
    }
}

fn answer(question: &[u8], table: &Mutex<Arc<FakeDns>>) -> Option<Message> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?.clone();
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.recursion_available = true;
    answer.metadata.recursion_desired = true;
    answer.add_query(query.clone());
    let kind = match query.query_type {
        WireType::A => RecordType::A,
        WireType::AAAA => RecordType::Aaaa,
        WireType::MX => RecordType::Mx,
        WireType::PTR => RecordType::Ptr,
        WireType::TXT => RecordType::Txt,
        _ => return Some(answer),
    };
    let dns = Arc::clone(&*table.lock().ok()?);
    // Names that ours cannot have do not exist.
    let found = match Name::parse(query.name.to_ascii().trim_end_matches('.')) {
        Ok(name) => dns.lookup(&name, kind).now_or_never()?,
        Err(_) => {
            let security = mox_dns::Security::Insecure;
            Err(DnsError::NotFound { exists: false, security, ttl_secs: TTL_SECS })
        }
    };
    match found {
        Ok(found) => {
            for data in found.records {
                answer.add_answer(Record::from_rdata(query.name.clone(), TTL_SECS, rdata(&data)?));
            }
        }
        Err(DnsError::NotFound { exists, .. }) => {
            if !exists {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            let root = WireName::root();
            let soa = SOA::new(root.clone(), root.clone(), 1, 60, 60, 60, TTL_SECS);
            answer.add_authority(Record::from_rdata(root, TTL_SECS, RData::SOA(soa)));
        }
        Err(_) => answer.metadata.response_code = ResponseCode::ServFail,
    }
    Some(answer)
}

fn rdata(data: &Data) -> Option<RData> {
    let wire = |name: &Name| WireName::from_str(&format!("{}.", name.as_str())).ok();
    Some(match data {
        Data::A(ip) => RData::A(A(*ip)),
        Data::Aaaa(ip) => RData::AAAA(AAAA(*ip)),
        Data::Mx { preference, exchange } => RData::MX(MX::new(*preference, wire(exchange)?)),
        Data::Ptr(name) => RData::PTR(PTR(wire(name)?)),
        Data::Txt(text) => RData::TXT(TXT::from_bytes(text.chunks(STRING_BYTES).collect())),
        _ => return None,
    })
}
