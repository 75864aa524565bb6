//! Where a request may go, and what it sends there.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use base64::Engine;

use super::*;

#[tokio::test]
async fn forbidden_addresses_are_not_reached_however_they_are_written() {
    let site = Site::answering(answer("200 OK", "", "secret")).await;
    let port = site.address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "１２７.０.０.１",
        "127%2e0.0.1",
        "localhost",
        "LOCALHOST",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "user@127.0.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
    ] {
        let params = json!({ "url": format!("http://{host}:{port}/") });
        let failure = failure(handler(&[]).run(Probe::with_params(params).0).await);
        assert_eq!(
            (failure.error_type.as_str(), failure.permanent),
            ("HttpForbiddenAddress", true),
            "{host}: {failure:?}"
        );
        assert!(failure.message.contains("--http-allow"), "{failure:?}");
    }
    assert!(site.requests().is_empty() && site.closed.available_permits() == 0, "nobody has even connected");
}

#[tokio::test]
async fn redirects_are_followed_and_counted_and_each_may_be_the_last() {
    let moved = |to: &str| answer("302 Found", &format!("location: {to}\r\n"), "");
    let site = Site::at(
        "127.0.0.1:0",
        vec![moved("/2").into(), moved("3?k=secret").into(), answer("200 OK", "", "here").into()],
    )
    .await;
    let result =
        ask(json!({ "url": site.url("/1"), "method": "POST", "body": "x", "max_redirects": 2 })).await.unwrap();
    assert_eq!(
        (&result["body"], &result["redirects"], &result["url"]),
        (&json!("here"), &json!(2), &json!(site.url("/3")))
    );
    let asked: Vec<_> = site.requests().iter().map(|request| request.lines().next().unwrap().to_owned()).collect();
    assert_eq!(asked, ["POST /1 HTTP/1.1", "GET /2 HTTP/1.1", "GET /3?k=secret HTTP/1.1"]);

    let circle = Site::answering(moved("/")).await;
    let failure = failure(ask(json!({ "url": circle.url("/"), "max_redirects": 3 })).await);
    assert_eq!((failure.error_type.as_str(), failure.permanent), ("HttpRedirect", true));
    assert!(failure.message.ends_with("it redirects more than 3 times"), "{}", failure.message);
    assert_eq!(circle.requests().len(), 4);
    assert_eq!(class(ask(json!({ "url": circle.url("/"), "max_redirects": 0 })).await).0, "HttpStatus");
    let seen = ask(json!({ "url": circle.url("/"), "expect": "3xx" })).await.unwrap();
    assert_eq!((&seen["status"], &seen["headers"]["location"]), (&json!(302), &json!(circle.url("/"))));
}

#[tokio::test]
async fn a_redirect_is_checked_like_the_first_request_and_takes_no_secret_elsewhere() {
    let inner = Site::at("127.0.0.2:0", vec![answer("200 OK", "", "inner").into()]).await;
    let outer =
        Site::answering(answer("307 Temporary Redirect", &format!("location: {}\r\n", inner.url("/x")), "")).await;
    let params =
        json!({ "url": outer.url("/"), "headers": { "authorization": "secret", "x-key": "secret", "accept": "a/b" } });
    let refused = handler(&["127.0.0.1"]).run(Probe::with_params(params.clone()).0).await;
    assert_eq!(class(refused), ("HttpForbiddenAddress".to_owned(), true));
    assert!(inner.requests().is_empty() && inner.closed.available_permits() == 0);

    let result = handler(&["127.0.0.0/8"]).run(Probe::with_params(params).0).await.unwrap();
    assert_eq!(result["body"], "inner");
    assert!(outer.requests().iter().all(|request| request.contains("secret")));
    let request = inner.requests().remove(0);
    assert!(!request.contains("secret") && request.contains("accept: a/b"), "{request}");
}

/// A name with another address each time.
struct Names(Mutex<VecDeque<Vec<SocketAddr>>>, AtomicUsize);

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, name: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        assert_eq!(name, "rebound.example");
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.lock().unwrap().pop_front().ok_or_else(|| io::Error::other("asked too often"))
    }
}

#[tokio::test]
async fn a_name_is_looked_up_once_a_hop_and_the_connection_goes_to_a_checked_address() {
    let moved = answer("302 Found", "location: http://rebound.example/again\r\n", "");
    let good = Site::at("127.0.0.2:0", vec![moved.into()]).await;
    let secret = Site::answering(answer("200 OK", "", "secret")).await;
    // First both addresses, one of which is forbidden; then, in the redirect, only the forbidden one.
    let answers = [vec![secret.address, good.address], vec![secret.address], vec![good.address]];
    let names = Arc::new(Names(Mutex::new(answers.into()), AtomicUsize::new(0)));
    let resolver: Arc<dyn Resolve> = names.clone();
    let params = json!({ "url": "http://rebound.example/" });
    let refused = handler_with(&["127.0.0.2"], resolver).run(Probe::with_params(params).0).await;
    assert_eq!(class(refused), ("HttpForbiddenAddress".to_owned(), true));
    assert_eq!(names.1.load(Ordering::SeqCst), 2);
    assert_eq!(good.requests().len(), 1);
    assert!(secret.requests().is_empty() && secret.closed.available_permits() == 0);
}

#[tokio::test]
async fn certificates_are_checked_against_the_trusted_authorities_and_the_name() {
    let signed = rcgen::generate_simple_self_signed(["good.example".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (seen, came) = (Arc::<Mutex<Vec<String>>>::default(), Semaphore::new(0));
    let requests = Arc::clone(&seen);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        loop {
            // A client that does not trust the certificate breaks the handshake off.
            let Ok(stream) = acceptor.accept(listener.accept().await.unwrap().0).await else { continue };
            let _ended_badly = serve(stream, &[answer("200 OK", "", "safe").into()], &seen, &came).await;
        }
    });
    let encoded = base64::engine::general_purpose::STANDARD.encode(signed.cert.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n").into_bytes();
    for (host, ca, is_good) in [
        ("127.0.0.1", Some(&pem), true),
        ("good.example", Some(&pem), true),
        ("good.example.", Some(&pem), true),
        ("bad.example", Some(&pem), false),
        ("127.0.0.1", None, false),
    ] {
        let config = HttpConfig { allow: vec!["127.0.0.1".parse().unwrap()], ca_certificates_pem: ca.cloned() };
        let handler = Http::with_resolver(&config, Arc::new(Always(address))).unwrap();
        let url = format!("https://{host}:{}/", address.port());
        let ended = handler.run(Probe::with_params(json!({ "url": url })).0).await;
        match ended {
            Ok(result) if is_good => assert_eq!(result["body"], "safe"),
            ended => {
                assert!(!is_good, "{host}: {ended:?}");
                assert_eq!(class(ended), ("HttpTls".to_owned(), false), "{host}");
            }
        }
    }
    assert_eq!(requests.lock().unwrap().len(), 3, "no request is sent over a connection that is not trusted");
}

/// A resolver that finds this address for every name.
struct Always(SocketAddr);

#[async_trait]
impl Resolve for Always {
    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![self.0])
    }
}
