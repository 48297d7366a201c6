//! Listening for requests, over TLS or, on this host and behind proxies, without.

use super::cancel::Cancel;
use super::private::read_private;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use axum::Router;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often a wish to stop is looked for.
const LOOK: Duration = Duration::from_millis(100);
/// How long requests that are being answered are waited for.
const LAST: Duration = Duration::from_secs(2);
/// How long a connection may take to agree on its keys.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a request may take to say what it asks for.
const HEADER: Duration = Duration::from_secs(10);

/// No file with a private key is longer, in bytes.
const LONGEST_KEY: u64 = 1 << 20;

/// A port that is listened on, and the certificate that is shown there, if one is.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    /// The address, with the port that was free if none was named.
    pub address: SocketAddr,
}

impl Listener {
    /// Listens on an address, with a certificate chain and its private key in PEM.
    ///
    /// # Errors
    /// Class *spec* for files that are none, *host* if the address is taken or others may read the
    /// private key.
    pub fn bind(address: SocketAddr, certificate: &Path, key: &Path) -> Result<Self> {
        let tls = Some(Arc::new(config(certificate, key)?));
        Ok(Self { tls, ..Self::plain(address)? })
    }

    /// Listens on an address, without TLS: whoever is on the way reads and changes what is said.
    ///
    /// # Errors
    /// Class *host* if the address is taken.
    pub fn plain(address: SocketAddr) -> Result<Self> {
        let listening = || format!("listening on {address}");
        let tcp = TcpListener::bind(address).during(listening)?;
        tcp.set_nonblocking(true).during(listening)?;
        let address = tcp.local_addr().during(listening)?;
        Ok(Self { tcp, tls: None, address })
    }

    /// Answers until somebody asks to stop. Who asks is told to handlers as `ConnectInfo<SocketAddr>`.
    ///
    /// # Errors
    /// If nothing can be accepted any more.
    pub async fn serve(self, router: Router, cancel: &Cancel) -> Result<()> {
        let handle = axum_server::Handle::new();
        let (watched, cancel) = (handle.clone(), cancel.clone());
        let watch = tokio::spawn(async move {
            while !cancel.is_requested() {
                tokio::time::sleep(LOOK).await;
            }
            watched.graceful_shutdown(Some(LAST));
        });
        let address = self.address;
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let server = axum_server::from_tcp(self.tcp).during(|| format!("listening on {address}"))?;
        let server = server.handle(handle);
        let served = match self.tls {
            Some(tls) => {
                let tls = RustlsAcceptor::new(RustlsConfig::from_config(tls));
                limited(server.acceptor(tls.handshake_timeout(HANDSHAKE))).serve(service).await
            }
            None => limited(server).serve(service).await,
        };
        watch.abort();
        served.during(|| format!("answering on {address}"))
    }
}

/// Who says nothing shall not keep a connection.
fn limited<A>(mut server: axum_server::Server<SocketAddr, A>) -> axum_server::Server<SocketAddr, A> {
    let timer = hyper_util::rt::TokioTimer::new();
    server.http_builder().http1().timer(timer).header_read_timeout(HEADER);
    server
}

fn config(certificate: &Path, key: &Path) -> Result<ServerConfig> {
    let bad = |path: &Path, why: &dyn std::fmt::Display| {
        Failure::spec(format!("{}: {why}", path.display())).hint(
            "Give a certificate chain and its private key, both in PEM; docs/card-writers.md makes them.",
        )
    };
    let read = |path: &Path| std::fs::read(path).during(|| format!("reading {}", path.display()));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|e| bad(certificate, &e))?;
    if chain.is_empty() {
        return Err(bad(certificate, &"it holds no certificate"));
    }
    let key_text = read_private(key, LONGEST_KEY)?;
    let private = PrivateKeyDer::from_pem_slice(key_text.as_bytes()).map_err(|e| bad(key, &e))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::bug(format!("no version of TLS is left: {e}")))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|e| bad(certificate, &e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
