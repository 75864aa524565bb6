//! Answers, and the results that they become.

use super::*;

#[tokio::test]
async fn the_answer_becomes_the_result_without_its_cookies() {
    let headers = "content-type: application/json; charset=utf-8\r\nset-cookie: id=secret\r\nx-a: 1\r\nx-a: 2\r\n";
    let site = Site::answering(answer("200 OK", headers, r#"{"n": 12345678901234567890123, "s": "é"}"#)).await;
    let result = ask(json!({ "url": site.url("/a?b=secret#c") })).await.unwrap();
    let body: Value = serde_json::from_str(r#"{"n": 12345678901234567890123, "s": "é"}"#).unwrap();
    assert_eq!((&result["status"], &result["body"], &result["body_type"]), (&json!(200), &body, &json!("json")));
    assert_eq!(result["headers"]["x-a"], "1, 2");
    assert_eq!((&result["size"], &result["truncated"], &result["redirects"]), (&json!(41), &json!(false), &json!(0)));
    assert_eq!(result["url"], site.url("/a"));
    assert_eq!(result["address"], site.address.to_string());
    assert!(result["duration_ms"].is_u64() && !result.to_string().contains("secret"), "{result}");
    assert!(site.requests()[0].starts_with("GET /a?b=secret HTTP/1.1\r\n"), "{:?}", site.requests());
}

#[tokio::test]
async fn a_body_is_kept_in_the_form_that_fits_its_content() {
    let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
    for (content_type, sent, body, body_type) in [
        ("text/plain", "a\r\n", json!("a\r\n"), "text"),
        ("application/problem+json", "[1, null]", json!([1, null]), "json"),
        ("application/json", "", json!(""), "text"),
        ("application/json", "{oops", json!("{oops"), "text"),
        // JSON that a server does not accept becomes text.
        ("application/json", r#""\u0000""#, json!(r#""\u0000""#), "text"),
        ("application/json", "1e100000", json!("1e100000"), "text"),
        ("application/json", &deep, json!(deep), "text"),
        ("application/octet-stream", "a\0", json!("YQA="), "base64"),
    ] {
        let site = Site::answering(answer("200 OK", &format!("content-type: {content_type}\r\n"), sent)).await;
        let result = ask(json!({ "url": site.url("/") })).await.unwrap();
        assert_eq!((&result["body"], &result["body_type"]), (&body, &json!(body_type)), "{sent}");
    }
    let mut binary = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n".to_vec();
    binary.extend(b"\xFF\xFE");
    let site = Site::answering(binary).await;
    let result = ask(json!({ "url": site.url("/") })).await.unwrap();
    assert_eq!((&result["body"], &result["body_type"]), (&json!("//4="), &json!("base64")));
}

#[tokio::test]
async fn method_headers_and_body_are_sent_as_given() {
    let site = Site::answering(answer("204 No Content", "", "")).await;
    let params = json!({
        "url": site.url("/x"), "method": "put", "headers": { "X-Key": "k", "user-agent": "me" }, "json": { "a": [1.50] },
    });
    assert_eq!(ask(params).await.unwrap()["status"], 204);
    let request = site.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().collect();
    assert_eq!((lines.remove(0), body), ("PUT /x HTTP/1.1", r#"{"a":[1.5]}"#));
    lines.sort_unstable();
    let host = format!("host: {}", site.address);
    let expected = [
        "accept: */*",
        "connection: close",
        "content-length: 11",
        "content-type: application/json",
        &host,
        "user-agent: me",
        "x-key: k",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn an_unexpected_status_is_a_permanent_failure_unless_it_is_temporary() {
    for (status, permanent) in
        [("404 Not Found", true), ("429 Too Many", false), ("503 Busy", false), ("410 Gone", true)]
    {
        let site = Site::answering(answer(status, "x-why: because\r\n", "the reason")).await;
        let failure = failure(ask(json!({ "url": site.url("/a?b=c") })).await);
        assert_eq!((failure.error_type.as_str(), failure.permanent), ("HttpStatus", permanent), "{failure:?}");
        let context = failure.context.unwrap();
        assert_eq!((&context["body"], &context["headers"]["x-why"]), (&json!("the reason"), &json!("because")));
        assert!(failure.message.starts_with(&format!("{}: expected 2xx, got ", site.url("/a"))), "{}", failure.message);
        let expected = json!({ "url": site.url("/"), "expect": ["2xx", context["status"]] });
        assert_eq!(ask(expected).await.unwrap()["status"], context["status"]);
    }
}

#[tokio::test]
async fn an_answer_with_retry_after_delays_the_next_attempt() {
    let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3590));
    for (status, header, limit, expected) in [
        ("503 Busy", "7", json!(3600), Some(7)),
        ("429 Too Many", "0", json!(3600), Some(1)),
        ("503 Busy", "Thu, 01 Jan 1970 00:00:00 GMT", json!(3600), Some(1)),
        ("503 Busy", "8", json!(7), None),
        ("503 Busy", "1", json!(0), None),
        ("503 Busy", "later", json!(3600), None),
        ("503 Busy", "99999999999999999999", json!(3600), None),
        ("404 Not Found", "7", json!(3600), None),
    ] {
        let site = Site::answering(answer(status, &format!("retry-after: {header}\r\n"), "")).await;
        match (ask(json!({ "url": site.url("/"), "max_retry_after": limit })).await, expected) {
            (Err(HandlerError::Snooze(delay)), Some(seconds)) => assert_eq!(delay, Duration::from_secs(seconds)),
            (Err(HandlerError::Failed(failure)), None) => assert_eq!(failure.error_type, "HttpStatus"),
            other => panic!("{status} {header}: {other:?}"),
        }
    }
    let site = Site::answering(answer("503 Busy", &format!("retry-after: {in_an_hour}\r\n"), "")).await;
    let Err(HandlerError::Snooze(delay)) = ask(json!({ "url": site.url("/") })).await else {
        panic!("expected a delay")
    };
    assert!(delay > Duration::from_secs(3000) && delay <= Duration::from_secs(3590), "{delay:?}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_fails_or_is_cut() {
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\naaaaa\r\n6\r\nbbbb\u{e9}\r\n0\r\n\r\n";
    for (sent, limit) in [(announced, 10), (chunked, 10)] {
        let site = Site::answering(sent).await;
        let params = json!({ "url": site.url("/"), "max_response_bytes": limit });
        assert_eq!(class(ask(params).await), ("HttpTooLarge".to_owned(), true));
    }
    let site = Site::answering(chunked).await;
    let cut = ask(json!({ "url": site.url("/"), "max_response_bytes": 10, "truncate": true })).await.unwrap();
    // The last character is not whole.
    assert_eq!((&cut["body"], &cut["truncated"], &cut["size"]), (&json!("aaaaabbbb"), &json!(true), &json!(10)));
    let exact = ask(json!({ "url": site.url("/"), "max_response_bytes": 11, "truncate": true })).await.unwrap();
    assert_eq!((&exact["body"], &exact["truncated"]), (&json!("aaaaabbbb\u{e9}"), &json!(false)));
}

#[tokio::test]
async fn a_body_that_grows_when_it_is_encoded_is_still_a_result() {
    let site = Site::answering(answer("200 OK", "", &"\u{1}".repeat(512 * 1024))).await;
    let result = ask(json!({ "url": site.url("/"), "max_response_bytes": 512 * 1024 })).await.unwrap();
    assert_eq!(result["body_type"], "base64");
    assert!(result.to_string().len() < 1024 * 1024);
}

#[tokio::test]
async fn no_secret_is_in_results_failures_or_logs() {
    let site = Site::at(
        "127.0.0.1:0",
        vec![
            answer("302 Found", "location: /next?token=hunter2\r\n", "").into(),
            answer("200 OK", "set-cookie: hunter2\r\nlocation: /x?hunter2\r\n", "").into(),
            answer("404 Not Found", "set-cookie: hunter2\r\n", "").into(),
        ],
    )
    .await;
    let url = format!("http://user:hunter2@{}/a?key=hunter2#hunter2", site.address);
    let params = json!({ "url": url, "headers": { "x-key": "hunter2" }, "body": "hunter2", "method": "POST" });
    for _ in 0..2 {
        let (ctx, probe) = Probe::with_params(params.clone());
        let ended = format!("{:?}", handler(&["127.0.0.1"]).run(ctx).await);
        let log = format!("{:?}", probe.entries());
        assert!(!ended.contains("hunter2") && !log.contains("hunter2"), "{ended} {log}");
        assert!(log.contains(&format!("POST {}: ", site.url("/a"))), "{log}");
    }
    assert!(
        site.requests()[0].contains("authorization: Basic dXNlcjpodW50ZXIy\r\n"),
        "the secret is sent to where it belongs"
    );
}
