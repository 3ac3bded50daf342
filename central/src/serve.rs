//! Listening: plain HTTP on a loopback address, TLS anywhere; connections bounded in number and patience.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;
use crate::gate::{self, Shares};
use crate::receive::Remote;

/// Connections at one time; the next waits in the operating system's queue.
const CONNECTIONS_MAX: usize = 1_024;

/// Connections of one network at one time, of IPv6 by /64; one more is closed at once.
const NETWORK_CONNECTIONS_MAX: usize = 64;

/// The same for this machine: everybody comes from there when a proxy stands in front.
const LOOPBACK_CONNECTIONS_MAX: usize = 512;

/// A client that has not sent the head of a request by then is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// A client that has not finished its TLS handshake by then is cut off.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// After this, requests that are still running when the server ends are cut off; none of them was acknowledged.
const GRACE: Duration = Duration::from_secs(20);

/// Why it does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A certificate or key that cannot be used.
    #[error("cannot use the TLS {what} `{path}`: {why}")]
    Tls {
        /// `certificate` or `key`.
        what: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Plain HTTP would leave this machine.
    #[error("plain HTTP on `{0}` would be readable on the network: give `--tls-cert` and `--tls-key`")]
    Plain(SocketAddr),
    /// The listener is broken.
    #[error("cannot listen: {0}")]
    Listen(#[from] io::Error),
}

/// Reads certificate and key.
pub fn acceptor(files: &Tls) -> Result<TlsAcceptor, ServeError> {
    let wrong =
        |what, path: &std::path::Path, why: String| ServeError::Tls { what, path: path.display().to_string(), why };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|error| wrong("certificate", &files.cert, error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong("certificate", &files.cert, "it holds no PEM certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong("key", &files.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| wrong("certificate", &files.cert, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts connections until `shutdown` resolves; then lets running requests end, for 20 seconds at most.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_up_to(CONNECTIONS_MAX, listener, tls, router, shutdown).await
}

async fn serve_up_to(
    connections_max: usize,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    if tls.is_none() && !address.ip().is_loopback() {
        return Err(ServeError::Plain(address));
    }
    let permits = Arc::new(Semaphore::new(connections_max));
    let shares = Shares::new(connections_max);
    let (ending, _) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    loop {
        // with all places taken an end is heard too
        let permit = tokio::select! {
            permit = Arc::clone(&permits).acquire_owned() => permit,
            () = &mut shutdown => break,
        };
        let Ok(permit) = permit else { break };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, or a client that has left already: neither is a reason to end.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        let each = if peer.ip().is_loopback() { LOOPBACK_CONNECTIONS_MAX } else { NETWORK_CONNECTIONS_MAX };
        let Some(share) = shares.take(gate::network(peer.ip()), each) else {
            tracing::debug!(%peer, "a connection too many of this network");
            continue;
        };
        let (router, tls, mut ended) = (router.clone(), tls.clone(), ending.subscribe());
        tokio::spawn(async move {
            let (_permit, _share) = (permit, share);
            match tls {
                None => connection(stream, peer, router, &mut ended).await,
                Some(tls) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connection(stream, peer, router, &mut ended).await,
                    Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                    Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                },
            }
        });
    }
    drop(listener);
    let _ = ending.send(true);
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    if tokio::time::timeout(GRACE, permits.acquire_many(all)).await.is_err() {
        tracing::warn!("some requests were cut off at the end");
    }
    Ok(())
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    ended: &mut watch::Receiver<bool>,
) {
    let service = TowerToHyperService::new(router.layer(Extension(Remote(peer))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = has_ended(ended) => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

async fn has_ended(ended: &mut watch::Receiver<bool>) {
    // A sender that is gone means the end as well.
    let _ = ended.wait_for(|ended| *ended).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn an_end_is_heard_while_every_place_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (end, ended) = oneshot::channel::<()>();
        let ended = async { ended.await.unwrap_or_default() };
        let serving = tokio::spawn(serve_up_to(1, listener, None, Router::new(), ended));
        let mut stays = TcpStream::connect(address).await.expect("a connection");
        stays.write_all(b"GET / HTTP/1.1\r\nHost: central\r\n\r\n").await.expect("room");
        stays.read_exact(&mut [0; 12]).await.expect("an answer");
        end.send(()).expect("a listener");
        // its place would be free by itself once its next head is overdue
        let served = tokio::time::timeout(HEAD_TIMEOUT * 2 / 3, serving).await;
        served.expect("it ended").expect("no panic").expect("no error");
    }
}
