//! Sessions with a server that closes connections: commands sent, texts shown, commands refused.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use super::*;

/// The commands that a connection receives, each with its answer. Then the server closes it.
type Script = &'static [(&'static str, &'static str)];

/// A text that a session writes and a test reads.
#[derive(Clone, Default)]
struct Shown(Rc<RefCell<Vec<u8>>>);

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shown {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut())
    }
}

struct Fixture {
    session: Session,
    out: Shown,
    err: Shown,
    server: JoinHandle<()>,
    /// Yields for each connection that the server has closed.
    closed: Receiver<()>,
}

impl Fixture {
    /// A session that is connected to a server with a script for each connection.
    fn start(arguments: &[&str], scripts: &'static [Script]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let (sender, closed) = channel();
        let server = thread::spawn(move || {
            for script in scripts {
                follow(&listener.accept().unwrap().0, script);
                // The test may have ended.
                let _ = sender.send(());
            }
        });
        let (out, err) = (Shown::default(), Shown::default());
        let connection = ["kvik", "cli", "--no-raw", "-2", "-p", &port];
        let matches =
            crate::arguments::command().get_matches_from(connection.iter().chain(arguments));
        let screen = Screen {
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
        };
        let settings = Settings::from_matches(matches.subcommand().unwrap().1).unwrap();
        let mut session = Session::new(settings, screen, Arc::default());
        session.connect().unwrap();
        Self {
            session,
            out,
            err,
            server,
            closed,
        }
    }

    /// Runs a line; returns what was shown as a reply and as an error.
    #[track_caller]
    fn check(&mut self, line: &str, out: &str, err: &str) {
        self.session.run_line(line).unwrap();
        assert_eq!(String::from_utf8_lossy(&self.out.take()), out, "{line}");
        assert_eq!(String::from_utf8_lossy(&self.err.take()), err, "{line}");
    }

    /// The part of the prompt behind the address.
    fn prompt(&self) -> String {
        use reedline::Prompt;
        let prompt = self.session.prompt();
        let text = prompt.render_prompt_left();
        text.trim_start_matches(|symbol| !matches!(symbol, '[' | '('))
            .to_owned()
    }

    fn wait_until_closed(&self) {
        self.closed.recv().unwrap();
    }

    fn end(self) {
        self.server.join().unwrap();
    }
}

fn follow(stream: &TcpStream, script: Script) {
    let mut input = BufReader::new(stream);
    for (command, answer) in script {
        assert_eq!(read_command(&mut input), *command);
        let mut output = stream;
        output.write_all(answer.as_bytes()).unwrap();
    }
}

/// The words of a command, with blanks between them.
fn read_command(input: &mut impl BufRead) -> String {
    let mut line = || {
        let mut line = String::new();
        input.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let count: usize = line()[1..].parse().unwrap();
    let mut word = || {
        line();
        line()
    };
    (0..count).map(|_| word()).collect::<Vec<_>>().join(" ")
}

const OK: &str = "+OK\r\n";
const QUEUED: &str = "+QUEUED\r\n";

#[test]
fn a_lost_watch_is_reported_and_its_transaction_refused() {
    let mut test = Fixture::start(
        &[],
        &[
            &[("WATCH x", OK)],
            &[("GET x", "$1\r\n1\r\n"), ("WATCH x", OK), ("MULTI", OK)],
        ],
    );
    test.check("WATCH x", "OK\n", "");
    test.wait_until_closed();
    let lost = "Error: the server closed the connection; its WATCH is lost\n";
    let unguarded =
        "Error: not sent: WATCH was lost with its connection; WATCH the keys again, or UNWATCH\n";
    test.check("MULTI", "", &(lost.to_owned() + unguarded));
    let queued =
        "Error: not sent: its transaction is lost; EXEC or DISCARD ends it, MULTI begins anew\n";
    test.check("SET x 1", "", queued);
    let ended = "Error: not sent: the transaction was lost, none of its commands was executed\n";
    test.check("EXEC", "", ended);
    test.check("GET x", "\"1\"\n", "");
    test.check("WATCH x", "OK\n", "");
    test.check("MULTI", "OK\n", "");
    test.end();
}

#[test]
fn a_lost_transaction_is_reported_and_the_rest_of_it_refused() {
    let mut test = Fixture::start(
        &[],
        &[&[("MULTI", OK), ("SET a 1", QUEUED)], &[("SET c 3", OK)]],
    );
    test.check("MULTI", "OK\n", "");
    test.check("SET a 1", "QUEUED\n", "");
    assert_eq!(test.prompt(), "(TX)");
    test.wait_until_closed();
    let lost = "Error: the server closed the connection; its transaction is lost\n";
    let queued =
        "Error: not sent: its transaction is lost; EXEC or DISCARD ends it, MULTI begins anew\n";
    test.check("SET b 2", "", &(lost.to_owned() + queued));
    assert_eq!(test.prompt(), "(TX lost)");
    let ended = "Error: not sent: the transaction was lost, none of its commands was executed\n";
    test.check("EXEC", "", ended);
    test.check("SET c 3", "OK\n", "");
    assert_eq!(test.prompt(), "");
    test.end();
}

#[test]
fn an_exec_without_reply_may_have_run() {
    let mut test = Fixture::start(
        &[],
        &[
            &[("MULTI", OK), ("SET a 1", QUEUED), ("EXEC", "")],
            &[("GET a", "$-1\r\n")],
        ],
    );
    test.check("MULTI", "OK\n", "");
    test.check("SET a 1", "QUEUED\n", "");
    let unknown =
        "Error: the server closed the connection; whether the command was executed is unknown\n";
    test.check("EXEC", "", unknown);
    test.check("GET a", "(nil)\n", "");
    test.end();
}

#[test]
fn a_new_connection_is_like_the_last_one() {
    let mut test = Fixture::start(
        &["-n", "1", "-a", "one"],
        &[
            &[
                ("AUTH one", OK),
                ("SELECT 1", OK),
                ("AUTH ann two", OK),
                ("SELECT 3", OK),
                ("CLIENT SETNAME me", OK),
                ("HELLO 3", "%1\r\n+proto\r\n:3\r\n"),
                ("CLIENT NO-EVICT on", OK),
            ],
            &[
                ("AUTH ann two", OK),
                ("HELLO 3", "%1\r\n+proto\r\n:3\r\n"),
                ("SELECT 3", OK),
                ("CLIENT SETNAME me", OK),
                ("CLIENT NO-EVICT on", "-NOPERM no\r\n"),
                ("PING", "+PONG\r\n"),
            ],
            &[
                ("AUTH ann two", OK),
                ("HELLO 3", "%1\r\n+proto\r\n:3\r\n"),
                ("SELECT 3", "-ERR DB index is out of range\r\n"),
                ("CLIENT SETNAME me", OK),
                ("PING", "+PONG\r\n"),
            ],
        ],
    );
    test.check("AUTH ann two", "OK\n", "");
    test.check("SELECT 3", "OK\n", "");
    test.check("CLIENT SETNAME me", "OK\n", "");
    test.check("HELLO 3", "1# proto => (integer) 3\n", "");
    test.check("CLIENT NO-EVICT on", "OK\n", "");
    test.wait_until_closed();
    let refused = "Error: CLIENT failed on the new connection: NOPERM no\n";
    test.check("PING", "PONG\n", refused);
    assert_eq!(test.prompt(), "[3]");
    test.wait_until_closed();
    // The database is gone, and the prompt says so.
    test.check(
        "PING",
        "PONG\n",
        "SELECT failed: ERR DB index is out of range\n",
    );
    assert_eq!(test.prompt(), "");
    test.end();
}

#[test]
fn the_prompt_follows_the_server() {
    let mut test = Fixture::start(
        &[],
        &[&[
            ("MULTI", OK),
            ("SELECT 5", QUEUED),
            ("EXEC", "*1\r\n+OK\r\n"),
            ("MULTI", OK),
            ("SELECT 7", QUEUED),
            ("DISCARD", OK),
            ("SELECT 99", "-ERR DB index is out of range\r\n"),
            ("RESET", "+RESET\r\n"),
        ]],
    );
    test.check("MULTI", "OK\n", "");
    test.check("SELECT 5", "QUEUED\n", "");
    assert_eq!(test.prompt(), "(TX)");
    test.check("EXEC", "1) OK\n", "");
    assert_eq!(test.prompt(), "[5]");
    test.check("MULTI", "OK\n", "");
    test.check("SELECT 7", "QUEUED\n", "");
    assert_eq!(test.prompt(), "[5](TX)");
    test.check("DISCARD", "OK\n", "");
    assert_eq!(test.prompt(), "[5]");
    test.check("SELECT 99", "(error) ERR DB index is out of range\n", "");
    assert_eq!(test.prompt(), "[5]");
    test.check("RESET", "RESET\n", "");
    assert_eq!(test.prompt(), "");
    test.end();
}

#[test]
fn a_stranger_gets_the_database_after_the_login() {
    let mut test = Fixture::start(
        &["-n", "2"],
        &[&[
            ("SELECT 2", "-NOAUTH Authentication required.\r\n"),
            ("AUTH pw", OK),
            ("SELECT 2", OK),
            ("PING", "+PONG\r\n"),
        ]],
    );
    assert_eq!(test.prompt(), "");
    let refused = test.err.take();
    assert_eq!(refused, b"SELECT failed: NOAUTH Authentication required.\n");
    test.check("AUTH pw", "OK\n", "");
    assert_eq!(test.prompt(), "[2]");
    test.check("PING", "PONG\n", "");
    test.end();
}
