use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyperlocal::UnixConnector;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::HostError;
use super::cause::chain;

/// Every request must be answered in this time.
const LIMIT: Duration = Duration::from_secs(2);

/// Of a longer answer only the beginning is kept.
const BODY_LIMIT: usize = 64 * 1024;

/// The longest path that fits `sockaddr_un`.
const SOCKET_PATH_LIMIT: usize = 107;

/// Which way a request goes to its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP in the clear.
    Plain(SocketAddr),
    /// TLS. Any certificate is accepted and handed back, for the caller to compare.
    Tls {
        /// Where.
        address: SocketAddr,
        /// The name asked for (SNI); none when asking by address.
        name: Option<String>,
    },
}

/// A request to send.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Which way it goes.
    pub door: Door,
    /// `GET`, `POST` …
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Header fields; `Host` is `localhost` if not among them.
    pub headers: Vec<(String, String)>,
    /// What is sent after the head.
    pub body: Vec<u8>,
    /// The local address to ask from; the kernel's choice if none.
    pub source: Option<IpAddr>,
}

impl Request {
    /// A `GET` without a body.
    pub fn get(door: Door, path: impl Into<String>) -> Self {
        Self {
            door,
            method: "GET",
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            source: None,
        }
    }

    /// One more header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Asks from this local address.
    #[must_use]
    pub fn from(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }
}

/// Header and body stay out: they may hold a password.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("door", &self.door)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body's first 64 KiB.
    pub body: Vec<u8>,
    /// The certificate the server showed, DER; it has proven to hold the key.
    pub certificate: Option<Vec<u8>>,
    /// From connecting to the last byte.
    pub elapsed: Duration,
}

impl Answer {
    /// The value of a header field, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Sends HTTP requests.
pub trait Http: Send + Sync {
    /// Sends all of them at once; answers in the order of the requests, each within 2 s.
    fn send_all(&self, requests: &[Request]) -> Vec<Result<Answer, HostError>>;
}

/// Real requests.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealHttp;

impl Http for RealHttp {
    fn send_all(&self, requests: &[Request]) -> Vec<Result<Answer, HostError>> {
        if requests.is_empty() {
            return Vec::new();
        }
        let refuse_all = |why: String| {
            let refusal = || Err(HostError::Unexpected(why.clone()));
            requests.iter().map(|_| refusal()).collect()
        };
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => return refuse_all(format!("cannot make a runtime: {error}")),
        };
        let tls = match tls_config() {
            Ok(config) => TlsConnector::from(Arc::new(config)),
            Err(error) => return refuse_all(format!("cannot set up TLS: {error}")),
        };
        runtime.block_on(join_all(requests.iter().map(|request| send(request, &tls))))
    }
}

async fn send(request: &Request, tls: &TlsConnector) -> Result<Answer, HostError> {
    let begun = Instant::now();
    let mut answer = tokio::time::timeout(LIMIT, exchange(request, tls))
        .await
        .map_err(|_| {
            HostError::Unexpected(format!(
                "no answer from {} within {} s",
                place(&request.door),
                LIMIT.as_secs()
            ))
        })??;
    answer.elapsed = begun.elapsed();
    Ok(answer)
}

async fn exchange(request: &Request, tls: &TlsConnector) -> Result<Answer, HostError> {
    match &request.door {
        Door::Unix(socket) => through_socket(request, socket).await,
        Door::Plain(address) => {
            let stream = connect(request, *address).await?;
            over(TokioIo::new(stream), request).await
        }
        Door::Tls { address, name } => {
            let name = match name {
                Some(name) => ServerName::try_from(name.clone())
                    .map_err(|_| HostError::Unexpected(format!("`{name}` is not a host name")))?,
                // An address is not sent as SNI (RFC 6066, section 3).
                None => ServerName::from(address.ip()),
            };
            let stream = connect(request, *address).await?;
            let stream = tls
                .connect(name, stream)
                .await
                .map_err(|error| failed(&request.door, "the TLS handshake with", &error))?;
            let certificate = stream
                .get_ref()
                .1
                .peer_certificates()
                .and_then(|chain| chain.first())
                .map(|leaf| leaf.to_vec());
            let answer = over(TokioIo::new(stream), request).await?;
            Ok(Answer {
                certificate,
                ..answer
            })
        }
    }
}

async fn connect(request: &Request, address: SocketAddr) -> Result<TcpStream, HostError> {
    let attempt = async {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(source) = request.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.connect(address).await
    };
    attempt
        .await
        .map_err(|error| failed(&request.door, "the connection to", &error))
}

async fn over<T>(stream: TokioIo<T>, request: &Request) -> Result<Answer, HostError>
where
    TokioIo<T>: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let said = |error: hyper::Error| failed(&request.door, "the exchange with", &error);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
        .await
        .map_err(said)?;
    let connection = tokio::spawn(connection);
    let response = sender
        .send_request(message(request, &request.path)?)
        .await
        .map_err(said)?;
    let answer = read(request, response).await;
    connection.abort();
    answer
}

async fn through_socket(request: &Request, socket: &Path) -> Result<Answer, HostError> {
    let length = socket.as_os_str().len();
    // hyperlocal panics on what does not make a URI, so nothing else may reach it.
    if length == 0 || length > SOCKET_PATH_LIMIT || !is_target(&request.path) {
        return Err(HostError::Unexpected(format!(
            "cannot ask for {} at {}",
            request.path,
            socket.display()
        )));
    }
    let uri: hyper::Uri = hyperlocal::Uri::new(socket, &request.path).into();
    let client: Client<UnixConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build(UnixConnector);
    let response = client
        .request(message(request, &uri.to_string())?)
        .await
        .map_err(|error| match io_cause(&error) {
            Some(source) if error.is_connect() => HostError::io("connect to", socket, source),
            _ => failed(&request.door, "the exchange with", &error),
        })?;
    read(request, response).await
}

/// A path and query that stands in a URI as it is.
fn is_target(path: &str) -> bool {
    path.starts_with('/')
        && format!("http://localhost{path}")
            .parse::<hyper::Uri>()
            .is_ok()
}

fn message(request: &Request, uri: &str) -> Result<hyper::Request<Full<Bytes>>, HostError> {
    let mut builder = hyper::Request::builder().method(request.method).uri(uri);
    let names_host = |(name, _): &(String, String)| name.eq_ignore_ascii_case("host");
    if !request.headers.iter().any(names_host) {
        builder = builder.header("host", "localhost");
    }
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    builder
        .body(Full::from(request.body.clone()))
        .map_err(|error| HostError::Unexpected(format!("cannot make a request: {error}")))
}

async fn read(request: &Request, response: hyper::Response<Incoming>) -> Result<Answer, HostError> {
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    while body.len() < BODY_LIMIT {
        let Some(frame) = incoming.frame().await else {
            break;
        };
        let frame = frame.map_err(|error| failed(&request.door, "the answer of", &error))?;
        if let Some(data) = frame.data_ref() {
            body.extend_from_slice(data);
        }
    }
    body.truncate(BODY_LIMIT);
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect(),
        body,
        ..Answer::default()
    })
}

fn place(door: &Door) -> String {
    match door {
        Door::Unix(path) => path.display().to_string(),
        Door::Plain(address) => address.to_string(),
        Door::Tls {
            address,
            name: None,
        } => address.to_string(),
        Door::Tls {
            address,
            name: Some(name),
        } => format!("{name} at {address}"),
    }
}

fn failed(door: &Door, what: &str, error: &(dyn std::error::Error + 'static)) -> HostError {
    HostError::Unexpected(format!("{what} {} failed: {}", place(door), chain(error)))
}

/// The kernel's word at the bottom of an error.
fn io_cause(error: &(dyn std::error::Error + 'static)) -> Option<io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let code = io.raw_os_error();
            return Some(code.map_or_else(|| io.kind().into(), io::Error::from_raw_os_error));
        }
        cause = error.source();
    }
    None
}

fn tls_config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// Trusts any certificate, but wants proof of its key: the caller compares the bytes with the file.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
