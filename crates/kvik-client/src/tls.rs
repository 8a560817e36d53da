//! TLS for `rediss://`: whom to trust, who the client is, and the handshake.

use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A connection over which TLS is spoken.
pub(crate) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Whom to trust, and who the client is. The default trusts the authorities of the system, expects a
/// certificate for the host of the URL, and shows none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// A file with the certificates of the only authorities to trust, in PEM.
    pub authorities: Option<PathBuf>,
    /// Files with the client's certificate, those of its issuers behind it, and with its private
    /// key, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate is for, where that is not the host of the URL.
    pub server_name: Option<String>,
}

/// Speaks TLS over a connection from now on.
///
/// # Errors
/// If a file cannot be read, or the handshake fails, for example because the server's certificate
/// is not trusted.
pub(crate) fn secure(
    mut stream: TcpStream,
    host: &str,
    options: &TlsOptions,
) -> io::Result<TlsStream> {
    let name = options.server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let config = Arc::new(config(options)?);
    let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

fn config(options: &TlsOptions) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let roots = match &options.authorities {
        Some(path) => trusting(certificates(path)?),
        None => system_authorities().clone(),
    };
    let builder = builder.with_root_certificates(roots);
    let Some((certificate, key)) = &options.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(io::Error::other)
}

/// Looked for once: the system has more than a hundred.
fn system_authorities() -> &'static RootCertStore {
    static FOUND: OnceLock<RootCertStore> = OnceLock::new();
    // What cannot be read there is not trusted; the handshake says so.
    FOUND.get_or_init(|| trusting(rustls_native_certs::load_native_certs().certs))
}

fn trusting(certificates: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    roots
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = found.map_err(unreadable(path))?;
    match found.is_empty() {
        true => Err(unreadable(path)(pem::Error::NoItemsFound)),
        false => Ok(found),
    }
}

fn unreadable(path: &Path) -> impl Fn(pem::Error) -> io::Error {
    move |error| io::Error::other(format!("{}: {error}", path.display()))
}
