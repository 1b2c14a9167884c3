//! The client against real servers on the loopback: what leaves, what comes back, and what never leaves at all.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail like tests")]

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use egress::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, LOCATION};
use egress::{Client, EgressError, Limits, Lookup, Method, Policy, Request, Url};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn open_client() -> Client {
    Client::new(Policy::parse("127.0.0.0/8", None).unwrap()).unwrap()
}

#[tokio::test]
async fn a_request_goes_out_within_its_trace_unless_it_has_one_of_its_own() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = domain::TraceContext::read(parent, ["a=1"]).unwrap();
    let span = domain::SpanId::parse("b7ad6b7169203331").unwrap();
    let set = |name, value, secret: bool| {
        let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
        let request = get(&server.uri());
        if secret { request.credential(name, value) } else { request.header(name, value) }.unwrap()
    };
    let requests = [
        get(&server.uri()),
        set("traceparent", "mine", false),
        set("traceparent", "mine", true),
        set("tracestate", "b=2", false),
    ];
    for request in requests {
        open_client().send(request.within(&trace, span)).await.unwrap();
    }
    let ours = "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01";
    let text = |request: &wiremock::Request, name: &str| {
        request
            .headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(",")
    };
    let sent = server.received_requests().await.unwrap();
    let sent: Vec<_> = sent.iter().map(|request| (text(request, "traceparent"), text(request, "tracestate"))).collect();
    let wanted = [(ours, "a=1"), ("mine", ""), ("mine", ""), (ours, "b=2")];
    assert_eq!(sent, wanted.map(|(parent, state)| (parent.to_owned(), state.to_owned())));
}

fn get(url: &str) -> Request {
    Request::new(Method::GET, Url::parse(url).unwrap())
}

/// Names with scripted answers: one list of addresses a question, the last one for good.
struct Script {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
}

impl Script {
    fn of(answers: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let parse = |list: &&[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        let answers = answers.iter().map(|(name, lists)| ((*name).to_owned(), lists.iter().map(parse).collect()));
        Arc::new(Self { answers: Mutex::new(answers.collect()) })
    }
}

impl Lookup for Script {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let mut answers = self.answers.lock().unwrap();
        let found = match answers.get_mut(&host) {
            None => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
            Some(lists) if lists.len() > 1 => Ok(lists.remove(0)),
            Some(lists) => Ok(lists[0].clone()),
        };
        Box::pin(async move { found })
    }
}

async fn refusal(client: &Client, request: Request) -> EgressError {
    client.send(request).await.unwrap_err()
}

/// A server that answers every connection with these bytes and then closes it.
async fn raw_server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = socket.read(&mut buffer).await;
            let _ = socket.write_all(answer).await;
        }
    });
    format!("http://{address}/")
}

#[tokio::test]
async fn without_the_operators_word_no_inside_address_hears_anything() {
    let server = MockServer::start().await;
    let client = Client::new(Policy::default()).unwrap();
    let port = server.address().port();
    for host in ["127.0.0.1", "localhost", "127.1", "0x7f000001", "[::ffff:127.0.0.1]"] {
        let error = refusal(&client, get(&format!("http://{host}:{port}/"))).await;
        assert!(matches!(error, EgressError::Forbidden { .. }), "{host}: {error:?}");
        assert!(!error.may_have_been_sent());
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_name_is_judged_by_every_address_it_has() {
    let lookup = Script::of(&[
        ("inside.test", &[&["10.0.0.7"]]),
        ("mixed.test", &[&["93.184.216.34", "127.0.0.1"]]),
        ("wrapped.test", &[&["64:ff9b::7f00:1"]]),
        ("empty.test", &[&[]]),
    ]);
    let client = Client::with_lookup(Policy::default(), lookup).unwrap();
    for host in ["inside.test", "mixed.test", "wrapped.test"] {
        let error = refusal(&client, get(&format!("http://{host}/"))).await;
        assert!(matches!(error, EgressError::Forbidden { .. }), "{host}: {error:?}");
    }
    for host in ["empty.test", "unknown.test"] {
        let error = refusal(&client, get(&format!("http://{host}/"))).await;
        assert!(matches!(error, EgressError::Dns { .. }), "{host}: {error:?}");
        assert!(!error.may_have_been_sent());
    }
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_caught_at_the_connection() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).insert_header("connection", "close"))
        .mount(&server)
        .await;
    let lookup = Script::of(&[("rebind.test", &[&["127.0.0.1"], &["10.0.0.7"]])]);
    let client = Client::with_lookup(Policy::parse("127.0.0.1", None).unwrap(), lookup).unwrap();
    let url = format!("http://rebind.test:{}/", server.address().port());
    assert_eq!(client.send(get(&url)).await.unwrap().status(), 200);
    let error = refusal(&client, get(&url)).await;
    assert!(matches!(error, EgressError::Forbidden { .. }), "{error:?}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_unless_asked_and_every_hop_is_checked() {
    let server = MockServer::start().await;
    let to = |target: &str| ResponseTemplate::new(302).insert_header(LOCATION.as_str(), target);
    Mock::given(path("/metadata")).respond_with(to("http://169.254.169.254/latest")).mount(&server).await;
    Mock::given(path("/file")).respond_with(to("file:///etc/passwd")).mount(&server).await;
    Mock::given(path("/loop")).respond_with(to("/loop")).mount(&server).await;
    let client = open_client();
    let url = |at: &str| format!("{}{at}", server.uri());

    assert_eq!(client.send(get(&url("/metadata"))).await.unwrap().status(), 302);
    let error = refusal(&client, get(&url("/metadata")).redirects(3)).await;
    assert!(error.may_have_been_sent(), "the first hop was answered");
    let EgressError::AfterRedirect { source } = error else { panic!("{error:?}") };
    assert!(matches!(*source, EgressError::Forbidden { .. }), "{source:?}");
    let error = refusal(&client, get(&url("/file")).redirects(3)).await;
    assert!(matches!(error, EgressError::AfterRedirect { .. }), "{error:?}");
    let error = refusal(&client, get(&url("/loop")).redirects(3)).await;
    assert!(matches!(error, EgressError::Redirect { .. }), "{error:?}");
}

#[tokio::test]
async fn credentials_stay_with_their_origin_and_a_posted_body_is_not_repeated() {
    let (first, second) = (MockServer::start().await, MockServer::start().await);
    Mock::given(path("/away"))
        .respond_with(ResponseTemplate::new(303).insert_header(LOCATION.as_str(), format!("{}/landed", second.uri())))
        .mount(&first)
        .await;
    Mock::given(path("/landed")).respond_with(ResponseTemplate::new(200)).mount(&second).await;
    let request = Request::new(Method::POST, Url::parse(&format!("{}/away", first.uri())).unwrap())
        .header(AUTHORIZATION, HeaderValue::from_static("Bearer s3cret"))
        .and_then(|request| request.header(COOKIE, HeaderValue::from_static("a=b")))
        .and_then(|request| {
            request.credential(HeaderName::from_static("x-api-key"), HeaderValue::from_static("s3cret"))
        })
        .and_then(|request| request.header(HeaderName::from_static("x-plain"), HeaderValue::from_static("kept")))
        .unwrap()
        .body("secret body")
        .redirects(1);
    let answer = open_client().send(request).await.unwrap();
    assert!(answer.is_redirected());
    let sent = &first.received_requests().await.unwrap()[0];
    assert_eq!(sent.headers["authorization"], "Bearer s3cret");
    let landed = &second.received_requests().await.unwrap()[0];
    assert_eq!((landed.method.as_str(), landed.body.len()), ("GET", 0));
    assert_eq!(landed.headers["x-plain"], "kept");
    for name in ["authorization", "cookie", "x-api-key"] {
        assert!(!landed.headers.contains_key(name), "{name} left its origin");
    }
}

#[tokio::test]
async fn a_body_is_counted_after_decompression() {
    // 64 KiB of zeros in gzip: less than a hundred bytes on the wire.
    const BOMB: &[u8] = include_bytes!("zeros.gz");
    let server = MockServer::start().await;
    let packed = ResponseTemplate::new(200).set_body_bytes(BOMB).insert_header("content-encoding", "gzip");
    Mock::given(method("GET")).respond_with(packed).mount(&server).await;
    let client = open_client();
    let capped = |body_bytes| get(&server.uri()).limits(Limits { body_bytes, ..Limits::default() });
    let whole = client.send(capped(65_536)).await.unwrap().bytes().await.unwrap();
    assert_eq!((whole.len(), whole.iter().all(|byte| *byte == 0)), (65_536, true));
    let error = client.send(capped(65_535)).await.unwrap().bytes().await.unwrap_err();
    assert!(matches!(error, EgressError::TooLarge { limit_bytes: 65_535, .. }), "{error:?}");
}

#[tokio::test]
async fn silence_ends_in_a_timeout_that_admits_its_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _held = tokio::spawn(async move {
        let mut sockets = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = socket.read(&mut buffer).await;
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
            sockets.push(socket);
        }
    });
    let limits = Limits { idle: Duration::from_millis(50), ..Limits::default() };
    let mut answer = open_client().send(get(&format!("http://{address}/")).limits(limits)).await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "half");
    let error = answer.chunk().await.unwrap_err();
    assert!(matches!(error, EgressError::Timeout { .. }) && error.may_have_been_sent(), "{error:?}");
}

#[tokio::test]
async fn what_went_wrong_on_the_wire_is_told_apart() {
    let client = open_client();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = refusal(&client, get(&format!("http://{closed}/?token=s3cret"))).await;
    assert!(matches!(error, EgressError::Connect { .. }) && !error.may_have_been_sent(), "{error:?}");
    assert!(!format!("{error:?}").contains("s3cret"), "no query in an error");

    let plain = raw_server(b"HTTP/1.1 200 OK\r\n\r\n").await.replace("http:", "https:");
    let error = refusal(&client, get(&plain)).await;
    assert!(matches!(error, EgressError::Tls { .. }) && !error.may_have_been_sent(), "{error:?}");

    let mute = raw_server(b"").await;
    let error = refusal(&client, get(&mute)).await;
    assert!(matches!(error, EgressError::Cut { .. }) && error.may_have_been_sent(), "{error:?}");

    let cut = raw_server(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let error = client.send(get(&cut)).await.unwrap().bytes().await.unwrap_err();
    assert!(matches!(error, EgressError::Cut { .. }), "{error:?}");
}

#[tokio::test]
async fn framing_headers_cannot_be_given() {
    for name in ["host", "content-length", "transfer-encoding", "connection", "proxy-authorization"] {
        let result = get("http://example.com/").header(HeaderName::from_static(name), HeaderValue::from_static("x"));
        assert!(matches!(result, Err(EgressError::ForbiddenHeader(_))), "{name}");
    }
}
