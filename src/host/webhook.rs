use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::HostError;
use super::cause::root_cause;

/// Who does not answer by then has not got it.
const LIMIT: Duration = Duration::from_secs(20);

/// Posts JSON to somebody's address, and wants to hear that it was taken. The address is a secret: no error has it.
///
/// # Errors
/// When nobody answers, the certificate is not one that this host trusts, or the answer is no.
pub fn post(url: &str, json: Vec<u8>) -> Result<(), HostError> {
    let failed = |why: String| HostError::Unexpected(format!("the webhook was not reached: {why}"));
    let uri: hyper::Uri = url
        .parse()
        .map_err(|_| failed("its address cannot be read".to_owned()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let status = runtime.block_on(async {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| failed(format!("this host trusts nobody: {error}")))?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let request = hyper::Request::post(uri)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(json)))
            .map_err(|error| failed(error.to_string()))?;
        let answer = tokio::time::timeout(LIMIT, client.request(request))
            .await
            .map_err(|_| failed(format!("no answer in {} s", LIMIT.as_secs())))?;
        answer
            .map(|answer| answer.status())
            .map_err(|error| failed(root_cause(&error)))
    })?;
    if status.is_success() {
        Ok(())
    } else {
        Err(failed(format!("it answers {status}")))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with this status; gives what it was sent.
    fn one(status: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/T/secret", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = String::new();
            let mut part = [0; 4096];
            while !text.contains("}") {
                let length = stream.read(&mut part).unwrap();
                text.push_str(&String::from_utf8_lossy(&part[..length]));
            }
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
            text
        });
        (url, server)
    }

    #[test]
    fn it_is_posted_and_a_refusal_is_told_without_the_address() {
        let (url, server) = one("200 OK");
        post(&url, b"{\"text\":\"hi\"}".to_vec()).unwrap();
        let sent = server.join().unwrap();
        assert!(sent.starts_with("POST /T/secret HTTP/1.1\r\n"), "{sent}");
        assert!(sent.ends_with("{\"text\":\"hi\"}"), "{sent}");
        let (url, server) = one("403 Forbidden");
        let refused = post(&url, b"{}".to_vec()).unwrap_err().to_string();
        server.join().unwrap();
        assert!(
            refused.contains("403") && !refused.contains("secret"),
            "{refused}"
        );
        let nobody = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let url = format!("http://{nobody}/T/secret");
        let refused = post(&url, b"{}".to_vec()).unwrap_err().to_string();
        assert!(
            refused.contains("refused") && !refused.contains("secret"),
            "{refused}"
        );
    }
}
