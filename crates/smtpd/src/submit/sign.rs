//! Signing a message on its way into the queue. RFC 6376 §5.

use std::io::{self, Read};
use std::sync::Arc;

use mox_base::{Address, UnixSeconds};
use mox_config::Config;
use mox_mailauth::dkim::{BodyHashes, Header, Signer};
use mox_signing::{SigningError, SigningKeys, identity};

/// How much of a body is hashed at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// What signs a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signatory<'a> {
    pub(super) keys: &'a SigningKeys,
    pub(super) config: &'a Arc<Config>,
    /// The address in From.
    pub(super) author: &'a Address,
    pub(super) now: UnixSeconds,
}

impl Signatory<'_> {
    /// The signatures of a message, each a field with its line end; none if the author's domain signs
    /// nothing. Reads the body once, whatever the number of signatures, and blocks.
    ///
    /// - `section`: the header with its empty line, as it will be sent.
    /// - `body`: what follows it.
    ///
    /// # Errors
    ///
    /// The outer one is of reading the body, the inner one of signing.
    pub(super) fn fields(
        self,
        section: &[u8],
        body: &mut impl Read,
    ) -> io::Result<Result<String, SigningError>> {
        let mut hashes = BodyHashes::new();
        let signer = match self.begin(section, &mut hashes) {
            Ok(Some(signer)) => signer,
            Ok(None) => return Ok(Ok(String::new())),
            Err(error) => return Ok(Err(error)),
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match body.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => hashes.update(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(signer.finish(&hashes.finish()).map_err(SigningError::from))
    }

    fn begin(
        self,
        section: &[u8],
        hashes: &mut BodyHashes,
    ) -> Result<Option<Signer>, SigningError> {
        let domain = &self.author.domain;
        let Some(keys) = self.keys.of(self.config, domain)? else { return Ok(None) };
        let header = Header::parse(section).map_err(mox_mailauth::dkim::SignError::Header)?;
        let identity = identity(self.config, self.author);
        let identity = Some(&identity);
        Ok(Some(Signer::new(&header, hashes, domain, identity, &keys.signings, self.now)?))
    }
}
