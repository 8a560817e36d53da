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
//! listened on: there is no password.
//!
//! hyper speaks HTTP/1 over a socket that blocks, one short-lived thread for a connection and one
//! request on each; so there is no runtime. Connections, their reads and their time are limited.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use kvik::{Clock, Db};
use kvik_command::exposition::exposition;
use kvik_command::gate::Closure;

use crate::config::{Config, Key};

/// Connections served at once; more are closed.
const MOST_CONNECTIONS: usize = 8;
/// Longest head of a request.
const MOST_HEAD_BYTES: usize = 16 << 10;
/// Reads that a request may take.
const MOST_READS: u32 = 32;
/// Time for each read and write.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The format of the page, as Prometheus names it.
const PAGE_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The thread that answers.
pub(crate) struct HttpServer {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    stopped: Arc<AtomicBool>,
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
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let stopped = Arc::<AtomicBool>::default();
        let (db, stop) = (db.clone(), Arc::clone(&stopped));
        let thread = thread::Builder::new()
            .name("kvik-http".into())
            .spawn(move || accept(&listener, &db, &stop))?;
        Ok(Self {
            address,
            stopped,
            thread: Some(thread),
        })
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // The thread waits for a connection: here is one. If it cannot be made, no other can, and
        // the thread is left to the end of the process.
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::from([127, 0, 0, 1]));
        }
        let woken = TcpStream::connect_timeout(&address, TIMEOUT).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            // A panic there has been reported.
            let _ = thread.join();
        }
    }
}

/// Serves connections until it is told to stop, and returns when all have ended.
fn accept(listener: &TcpListener, db: &Db, stopped: &AtomicBool) {
    let served = AtomicUsize::new(0);
    thread::scope(|scope| {
        for stream in listener.incoming() {
            if stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else {
                // No open files are left, say; that passes.
                thread::park_timeout(Duration::from_millis(100));
                continue;
            };
            if served.load(Ordering::Relaxed) >= MOST_CONNECTIONS {
                continue;
            }
            served.fetch_add(1, Ordering::Relaxed);
            let served = &served;
            let serve = move || {
                serve(stream, db);
                served.fetch_sub(1, Ordering::Relaxed);
            };
            let thread = thread::Builder::new().name("kvik-http".into());
            if thread.spawn_scoped(scope, serve).is_err() {
                served.fetch_sub(1, Ordering::Relaxed);
            }
        }
    });
}

/// Answers one request.
fn serve(stream: TcpStream, db: &Db) {
    let limited = stream
        .set_read_timeout(Some(TIMEOUT))
        .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)));
    if limited.is_err() {
        return;
    }
    let answer = service_fn(|request| {
        let response = respond(&request, db);
        async { Ok::<_, Infallible>(response) }
    });
    let socket = BlockingSocket { stream, reads: 0 };
    let connection = http1::Builder::new()
        .keep_alive(false)
        // Otherwise it reads on while it answers, to see whether the client is gone; that blocks.
        .half_close(true)
        .max_buf_size(MOST_HEAD_BYTES)
        .serve_connection(socket, answer);
    // Who breaks off or is cut off gets no answer.
    let _ = wait_for(connection);
}

/// A socket that blocks its thread, which serves nothing else.
struct BlockingSocket {
    stream: TcpStream,
    reads: u32,
}

impl hyper::rt::Read for BlockingSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads += 1;
        if self.reads > MOST_READS {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let mut bytes = [0; 1024];
        let room = bytes.len().min(buffer.remaining());
        let read = self.stream.read(&mut bytes[..room]);
        Poll::Ready(read.map(|count| buffer.put_slice(&bytes[..count])))
    }
}

impl hyper::rt::Write for BlockingSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.stream.write(bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(std::net::Shutdown::Write))
    }
}

/// Wakes the thread that waits for a future.
struct ThreadWaker(Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Drives a future on this thread to its end, unless it does nothing for too long.
fn wait_for<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(ThreadWaker(thread::current())));
    let mut context = Context::from_waker(&waker);
    for _ in 0..MOST_READS {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        thread::park_timeout(TIMEOUT);
    }
    None
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
