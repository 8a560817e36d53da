//! Metrics, health and readiness over HTTP, on a thread of its own.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | the page for Prometheus |
//! | `/health` | 200 while the process serves |
//! | `/ready` | 200 when clients are served; 503 with the reason while they are refused |
//!
//! Off unless `metrics-port` is set. Nothing here waits for a stripe: all figures are read without
//! locks, so a scrape delays no client. Who connects is trusted as far as the address that is
//! listened on: there is no password. Heads of requests, connections and their time are limited.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use kvik::{Clock, Db};
use kvik_command::exposition::exposition;
use kvik_command::gate::Closure;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};

use crate::config::{Config, Key};

/// Connections served at once; others wait in the system's queue.
const MOST_CONNECTIONS: usize = 32;
/// Longest head of a request.
const MOST_HEAD_BYTES: usize = 16 << 10;
/// Time for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time of a connection, busy or not.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
/// The format of the page, as Prometheus names it.
const PAGE_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The thread that answers.
pub(crate) struct HttpServer {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Listens as configured, if that is configured.
    ///
    /// # Errors
    /// If the address is not free or no address.
    pub(crate) fn start(config: &Config, db: &Db) -> io::Result<Option<Self>> {
        let port = config.int(Key::MetricsPort) as u16;
        if port == 0 {
            return Ok(None);
        }
        let bind = config.text(Key::MetricsBind);
        let bind: IpAddr = bind
            .parse()
            .map_err(|_| io::Error::other(format!("metrics-bind: no IP address: {bind}")))?;
        Self::listen(SocketAddr::new(bind, port), db).map(Some)
    }

    fn listen(address: SocketAddr, db: &Db) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let db = db.clone();
        let thread = std::thread::Builder::new()
            .name("kvik-http".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serve(listener, &db) => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: std::net::TcpListener, db: &Db) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("cannot serve metrics: {error}");
            return;
        }
    };
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // No open files are left, say; that passes.
                tracing::debug!("cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let db = db.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let response = respond(&request, &db);
                async { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MOST_HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), answer);
            // Who breaks off or is cut off gets no answer.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
            drop(permit);
        });
    }
}

fn respond(request: &Request<Incoming>, db: &Db) -> Response<Full<Bytes>> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_read {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        let allowed = "GET, HEAD".parse().expect("a value of visible letters");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let page = exposition(db.engine(), Clock::System.now_us());
            let mut response = Response::new(Full::new(Bytes::from(page)));
            let kind = PAGE_TYPE.parse().expect("a value of visible letters");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        "/health" => text(StatusCode::OK, "ok\n"),
        "/ready" => match obstacle(db) {
            None => text(StatusCode::OK, "ready\n"),
            Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
        },
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /metrics, /health and /ready\n",
        ),
    }
}

/// Why clients are refused, if they are.
fn obstacle(db: &Db) -> Option<&'static str> {
    let gate = &db.engine().gate;
    if gate.is_closed_by(Closure::Loading) {
        Some("loading\n")
    } else if gate.is_closed_by(Closure::LogFailed) {
        Some("the log cannot be written\n")
    } else if gate.is_closed_by(Closure::SaveFailed) {
        Some("the last snapshot failed\n")
    } else {
        None
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let kind = "text/plain; charset=utf-8";
    let kind = kind.parse().expect("a value of visible letters");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn server(db: &Db) -> HttpServer {
        HttpServer::listen(SocketAddr::from(([127, 0, 0, 1], 0)), db).unwrap()
    }

    fn ask(server: &HttpServer, request: &str) -> String {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    fn get(server: &HttpServer, path: &str) -> String {
        ask(
            server,
            &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        )
    }

    #[test]
    fn the_page_shows_what_commands_did() {
        let db = Db::memory();
        let server = server(&db);
        db.run(&["SET", "k", "v"]);
        let page = get(&server, "/metrics");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(page.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
        assert!(page.contains("\nkvik_db_keys{db=\"db0\"} 1\n"), "{page}");
        assert!(page.contains("\nkvik_command_calls_total{command=\"set\"} 1\n"));
        assert!(page.contains("\nkvns_keys_total{namespace=\"default\"} 1\n"));
        let head = ask(
            &server,
            "HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        assert!(head.ends_with("\r\n\r\n"), "{head}");
    }

    #[test]
    fn readiness_follows_the_gate() {
        let db = Db::memory();
        let server = server(&db);
        assert!(get(&server, "/health").ends_with("\r\n\r\nok\n"));
        assert!(get(&server, "/ready").starts_with("HTTP/1.1 200 OK\r\n"));
        db.engine().gate.close(Closure::Loading);
        let response = get(&server, "/ready");
        assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
        assert!(response.ends_with("loading\n"));
        assert!(get(&server, "/health").starts_with("HTTP/1.1 200 OK\r\n"));
    }

    #[test]
    fn what_is_no_request_for_a_page_is_refused() {
        let db = Db::memory();
        let server = server(&db);
        assert!(get(&server, "/").starts_with("HTTP/1.1 404 "));
        let post =
            "POST /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let response = ask(&server, post);
        assert!(response.starts_with("HTTP/1.1 405 "), "{response}");
        assert!(response.contains("allow: GET, HEAD\r\n"));
        assert!(ask(&server, "*1\r\n$4\r\nPING\r\n").starts_with("HTTP/1.1 400 "));
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MOST_HEAD_BYTES * 2));
        let response = ask(&server, &long);
        assert!(
            response.is_empty() || response.starts_with("HTTP/1.1 4"),
            "{response}"
        );
    }
}
