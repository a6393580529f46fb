use std::error::Error;
use std::path::Path;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// More than any host has to say.
const MOST: usize = 8 * 1024 * 1024;

/// What is to be read on a socket of numbers.
pub(super) async fn numbers(socket: &Path) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asked = async {
        let question = Request::get("/metrics").header(HOST, "localhost");
        let answer = sender
            .send_request(question.body(Empty::<Bytes>::new())?)
            .await?;
        if answer.status() != StatusCode::OK {
            return Err(answer.status().to_string().into());
        }
        Ok(Limited::new(answer.into_body(), MOST)
            .collect()
            .await?
            .to_bytes())
    };
    // The connection is driven by whoever drives the question, and ends with it.
    tokio::pin!(asked);
    tokio::select! {
        biased;
        answer = &mut asked => answer,
        ended = connection => { ended?; (&mut asked).await }
    }
}
