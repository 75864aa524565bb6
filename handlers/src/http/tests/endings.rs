//! Requests that get no answer.

use tokio::io::AsyncWriteExt;

use super::*;

/// A resolver that never answers.
struct Silence;

#[async_trait]
impl Resolve for Silence {
    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_timeout_names_the_phase_that_took_too_long() {
    let params = json!({ "url": "http://name.example/", "connect_timeout": "20ms" });
    let late = failure(handler_with(&[], Arc::new(Silence)).run(Probe::with_params(params).0).await);
    assert_eq!((late.error_type.as_str(), late.permanent), ("HttpTimeout", false));
    assert_eq!(late.message, "http://name.example/: took longer than 20ms while connecting");
    for (sent, phase) in [
        ("", "waiting for the answer"),
        ("HTTP/1.1 200 OK\r\nx: ", "waiting for the answer"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc", "reading the body"),
    ] {
        let site = Site::answering(sent).await;
        let late = failure(ask(json!({ "url": site.url("/"), "timeout": "50ms" })).await);
        assert_eq!((late.error_type.as_str(), late.permanent), ("HttpTimeout", false));
        assert!(late.message.ends_with(&format!("took longer than 50ms while {phase}")), "{}", late.message);
        assert_eq!(late.context.unwrap()["address"], site.address.to_string());
    }
}

#[tokio::test]
async fn a_cancel_cuts_the_connection_at_once() {
    for sent in ["", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc"] {
        let site = Site::answering(sent).await;
        let (ctx, probe) = Probe::with_params(json!({ "url": site.url("/"), "timeout": "1h" }));
        let handler = handler(&["127.0.0.1"]);
        let asking = handler.run(ctx);
        let cancelling = async {
            site.arrived.acquire().await.unwrap().forget();
            let grace = Duration::from_secs(3600);
            probe.stop(StopReason { cause: StopCause::Cancel, reason: String::new(), grace });
        };
        let (ended, ()) = tokio::join!(asking, cancelling);
        assert_eq!(ended, Err(HandlerError::Cancelled));
        time::timeout(Duration::from_secs(20), site.closed.acquire()).await.expect("it is closed").unwrap().forget();
    }
}

#[tokio::test]
async fn an_unreachable_server_and_an_answer_that_is_not_http_are_temporary_failures() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(class(ask(json!({ "url": format!("http://{nobody}/") })).await), ("HttpConnect".to_owned(), false));
    let no_name = json!({ "url": "http://no-such-host.invalid/" });
    assert_eq!(class(ask(no_name).await), ("HttpConnect".to_owned(), false));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(300));
    let long = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(100_000));
    for sent in ["SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", &many, &long] {
        let site = Site::answering(sent).await;
        let ended = class(ask(json!({ "url": site.url("/") })).await);
        assert_eq!(ended, ("HttpProtocol".to_owned(), false), "{}", &sent[..20.min(sent.len())]);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let plain = async {
        let mut stream = listener.accept().await.unwrap().0;
        stream.write_all(b"no TLS here").await.unwrap();
        stream
    };
    let (ended, _open) = tokio::join!(ask(json!({ "url": url })), plain);
    assert_eq!(class(ended), ("HttpTls".to_owned(), false));
}
