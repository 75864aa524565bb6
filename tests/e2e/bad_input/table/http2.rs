//! An HTTP/2 client that sends whatever a test wants, on its own connection.

use std::time::Duration;

use h2::client::SendRequest;
use prost::bytes::Bytes;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::codegen::http::{HeaderMap, Request};

/// A call as it goes over the wire.
pub struct Ask {
    pub verb: &'static str,
    pub path: String,
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body in pieces, each sent after a pause.
    pub body: Vec<Bytes>,
    pub pause: Option<Duration>,
    /// Whether the client ends its side.
    pub ends: bool,
}

/// The result of a call.
#[derive(Debug)]
pub struct Answer {
    pub http: u16,
    pub status: Option<Status>,
    pub body: Vec<u8>,
}

impl Ask {
    /// A gRPC call with this body.
    pub fn new(method: &str, body: impl Into<Bytes>) -> Self {
        let headers = [("content-type", "application/grpc"), ("te", "trailers")];
        Self {
            verb: "POST",
            path: format!("/{method}"),
            headers: headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec(),
            body: vec![body.into()],
            pause: None,
            ends: true,
        }
    }

    /// A call with this message.
    pub fn message(method: &str, message: &[u8]) -> Self {
        Self::new(method, framed(message))
    }

    /// Replaces the headers of this name.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.retain(|(it, _)| it != name);
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Sends the call, and reads the answer to its end.
    pub async fn send(self, address: &str) -> Result<Answer, h2::Error> {
        let mut connection = JoinSet::new();
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        let (client, driver) = h2::client::handshake(stream).await?;
        connection.spawn(driver);
        self.through(client).await
    }

    async fn through(self, client: SendRequest<Bytes>) -> Result<Answer, h2::Error> {
        let mut request = Request::builder().method(self.verb).uri(format!("http://server{}", self.path));
        for (name, value) in &self.headers {
            request = request.header(name, value.as_slice());
        }
        let request = request.body(()).expect("a request");
        let nothing = self.body.iter().all(Bytes::is_empty) && self.ends;
        let (response, mut out) = client.ready().await?.send_request(request, nothing)?;
        let say = async {
            if nothing {
                return;
            }
            for piece in self.body {
                if let Some(pause) = self.pause {
                    tokio::time::sleep(pause).await;
                }
                // A server that has answered reads no more. The answer is read below.
                if out.send_data(piece, false).is_err() {
                    return;
                }
            }
            if self.ends {
                let _ = out.send_data(Bytes::new(), true);
            }
        };
        let hear = async {
            let (head, mut body) = response.await?.into_parts();
            let mut bytes = Vec::new();
            while let Some(piece) = body.data().await {
                let piece = piece?;
                let _ = body.flow_control().release_capacity(piece.len());
                bytes.extend_from_slice(&piece);
            }
            let trailers = body.trailers().await?.unwrap_or_default();
            let status = status(&head.headers).or_else(|| status(&trailers));
            Ok(Answer { http: head.status.as_u16(), status, body: bytes })
        };
        tokio::pin!(hear);
        tokio::select! {
            answer = &mut hear => answer,
            () = say => hear.await,
        }
    }
}

fn status(headers: &HeaderMap) -> Option<Status> {
    headers.contains_key("grpc-status").then(|| Status::from_header_map(headers)).flatten()
}

/// A message in gRPC's framing.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a short message");
    [&[0], &length.to_be_bytes()[..], message].concat()
}
